package release

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	helm "helm.sh/helm/v3/pkg/release"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/arc-cleanup/arc-cleanup/internal/kube"
)

// stored is a record in the API server; data is what is under data.release.
type stored struct {
	kind, name, version, data string
}

// secret and configMap store a release as Helm does
// (helm.sh/helm pkg/storage/driver: encodeRelease, newSecretsObject).
func secret(r *helm.Release) stored {
	return stored{"Secret", r.Name, fmt.Sprint(r.Version), base64.StdEncoding.EncodeToString([]byte(encoded(r, true)))}
}

func configMap(r *helm.Release) stored {
	return stored{"ConfigMap", r.Name, fmt.Sprint(r.Version), encoded(r, true)}
}

func encoded(r *helm.Release, compress bool) string {
	raw, err := json.Marshal(r)
	if err != nil {
		panic(err)
	}
	if compress {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		_, _ = w.Write(raw)
		_ = w.Close()
		raw = b.Bytes()
	}
	return base64.StdEncoding.EncodeToString(raw)
}

const manifest = `---
# Source: gha-runner-scale-set/templates/autoscalingrunnerset.yaml
apiVersion: actions.github.com/v1alpha1
kind: AutoscalingRunnerSet
metadata: {name: set, namespace: ns}
---
# Source: gha-runner-scale-set/templates/nothing.yaml
---
: [what nobody can read
---
kind: Secret
metadata: {name: s}
`

var installed = []Object{{"actions.github.com/v1alpha1", "AutoscalingRunnerSet", "ns", "set"}, {"", "Secret", "", "s"}}

// revision is a release with hook Jobs of these names, and another hook.
func revision(name string, version int, status helm.Status, jobs ...string) *helm.Release {
	r := &helm.Release{Name: name, Namespace: "ns", Version: version, Info: &helm.Info{Status: status}, Manifest: manifest}
	r.Hooks = append(r.Hooks, &helm.Hook{Name: "account", Kind: "ServiceAccount"})
	for _, j := range jobs {
		r.Hooks = append(r.Hooks, &helm.Hook{Name: j, Kind: "Job"})
	}
	return r
}

// storageOf is an API server that holds these records. Status codes, by path,
// take the place of an answer.
func storageOf(t *testing.T, records []stored, failures map[string]int) *kube.Client {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		answer := func(code int, body any) {
			w.WriteHeader(code)
			_ = json.NewEncoder(w).Encode(body)
		}
		rest, ok := strings.CutPrefix(r.URL.Path, "/api/v1/namespaces/ns/")
		if !ok {
			t.Errorf("asked for %s", r.URL)
		}
		fail := func(code int) {
			answer(code, metav1.Status{
				TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"},
				Status:   metav1.StatusFailure, Code: int32(code), Reason: map[int]metav1.StatusReason{403: metav1.StatusReasonForbidden, 404: metav1.StatusReasonNotFound}[code],
			})
		}
		if code := failures[rest]; code != 0 {
			fail(code)
			return
		}
		var items []any
		for _, s := range records {
			name := "sh.helm.release.v1." + s.name + ".v" + s.version
			resource := strings.ToLower(s.kind) + "s"
			object := map[string]any{
				"apiVersion": "v1", "kind": s.kind,
				"metadata": map[string]any{"name": name, "namespace": "ns", "uid": name, "labels": map[string]string{"name": s.name, "owner": "helm", "version": s.version}},
				"data":     map[string]any{"release": s.data},
			}
			if rest == path.Join(resource, name) {
				answer(http.StatusOK, object)
				return
			}
			selector := strings.Split(r.URL.Query().Get("labelSelector"), ",")
			if rest == resource && selector[0] == "owner=helm" && (len(selector) == 1 || selector[1] == "name="+s.name) {
				object["kind"], object["apiVersion"] = "PartialObjectMetadata", "meta.k8s.io/v1"
				items = append(items, object)
			}
		}
		if strings.Contains(rest, "/") {
			fail(http.StatusNotFound)
			return
		}
		answer(http.StatusOK, map[string]any{"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "items": items})
	}))
	t.Cleanup(server.Close)
	c, err := kube.New(&rest.Config{Host: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestGet(t *testing.T) {
	t.Parallel()
	arc := func(version int, status string, jobs ...string) *Record {
		return &Record{Name: "arc", Namespace: "ns", Revision: version, Status: status, HookJobs: jobs}
	}
	garbage := func(data string) []stored { return []stored{{"ConfigMap", "arc", "1", data}} }
	tests := map[string]struct {
		records  []stored
		failures map[string]int
		want     *Record
		err      string
	}{
		"in a Secret":              {[]stored{secret(revision("arc", 1, helm.StatusUninstalling, "hook"))}, nil, arc(1, Uninstalling, "hook"), ""},
		"in a ConfigMap":           {[]stored{configMap(revision("arc", 1, helm.StatusDeployed))}, nil, arc(1, "deployed"), ""},
		"not compressed":           {[]stored{{"ConfigMap", "arc", "1", encoded(revision("arc", 1, helm.StatusDeployed), false)}}, nil, arc(1, "deployed"), ""},
		"the newest is a number's": {[]stored{secret(revision("arc", 9, helm.StatusSuperseded)), secret(revision("arc", 10, helm.StatusUninstalling)), secret(revision("arc", 2, helm.StatusSuperseded))}, nil, arc(10, Uninstalling), ""},
		"another release":          {[]stored{secret(revision("other", 1, helm.StatusUninstalling))}, nil, nil, `no Helm release found: "arc" in namespace "ns"`},
		"none":                     {nil, nil, nil, "no Helm release found"},
		"gone between list and read": {
			[]stored{secret(revision("arc", 1, helm.StatusDeployed))},
			map[string]int{"secrets/sh.helm.release.v1.arc.v1": 404},
			nil, "no Helm release found",
		},
		"unreadable": {
			[]stored{secret(revision("arc", 1, helm.StatusDeployed))},
			map[string]int{"secrets/sh.helm.release.v1.arc.v1": 403},
			nil, "reading the Helm record ns/sh.helm.release.v1.arc.v1",
		},
		"not to be listed":           {nil, map[string]int{"configmaps": 403}, nil, "listing configmaps in namespace ns"},
		"a version that is none":     {[]stored{{"Secret", "arc", "one", ""}}, nil, nil, "secrets ns/sh.helm.release.v1.arc.vone: label version"},
		"a Secret not in base64":     {[]stored{{"Secret", "arc", "1", "!"}}, nil, nil, "illegal base64"},
		"not in base64":              {garbage("!"), nil, nil, "illegal base64"},
		"not gzip":                   {garbage(base64.StdEncoding.EncodeToString([]byte{0x1f, 0x8b, 0x08, 1})), nil, nil, "reading the Helm record"},
		"cut short":                  {garbage(cut(encoded(revision("arc", 1, helm.StatusDeployed), true))), nil, nil, "unexpected EOF"},
		"not JSON":                   {garbage(base64.StdEncoding.EncodeToString([]byte("kind: x"))), nil, nil, "invalid character"},
		"empty":                      {garbage(""), nil, nil, "unexpected end of JSON"},
		"a status of the wrong type": {garbage(base64.StdEncoding.EncodeToString([]byte(`{"info": {"status": 1}}`))), nil, nil, "cannot unmarshal"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := Get(t.Context(), storageOf(t, test.records, test.failures), "ns", "arc")
			check(t, err, test.err)
			if isNone := strings.HasPrefix(test.err, ErrNotFound.Error()); errors.Is(err, ErrNotFound) != isNone {
				t.Errorf("error %v: ErrNotFound is %t, want %t", err, !isNone, isNone)
			}
			if test.want != nil {
				test.want.Objects = installed
			}
			if diff := cmp.Diff(test.want, got, cmpopts.IgnoreFields(Record{}, "Storage")); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func cut(encoded string) string { return encoded[:len(encoded)/8*4] }

func TestByHookJob(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		records []*helm.Release
		want    string // release and revision
		err     string
	}{
		"the release with the Job": {[]*helm.Release{
			revision("a", 1, helm.StatusDeployed, "a-hook"), revision("b", 1, helm.StatusUninstalling, "b-hook", "hook"),
		}, "b 1", ""},
		"a rollback copies hooks": {[]*helm.Release{
			revision("a", 1, helm.StatusSuperseded, "hook"), revision("a", 2, helm.StatusSuperseded), revision("a", 3, helm.StatusUninstalling, "hook"),
		}, "a 3", ""},
		"only the newest revision counts": {[]*helm.Release{
			revision("a", 1, helm.StatusUninstalling, "hook"), revision("a", 2, helm.StatusDeployed),
		}, "", `no Helm release found: none in namespace "ns" has a hook Job "hook"`},
		"an uninstalling release wins": {[]*helm.Release{
			revision("a", 1, helm.StatusDeployed, "hook"), revision("b", 1, helm.StatusUninstalling, "hook"), revision("c", 1, helm.StatusDeployed, "hook"),
		}, "b 1", ""},
		"a hook of another kind": {[]*helm.Release{
			{Name: "a", Namespace: "ns", Version: 1, Info: &helm.Info{Status: helm.StatusUninstalling}, Hooks: []*helm.Hook{{Name: "hook", Kind: "Pod"}}},
		}, "", "no Helm release found"},
		"no release": {nil, "", "no Helm release found"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var records []stored
			for _, r := range test.records {
				records = append(records, secret(r))
			}
			r, err := ByHookJob(t.Context(), storageOf(t, records, nil), "ns", "hook")
			check(t, err, test.err)
			got := ""
			if r != nil {
				got = fmt.Sprintf("%s %d", r.Name, r.Revision)
			}
			if got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

// Somebody else's record that nobody can read blocks no uninstall.
func TestByHookJobPassesOverWhatIsBroken(t *testing.T) {
	t.Parallel()
	records := []stored{{"Secret", "broken", "1", "!"}, secret(revision("b", 1, helm.StatusUninstalling, "hook"))}
	r, err := ByHookJob(t.Context(), storageOf(t, records, nil), "ns", "hook")
	if err != nil || r.Name != "b" {
		t.Errorf("got %v, %v", r, err)
	}
}

func check(t *testing.T, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Errorf("error %v, want none", err)
	case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
		t.Errorf("error %v, want %q in it", err, want)
	}
}

func TestAllKnowsWhereEachReleaseIsKept(t *testing.T) {
	t.Parallel()
	c := storageOf(t, []stored{
		secret(revision("a", 1, helm.StatusSuperseded)), secret(revision("a", 2, helm.StatusDeployed)), configMap(revision("b", 1, helm.StatusDeployed)),
	}, nil)
	records, err := All(t.Context(), c, "ns")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range records {
		for _, s := range r.Storage {
			got = append(got, fmt.Sprintf("%s %d: %s", r.Name, r.Revision, s))
		}
	}
	want := []string{
		"a 2: secrets/sh.helm.release.v1.a.v1 in namespace ns",
		"a 2: secrets/sh.helm.release.v1.a.v2 in namespace ns",
		"b 1: configmaps/sh.helm.release.v1.b.v1 in namespace ns",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
