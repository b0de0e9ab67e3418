package upgrade

import (
	"errors"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/helm"
)

// of changes a release to a version and a state.
func of(f Found, version string, status helm.Status) Found {
	f.Chart.Version, f.Chart.AppVersion, f.Status = version, version, status
	f.Controllers, f.Sets = nil, nil
	if f.Controller {
		f.Controllers = []Controller{{Namespace: f.Namespace, Name: "arc"}}
	} else {
		f.Sets = []types.NamespacedName{{Namespace: f.Namespace, Name: f.Name}}
	}
	return f
}

// liveOf returns the scale set of a release.
func liveOf(f Found) claimant {
	return claimant{NamespacedName: types.NamespacedName{Namespace: f.Namespace, Name: f.Name}, of: f.key(), uid: types.UID("uid-" + f.Name), version: f.Chart.AppVersion}
}

// inPlaceSituation is that of a controller and two scale sets of a version.
func inPlaceSituation(version, to string) Situation {
	arc := of(installed("arc-systems", "arc", ""), version, helm.Deployed)
	runners, more := of(installed("a", "runners", ""), version, helm.Deployed), of(installed("b", "more", ""), version, helm.Deployed)
	return Situation{
		Found: []Found{arc, hooked(runners), more}, Target: target(to),
		running: []claimant{{NamespacedName: types.NamespacedName{Namespace: "arc-systems", Name: "arc"}, of: arc.key(), uid: "uid-arc", replicas: 2}},
		live:    []claimant{liveOf(runners), liveOf(more)},
	}
}

// savedSwap is the state of a swap of these releases.
func savedSwap(s Situation, forward bool) *State {
	state := &State{Target: s.Target, Way: BySwap, Swap: &Swap{Forward: forward, Controllers: []SavedController{{"arc-systems", "arc", "uid-arc", 2}}}}
	for _, f := range s.Found {
		f.Revision = 3
		state.Releases = append(state.Releases, f.Release)
	}
	for _, set := range s.live {
		state.Swap.Sets = append(state.Swap.Sets, SavedSet{set.Namespace, set.Name, set.uid})
	}
	return state
}

// olderCRDs has CRDs that are not those of the installed chart.
func olderCRDs(s *Situation) {
	s.lacking = []arc.LackingCRD{{Name: "x", Lacks: []string{"no spec.a"}}, {Name: "y", Lacks: []string{"no spec.b"}}}
}

// Nothing is uninstalled for the sake of CRDs if every release has the version.
func TestOlderCRDsOfTheSameVersion(t *testing.T) {
	t.Parallel()
	for version, strategy := range map[string]Strategy{"0.14.2": Reinstall, "0.11.0": Auto} {
		s := inPlaceSituation(version, version)
		olderCRDs(&s)
		s.Strategy = strategy
		if p := newPlan(s); len(p.Steps) > 0 || len(p.Refusals) > 0 {
			t.Errorf("%s, %s: %v, refused %v", version, strategy, steps(p), p.Refusals)
		}
	}
}

func TestPlanInPlace(t *testing.T) {
	t.Parallel()
	swap := []string{
		"save arc", "freeze arc", "crds arc", "upgrade runners", "enrol runners", "upgrade more", "forward arc",
		"upgrade arc", "listeners arc", "forget arc",
	}
	found := func(i int, version string, status helm.Status) func(*Situation) {
		return func(s *Situation) {
			hooks := s.Found[i].Hooks
			s.Found[i] = of(s.Found[i], version, status)
			s.Found[i].Hooks = hooks
		}
	}
	tests := map[string]struct {
		from, to string
		change   func(*Situation)
		way      Way
		want     []string
		refused  string
		note     string
	}{
		"within a minor": {
			from: "0.14.1", to: "0.14.2", way: ByHelm,
			want: []string{"save arc", "upgrade arc", "upgrade runners", "enrol runners", "upgrade more", "listeners arc", "forget arc"},
		},
		"one is behind": {
			from: "0.14.1", to: "0.14.2", change: found(0, "0.14.2", helm.Deployed), way: ByHelm,
			want: []string{"save arc", "upgrade runners", "enrol runners", "upgrade more", "listeners arc", "forget arc"},
		},
		"a loose set within a minor": {
			from: "0.14.1", to: "0.14.2", way: ByHelm,
			change: func(s *Situation) {
				s.live = append(s.live, claimant{NamespacedName: types.NamespacedName{Namespace: "c", Name: "loose"}, version: "0.14.0"})
			},
			want: []string{"save arc", "upgrade arc", "upgrade runners", "enrol runners", "upgrade more", "listeners arc", "forget arc"},
			note: "scale set loose in namespace c stays as it is",
		},
		"stopped within a minor": {
			from: "0.14.1", to: "0.14.2", way: ByHelm,
			change: func(s *Situation) {
				s.Saved = savedSwap(*s, false)
				s.Saved.Way, s.Saved.Swap = ByHelm, nil
				found(0, "0.14.2", helm.Deployed)(s)
				found(1, "0.14.2", helm.PendingUpgrade)(s)
			},
			want: []string{"save arc", "unlock runners", "upgrade runners", "enrol runners", "upgrade more", "listeners arc", "forget arc"},
		},
		"taken back within a minor": {
			from: "0.14.1", to: "0.14.2", way: ByHelm,
			change: func(s *Situation) {
				s.Saved = savedSwap(*s, false)
				s.Saved.Way, s.Saved.Swap = ByHelm, nil
				s.Target = target("0.14.1")
				found(0, "0.14.2", helm.Failed)(s)
			},
			want: []string{"save arc", "upgrade arc", "listeners arc", "forget arc"},
		},
		"stopped within a minor, one is gone": {
			from: "0.14.1", to: "0.14.2", way: ByHelm,
			change: func(s *Situation) {
				s.Saved = savedSwap(*s, false)
				s.Saved.Way, s.Saved.Swap = ByHelm, nil
				s.Found, s.live = s.Found[:2], s.live[:1]
			},
			want: []string{"save arc", "upgrade arc", "upgrade runners", "enrol runners", "listeners arc", "forget arc"},
			note: "release more in namespace b has been uninstalled since, and does not come back",
		},
		"over a minor":        {from: "0.13.1", to: "0.14.2", way: BySwap, want: swap},
		"over a minor, asked": {from: "0.13.1", to: "0.14.2", change: func(s *Situation) { s.Strategy = InPlace }, way: BySwap, want: swap},
		"older CRDs within a minor": {
			from: "0.14.1", to: "0.14.2", way: ByHelm, change: olderCRDs,
			want: []string{"save arc", "crds arc", "upgrade arc", "upgrade runners", "enrol runners", "upgrade more", "listeners arc", "forget arc"},
			note: "the CRDs are not those of the installed chart: x has no spec.a; y has no spec.b",
		},
		"older CRDs and nothing else": {
			from: "0.14.2", to: "0.14.2", way: ByHelm, change: olderCRDs, want: []string{"save arc", "crds arc", "listeners arc", "forget arc"},
		},
		"older CRDs over a minor": {
			from: "0.13.1", to: "0.14.2", way: BySwap, change: olderCRDs,
			refused: "the CRDs are not those of the installed chart, controller 0.13.1: x has no spec.a; y has no spec.b",
		},
		"CRDs that are not known": {
			from: "0.13.1", to: "0.14.2", way: BySwap, change: func(s *Situation) { s.unknownCRDs = "the chart has none" }, want: swap,
			note: "whether the CRDs are those of the installed chart is not known: the chart has none",
		},
		"only seen with a preview": {
			from: "0.14.2", to: "0.15.0", change: func(s *Situation) { s.AllowExperimental = true }, way: BySwap, want: swap,
			note: "under a controller 0.15 the runner sets of 0.14 go on beside the new ones: afterwards, run `arc-cleanup sweep --all-namespaces`",
		},
		"only seen with a preview, not allowed": {
			from: "0.14.2", to: "0.15.0", change: func(s *Situation) { s.Strategy = InPlace }, way: ByReinstall,
			refused: "--allow-experimental-upgrades allows it",
		},
		"asked to uninstall": {
			from: "0.13.1", to: "0.14.2", change: func(s *Situation) { s.Strategy = Reinstall }, way: ByReinstall,
			want: []string{"save arc", "clean arc", "uninstall arc", "mark-uninstalled arc", "install arc", "ready arc", "install runners", "enrol runners", "install more", "forget arc"},
		},
		"not proved": {
			from: "0.13.1", to: "0.15.0", change: func(s *Situation) { s.Strategy = InPlace }, way: ByReinstall,
			refused: "--strategy in-place: from 0.13 to 0.15, no upgrade in place is proved",
		},
		"an uninstall has begun": {
			from: "0.13.1", to: "0.14.2", way: ByReinstall,
			change: func(s *Situation) {
				s.Saved = savedSwap(*s, false)
				s.Saved.Way, s.Saved.Swap = "", nil
				s.Found, s.live = s.Found[:1], nil
			},
			want: []string{"save arc", "clean arc", "uninstall arc", "mark-uninstalled arc", "install arc", "ready arc", "install runners", "enrol runners", "install more", "forget arc"},
		},
		"an uninstall has begun, asked": {
			from: "0.13.1", to: "0.14.2", way: ByReinstall,
			change: func(s *Situation) {
				s.Saved = savedSwap(*s, false)
				s.Saved.Way, s.Saved.Swap, s.Strategy = "", nil, InPlace
			},
			refused: "--strategy in-place: an upgrade has begun that uninstalls everything",
		},
		"a loose set": {
			from: "0.13.1", to: "0.14.2", way: BySwap, refused: "scale set loose in namespace c is of no release that is upgraded",
			change: func(s *Situation) {
				s.live = append(s.live, claimant{NamespacedName: types.NamespacedName{Namespace: "c", Name: "loose"}})
			},
		},
		"a loose set that is not watched": {
			from: "0.13.1", to: "0.14.2", way: BySwap, want: swap,
			change: func(s *Situation) {
				s.Found[0].Controllers[0].Watches = []string{"a", "b"}
				s.live = append(s.live, claimant{NamespacedName: types.NamespacedName{Namespace: "c", Name: "loose"}})
			},
		},
		"a set that goes": {
			from: "0.13.1", to: "0.14.2", way: BySwap, refused: "scale set runners in namespace a is being deleted",
			change: func(s *Situation) { s.live[0].deleting = true },
		},
		"a release that goes": {
			from: "0.13.1", to: "0.14.2", change: found(1, "0.13.1", helm.Uninstalling), way: BySwap,
			refused: "scale set runners in namespace a is of no release that is upgraded",
		},
		"a release that failed": {
			from: "0.13.1", to: "0.14.2", change: found(1, "0.13.1", helm.Failed), way: BySwap, refused: "release runners in namespace a is failed",
		},
		"a set of Flux": {
			from: "0.14.1", to: "0.14.2", way: ByHelm, refused: `scale set runners in namespace a belongs to Flux's HelmRelease "x", which would take it back`,
			change: func(s *Situation) { s.live[0].gitops = gitopsOf(map[string]string{labelFlux: "x"}, nil) },
		},
		"a controller of Argo CD": {
			from: "0.13.1", to: "0.14.2", way: BySwap, refused: `controller arc in namespace arc-systems belongs to Argo CD's application "x:y"`,
			change: func(s *Situation) {
				s.running[0].gitops = gitopsOf(nil, map[string]string{"argocd.argoproj.io/tracking-id": "x:y"})
			},
		},
		"stopped when frozen": {
			from: "0.13.1", to: "0.14.2", way: BySwap, change: func(s *Situation) { s.Saved = savedSwap(*s, false) }, want: swap[1:],
		},
		"stopped within a set": {
			from: "0.13.1", to: "0.14.2", way: BySwap,
			change: func(s *Situation) {
				s.Saved = savedSwap(*s, false)
				found(1, "0.14.2", helm.PendingUpgrade)(s)
			},
			want: append([]string{"freeze arc", "crds arc", "unlock runners"}, swap[3:]...),
		},
		"stopped before the hook": {
			from: "0.13.1", to: "0.14.2", way: BySwap,
			change: func(s *Situation) {
				s.Saved = savedSwap(*s, false)
				s.Found[1].Hooks = nil
				found(1, "0.14.2", helm.Deployed)(s)
			},
			want: append([]string{"freeze arc", "crds arc"}, swap[4:]...),
		},
		"stopped at the controller": {
			from: "0.13.1", to: "0.14.2", way: BySwap,
			change: func(s *Situation) {
				s.Saved = savedSwap(*s, true)
				found(0, "0.14.2", helm.PendingUpgrade)(s)
				found(1, "0.14.2", helm.Deployed)(s)
				found(2, "0.14.2", helm.Deployed)(s)
			},
			want: []string{"unlock arc", "upgrade arc", "listeners arc", "forget arc"},
		},
		"the controller did not come up": {
			from: "0.13.1", to: "0.14.2", way: BySwap,
			change: func(s *Situation) {
				s.Saved = savedSwap(*s, true)
				found(0, "0.14.2", helm.Failed)(s)
				found(1, "0.14.2", helm.Deployed)(s)
				found(2, "0.14.2", helm.Deployed)(s)
			},
			want: []string{"upgrade arc", "listeners arc", "forget arc"},
		},
		"a set is added when it is forward": {
			from: "0.13.1", to: "0.14.2", way: BySwap,
			change: func(s *Situation) {
				s.Saved = savedSwap(*s, true)
				for i := range s.Found {
					found(i, "0.14.2", helm.Deployed)(s)
				}
				s.live = append(s.live, claimant{NamespacedName: types.NamespacedName{Namespace: "c", Name: "new"}})
			},
			want: []string{"listeners arc", "forget arc"},
		},
		"a set is added before": {
			from: "0.13.1", to: "0.14.2", way: BySwap, refused: "scale set new in namespace c is of no release that is upgraded",
			change: func(s *Situation) {
				s.Saved = savedSwap(*s, false)
				s.live = append(s.live, claimant{NamespacedName: types.NamespacedName{Namespace: "c", Name: "new"}})
			},
		},
		"another version when frozen": {
			from: "0.13.1", to: "0.14.2", way: BySwap, refused: "an upgrade to controller 0.14.2 has begun, and the controller is stopped",
			change: func(s *Situation) {
				s.Saved = savedSwap(*s, false)
				s.Target = target("0.14.1")
				s.running[0].replicas = 0
			},
		},
		"another version when only saved": {
			from: "0.13.1", to: "0.14.2", way: BySwap, refused: "an upgrade to controller 0.14.2 has begun, and the controller still runs",
			change: func(s *Situation) {
				s.Saved = savedSwap(*s, false)
				s.Target = target("0.14.1")
			},
		},
		"another patch version when it is forward": {
			from: "0.13.1", to: "0.14.1", way: BySwap,
			change: func(s *Situation) {
				s.Saved = savedSwap(*s, true)
				s.Target = target("0.14.2")
				found(0, "0.14.1", helm.Failed)(s)
				found(1, "0.14.1", helm.Deployed)(s)
				found(2, "0.14.1", helm.Deployed)(s)
			},
			want: []string{"upgrade arc", "listeners arc", "forget arc"},
			note: "the scale sets keep the version of scale-set 0.14.1: afterwards, run the same command again",
		},
		"another minor version when it is forward": {
			from: "0.13.1", to: "0.14.1", way: BySwap, refused: "an upgrade to controller 0.14.1 has begun, and the new controller may have started",
			change: func(s *Situation) {
				s.Saved = savedSwap(*s, true)
				s.Target = target("0.13.1")
			},
		},
		"another chart when it is forward": {
			from: "0.13.1", to: "0.14.1", way: BySwap, refused: "an upgrade to controller 0.14.1 has begun",
			change: func(s *Situation) {
				s.Saved = savedSwap(*s, true)
				s.Target = target("0.14.2")
				s.Target.Controller.Metadata.Name = "another"
			},
		},
		"uninstall when frozen": {
			from: "0.13.1", to: "0.14.2", way: BySwap, refused: "an upgrade to controller 0.14.2 has begun",
			change: func(s *Situation) {
				s.Saved = savedSwap(*s, false)
				s.Strategy = Reinstall
			},
		},
		"two controllers when frozen": {
			from: "0.13.1", to: "0.14.2", way: BySwap, refused: "share the CRDs",
			change: func(s *Situation) {
				s.Saved = savedSwap(*s, false)
				s.Found = append(s.Found, of(installed("arc-systems", "other", ""), "0.13.1", helm.Deployed))
			},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := inPlaceSituation(test.from, test.to)
			if test.change != nil {
				test.change(&s)
			}
			p := newPlan(s)
			if test.refused != "" {
				if len(p.Refusals) == 0 || !strings.Contains(p.Refusals[0].Message, test.refused) || len(p.Steps) > 0 || len(p.Refusals[0].Do) == 0 {
					t.Errorf("refused %+v, steps %v", p.Refusals, steps(p))
				}
			} else if diff := gocmp.Diff(test.want, steps(p)); diff != "" || len(p.Refusals) > 0 {
				t.Errorf("refused %+v (-want +got):\n%s", p.Refusals, diff)
			}
			if p.State.Way != test.way || p.Why == "" {
				t.Errorf("by %s, because %q", p.State.Way, p.Why)
			}
			if notes := strings.Join(p.Notes, "\n"); !strings.Contains(notes, test.note) {
				t.Errorf("notes: %s", notes)
			}
		})
	}
}

// An upgrade that was stopped while it forgot goes on with the values that the releases have.
func TestResumeWithoutSavedValues(t *testing.T) {
	t.Parallel()
	s := inPlaceSituation("0.13.1", "0.14.2")
	s.Saved = savedSwap(s, true)
	for i := range s.Found {
		hooks := s.Found[i].Hooks
		s.Found[i] = of(s.Found[i], "0.14.2", helm.Deployed)
		s.Found[i].Hooks = hooks
	}
	s.Saved.Releases[1].lost, s.Saved.Releases[1].Values, s.Saved.Releases[1].Hooks = errors.New("gone"), nil, nil
	p := newPlan(s)
	if diff := gocmp.Diff([]string{"listeners arc", "forget arc"}, steps(p)); diff != "" || string(p.State.Releases[1].Values) != `{"of": "1"}` ||
		len(p.State.Releases[1].Hooks) != 1 {
		t.Errorf("%+v, %s\n%s", p.Refusals, p.State.Releases[1].Values, diff)
	}
}

// A swap saves every scale set that its controller watches, by UID, and the controller's replicas.
func TestPlanOfASwapSaves(t *testing.T) {
	t.Parallel()
	s := inPlaceSituation("0.13.1", "0.14.2")
	s.running = append(s.running, s.running[0], claimant{NamespacedName: types.NamespacedName{Namespace: "c", Name: "other"}})
	want := &Swap{
		Sets:        []SavedSet{{"a", "runners", "uid-runners"}, {"b", "more", "uid-more"}},
		Controllers: []SavedController{{"arc-systems", "arc", "uid-arc", 2}},
	}
	if diff := gocmp.Diff(want, newPlan(s).State.Swap, gocmp.AllowUnexported(Swap{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestPlanAbort(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		change  func(*Situation)
		want    []string
		refused string
	}{
		"nothing is done":   {want: []string{"restore-crds arc", "thaw arc", "forget arc"}},
		"one set is new":    {change: func(s *Situation) { s.Found[1] = of(s.Found[1], "0.14.2", helm.Deployed) }, want: []string{"rollback runners", "restore-crds arc", "thaw arc", "forget arc"}},
		"one set is broken": {change: func(s *Situation) { s.Found[2] = of(s.Found[2], "0.14.2", helm.PendingUpgrade) }, want: []string{"rollback more", "restore-crds arc", "thaw arc", "forget arc"}},
		"a set is gone":     {change: func(s *Situation) { s.Found = s.Found[:2] }, want: []string{"restore-crds arc", "thaw arc", "forget arc"}},
		"a set goes":        {change: func(s *Situation) { s.Found[2] = of(s.Found[2], "0.13.1", helm.Uninstalling) }, refused: "release more in namespace b is uninstalling"},
		"nothing is saved":  {change: func(s *Situation) { s.Saved = nil }, refused: "no upgrade is under way"},
		"another way":       {change: func(s *Situation) { s.Saved.Way = ByHelm }, refused: "cannot be taken back"},
		"an uninstall":      {change: func(s *Situation) { s.Saved.Way = "" }, refused: "cannot be taken back"},
		"it is forward":     {change: func(s *Situation) { s.Saved.Swap.Forward = true }, refused: "the old one would delete every scale set"},
		"by hand, forward":  {change: func(s *Situation) { s.Found[0] = of(s.Found[0], "0.14.2", helm.Deployed) }, refused: "release arc in namespace arc-systems is not controller 0.13.1 any more"},
		"by hand, broken":   {change: func(s *Situation) { s.Found[0] = of(s.Found[0], "0.13.1", helm.PendingUpgrade) }, refused: "is not controller 0.13.1 any more"},
	}
	for name, test := range tests {
		s := inPlaceSituation("0.13.1", "0.14.2")
		s.Saved = savedSwap(s, false)
		if test.change != nil {
			test.change(&s)
		}
		p := newAbort(s)
		if test.refused != "" {
			if len(p.Refusals) != 1 || !strings.Contains(p.Refusals[0].Message, test.refused) || len(p.Steps) > 0 {
				t.Errorf("%s: refused %+v, steps %v", name, p.Refusals, steps(p))
			}
			continue
		}
		if diff := gocmp.Diff(test.want, steps(p)); diff != "" || len(p.Refusals) > 0 {
			t.Errorf("%s: refused %+v (-want +got):\n%s", name, p.Refusals, diff)
		}
	}
}

// A set that was created while the controller was stopped is not among the sets of the plan, even if a release has it.
func TestASetThatIsAddedIsTakenBack(t *testing.T) {
	t.Parallel()
	s := inPlaceSituation("0.13.1", "0.14.2")
	added := claimant{NamespacedName: types.NamespacedName{Namespace: "c", Name: "new"}}
	s.live = append(s.live, added)
	if do := strings.Join(newPlan(s).Refusals[0].Do, "\n"); !strings.Contains(do, "install it with Helm") || strings.Contains(do, "--abort") {
		t.Errorf("before the upgrade: %s", do)
	}
	s.live = s.live[:2]
	s.Saved = savedSwap(s, false)
	s.live = append(s.live, added)
	if do := strings.Join(newPlan(s).Refusals[0].Do, "\n"); strings.Contains(do, "install it") || !strings.Contains(do, "arc-cleanup upgrade --abort --namespace arc-systems") {
		t.Errorf("when the controller is stopped: %s", do)
	}
}
