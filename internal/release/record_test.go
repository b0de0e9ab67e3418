package release

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/arc-cleanup/arc-cleanup/internal/helm"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	helm3 "helm.sh/helm/v3/pkg/release"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/arc-cleanup/arc-cleanup/internal/kube"
)

const manifest = `---
# Source: gha-runner-scale-set/templates/autoscalingrunnerset.yaml
apiVersion: actions.github.com/v1alpha1
kind: AutoscalingRunnerSet
metadata: {name: set, namespace: elsewhere}
---
# Source: gha-runner-scale-set/templates/nothing.yaml
---
: [what nobody can read
---
kind: Secret
metadata: {name: s}
`

var installed = []helm.Object{
	{APIVersion: "actions.github.com/v1alpha1", Kind: "AutoscalingRunnerSet", Namespace: "elsewhere", Name: "set"},
	{Kind: "Secret", Namespace: "ns", Name: "s"},
}

// revision is a release with hook Jobs of these names, and another hook.
func revision(name string, version int, status helm3.Status, jobs ...string) *helm3.Release {
	r := &helm3.Release{Name: name, Namespace: "ns", Version: version, Info: &helm3.Info{Status: status}, Manifest: manifest}
	r.Hooks = append(r.Hooks, &helm3.Hook{Name: "account", Kind: "ServiceAccount"})
	for _, j := range jobs {
		r.Hooks = append(r.Hooks, &helm3.Hook{Name: j, Kind: "Job"})
	}
	return r
}

// all collects what Each gives.
func all(t *testing.T, c *kube.Client, namespace string) (records []*helm.Record, failed error) {
	t.Helper()
	err := Each(t.Context(), c, namespace, "", func(r *helm.Record, err error) {
		if failed = errors.Join(failed, err); err == nil {
			records = append(records, r)
		}
	})
	return records, errors.Join(err, failed)
}

var here = Place{Namespace: "ns"}

func TestGet(t *testing.T) {
	t.Parallel()
	arc := func(version int, status helm.Status, jobs ...string) *helm.Record {
		return &helm.Record{Name: "arc", Namespace: "ns", StorageNamespace: "ns", Revision: version, Status: status, HookJobs: jobs, Objects: installed}
	}
	type objects = []*unstructured.Unstructured
	deployed := revision("arc", 1, helm3.StatusDeployed)
	holds := func(text string) objects { return objects{configMap(deployed, data(text))} }
	tests := map[string]struct {
		objects objects
		fail    map[string]int
		want    *helm.Record
		err     string
	}{
		"in a Secret":    {objects{secret(revision("arc", 1, helm3.StatusUninstalling, "hook"))}, nil, arc(1, helm.Uninstalling, "hook"), ""},
		"in a ConfigMap": {objects{configMap(deployed)}, nil, arc(1, helm.Deployed), ""},
		"not compressed": {holds(base64.StdEncoding.EncodeToString([]byte(`{"name": "arc", "namespace": "ns", "version": 1, "info": {"status": "deployed"}}`))), nil, &helm.Record{Name: "arc", Namespace: "ns", StorageNamespace: "ns", Revision: 1, Status: helm.Deployed}, ""},
		"the newest is a number's": {objects{
			secret(revision("arc", 9, helm3.StatusSuperseded)), secret(revision("arc", 10, helm3.StatusUninstalling)), secret(revision("arc", 2, helm3.StatusSuperseded)),
		}, nil, arc(10, helm.Uninstalling), ""},
		"another release": {objects{secret(revision("other", 1, helm3.StatusUninstalling))}, nil, nil, `no Helm release found: "arc" in namespace "ns"`},
		"none":            {nil, nil, nil, "no Helm release found"},
		"gone between list and read": {
			objects{secret(deployed)}, map[string]int{"GET secret ns/sh.helm.release.v1.arc.v1": http.StatusNotFound}, nil, "no Helm release found",
		},
		"not to be read": {
			objects{secret(deployed)}, map[string]int{"GET secret ns/sh.helm.release.v1.arc.v1": http.StatusForbidden}, nil, "reading secrets/sh.helm.release.v1.arc.v1 in namespace ns",
		},
		"not to be listed":           {nil, map[string]int{"LIST configmap ns": http.StatusForbidden}, nil, "listing configmaps in namespace ns"},
		"a Secret not in base64":     {objects{secret(deployed, func(o *unstructured.Unstructured) { set(o, "!", "data", "release") })}, nil, nil, "illegal base64"},
		"not in base64":              {holds("!"), nil, nil, "illegal base64"},
		"not gzip":                   {holds(base64.StdEncoding.EncodeToString([]byte{0x1f, 0x8b, 0x08, 1})), nil, nil, "not in Helm's format"},
		"cut short":                  {holds(packed(configMap(deployed))[:64]), nil, nil, "unexpected EOF"},
		"not JSON":                   {objects{secret(deployed, holding("kind: x"))}, nil, nil, "invalid character"},
		"empty":                      {holds(""), nil, nil, "unexpected end of JSON"},
		"data of the wrong type":     {objects{configMap(deployed, func(o *unstructured.Unstructured) { o.Object["data"] = "x" })}, nil, nil, "accessor error"},
		"no hooks, said so":          {objects{secret(deployed, holding(`{"name": "arc", "namespace": "ns", "version": 1, "info": {"status": "deployed"}, "hooks": null}`))}, nil, &helm.Record{Name: "arc", Namespace: "ns", StorageNamespace: "ns", Revision: 1, Status: helm.Deployed}, ""},
		"a status of the wrong type": {objects{secret(deployed, holding(`{"info": {"status": 1}}`))}, nil, nil, "cannot unmarshal"},
		"hooks that are no list":     {objects{secret(deployed, holding(`{"hooks": {}}`))}, nil, nil, "hooks are {, and not a list"},
		"a hook of another type":     {objects{secret(deployed, holding(`{"hooks": [1]}`))}, nil, nil, "cannot unmarshal"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, c := serve(t, test.objects...)
			s.fail(test.fail)
			got, err := Get(t.Context(), c, here, "arc")
			check(t, err, test.err)
			if isNone := strings.HasPrefix(test.err, ErrNotFound.Error()); errors.Is(err, ErrNotFound) != isNone {
				t.Errorf("error %v: ErrNotFound is %t, want %t", err, !isNone, isNone)
			}
			if diff := cmp.Diff(test.want, got, cmpopts.IgnoreFields(helm.Record{}, "Storage", "Driver", "Manifest", "Hooks", "Config", "raw")); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// An object with Helm's labels that Helm did not write is not a record. It proves nothing and does not hinder
// the other records. Helm ignores it too.
func TestPassedOver(t *testing.T) {
	t.Parallel()
	forged := revision("arc", 2, helm3.StatusUninstalling, "hook")
	body := func(change func(*helm3.Release)) *helm3.Release {
		r := *forged
		change(&r)
		return &r
	}
	tests := map[string]*unstructured.Unstructured{
		"no version":              secret(forged, labelled("version", "")),
		"no number as version":    secret(forged, labelled("version", "two")),
		"another version's label": secret(forged, labelled("version", "3")),
		"a version with a zero":   secret(forged, labelled("version", "02"), named("sh.helm.release.v1.arc.v02")),
		"a label with a zero":     secret(forged, labelled("version", "02")),
		"no name":                 secret(forged, labelled("name", "")),
		"another name's label":    secret(forged, labelled("name", "other")),
		"another owner":           secret(forged, labelled("owner", "me")),
		"another name":            configMap(forged, named("anything")),
		"another format":          secret(forged, named("sh.helm.release.v2.arc.v2")),
		"a Secret's other type":   secret(forged, typed("Opaque")),
		"another release's body": secret(forged, func(o *unstructured.Unstructured) {
			o.Object["data"] = secret(revision("other", 2, helm3.StatusUninstalling, "hook")).Object["data"]
		}),
		"another revision's body": secret(forged, func(o *unstructured.Unstructured) {
			o.Object["data"] = secret(revision("arc", 3, helm3.StatusUninstalling, "hook")).Object["data"]
		}),
		"another namespace's body": secret(body(func(r *helm3.Release) { r.Namespace = "other" }), in("ns")),
		"no namespace in the body": secret(body(func(r *helm3.Release) { r.Namespace = "" }), in("ns")),
		"in another namespace":     secret(forged, in("other")),
	}
	for name, o := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, c := serve(t, o)
			if r, err := Get(t.Context(), c, here, "arc"); !errors.Is(err, ErrNotFound) {
				t.Errorf("Get: got %v, %v", r, err)
			}
			if inside := strings.HasSuffix(name, "body"); len(s.read("GET")) > 0 != inside {
				t.Errorf("%q were read, though the outside says enough", s.read("GET"))
			}
			if r, err := ByHookJob(t.Context(), c, here, "hook"); !errors.Is(err, ErrNotFound) {
				t.Errorf("ByHookJob: got %v, %v", r, err)
			}
			if err := Edit(t.Context(), c, "ns", "arc", add(t)); err == nil {
				t.Error("Edit: no error")
			}
			records, err := all(t, c, "")
			if err != nil || slices.ContainsFunc(records, func(r *helm.Record) bool { return !r.StoredElsewhere() }) {
				t.Errorf("Each: got %v, %v", records, err)
			}

			// Beside a true one, older or younger, it changes nothing.
			for _, version := range []int{1, 9} {
				s, c := serve(t, o, secret(revision("arc", version, helm3.StatusDeployed)), secret(revision("b", 1, helm3.StatusUninstalling, "hook")))
				mine := fmt.Sprintf("secrets/sh.helm.release.v1.arc.v%d in namespace ns", version)
				r, err := Get(t.Context(), c, here, "arc")
				if name == "another namespace's body" || name == "no namespace in the body" {
					// Of two revisions of one name in one place the newest counts, as for Helm.
					if version == 1 {
						continue
					}
				}
				if err != nil || r.Revision != version || r.Storage[len(r.Storage)-1].String() != mine {
					t.Errorf("Get: got %+v, %v", r, err)
				}
				if r, err := ByHookJob(t.Context(), c, here, "hook"); err != nil || r.Name != "b" {
					t.Errorf("ByHookJob: got %v, %v", r, err)
				}
				if err := Edit(t.Context(), c, "ns", "arc", add(t)); err != nil || len(s.Written()) != 1 {
					t.Errorf("Edit: %v, writes: %q", err, s.Written())
				}
			}
		})
	}
}

// With Flux the record is where the HelmRelease is. It is believed by who was told
// that place, of the release that is there in fact.
func TestStoredElsewhere(t *testing.T) {
	t.Parallel()
	flux := Place{Namespace: "ns", Storage: "flux-system"}
	_, c := serve(t,
		secret(revision("arc", 1, helm3.StatusUninstalling, "hook"), in("flux-system")),
		secret(&helm3.Release{Name: "own", Namespace: "flux-system", Version: 1, Info: &helm3.Info{Status: helm3.StatusUninstalling}, Hooks: []*helm3.Hook{{Name: "hook", Kind: "Job"}}}),
	)
	r, err := Get(t.Context(), c, flux, "arc")
	if err != nil || r.Namespace != "ns" || r.StorageNamespace != "flux-system" || !r.StoredElsewhere() {
		t.Errorf("Get: %+v, %v", r, err)
	}
	if r, err := ByHookJob(t.Context(), c, flux, "hook"); err != nil || r.Name != "arc" {
		t.Errorf("ByHookJob: %+v, %v", r, err)
	}
	for _, test := range []struct {
		at        Place
		name, err string
	}{
		{Place{Namespace: "ns"}, "arc", `no Helm release found: "arc" in namespace "ns"`},
		{Place{Namespace: "flux-system"}, "arc", `no Helm release found: "arc" in namespace "flux-system"; the record of that name is of a release in namespace "ns"`},
		{Place{Namespace: "third", Storage: "flux-system"}, "arc", `no Helm release found: "arc" in namespace "third", stored in namespace "flux-system"; the record of that name is of a release in namespace "ns"`},
		{flux, "own", `no Helm release found: "own" in namespace "ns", stored in namespace "flux-system"; the record of that name is of a release in namespace "flux-system"`},
	} {
		if _, err := Get(t.Context(), c, test.at, test.name); !errors.Is(err, ErrNotFound) || err.Error() != test.err {
			t.Errorf("%v: %v", test.at, err)
		}
	}
	want := `no Helm release found: none in namespace "third", stored in namespace "flux-system", has a hook Job "hook"`
	if _, err := ByHookJob(t.Context(), c, Place{Namespace: "third", Storage: "flux-system"}, "hook"); !errors.Is(err, ErrNotFound) || err.Error() != want {
		t.Errorf("ByHookJob: %v", err)
	}
	if r, err := ByHookJob(t.Context(), c, Place{Namespace: "flux-system"}, "hook"); err != nil || r.Name != "own" {
		t.Errorf("ByHookJob: %+v, %v", r, err)
	}
	err = Edit(t.Context(), c, "flux-system", "arc", add(t))
	check(t, err, `the record flux-system/sh.helm.release.v1.arc.v1 is of a release in namespace "ns", and is not edited`)
	if !errors.As(err, new(Unfit)) {
		t.Errorf("%v is no Unfit", err)
	}
}

// The error about a record that cannot be read does not say that the record does not exist.
func TestNotToBeRead(t *testing.T) {
	t.Parallel()
	s, c := serve(t, secret(revision("a", 1, helm3.StatusDeployed)), secret(revision("b", 1, helm3.StatusUninstalling, "hook")))
	s.fail(map[string]int{"GET secret ns/sh.helm.release.v1.a.v1": http.StatusForbidden})
	if records, err := all(t, c, "ns"); err == nil || len(records) != 1 {
		t.Errorf("Each: %v, %v", records, err)
	}
	if _, err := ByHookJob(t.Context(), c, here, "hook"); err == nil || errors.Is(err, ErrNotFound) {
		t.Errorf("ByHookJob: %v", err)
	}
	s.fail(map[string]int{"LIST secret ns": http.StatusForbidden})
	for name, err := range map[string]error{
		"Each":      Each(t.Context(), c, "ns", "", func(*helm.Record, error) {}),
		"Edit":      Edit(t.Context(), c, "ns", "a", add(t)),
		"ByHookJob": func() error { _, err := ByHookJob(t.Context(), c, here, "hook"); return err }(),
	} {
		check(t, err, "listing secrets in namespace ns")
		if errors.Is(err, ErrNotFound) {
			t.Errorf("%s: %v", name, err)
		}
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

func TestEachKnowsWhereTheReleaseIsKept(t *testing.T) {
	t.Parallel()
	_, c := serve(t,
		secret(revision("a", 10, helm3.StatusDeployed)), secret(revision("a", 9, helm3.StatusSuperseded)), configMap(revision("b", 1, helm3.StatusDeployed)),
	)
	records, err := all(t, c, "ns")
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
		"a 10: secrets/sh.helm.release.v1.a.v9 in namespace ns",
		"a 10: secrets/sh.helm.release.v1.a.v10 in namespace ns",
		"b 1: configmaps/sh.helm.release.v1.b.v1 in namespace ns",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// The server selects, page by page: what is no record does not come here.
func TestListsAreSelected(t *testing.T) {
	t.Parallel()
	var objects []*unstructured.Unstructured
	for i := range 10 {
		r := revision(fmt.Sprintf("r%d", i), 1, helm3.StatusDeployed)
		objects = append(objects, secret(r), configMap(r))
	}
	s, c := serve(t, objects...)
	records, err := all(t, c, "")
	if err != nil || len(records) != 20 {
		t.Errorf("%d records, %v", len(records), err)
	}
	want := []string{"secret owner=helm type=helm.sh/release.v1", "configmap owner=helm"}
	lists := s.read("LIST")
	if len(lists) != 8 {
		t.Errorf("%d lists", len(lists))
	}
	if diff := cmp.Diff(want, slices.Compact(lists)); diff != "" {
		t.Error(diff)
	}
	s.Reads = nil
	if _, err := Get(t.Context(), c, here, "r1"); err != nil {
		t.Error(err)
	}
	if read := s.read("GET"); len(read) != 1 {
		t.Errorf("%q were read for one release", read)
	}
	// A selector in a name does not find another release.
	if r, err := Get(t.Context(), c, here, "r1,team=a"); !errors.Is(err, ErrNotFound) {
		t.Errorf("got %v, %v", r, err)
	}
	want = []string{"secret ns name=r1,owner=helm type=helm.sh/release.v1", "configmap ns name=r1,owner=helm"}
	if diff := cmp.Diff(want, s.read("LIST")[:2]); diff != "" {
		t.Error(diff)
	}
}
