package release

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	helm "helm.sh/helm/v3/pkg/release"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"

	"github.com/arc-cleanup/arc-cleanup/internal/kube"
)

// shelf is an API server that holds one record, and lets it be written.
type shelf struct {
	object map[string]any
	// before is run ahead of a write, once: somebody else was faster.
	before func(*shelf)
	writes int
}

// shelve stores a record as Helm does. Unknown fields are as of a later Helm.
func shelve(kind string, raw string) *shelf {
	data := encode([]byte(raw))
	o := map[string]any{
		"apiVersion": "v1", "kind": kind,
		"metadata": map[string]any{
			"name": "sh.helm.release.v1.arc.v3", "namespace": "ns", "resourceVersion": "1",
			"labels": map[string]any{"name": "arc", "owner": "helm", "version": "3", "status": "deployed", "team": "a"},
		},
		"data": map[string]any{"release": data},
	}
	if kind == "Secret" {
		o["type"] = "helm.sh/release.v1"
		o["data"] = map[string]any{"release": base64.StdEncoding.EncodeToString([]byte(data))}
	}
	return &shelf{object: o}
}

func (s *shelf) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	answer := func(code int, body any) {
		w.WriteHeader(code)
		_ = json.NewEncoder(w).Encode(body)
	}
	resource := strings.ToLower(s.object["kind"].(string)) + "s"
	switch {
	case r.Method == http.MethodPut:
		if s.before != nil {
			s.before(s)
			s.before = nil
		}
		meta := s.object["metadata"].(map[string]any)
		var o map[string]any
		_ = json.NewDecoder(r.Body).Decode(&o)
		if o["metadata"].(map[string]any)["resourceVersion"] != meta["resourceVersion"] {
			answer(http.StatusConflict, metav1.Status{Status: metav1.StatusFailure, Code: 409, Reason: metav1.StatusReasonConflict})
			return
		}
		o["metadata"].(map[string]any)["resourceVersion"] = meta["resourceVersion"].(string) + "1"
		s.object = o
		s.writes++
		answer(http.StatusOK, o)
	case strings.HasSuffix(r.URL.Path, "/"+resource):
		answer(http.StatusOK, map[string]any{"kind": "List", "apiVersion": "v1", "items": []any{s.object}})
	case strings.Contains(r.URL.Path, "/"+resource+"/"):
		answer(http.StatusOK, s.object)
	default:
		answer(http.StatusOK, map[string]any{"kind": "List", "apiVersion": "v1", "items": []any{}})
	}
}

func (s *shelf) client(t *testing.T) *kube.Client {
	t.Helper()
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	c, err := kube.New(&rest.Config{Host: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// revision is what is stored now.
func (s *shelf) revision(t *testing.T) *Revision {
	t.Helper()
	r, err := decode(&unstructured.Unstructured{Object: s.object})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

const record = `{"name": "arc", "namespace": "ns", "version": 3, "info": {"status": "deployed", "first_deployed": "2026-01-02T03:04:05.678901234Z"},
"apply_method": "ssa", "config": {"big": 12345678901234567890, "text": "<&>"}, "manifest": "a: 1\n",
"chart": {"metadata": {"name": "gha-runner-scale-set-controller", "version": "0.6.1", "appVersion": "0.6.1", "icon": "i"}},
"hooks": [{"name": "test", "kind": "Pod", "manifest": "kind: Pod", "events": ["test"], "later": [1.0]}]}`

func hookOf(t *testing.T, raw string) Hook {
	t.Helper()
	var h Hook
	if err := json.Unmarshal([]byte(raw), &h); err != nil {
		t.Fatal(err)
	}
	return h
}

const job = `{"name":"job","kind":"Job","manifest":"kind: Job\n","events":["pre-delete"],"last_run":{"phase":""},"weight":5}`

// add is a change that adds a hook to whatever there is.
func add(t *testing.T) func(*Revision) ([]Hook, bool, error) {
	return func(r *Revision) ([]Hook, bool, error) {
		return append(r.Hooks, hookOf(t, job)), true, nil
	}
}

// Everything but the hooks stays: fields we know nothing of, numbers of any
// size, the object's labels and type.
func TestEditKeepsTheRest(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"Secret", "ConfigMap"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			s := shelve(kind, record)
			labels := cmp.Diff(nil, s.object["metadata"].(map[string]any)["labels"])
			if err := Edit(t.Context(), s.client(t), "ns", "arc", add(t)); err != nil {
				t.Fatal(err)
			}
			want := strings.Replace(record, `"later": [1.0]}]`, `"later": [1.0]}, `+job+`]`, 1)
			if diff := cmp.Diff(exactly(t, []byte(want)), exactly(t, s.revision(t).raw)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if got := cmp.Diff(nil, s.object["metadata"].(map[string]any)["labels"]); got != labels {
				t.Errorf("labels were %s, are %s", labels, got)
			}
			if kind == "Secret" && s.object["type"] != secretType {
				t.Errorf("type %v", s.object["type"])
			}

			// And out again: without hooks there is no list of them.
			none := func(*Revision) ([]Hook, bool, error) { return nil, true, nil }
			if err := Edit(t.Context(), s.client(t), "ns", "arc", none); err != nil {
				t.Fatal(err)
			}
			if _, found := exactly(t, s.revision(t).raw).(map[string]any)["hooks"]; found {
				t.Error("an empty list of hooks is left")
			}
		})
	}
}

// exactly is JSON with its numbers as they are written.
func exactly(t *testing.T, raw []byte) (out any) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(string(raw)))
	d.UseNumber()
	if err := d.Decode(&out); err != nil {
		t.Fatal(err)
	}
	return out
}

// What we write, Helm's own types read.
func TestEditIsReadByHelm(t *testing.T) {
	t.Parallel()
	s := shelve("Secret", record)
	if err := Edit(t.Context(), s.client(t), "ns", "arc", add(t)); err != nil {
		t.Fatal(err)
	}
	var r helm.Release
	if err := json.Unmarshal(s.revision(t).raw, &r); err != nil {
		t.Fatal(err)
	}
	if h := r.Hooks[1]; h.Name != "job" || h.Kind != "Job" || h.Weight != 5 || h.Events[0] != helm.HookPreDelete {
		t.Errorf("Helm reads %+v", h)
	}
}

// A record that changes between reading and writing is read again: nothing that
// somebody else wrote is lost.
func TestEditConflict(t *testing.T) {
	t.Parallel()
	s := shelve("Secret", record)
	s.before = func(s *shelf) {
		faster := shelve("Secret", strings.Replace(record, `"version": 3,`, `"version": 3, "faster": true,`, 1)).object
		faster["metadata"].(map[string]any)["resourceVersion"] = "2"
		s.object = faster
	}
	if err := Edit(t.Context(), s.client(t), "ns", "arc", add(t)); err != nil {
		t.Fatal(err)
	}
	if got := string(s.revision(t).raw); !strings.Contains(got, `"faster":true`) || !strings.Contains(got, `"name":"job"`) {
		t.Errorf("the record is %s", got)
	}
	if s.writes != 1 {
		t.Errorf("%d writes, want 1", s.writes)
	}
}

func TestEditWritesNothing(t *testing.T) {
	t.Parallel()
	state := func(status string) *shelf {
		return shelve("Secret", strings.Replace(record, `"deployed"`, `"`+status+`"`, 1))
	}
	renamed := shelve("ConfigMap", record)
	renamed.object["metadata"].(map[string]any)["name"] = "sh.helm.release.v2.arc.v3"
	retyped := shelve("Secret", "what nobody can read")
	retyped.object["type"] = "helm.sh/release.v2"
	refused := errors.New("refused")
	tests := map[string]struct {
		s      *shelf
		change func(*Revision) ([]Hook, bool, error)
		want   error  // of this type; nil: any
		err    string // "": none
	}{
		"nothing to write":    {shelve("Secret", record), func(_ *Revision) ([]Hook, bool, error) { return nil, false, nil }, nil, ""},
		"the change refuses":  {shelve("Secret", record), func(_ *Revision) ([]Hook, bool, error) { return nil, true, refused }, nil, "refused"},
		"being installed":     {state("pending-install"), add(t), NotDeployed{}, "release arc in namespace ns is pending-install (revision 3), and only a deployed one can be edited; nothing was written"},
		"being upgraded":      {state("pending-upgrade"), add(t), NotDeployed{}, "is pending-upgrade"},
		"being rolled back":   {state("pending-rollback"), add(t), NotDeployed{}, "is pending-rollback"},
		"being uninstalled":   {state("uninstalling"), add(t), NotDeployed{}, "is uninstalling"},
		"failed":              {state("failed"), add(t), NotDeployed{}, "is failed"},
		"another format":      {renamed, add(t), Unfit{}, "the record ns/sh.helm.release.v2.arc.v3 is not of the version helm.sh/release.v1"},
		"another Secret type": {retyped, add(t), Unfit{}, "is not of the version helm.sh/release.v1"},
		"unreadable":          {shelve("Secret", "no JSON"), add(t), nil, "not in Helm's format"},
		"too large": {shelve("Secret", record), func(_ *Revision) ([]Hook, bool, error) {
			return []Hook{hookOf(t, `{"name": "`+noise(1<<20)+`"}`)}, true, nil
		}, Unfit{}, "bytes, and Kubernetes stores 1048576; nothing was written"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := Edit(t.Context(), test.s.client(t), "ns", "arc", test.change)
			check(t, err, test.err)
			var unfit Unfit
			var state NotDeployed
			switch any(test.want).(type) {
			case Unfit:
				if !errors.As(err, &unfit) {
					t.Errorf("error %v is no Unfit", err)
				}
			case NotDeployed:
				if !errors.As(err, &state) || state.Pending() != strings.HasPrefix(state.Status, "pending") {
					t.Errorf("error %v, state %+v", err, state)
				}
			}
			if test.s.writes != 0 {
				t.Error("something was written")
			}
		})
	}
}

// noise is text that no compression makes smaller than three quarters.
func noise(n int) string {
	random := rand.NewChaCha8([32]byte{1})
	b := make([]byte, n)
	_, _ = random.Read(b)
	return base64.RawURLEncoding.EncodeToString(b)
}

func TestEditOfNone(t *testing.T) {
	t.Parallel()
	err := Edit(t.Context(), storageOf(t, nil, nil), "ns", "arc", add(t))
	if !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), "SQL") {
		t.Errorf("got %v, want one that explains SQL storage", err)
	}
	both := []stored{secret(revision("arc", 1, helm.StatusDeployed)), configMap(revision("arc", 1, helm.StatusDeployed))}
	err = Edit(t.Context(), storageOf(t, both, nil), "ns", "arc", add(t))
	check(t, err, "recorded both in Secrets and in ConfigMaps")
}
