package upgrade

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/internal/enrol"
	"github.com/arc-cleanup/arc-cleanup/internal/helm"
)

func chartOf(name, version string) Chart {
	return Chart{Ref: "/charts/" + name, Metadata: helm.Chart{Name: name, Version: version, AppVersion: version}}
}

func target(version string) Target {
	return Target{chartOf("controller", version), chartOf("scale-set", version)}
}

func installed(namespace, name string, status helm.Status) Found {
	chart := "scale-set"
	if namespace == "arc-systems" {
		chart = "controller"
	}
	return Found{Status: status, Release: Release{
		Namespace: namespace, Name: name, Controller: chart == "controller", Driver: "secret",
		Chart: chartOf(chart, "1").Metadata, Values: json.RawMessage(`{"of": "1"}`),
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
	const deployed = helm.Deployed
	arc, runners, more := installed("arc-systems", "arc", deployed), installed("a", "runners", deployed), installed("b", "more", deployed)
	now := func(f Found, version string, status helm.Status) Found {
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
				"save arc", "clean arc", "uninstall arc", "mark-uninstalled arc",
				"install arc", "ready arc", "enrol arc", "install runners", "install more", "enrol more", "forget arc",
			},
		},
		"without scale sets": {
			s:    Situation{Found: []Found{arc}, Target: Target{Controller: chartOf("controller", "2")}},
			want: []string{"save arc", "clean arc", "uninstall arc", "mark-uninstalled arc", "install arc", "ready arc", "forget arc"},
		},
		"a downgrade": {
			s:    Situation{Found: []Found{arc}, Target: target("0")},
			want: []string{"save arc", "clean arc", "uninstall arc", "mark-uninstalled arc", "install arc", "ready arc", "forget arc"},
		},
		"all there": {
			s: Situation{Found: []Found{arc, runners}, Target: target("1")}, want: []string{},
		},
		"one scale set is behind": {
			s:    Situation{Found: []Found{now(arc, "2", deployed), runners}, Target: target("2")},
			want: []string{"save arc", "clean arc", "uninstall arc", "mark-uninstalled arc", "install arc", "ready arc", "install runners", "forget arc"},
		},
		"stopped after saving": {
			s:    Situation{Saved: saved(false, arc, runners), Found: []Found{arc, runners}, Target: target("2")},
			want: []string{"save arc", "clean arc", "uninstall arc", "mark-uninstalled arc", "install arc", "ready arc", "install runners", "forget arc"},
		},
		"stopped while the controller went": {
			s:    Situation{Saved: saved(false, arc, runners), Found: []Found{now(arc, "1", "uninstalling")}, Target: target("2")},
			want: []string{"save arc", "clean arc", "uninstall arc", "mark-uninstalled arc", "install arc", "ready arc", "install runners", "forget arc"},
		},
		"stopped before that was noted": {
			s:    Situation{Saved: saved(false, arc, hooked(runners)), Target: target("2")},
			want: []string{"save arc", "clean arc", "mark-uninstalled arc", "install arc", "ready arc", "install runners", "enrol runners", "forget arc"},
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
				"save arc", "clean arc", "uninstall arc", "mark-uninstalled arc",
				"install arc", "ready arc", "enrol arc", "install runners", "forget arc",
			},
		},
		"another version of the scale sets only": {
			s: Situation{
				Saved: saved(true, arc), Found: []Found{now(arc, "2", deployed)},
				Target: Target{chartOf("controller", "2"), chartOf("scale-set", "3")},
			},
			want: []string{"save arc", "clean arc", "uninstall arc", "mark-uninstalled arc", "install arc", "ready arc", "forget arc"},
		},
		"the controller comes first": {
			s: Situation{Found: []Found{installed("c", "c", deployed), runners, more, arc}, Target: target("2")},
			want: []string{
				"save arc", "clean arc", "uninstall arc", "mark-uninstalled arc",
				"install arc", "ready arc", "install c", "install runners", "install more", "forget arc",
			},
		},
		"no controller": {
			s: Situation{Found: []Found{runners}, Target: target("2")}, refused: []string{"no controller is running that a Helm release has installed"},
		},
		"nothing at all": {
			s: Situation{Target: target("2")}, refused: []string{"no controller is running that a Helm release has installed"},
		},
		"two controllers": {
			s:       Situation{Found: []Found{arc, installed("arc-systems", "other", deployed)}, Target: target("2")},
			refused: []string{"share the CRDs"},
		},
		"a release Helm is at": {
			s:       Situation{Found: []Found{arc, now(runners, "1", "pending-upgrade")}, Target: target("2")},
			refused: []string{"release runners in namespace a is pending-upgrade"},
		},
		"a scale set that no release installed": {
			s:       Situation{Found: []Found{arc}, Unmanaged: []Unmanaged{{NamespacedName: types.NamespacedName{Namespace: "a", Name: "stray"}}}, Target: target("2")},
			refused: []string{"no record of a Helm release has the scale set stray in namespace a"},
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
			p := newPlan(test.s)
			if len(p.Refusals) != len(test.refused) {
				t.Fatalf("refusals %+v", p.Refusals)
			}
			for i, r := range p.Refusals {
				if !strings.Contains(r.Message, test.refused[i]) {
					t.Errorf("refused: %s", r.Message)
				}
			}
			if diff := gocmp.Diff(test.want, steps(p)); len(test.refused) == 0 && diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if len(test.refused) > 0 && len(p.Steps) > 0 {
				t.Errorf("refused, and steps %v", steps(p))
			}
		})
	}
}

// A release that cannot be installed again is refused, with the command that helps.
func TestWayOut(t *testing.T) {
	t.Parallel()
	arc, runners := installed("arc-systems", "arc", helm.Deployed), installed("a", "runners", helm.Deployed)
	for _, test := range []struct {
		of       Found
		status   helm.Status
		revision int
		driver   string
		want     string
	}{
		{runners, helm.Failed, 1, "secret", "helm uninstall runners --namespace a"},
		{runners, helm.Failed, 2, "configmap", "HELM_DRIVER=configmap helm rollback runners --namespace a"},
		{runners, helm.PendingInstall, 1, "secret", "helm uninstall runners --namespace a"},
		{runners, helm.PendingUpgrade, 3, "secret", "helm rollback runners --namespace a"},
		{runners, helm.Superseded, 3, "secret", "helm rollback runners --namespace a"},
		{runners, "what\x1b[31m", 3, "secret", "helm rollback runners --namespace a"},
		{runners, helm.Uninstalling, 3, "secret", ""},
		{arc, helm.Uninstalling, 3, "secret", "helm uninstall arc --namespace arc-systems"},
	} {
		f := test.of
		f.Status, f.Revision, f.Driver = test.status, test.revision, test.driver
		found := []Found{f}
		if !f.Controller {
			found = append(found, arc)
		}
		p := newPlan(Situation{Found: found, Target: target("2")})
		if test.want == "" {
			if len(p.Refusals) > 0 || len(p.Notes) != 1 || !strings.Contains(p.Notes[0], "is being uninstalled, and does not come back") || slices.Contains(steps(p), "install runners") {
				t.Errorf("%s: %+v, %v, %v", test.status, p.Refusals, p.Notes, steps(p))
			}
			continue
		}
		if len(p.Refusals) != 1 || p.Refusals[0].Do[0] != test.want || strings.Contains(p.Refusals[0].Message, "\x1b") {
			t.Errorf("%s: %+v, want %s", test.status, p.Refusals, test.want)
		}
	}
}

// The plan names what does not come back.
func TestPlanNotes(t *testing.T) {
	t.Parallel()
	arc, runners := installed("arc-systems", "arc", helm.Deployed), installed("a", "runners", helm.Deployed)
	arc.OtherHooks = []string{"Job theirs"}
	runners.OtherHooks = []string{"Job x\x1b[31m", "Pod y"}
	runners.HookErr = errors.New("no\nYAML")
	p := newPlan(Situation{Found: []Found{arc, runners}, Target: target("2")})
	want := []string{
		"release runners in namespace a gets no hook: its present hook cannot be read: no YAML",
		`release runners in namespace a has deletion hooks of its own, which are not run: ["Job x\x1b[31m" "Pod y"]`,
	}
	if diff := gocmp.Diff(want, p.Notes); diff != "" || len(p.Refusals)+len(p.Confirm) > 0 {
		t.Errorf("(-want +got):\n%s", diff)
	}
	long := strings.Repeat("ü", 400)
	if got := printable(long); got != strings.Repeat("ü", 300)+"..." || printable("a\tb\u202ec") != "a b c" || printable(long[:600]) != long[:600] {
		t.Errorf("%q", got)
	}
}

// The controller's release has to be in the namespace that the user gives.
func TestPlanHeedsTheNamespace(t *testing.T) {
	t.Parallel()
	arc := installed("arc-systems", "arc", helm.Deployed)
	flux := Unmanaged{NamespacedName: types.NamespacedName{Namespace: "a", Name: "set"}, Flux: "x"}
	for want, s := range map[string]Situation{
		"": {Namespace: "arc-systems", Found: []Found{arc}},
		"--namespace a: the controller's release is arc in namespace arc-systems": {Namespace: "a", Found: []Found{arc}},
		`scale set set in namespace a belongs to Flux's HelmRelease "x"`:          {Found: []Found{arc}, Unmanaged: []Unmanaged{flux}},
	} {
		s.Target = target("2")
		p := newPlan(s)
		if want == "" && len(p.Refusals) > 0 || want != "" && (len(p.Refusals) != 1 || !strings.Contains(p.Refusals[0].Message, want)) {
			t.Errorf("want %q, got %+v", want, p.Refusals)
		}
	}
}

func TestChartsOfAPlan(t *testing.T) {
	t.Parallel()
	both := target("2")
	for _, want := range [][]Chart{{both.Controller, both.ScaleSets}, {both.Controller}} {
		p := Plan{State: State{Target: Target{Controller: both.Controller}}}
		if len(want) > 1 {
			p.State.Target = both
		}
		if diff := gocmp.Diff(want, p.Charts(), gocmp.AllowUnexported(Chart{})); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
}
