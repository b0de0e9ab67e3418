package upgrade

import (
	"cmp"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/arc-cleanup/arc-cleanup/internal/helm"
)

// Releases are installed with their newest values and their previous hooks, wherever the upgrade was
// stopped.
func TestPlanKeeps(t *testing.T) {
	t.Parallel()
	before := hooked(installed("arc-systems", "arc", helm.Deployed))
	set := hooked(installed("a", "runners", helm.Deployed))
	changed := installed("arc-systems", "arc", helm.Deployed)
	changed.Values = json.RawMessage(`{"of": "later"}`)
	added := installed("b", "added", helm.Deployed)

	// The state is saved; then one release changes, and another is added.
	p := newPlan(Situation{Saved: saved(false, before, set), Found: []Found{added, changed}, Target: target("2")})
	got := map[string]Release{}
	for _, r := range p.State.Releases {
		got[r.Name] = r
	}
	if len(got) != 3 || len(p.State.Releases) != 3 || p.State.Releases[0].Name != "arc" {
		t.Fatalf("releases %v", p.State.Releases)
	}
	if v := string(got["arc"].Values); v != `{"of": "later"}` {
		t.Errorf("the values of the controller: %s", v)
	}
	if len(got["arc"].Hooks) != 1 || len(got["runners"].Hooks) != 1 || len(got["added"].Hooks) != 0 {
		t.Errorf("hooks: %v", got)
	}
}

// The plan names what the saved state adds, and asks about releases that the user may have uninstalled since.
func TestPlanOfAState(t *testing.T) {
	t.Parallel()
	written := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	arc, runners, more := installed("arc-systems", "arc", helm.Deployed), installed("a", "runners", helm.Deployed), installed("b", "more", helm.Deployed)
	renewed := arc
	renewed.Chart.Version = "2"
	failed := runners
	failed.Status = helm.Failed
	lost := func(s *State, i int) *State {
		s.Releases[i].lost = errors.New("gone\x1b[31m")
		return s
	}
	with := func(s *State, change func(*State)) *State {
		change(s)
		return s
	}
	tests := map[string]struct {
		saved    *State
		found    []Found
		version  string
		age      time.Duration
		renderer []string
		confirm  []string // parts of each, and of its commands
		notes    []string // parts of each, after the first
		refused  []string
		steps    int
	}{
		"just written":          {saved: saved(true, arc, runners), age: time.Hour, steps: 4},
		"old, all is there":     {saved: saved(true, arc, runners), found: []Found{renewed, runners}, age: 2 * time.Hour, steps: 2},
		"old, one is left half": {saved: saved(true, arc, runners), found: []Found{renewed, failed}, age: 2 * time.Hour, steps: 4},
		"old, and one is not there": {
			saved: saved(true, arc, runners, more), found: []Found{renewed, more}, age: time.Hour + time.Second,
			confirm: []string{
				"only the saved state, of 2026-01-02T03:04:05Z, knows runners in namespace a: if you have uninstalled them since, they would come back",
				"kubectl delete secret arc-cleanup-upgrade --namespace a\nkubectl delete secret arc-cleanup-upgrade --namespace arc-systems",
			},
			steps: 3,
		},
		"old, the first half":    {saved: saved(false, arc, runners), found: []Found{arc}, age: 2 * time.Hour, confirm: []string{"knows runners in namespace a", ""}, steps: 8},
		"old, for another one":   {saved: saved(true, arc, runners), found: []Found{renewed}, version: "3", age: 2 * time.Hour, confirm: []string{"knows runners in namespace a", ""}, steps: 8},
		"what was saved is lost": {saved: lost(saved(true, arc, runners, more), 1), notes: []string{"release runners in namespace a does not come back: what was saved of it cannot be read: gone [31m"}, steps: 4},
		"lost, and old": {
			saved: lost(saved(true, arc, runners), 1), found: []Found{renewed}, age: 2 * time.Hour,
			notes: []string{"release runners in namespace a does not come back"}, steps: 2,
		},
		"lost, and it is there": {
			saved: lost(saved(true, arc, runners), 1), found: []Found{renewed, runners},
			notes: []string{"release runners in namespace a has no hook, and whether it had one is not known"}, steps: 2,
		},
		"lost, and it has a hook":   {saved: lost(saved(true, arc, runners), 1), found: []Found{renewed, hooked(runners)}, steps: 2},
		"lost, and it is left half": {saved: lost(saved(true, arc, runners), 1), found: []Found{renewed, failed}, notes: []string{"does not come back"}, steps: 2},
		"lost, in the first half":   {saved: lost(saved(false, arc, runners), 1), found: []Found{arc}, notes: []string{"does not come back"}, steps: 7},
		"the controller's is lost":  {saved: lost(saved(true, arc, runners), 0), refused: []string{"what was saved of release arc in namespace arc-systems cannot be read: gone [31m", "no controller is running"}},
		"all is lost":               {saved: lost(saved(true, arc), 0), refused: []string{"what was saved of release arc in namespace arc-systems cannot be read", "no controller is running"}},
		"another chart since": {
			saved: with(saved(true, arc), func(s *State) { s.Target.Controller.Digest = "sha256:0" }), found: []Found{renewed}, version: "3", steps: 7,
		},
		"another controller since": {saved: saved(true, arc), found: []Found{installed("arc-systems", "other", helm.Deployed)}, refused: []string{"share the CRDs"}},
		"the chart has changed since": {
			saved: with(saved(true, arc), func(s *State) { s.Target.Controller.Digest = "sha256:0" }), found: []Found{renewed},
			notes: []string{"the chart /charts/controller was sha256:0 when the upgrade began"}, steps: 2,
		},
		"the post-renderer is not given": {
			saved: with(saved(true, arc), func(s *State) { s.PostRenderer = []string{"kustomize", "a b"} }), found: []Found{renewed},
			confirm: []string{`the upgrade began with the post-renderer "kustomize 'a b'", and goes on with ""`, "give the same --post-renderer"}, steps: 2,
		},
		"a post-renderer is given": {
			saved: saved(true, arc), found: []Found{renewed}, renderer: []string{"x"},
			confirm: []string{`began with the post-renderer "", and goes on with "x"`, ""}, steps: 2,
		},
		"the same is given": {
			saved: with(saved(true, arc), func(s *State) { s.PostRenderer = []string{"x"} }), found: []Found{renewed}, renderer: []string{"x"}, steps: 2,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test.saved.Written = written
			s := Situation{
				Saved: test.saved, Found: test.found, Now: written.Add(test.age), PostRenderer: test.renderer, Target: target(cmp.Or(test.version, "2")),
				secrets: map[string]secret{"arc-systems": {}, "a": {}, "b": {foreign: true}},
			}
			if s.Target.Controller.Digest = ""; test.saved.Target.Controller.Digest != "" {
				s.Target.Controller.Digest = "sha256:1"
			}
			p := newPlan(s)
			var confirm []string
			for _, c := range p.Confirm {
				confirm = append(confirm, c.Message, strings.Join(c.Do, "\n"))
			}
			var refused []string
			for _, r := range p.Refusals {
				refused = append(refused, r.Message)
			}
			parts := func(what string, want, got []string) {
				t.Helper()
				if len(got) != len(want) {
					t.Fatalf("%s: %q", what, got)
				}
				for i := range want {
					if !strings.Contains(got[i], want[i]) {
						t.Errorf("%s: %q, want %q", what, got[i], want[i])
					}
				}
			}
			parts("confirm", test.confirm, confirm)
			parts("refused", test.refused, refused)
			parts("notes", append([]string{"Secret arc-cleanup-upgrade in namespace arc-systems was written 2026-01-02T03:04:05Z (" + test.age.String() + " ago)"}, test.notes...), p.Notes)
			if len(p.Steps) != test.steps {
				t.Errorf("steps %q", steps(p))
			}
			for _, step := range p.Steps {
				there := false
				for _, f := range test.found {
					there = there || f.key() == step.Release.key()
				}
				if step.Kind == Install && strings.Contains(step.What, "which only the saved state knows") == there {
					t.Errorf("%s: %s", step.Release, step.What)
				}
			}
		})
	}
}
