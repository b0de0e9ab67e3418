package upgrade

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/internal/enrol"
	"github.com/arc-cleanup/arc-cleanup/internal/release"
)

func chartOf(name, version string) Chart {
	return Chart{Ref: "/charts/" + name, Is: release.Chart{Name: name, Version: version, AppVersion: version}}
}

func target(version string) Target {
	return Target{chartOf("controller", version), chartOf("scale-set", version)}
}

func installed(namespace, name string, status release.Status) Found {
	chart := "scale-set"
	if namespace == "arc-systems" {
		chart = "controller"
	}
	return Found{Status: status, Release: Release{
		Namespace: namespace, Name: name, Controller: chart == "controller", Driver: "secret",
		Chart: chartOf(chart, "1").Is, Values: json.RawMessage(`{"of": "1"}`),
	}}
}

func hooked(f Found) Found {
	var err error
	if f.Hooks, err = enrol.Parse([]byte(ourHook)); err != nil {
		panic(err)
	}
	return f
}

func mixed(f Found) Found {
	f.Mixed = true
	return f
}

func saved(uninstalled bool, releases ...Found) *State {
	s := &State{Target: target("2"), Uninstalled: uninstalled}
	for _, f := range releases {
		s.Releases = append(s.Releases, f.Release)
	}
	return s
}

// steps writes a plan in a line each.
func steps(p *Plan) []string {
	out := []string{}
	for _, s := range p.Steps {
		out = append(out, fmt.Sprintf("%s %s", s.Kind, s.Release.Name))
	}
	return out
}

func TestPlan(t *testing.T) {
	t.Parallel()
	const deployed = release.Deployed
	arc, runners, more := installed("arc-systems", "arc", deployed), installed("a", "runners", deployed), installed("b", "more", deployed)
	now := func(f Found, version string, status release.Status) Found {
		f.Chart.Version, f.Chart.AppVersion, f.Status = version, version, status
		return f
	}
	tests := map[string]struct {
		s       Situation
		want    []string
		refused []string // what is in each refusal
	}{
		"from the beginning": {
			s: Situation{Found: []Found{runners, hooked(arc), hooked(more)}, Target: target("2")},
			want: []string{
				"save arc", "clean arc", "uninstall arc", "note arc",
				"install arc", "ready arc", "enrol arc", "install runners", "install more", "enrol more", "forget arc",
			},
		},
		"without scale sets": {
			s:    Situation{Found: []Found{arc}, Target: Target{Controller: chartOf("controller", "2")}},
			want: []string{"save arc", "clean arc", "uninstall arc", "note arc", "install arc", "ready arc", "forget arc"},
		},
		"a downgrade": {
			s:    Situation{Found: []Found{arc}, Target: target("0")},
			want: []string{"save arc", "clean arc", "uninstall arc", "note arc", "install arc", "ready arc", "forget arc"},
		},
		"all there": {
			s: Situation{Found: []Found{arc, runners}, Target: target("1")}, want: []string{},
		},
		"one scale set is behind": {
			s:    Situation{Found: []Found{now(arc, "2", deployed), runners}, Target: target("2")},
			want: []string{"save arc", "clean arc", "uninstall arc", "note arc", "install arc", "ready arc", "install runners", "forget arc"},
		},
		"stopped after saving": {
			s:    Situation{Saved: saved(false, arc, runners), Found: []Found{arc, runners}, Target: target("2")},
			want: []string{"save arc", "clean arc", "uninstall arc", "note arc", "install arc", "ready arc", "install runners", "forget arc"},
		},
		"stopped while the controller went": {
			s:    Situation{Saved: saved(false, arc, runners), Found: []Found{now(arc, "1", "uninstalling")}, Target: target("2")},
			want: []string{"save arc", "clean arc", "uninstall arc", "note arc", "install arc", "ready arc", "install runners", "forget arc"},
		},
		"stopped before that was noted": {
			s:    Situation{Saved: saved(false, arc, hooked(runners)), Target: target("2")},
			want: []string{"save arc", "clean arc", "note arc", "install arc", "ready arc", "install runners", "enrol runners", "forget arc"},
		},
		"stopped before anything was installed": {
			s:    Situation{Saved: saved(true, hooked(arc), runners), Target: target("2")},
			want: []string{"install arc", "ready arc", "enrol arc", "install runners", "forget arc"},
		},
		"stopped while the controller came": {
			s:    Situation{Saved: saved(true, arc, runners), Found: []Found{now(arc, "2", "pending-install")}, Target: target("2")},
			want: []string{"remove arc", "install arc", "ready arc", "install runners", "forget arc"},
		},
		"stopped before the hook was there": {
			s:    Situation{Saved: saved(true, hooked(arc), runners), Found: []Found{now(arc, "2", deployed)}, Target: target("2")},
			want: []string{"ready arc", "enrol arc", "install runners", "forget arc"},
		},
		"a scale set failed": {
			s: Situation{
				Saved: saved(true, hooked(arc), hooked(runners), more),
				Found: []Found{hooked(now(arc, "2", deployed)), now(runners, "2", "failed")}, Target: target("2"),
			},
			want: []string{"ready arc", "remove runners", "install runners", "enrol runners", "install more", "forget arc"},
		},
		"stopped at the very end": {
			s: Situation{
				Saved: saved(true, hooked(arc), runners),
				Found: []Found{hooked(now(arc, "2", deployed)), now(runners, "2", deployed)}, Target: target("2"),
			},
			want: []string{"ready arc", "forget arc"},
		},
		"another version in the second half": {
			s: Situation{
				Saved: saved(true, hooked(arc), runners),
				Found: []Found{now(arc, "2", "failed")}, Target: target("1"),
			},
			want: []string{
				"save arc", "clean arc", "uninstall arc", "note arc",
				"install arc", "ready arc", "enrol arc", "install runners", "forget arc",
			},
		},
		"no controller": {
			s: Situation{Found: []Found{runners}, Target: target("2")}, refused: []string{"no controller runs which a Helm release has installed"},
		},
		"nothing at all": {
			s: Situation{Target: target("2")}, refused: []string{"no controller runs which a Helm release has installed"},
		},
		"two controllers": {
			s:       Situation{Found: []Found{arc, installed("arc-systems", "other", deployed)}, Target: target("2")},
			refused: []string{"share the CRDs"},
		},
		"a release Helm is at": {
			s:       Situation{Found: []Found{arc, now(runners, "1", "pending-upgrade")}, Target: target("2")},
			refused: []string{"release runners in namespace a is pending-upgrade"},
		},
		"a scale set nobody installed": {
			s:       Situation{Found: []Found{arc}, Loose: []Loose{{NamespacedName: types.NamespacedName{Namespace: "a", Name: "stray"}}}, Target: target("2")},
			refused: []string{"no Helm release has installed the scale set stray in namespace a"},
		},
		"controller and scale sets in one": {
			s:       Situation{Found: []Found{mixed(arc)}, Target: target("2")},
			refused: []string{"release arc in namespace arc-systems installs the controller and scale sets"},
		},
		"another chart": {
			s:       Situation{Found: []Found{arc, runners}, Target: Target{chartOf("controller", "2"), chartOf("umbrella", "2")}},
			refused: []string{"release runners in namespace a was installed from the chart \"scale-set\", and would be from the chart \"umbrella\""},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := NewPlan(test.s)
			if len(p.Refusals) != len(test.refused) {
				t.Fatalf("refusals %+v", p.Refusals)
			}
			for i, r := range p.Refusals {
				if !strings.Contains(r.Message, test.refused[i]) {
					t.Errorf("refused: %s", r.Message)
				}
			}
			if diff := cmp.Diff(test.want, steps(p)); len(test.refused) == 0 && diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if len(test.refused) > 0 && len(p.Steps) > 0 {
				t.Errorf("refused, and steps %v", steps(p))
			}
		})
	}
}

// What is installed in the end has the newest values there were, and the hook of
// before, whenever it was stopped.
func TestPlanKeeps(t *testing.T) {
	t.Parallel()
	before := hooked(installed("arc-systems", "arc", release.Deployed))
	set := hooked(installed("a", "runners", release.Deployed))
	changed := installed("arc-systems", "arc", release.Deployed)
	changed.Values = json.RawMessage(`{"of": "later"}`)
	added := installed("b", "added", release.Deployed)

	// Saved; then somebody changed one release and added another.
	p := NewPlan(Situation{Saved: saved(false, before, set), Found: []Found{added, changed}, Target: target("2")})
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
