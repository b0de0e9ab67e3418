package release

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/arc-cleanup/arc-cleanup/internal/gzip"
	"github.com/arc-cleanup/arc-cleanup/internal/helm"

	"github.com/google/go-cmp/cmp"
	helm3 "helm.sh/helm/v3/pkg/release"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/arc-cleanup/arc-cleanup/internal/kube"
)

// shelve serves one record in the namespace ns, with this body.
func shelve(t *testing.T, kind, raw string) (*server, *kube.Client) {
	t.Helper()
	return serve(t, store(kind, revision("arc", 3, helm3.StatusDeployed), []func(*unstructured.Unstructured){holding(raw)}))
}

// stored is the JSON of the record that is stored now.
func (s *server) stored() []byte {
	s.Helper()
	packed, err := base64.StdEncoding.DecodeString(packed(s.only()))
	if err != nil {
		s.Fatal(err)
	}
	raw, err := gzip.Unpack(packed, 1<<20)
	if err != nil {
		s.Fatal(err)
	}
	return raw
}

const record = `{"name": "arc", "namespace": "ns", "version": 3, "info": {"status": "deployed", "first_deployed": "2026-01-02T03:04:05.678901234Z"},
"apply_method": "ssa", "config": {"big": 12345678901234567890, "text": "<&>"}, "manifest": "a: 1\n",
"chart": {"metadata": {"name": "gha-runner-scale-set-controller", "version": "0.6.1", "appVersion": "0.6.1", "icon": "i"}},
"hooks": [{"name": "test", "kind": "Pod", "manifest": "kind: Pod", "events": ["test"], "later": [1.0]}]}`

func hookOf(t *testing.T, raw string) helm.Hook {
	t.Helper()
	var h helm.Hook
	if err := json.Unmarshal([]byte(raw), &h); err != nil {
		t.Fatal(err)
	}
	return h
}

const job = `{"name":"job","kind":"Job","manifest":"kind: Job\n","events":["pre-delete"],"last_run":{"phase":""},"weight":5}`

// add is a change that adds a hook to whatever there is.
func add(t *testing.T) func(*helm.Record) ([]helm.Hook, bool, error) {
	return func(r *helm.Record) ([]helm.Hook, bool, error) {
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
			s, c := shelve(t, kind, record)
			labels := s.only().GetLabels()
			if err := Edit(t.Context(), c, "ns", "arc", add(t)); err != nil {
				t.Fatal(err)
			}
			want := strings.Replace(record, `"later": [1.0]}]`, `"later": [1.0]}, `+job+`]`, 1)
			if diff := cmp.Diff(exactly(t, []byte(want)), exactly(t, s.stored())); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(labels, s.only().GetLabels()); diff != "" {
				t.Errorf("labels: %s", diff)
			}
			if kind == "Secret" && s.only().Object["type"] != secretType {
				t.Errorf("type %v", s.only().Object["type"])
			}

			// And out again: without hooks there is no list of them.
			none := func(*helm.Record) ([]helm.Hook, bool, error) { return nil, true, nil }
			if err := Edit(t.Context(), c, "ns", "arc", none); err != nil {
				t.Fatal(err)
			}
			if _, found := exactly(t, s.stored()).(map[string]any)["hooks"]; found {
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

// Helm's own types can read the edited record.
func TestEditIsReadByHelm(t *testing.T) {
	t.Parallel()
	s, c := shelve(t, "Secret", record)
	if err := Edit(t.Context(), c, "ns", "arc", add(t)); err != nil {
		t.Fatal(err)
	}
	var r helm3.Release
	if err := json.Unmarshal(s.stored(), &r); err != nil {
		t.Fatal(err)
	}
	if h := r.Hooks[1]; h.Name != "job" || h.Kind != "Job" || h.Weight != 5 || h.Events[0] != helm3.HookPreDelete {
		t.Errorf("Helm reads %+v", h)
	}
}

// A record that changes between reading and writing is read again: nothing that
// another writer wrote is lost.
func TestEditConflict(t *testing.T) {
	t.Parallel()
	s, c := shelve(t, "Secret", record)
	faster := s.only()
	holding(strings.Replace(record, `"version": 3,`, `"version": 3, "faster": true,`, 1))(faster)
	tries := 0
	s.Fault = func(request string) int {
		if request == "PUT secret ns/sh.helm.release.v1.arc.v3" {
			if tries++; tries == 1 {
				s.put(faster)
			}
		}
		return 0
	}
	if err := Edit(t.Context(), c, "ns", "arc", add(t)); err != nil {
		t.Fatal(err)
	}
	if got := string(s.stored()); !strings.Contains(got, `"faster":true`) || !strings.Contains(got, `"name":"job"`) {
		t.Errorf("the record is %s", got)
	}
	if writes := len(s.Written()); writes != 1 || tries != 2 {
		t.Errorf("%d writes of %d, want 1 of 2", writes, tries)
	}
}

func TestEditWritesNothing(t *testing.T) {
	t.Parallel()
	in := func(status string) string { return strings.Replace(record, `"deployed"`, `"`+status+`"`, 1) }
	refused := errors.New("refused")
	const pending = " (revision 3): Helm is at work on it, and would overwrite the edit; try again when Helm has finished; if it was stopped, "
	tests := map[string]struct {
		raw    string
		change func(*helm.Record) ([]helm.Hook, bool, error)
		want   string // unfit, or state: an Unfit with the record
		err    string // "": none
	}{
		"nothing to write":   {record, func(_ *helm.Record) ([]helm.Hook, bool, error) { return nil, false, nil }, "", ""},
		"the change refuses": {record, func(_ *helm.Record) ([]helm.Hook, bool, error) { return nil, true, refused }, "", "refused"},
		"being installed":    {in("pending-install"), add(t), "state", "release arc in namespace ns is pending-install" + pending + "`helm uninstall arc --namespace ns` and install it again; nothing was written"},
		"being upgraded":     {in("pending-upgrade"), add(t), "state", "release arc in namespace ns is pending-upgrade" + pending + "`helm rollback arc --namespace ns` ends that; nothing was written"},
		"being rolled back":  {in("pending-rollback"), add(t), "state", "release arc in namespace ns is pending-rollback" + pending + "`helm rollback arc --namespace ns` ends that; nothing was written"},
		"being uninstalled":  {in("uninstalling"), add(t), "state", "is uninstalling (revision 3): it is being uninstalled with its present hooks; `helm uninstall arc --namespace ns` goes on"},
		"uninstalled":        {in("uninstalled"), add(t), "state", "is uninstalled (revision 3): only its history is kept"},
		"an unknown state":   {in("paused"), add(t), "state", `is in the state "paused" (revision 3), which is not known; nothing was written`},
		"unreadable":         {"no JSON", add(t), "", "not in Helm's format"},
		"too large": {record, func(_ *helm.Record) ([]helm.Hook, bool, error) {
			return []helm.Hook{hookOf(t, `{"name": "`+noise(1<<20)+`"}`)}, true, nil
		}, "unfit", "bytes, and Kubernetes stores 1048576; nothing was written"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, c := shelve(t, "Secret", test.raw)
			err := Edit(t.Context(), c, "ns", "arc", test.change)
			check(t, err, test.err)
			var unfit Unfit
			got := ""
			if errors.As(err, &unfit) {
				got = "unfit"
			}
			if unfit.Record != nil {
				got = "state"
			}
			if got != test.want {
				t.Errorf("error %v is %q, want %q", err, got, test.want)
			}
			if len(s.Written()) != 0 {
				t.Error("something was written")
			}
		})
	}
}

// Helm runs the hooks of these at an uninstall, and does not write to them before.
func TestEditWhatHelmWritesNoMore(t *testing.T) {
	t.Parallel()
	for _, status := range []string{"deployed", "failed", "superseded"} {
		s, c := shelve(t, "Secret", strings.Replace(record, `"deployed"`, `"`+status+`"`, 1))
		if err := Edit(t.Context(), c, "ns", "arc", add(t)); err != nil || len(s.Written()) != 1 {
			t.Errorf("%s: %v, writes: %d", status, err, len(s.Written()))
		}
	}
}

// A record that changes with every look is given up.
func TestEditGivesUp(t *testing.T) {
	t.Parallel()
	s, c := shelve(t, "Secret", record)
	looks := 0
	err := Edit(t.Context(), c, "ns", "arc", func(r *helm.Record) ([]helm.Hook, bool, error) {
		looks++
		s.put(s.only()) // with a later resourceVersion
		return r.Hooks, true, nil
	})
	check(t, err, "updating secrets/sh.helm.release.v1.arc.v3 in namespace ns")
	if looks != turns || len(s.Written()) != 0 {
		t.Errorf("%d looks, %d writes", looks, len(s.Written()))
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
	_, c := serve(t)
	err := Edit(t.Context(), c, "ns", "arc", add(t))
	if !errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), "SQL") {
		t.Errorf("got %v, want one that explains SQL storage", err)
	}
	r := revision("arc", 1, helm3.StatusDeployed)
	for _, both := range [][]*unstructured.Unstructured{
		{secret(r), configMap(r)},
		{configMap(r), secret(r)},
	} {
		_, c := serve(t, both...)
		check(t, Edit(t.Context(), c, "ns", "arc", add(t)), "recorded both in Secrets and in ConfigMaps")
	}
	_, c = serve(t, secret(r), configMap(r, data("!")))
	if err := Edit(t.Context(), c, "ns", "arc", add(t)); !errors.Is(err, ErrUnreadable) {
		t.Errorf("got %v", err)
	}
}
