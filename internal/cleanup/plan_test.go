package cleanup

import (
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/identity"
	"github.com/arc-cleanup/arc-cleanup/internal/release"
)

var (
	byHand   = Options{Scope: Controller}
	asHook   = Options{Scope: Controller, RequireUninstalling: true, Job: "arc-arc-cleanup", ReleaseNamespace: "systems"}
	inArgo   = Options{Scope: Controller, Job: "arc-arc-cleanup", ReleaseNamespace: "systems"}
	onlyRuns = Options{Scope: Controller, RequireUninstalling: true, Job: "arc-arc-cleanup", ReleaseNamespace: "systems", WatchNamespaces: []string{"runners"}}
	ofSet    = Options{Scope: ScaleSet, RequireUninstalling: true, Job: "set-arc-cleanup", ReleaseNamespace: "runners", ControllerNamespaces: []string{"systems"}}
)

type planTest struct {
	survey  Survey
	options Options
	stage   Stage
	want    []string
}

func testPlans(t *testing.T, tests map[string]planTest) {
	t.Helper()
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, lines(NewPlan(&test.survey, test.options, History{Stage: test.stage}))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestPlanRefuses(t *testing.T) {
	deployed := uninstalling()
	deployed.Status = "deployed"
	set := func(mods ...with) []*Object { return []*Object{obj("ars runners/set", mods...)} }
	helmed := set(by("runners/gpu"))
	proven := map[types.UID]bool{helmed[0].UID: true}
	const noProof = "  this runs as a pre-delete hook of `helm uninstall`; by hand, use `arc-cleanup run --yes`"
	no := apierrors.NewForbidden(secretResource.GroupResource(), "", errors.New("User cannot list"))

	tests := map[string]planTest{
		"without a record": {
			Survey{ProofErr: errors.New("no Helm release found")},
			asHook, Fresh,
			[]string{"refused: no proof that anything is being uninstalled: no Helm release found", noProof},
		},
		"a release nobody uninstalls": {
			Survey{Record: deployed},
			asHook, Fresh,
			[]string{
				"refused: release arc in namespace systems is deployed, not uninstalling: nobody is uninstalling it",
				"  helm uninstall arc --namespace systems",
			},
		},
		"a live set of a Helm release": {
			Survey{Record: uninstalling(), Custom: helmed, Proven: proven, Sets: map[types.UID]ScaleSetInfo{helmed[0].UID: {Current: 3, Running: 2}}},
			asHook, Over,
			[]string{
				"refused: scale set set in namespace runners is still installed (runners: 3, busy: 2), by Helm release gpu",
				"  helm uninstall gpu --namespace runners",
				"release: release ars runners/set",
			},
		},
		"a live set whose hook cannot be created": {
			Survey{Record: uninstalling(), Custom: helmed, Proven: proven, Terminating: gone("systems")},
			asHook, Over,
			[]string{
				"refused: scale set set in namespace runners is still installed (runners: 0, busy: 0), by Helm release gpu",
				"  helm uninstall gpu --namespace runners --no-hooks",
				"release: release ars runners/set",
			},
		},
		"a live set of nobody": {
			Survey{Record: uninstalling(), Custom: set()},
			asHook, Over,
			[]string{
				"refused: scale set set in namespace runners is still installed (runners: 0, busy: 0)",
				"  kubectl delete autoscalingrunnerset set --namespace runners --wait=false",
				"release: release ars runners/set",
			},
		},
		"a live set whose release's record says nothing of it": {
			Survey{Record: uninstalling(), Custom: helmed},
			asHook, Over,
			[]string{
				"refused: scale set set in namespace runners is still installed (runners: 0, busy: 0)",
				"  kubectl delete autoscalingrunnerset set --namespace runners --wait=false",
				"release: release ars runners/set",
			},
		},
		"a live set also by hand": {
			Survey{Custom: helmed, Proven: proven},
			byHand, Over,
			[]string{
				"refused: scale set set in namespace runners is still installed (runners: 0, busy: 0), by Helm release gpu",
				"  helm uninstall gpu --namespace runners",
				"release: release ars runners/set",
			},
		},
		"what could not be read": {
			Survey{Record: uninstalling(), Unknown: []Unknown{{"pods", errors.New("dial: refused")}}},
			asHook, Fresh,
			[]string{"failed: could not read pods: dial: refused"},
		},
		"a missing right": {
			Survey{Record: uninstalling(), Unknown: []Unknown{{"secrets", no}}},
			asHook, Fresh,
			[]string{
				`not-permitted: could not read secrets: secrets is forbidden: User cannot list`,
				"  grant the right named above; nothing is taken for absent that could not be read",
			},
		},
		"everything at once": {
			Survey{
				ProofErr: errors.New("none"), Unknown: []Unknown{{"pods", errors.New("x")}, {"secrets", no}},
				Custom: []*Object{obj("ars runners/one"), obj("ars runners/two", by("runners/two"))},
			},
			asHook, Over,
			[]string{
				"refused: no proof that anything is being uninstalled: none", noProof,
				"failed: could not read pods: x",
				"not-permitted: could not read secrets: secrets is forbidden: User cannot list",
				"  grant the right named above; nothing is taken for absent that could not be read",
				"refused: scale set one in namespace runners is still installed (runners: 0, busy: 0)",
				"  kubectl delete autoscalingrunnerset one --namespace runners --wait=false",
				"refused: scale set two in namespace runners is still installed (runners: 0, busy: 0)",
				"  kubectl delete autoscalingrunnerset two --namespace runners --wait=false",
				"release: release ars runners/one, release ars runners/two",
			},
		},

		"nothing when a set is on its way out": {Survey{Record: uninstalling(), Custom: set(deleting)}, asHook, Over, []string{"release: release ars runners/set"}},
		"nothing when a set is of the release": {Survey{Record: uninstalling(), Custom: set(by("systems/arc"))}, asHook, Over, []string{"release: release ars runners/set"}},
		"nobody's Job": {
			Survey{ProofErr: errors.New("none"), CRDs: crdObjects()},
			inArgo, Fresh,
			[]string{
				"refused: no proof that anything is being uninstalled: the Job arc-arc-cleanup was made neither by Argo CD, for the deletion of an Application, nor by `helm uninstall`",
				"  where neither deletes the release, take the hook out: enabled: false; by hand, use `arc-cleanup run --yes`",
				"crds: " + allCRDs,
			},
		},
		"the Job of a release that is deployed": {
			Survey{Record: deployed},
			inArgo, Fresh,
			[]string{
				"refused: no proof that anything is being uninstalled: the Job arc-arc-cleanup was made neither by Argo CD, for the deletion of an Application, nor by `helm uninstall`",
				"  where neither deletes the release, take the hook out: enabled: false; by hand, use `arc-cleanup run --yes`",
			},
		},
		"a Job of which nobody can say who made it": {
			Survey{Unknown: []Unknown{{"the hook's Job", errors.New("x")}}}, inArgo, Fresh, []string{"failed: could not read the hook's Job: x"},
		},
		"nothing when Helm says it itself":             {Survey{Record: uninstalling()}, inArgo, Fresh, nil},
		"nothing for want of proof when none is asked": {Survey{ProofErr: errors.New("none"), ByArgoCD: true}, inArgo, Fresh, nil},
		"nothing when the status is not asked":         {Survey{Record: deployed, ByArgoCD: true}, inArgo, Fresh, nil},
		// A release of that name elsewhere is another release.
		"a live set of a namesake": {Survey{Record: uninstalling(), Custom: set(by("runners/arc")), Proven: proven}, asHook, Over, []string{
			"refused: scale set set in namespace runners is still installed (runners: 0, busy: 0), by Helm release arc",
			"  helm uninstall arc --namespace runners", "release: release ars runners/set",
		}},
		// The record is gone; the user names the release.
		"nothing when a set is of the release named by hand": {
			Survey{ProofErr: release.ErrNotFound, Custom: set(by("systems/arc"))},
			Options{Scope: Controller, Release: "arc", ReleaseNamespace: "systems"},
			Over,
			[]string{"release: release ars runners/set"},
		},
	}
	testPlans(t, tests)
}

func TestVerdictOfRefusals(t *testing.T) {
	tests := map[string]struct {
		of   []Verdict
		want Verdict
	}{
		"a refusal says most":        {[]Verdict{Failed, NotPermitted, Refused}, Refused},
		"then a missing right":       {[]Verdict{Failed, NotPermitted}, NotPermitted},
		"then what was not readable": {[]Verdict{Failed}, Failed},
	}
	for name, test := range tests {
		var p Plan
		for _, v := range test.of {
			p.Refusals = append(p.Refusals, Refusal{Verdict: v})
		}
		if got := p.Verdict(); got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
}

func TestPlanSparesWhatOthersUse(t *testing.T) {
	other := func(watches string, mods ...with) []ARC { return []ARC{ctrl("team/other", watches, mods...)} }
	custom := []*Object{obj("er runners/a", deleting), obj("er theirs/b", deleting)}
	guarded := []*Object{protected("secret runners/s"), protected("secret theirs/s")}
	everything := []string{
		"release: release er runners/a, release er theirs/b", "release: release secret runners/s, release secret theirs/s", "crds: " + allCRDs,
	}

	tests := map[string]planTest{
		"a controller of the whole cluster keeps all": {
			Survey{Controllers: other(""), Custom: custom, Protected: guarded, CRDs: crdObjects()},
			byHand, Fresh,
			[]string{"keep: the controller team/other uses them"},
		},
		"a controller of one namespace keeps that and the CRDs": {
			Survey{Controllers: other("theirs"), Custom: custom, Protected: guarded, CRDs: crdObjects()},
			byHand, Fresh,
			[]string{"release: release er runners/a", "release: release secret runners/s", "keep: the controller team/other uses them"},
		},
		"its live set is no reason to refuse": {
			Survey{Controllers: other("theirs"), Custom: []*Object{obj("ars theirs/set")}, CRDs: crdObjects()},
			byHand, Fresh,
			[]string{"keep: the controller team/other uses them"},
		},
		"a controller that is not ready has a claim all the same": {
			Survey{Controllers: []ARC{dead(ctrl("team/other", ""))}, CRDs: crdObjects()},
			byHand, Fresh,
			[]string{"keep: the controller team/other uses them"},
		},
		"a controller being deleted has none": {
			Survey{Controllers: other("", deleting), Custom: custom, Protected: guarded, CRDs: crdObjects()}, byHand, Fresh, everything,
		},
		"nor has one whose namespace is": {
			Survey{Controllers: other(""), Terminating: gone("team"), Custom: custom, Protected: guarded, CRDs: crdObjects()}, byHand, Fresh, everything,
		},
		"another release's controller in the same namespace has": {
			Survey{Record: uninstalling(), Controllers: []ARC{ctrl("systems/b", "", by("systems/b"))}, CRDs: crdObjects()},
			asHook, Fresh,
			[]string{"keep: the controller systems/b uses them"},
		},
		"a listener is of its scale set's namespace": {
			Survey{Controllers: other("theirs"), Custom: []*Object{obj("al team/l", of("theirs/set"), deleting), obj("al theirs/m", of("runners/set"), deleting)}},
			byHand, Over,
			[]string{"release: release al theirs/m"},
		},
		"custom resources outside the watched namespace keep the CRDs": {
			Survey{Record: uninstalling(), Custom: custom, Protected: guarded, CRDs: crdObjects()},
			onlyRuns, Fresh,
			[]string{
				"release: release er runners/a", "release: release secret runners/s",
				"keep: 1 custom resources in namespace theirs are not this release's",
			},
		},
		"a live set outside the watched namespace is no reason to refuse": {
			Survey{Record: uninstalling(), Custom: []*Object{obj("ars theirs/set")}, CRDs: crdObjects()},
			onlyRuns, Fresh,
			[]string{"keep: 1 custom resources in namespace theirs are not this release's"},
		},
		"nothing outside the watched namespace": {
			Survey{Record: uninstalling(), Custom: custom[:1], CRDs: crdObjects()},
			onlyRuns, Fresh,
			[]string{"release: release er runners/a", "crds: " + allCRDs},
		},

		"without a record, the controller beside the hook is ours": {
			Survey{ByArgoCD: true, Controllers: []ARC{ctrl("systems/arc", "")}, CRDs: crdObjects()}, inArgo, Fresh, []string{"crds: " + allCRDs},
		},
		"and one elsewhere is not": {
			Survey{ByArgoCD: true, Controllers: other(""), CRDs: crdObjects()}, inArgo, Fresh, []string{"keep: the controller team/other uses them"},
		},
		"nor one beside it which watches another namespace": {
			Survey{Controllers: []ARC{ctrl("systems/arc", "runners"), ctrl("systems/b", "theirs")}, CRDs: crdObjects()},
			Options{Scope: Controller, ReleaseNamespace: "systems", WatchNamespaces: []string{"runners"}},
			Fresh,
			[]string{"keep: the controller systems/b uses them"},
		},
		"by hand without a release, a living controller is somebody's": {
			Survey{Controllers: []ARC{ctrl("systems/arc", "")}, CRDs: crdObjects()},
			byHand, Fresh,
			[]string{"keep: the controller systems/arc uses them"},
		},
	}
	testPlans(t, tests)
}

func TestPlanDrains(t *testing.T) {
	ours := []ARC{ctrl("systems/arc", "", by("systems/arc"))}
	sets := []*Object{
		obj("er runners/r", of("runners/set"), owned("ers runners/s")),
		obj("ers runners/s", of("runners/set"), owned("ars runners/set")),
		obj("al systems/l", of("runners/set")),
		obj("al systems/lost", of("runners/gone")),
		obj("ars runners/set", by("systems/arc")),
		obj("ars runners/leaving", deleting),
	}
	drain := "drain: await er runners/r, await ers runners/s, await al systems/l, delete al systems/lost, delete ars runners/set, await ars runners/leaving"
	freed := []string{
		"release: release er runners/r", "release: release ers runners/s",
		"release: release al systems/l, release al systems/lost", "release: release ars runners/set, release ars runners/leaving",
	}
	forced := []string{
		"release: delete ars runners/set", "release: delete al systems/l, delete al systems/lost",
		"release: delete ers runners/s", "release: delete er runners/r",
	}

	tests := map[string]planTest{
		"with its own controller alive": {
			Survey{Record: uninstalling(), Controllers: ours, Custom: sets}, asHook, Fresh, append([]string{drain}, freed...),
		},
		"not with a controller that is not ready": {
			Survey{Record: uninstalling(), Controllers: []ARC{dead(ours[0])}, Custom: sets}, asHook, Fresh, freed,
		},
		"not with a controller that is being deleted": {
			Survey{Record: uninstalling(), Controllers: []ARC{ctrl("systems/arc", "", by("systems/arc"), deleting)}, Custom: sets}, asHook, Fresh, freed,
		},
		"not with a controller whose namespace is being deleted": {
			Survey{Record: uninstalling(), Controllers: ours, Terminating: gone("systems"), Custom: sets}, asHook, Fresh, freed,
		},
		"not without a controller": {
			Survey{Record: uninstalling(), Custom: sets}, asHook, Fresh, freed,
		},
		// The controller is still there, and would put back the finalizer of what
		// is not being deleted.
		"not twice": {
			Survey{Record: uninstalling(), Controllers: ours, Custom: sets}, asHook, Over, append(forced, freed...),
		},
		"not when there is nothing": {
			Survey{Record: uninstalling(), Controllers: ours}, asHook, Fresh, nil,
		},

		"a scale set with the controller of the cluster": {
			Survey{
				Record: &release.Record{Name: "gpu", Namespace: "runners", Status: release.Uninstalling}, Controllers: ours,
				Custom: []*Object{obj("ars runners/set", by("runners/gpu"), finalizers())},
			},
			ofSet, Fresh,
			[]string{"drain: delete ars runners/set", "release: delete ars runners/set"},
		},
		"a scale set with the controller of its namespace": {
			Survey{Controllers: []ARC{ctrl("systems/arc", "runners")}, Custom: []*Object{obj("ars runners/set")}},
			named1("set"), Fresh,
			[]string{"drain: delete ars runners/set", "release: delete ars runners/set", "release: release ars runners/set"},
		},
		"no scale set with the controller of another namespace": {
			Survey{Controllers: []ARC{ctrl("systems/arc", "theirs")}, Custom: []*Object{obj("ars runners/set")}},
			named1("set"), Fresh,
			[]string{"release: delete ars runners/set", "release: release ars runners/set"},
		},
	}
	testPlans(t, tests)
}

// named1 is the scope of scale sets of these names in namespace runners.
func named1(names ...string) Options {
	return withNames(Options{Scope: ScaleSet, ReleaseNamespace: "runners", ControllerNamespaces: []string{"systems"}}, names...)
}

func TestPlanOrdersTheRelease(t *testing.T) {
	live := []*Object{
		obj("er runners/r", of("runners/set")),
		obj("ers runners/s", of("runners/set"), finalizers(arc.EphemeralRunnerSetFinalizer)),
		obj("al systems/l", of("runners/set")),
		obj("ars runners/set", by("systems/arc")),
	}
	guarded := []*Object{
		protected("rolebinding runners/set-gha-rs-kube-mode"), protected("rolebinding runners/set-gha-rs-manager"),
		protected("role runners/set-gha-rs-manager"), protected("role runners/set-manager-role"),
		protected("sa runners/set-no-permission"), protected("secret runners/github"),
	}
	order := []string{
		"release: release er runners/r",
		"release: release ers runners/s",
		"release: release al systems/l",
		"release: release ars runners/set",
		"release: release rolebinding runners/set-gha-rs-kube-mode, release sa runners/set-no-permission, release secret runners/github",
		"release: release rolebinding runners/set-gha-rs-manager, release role runners/set-gha-rs-manager, release role runners/set-manager-role",
	}
	listeners := []*Object{obj("rolebinding runners/l", of("runners/set")), obj("role runners/l", of("runners/set")), obj("role runners/old", deleting)}

	tests := map[string]planTest{
		"children first, the manager's rights last, then the listeners', then the CRDs": {
			Survey{Record: uninstalling(), Custom: live, Protected: guarded, ListenerRBAC: listeners, CRDs: crdObjects()},
			asHook, Fresh,
			append(append([]string{}, order...), "listeners: delete rolebinding runners/l, delete role runners/l", "crds: "+allCRDs),
		},
		"where the CRDs stay, all is deleted before any finalizer goes": {
			Survey{Record: uninstalling(), Controllers: []ARC{ctrl("team/b", "theirs")}, Custom: live, Protected: guarded, CRDs: crdObjects()},
			asHook, Fresh,
			append(append([]string{
				"release: delete ars runners/set", "release: delete al systems/l", "release: delete ers runners/s", "release: delete er runners/r",
			}, order...),
				"keep: the controller team/b uses them"),
		},
		"what somebody else holds is only waited for": {
			Survey{Custom: []*Object{obj("er runners/r", deleting, finalizers("example.com/f")), obj("er runners/new", finalizers("example.com/f"))}},
			byHand, Fresh,
			[]string{"release: await er runners/r"},
		},
		"CRDs that go already are waited for": {
			Survey{CRDs: crdObjects(deleting)[:1]}, byHand, Fresh, []string{"crds: await crd ephemeralrunners.actions.github.com"},
		},
		"nothing to do": {Survey{Record: uninstalling(), Controllers: []ARC{ctrl("systems/arc", "", by("systems/arc"))}}, asHook, Fresh, nil},
	}
	testPlans(t, tests)
}

// Each forced release says why no controller does it.
func TestPlanSaysWhyNoControllerHelps(t *testing.T) {
	lockedOut := ctrl("systems/arc", "", by("systems/arc"))
	lockedOut.LockedOut = map[string]bool{"runners": true}
	leaving := ctrl("systems/arc", "", by("systems/arc"), deleting)
	tests := map[string]struct {
		controllers []ARC
		want        string
	}{
		"there is none":         {nil, "no controller to do it"},
		"it is down":            {[]ARC{dead(ctrl("systems/arc", "", by("systems/arc")))}, "the controller systems/arc has no ready replica"},
		"it has lost rights":    {[]ARC{lockedOut}, "the controller systems/arc has no rights there any more"},
		"it is leaving":         {[]ARC{leaving}, "no controller to do it"},
		"it is somebody else's": {[]ARC{dead(ctrl("team/b", "team", by("team/b")))}, "no controller to do it"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := &Survey{Record: uninstalling(), Controllers: test.controllers, Custom: []*Object{obj("er runners/r", finalizers(arc.EphemeralRunnerFinalizer), deleting)}}
			steps := NewPlan(s, asHook, History{}).steps(Free)
			if len(steps) != 1 || steps[0].Why != test.want {
				t.Errorf("%+v, want because %s", steps, test.want)
			}
		})
	}
}

func TestPlanCollects(t *testing.T) {
	tests := map[string]planTest{
		"what its owner takes along is waited for": {
			Survey{Custom: []*Object{obj("er runners/r", deleting)}, Dependents: []*Object{obj("pod runners/r", owned("er runners/r"))}},
			byHand, Over,
			[]string{"release: release er runners/r", "collect: await pod runners/r"},
		},
		"what is of another controller's is left alone": {
			Survey{
				Controllers: []ARC{ctrl("team/b", "theirs")}, Custom: []*Object{obj("er theirs/r")},
				Dependents: []*Object{obj("pod theirs/r", owned("er theirs/r")), obj("pod theirs/lost", owned("er theirs/lost"))},
			}, byHand, Over, nil,
		},
		"what has lost its owner is deleted": {
			Survey{Dependents: []*Object{obj("pod runners/r", owned("er runners/r"))}}, byHand, Fresh, []string{"collect: delete pod runners/r"},
		},
		"what listeners owned beside a controller that watches another namespace": {
			Survey{Record: uninstalling(), Dependents: []*Object{
				obj("secret systems/l", of("runners/set"), owned("al systems/l")), obj("secret systems/far", of("far/set"), owned("al systems/far")),
				obj("secret systems/l-config", owned("al systems/l")), obj("secret far/lost", owned("er far/r")),
			}}, onlyRuns, Fresh, []string{"collect: delete secret systems/l, delete secret systems/l-config"},
		},
		"by hand, too, where the controller's namespace is named": {
			Survey{Dependents: []*Object{obj("secret systems/l-config", owned("al systems/l"))}},
			Options{Scope: Controller, WatchNamespaces: []string{"runners"}, ControllerNamespaces: []string{"systems"}},
			Fresh,
			[]string{"collect: delete secret systems/l-config"},
		},
		"but not what may be another controller's, which says nothing": {
			Survey{Record: uninstalling(), Controllers: []ARC{ctrl("systems/b", "far")}, Dependents: []*Object{
				obj("secret systems/l", of("runners/set"), owned("al systems/l")), obj("secret systems/l-config", owned("al systems/l")),
			}}, onlyRuns, Fresh, []string{"collect: delete secret systems/l"},
		},
		"nor, of a set that is left, what has lost its owner": {
			func() Survey {
				s := busySet()
				s.Dependents = []*Object{obj("secret runners/lost", of("runners/set"), owned("er runners/lost"))}
				return s
			}(),
			leaving(asHook), Fresh,
			[]string{"keep: runner r is busy with job \"launch\" of acme/rocket (launch.yml), after which the controller removes it"},
		},
		"nor what others hold, of nobody that was seen": {
			Survey{Dependents: []*Object{obj("secret runners/x", of("runners/x"), owned("er runners/r"), finalizers("example.com/keep"))}},
			byHand, Fresh,
			[]string{"keep: held by finalizers which are not ARC's: example.com/keep"},
		},
		"or waited for, where it is being deleted and of a set that is known": {
			Survey{Dependents: []*Object{obj("pod runners/r", of("runners/set"), owned("er runners/r"), deleting)}}, withNames(byHand, "set"), Fresh, []string{"collect: await pod runners/r"},
		},
		"and else it is named": {
			Survey{Dependents: []*Object{obj("pod runners/r", owned("er runners/r"), deleting)}}, byHand, Fresh, []string{"keep: is being deleted, and not gone yet"},
		},
	}
	testPlans(t, tests)
}

func TestPlanOfAScaleSet(t *testing.T) {
	mine := &release.Record{Name: "gpu", Namespace: "runners", Status: release.Uninstalling}
	all := Survey{
		Record: mine,
		Custom: []*Object{
			obj("er runners/mine", of("runners/set"), deleting), obj("er runners/other", of("runners/other"), deleting),
			obj("al systems/mine", of("runners/set"), deleting), obj("al systems/other", of("runners/other"), deleting),
			// A set of the same name in another namespace.
			obj("al systems/far", of("far/set"), deleting),
			obj("ars runners/set", by("runners/gpu"), deleting), obj("ars runners/other", by("runners/other")),
		},
		Protected: []*Object{
			protected("secret runners/mine", of("runners/set")), protected("secret runners/unlabelled", by("runners/gpu")),
			protected("secret runners/other", of("runners/other"), by("runners/other")),
		},
		ListenerRBAC: []*Object{obj("role runners/mine", of("runners/set")), obj("role runners/other", of("runners/other"))},
		Dependents:   []*Object{obj("pod runners/mine", of("runners/set"), owned("gone")), obj("pod runners/other", of("runners/other"), owned("gone"))},
		// Never in the plan: a scale set's uninstall does not touch CRDs.
		CRDs: crdObjects(),
	}
	ofMine := []string{
		"release: delete al systems/mine",
		"release: release er runners/mine", "release: release al systems/mine", "release: release ars runners/set",
		"release: release secret runners/mine, release secret runners/unlabelled",
		"listeners: delete role runners/mine", "collect: delete pod runners/mine", "belongings: await al systems/mine",
	}
	noRecord := all
	noRecord.Record, noRecord.ProofErr = nil, release.ErrNotFound
	left := Survey{Record: mine, Custom: all.Custom[:5], ListenerRBAC: all.ListenerRBAC}
	known := *mine
	known.Objects = []release.Object{{APIVersion: "actions.github.com/v1alpha1", Kind: arc.AutoscalingRunnerSet, Name: "set"}, {APIVersion: "v1", Kind: "Secret", Name: "other"}}
	recorded := left
	recorded.Record = &known
	replaced := Survey{Record: &known, Custom: append(slices.Clone(left.Custom), obj("ars runners/set", by("runners/theirs")))}

	argo := noRecord
	argo.ByArgoCD = true
	tests := map[string]planTest{
		"only what the release installed": {all, ofSet, Over, ofMine},
		"or what is named": {noRecord, named1("set"), Over, []string{
			"release: delete al systems/mine",
			"release: release er runners/mine", "release: release al systems/mine", "release: release ars runners/set",
			"release: release secret runners/mine", "listeners: delete role runners/mine", "collect: delete pod runners/mine",
			"belongings: await al systems/mine",
		}},
		"the release named by hand, when its record is gone": {
			noRecord, Options{Scope: ScaleSet, Release: "gpu", ReleaseNamespace: "runners", ControllerNamespaces: []string{"systems"}}, Over, ofMine,
		},
		"nothing of a release that is not known": {
			argo, Options{Scope: ScaleSet, Job: "hook", ReleaseNamespace: "runners"}, Over, nil,
		},
		"proof is asked for": {noRecord, ofSet, Over, []string{
			"refused: no proof that anything is being uninstalled: no Helm release found",
			"  this runs as a pre-delete hook of `helm uninstall`; by hand, use `arc-cleanup run --yes`",
		}},
		"the same, by what Helm has recorded": {recorded, ofSet, Over, []string{
			"release: delete al systems/mine", "release: release er runners/mine", "release: release al systems/mine",
			"listeners: delete role runners/mine", "belongings: await al systems/mine",
		}},
		"a listener that waits for what it owns is deleted no second time": {
			Survey{Record: &known, Custom: []*Object{obj("al systems/mine", of("runners/set"), deleting, finalizers(metav1.FinalizerDeleteDependents))}},
			ofSet, Over,
			[]string{"belongings: await al systems/mine"},
		},
		"one in the namespace that is read needs no other to say what is left of it": {
			Survey{Record: &known, Custom: []*Object{obj("al runners/mine", of("runners/set"), deleting)}},
			ofSet, Over,
			[]string{"release: release al runners/mine"},
		},
		"a namesake that another release has installed meanwhile is theirs": {replaced, ofSet, Over, nil},
		"what is left of a set that is gone, by its name": {left, withNames(ofSet, "set"), Over, []string{
			"release: delete al systems/mine", "release: release er runners/mine", "release: release al systems/mine",
			"listeners: delete role runners/mine", "belongings: await al systems/mine",
		}},
	}
	testPlans(t, tests)
}

func withNames(o Options, names ...string) Options {
	for _, name := range names {
		o.Sets = append(o.Sets, identity.Set{Namespace: "runners", Name: name})
	}
	return o
}

func TestARunnersSecretIsRememberedByItsOwner(t *testing.T) {
	s := &Survey{
		Record:     uninstalling(),
		Dependents: []*Object{obj("secret runners/jit", owned("er runners/r")), obj("secret runners/theirs", owned("er runners/other"))},
	}
	s.Record.Namespace = "runners"
	if got := lines(NewPlan(s, withNames(ofSet, "set"), History{})); got != nil {
		t.Errorf("of a Secret that does not say whose it is: %q", got)
	}
	h := History{Ours: map[types.UID]bool{"secret runners/jit": true}}
	if diff := cmp.Diff([]string{"collect: delete secret runners/jit"}, lines(NewPlan(s, withNames(ofSet, "set"), h))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestScaleSetsAreRememberedByName(t *testing.T) {
	s := &Survey{
		Record:    &release.Record{Name: "gpu", Namespace: "runners"},
		Custom:    []*Object{obj("ars runners/b", by("runners/gpu")), obj("ars runners/other", by("runners/other"))},
		Protected: []*Object{protected("secret runners/s", of("runners/a"), by("runners/gpu")), protected("secret runners/t", by("runners/gpu"))},
	}
	if diff := cmp.Diff(named1("a", "b", "z").Sets, scaleSets(s, withNames(ofSet, "z", "a"))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestDocumentOfAPlan(t *testing.T) {
	p := &Plan{
		Refusals: []Refusal{{Refused, "no", []string{"do"}}},
		Phases:   []Phase{{Free, [][]Step{{{Delete, obj("er runners/a"), "x"}}, {{Release, obj("er runners/a"), "y"}}}}},
		Kept:     []Kept{{obj("crd c"), "used"}},
		Notes:    []string{"beware"},

		Obstacles: []Obstacle{{obj("apiservice v1.metrics"), "gone"}},
		Remains:   []Remain{{"more", []string{"look"}}, {"yet more", nil}},
	}
	want := PlanDocument{
		Version:  "arc-cleanup/plan/v1",
		Refusals: []RefusalDocument{{Refused, "no", []string{"do"}}},
		Phases: []PhaseDocument{{Free, []StepDocument{
			{Delete, "actions.github.com", "ephemeralrunners", "runners", "a", "er runners/a", "x"},
			{Release, "actions.github.com", "ephemeralrunners", "runners", "a", "er runners/a", "y"},
		}}},
		Kept:      []StepDocument{{"", "apiextensions.k8s.io", "customresourcedefinitions", "", "c", "crd c", "used"}},
		Notes:     []string{"beware"},
		Obstacles: []StepDocument{{"", "apiregistration.k8s.io", "apiservices", "", "v1.metrics", "apiservice v1.metrics", "gone"}},
		Remains:   []RemainDocument{{"more", []string{"look"}}, {"yet more", []string{}}},
	}
	if diff := cmp.Diff(want, p.Document()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	// Lists are never null, so that a reader may go through them.
	empty := PlanDocument{Version: "arc-cleanup/plan/v1", Refusals: []RefusalDocument{}, Phases: []PhaseDocument{}, Kept: []StepDocument{}, Notes: []string{}, Obstacles: []StepDocument{}, Remains: []RemainDocument{}}
	if diff := cmp.Diff(empty, (&Plan{}).Document()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// With a record the release decides; without one, where the controller is and what
// it watches.
func TestWhoseControllerItIs(t *testing.T) {
	tests := map[string]struct {
		record     bool
		controller ARC
		watch      string
		want       bool
	}{
		"of the release": {true, ctrl("systems/arc", "", by("systems/arc")), "", true},
		"of the release, watching another namespace": {true, ctrl("systems/arc", "other", by("systems/arc")), "runners", true},
		"of another release beside it":               {true, ctrl("systems/arc", "", by("systems/b")), "", false},
		"no record, beside the hook":                 {false, ctrl("systems/arc", ""), "", true},
		"no record, elsewhere":                       {false, ctrl("team/arc", ""), "", false},
		"no record, of every namespace":              {false, ctrl("systems/arc", ""), "runners", true},
		"no record, of the hook's":                   {false, ctrl("systems/arc", "runners"), "runners", true},
		"no record, of another":                      {false, ctrl("systems/arc", "other"), "runners", false},
		"no record, of one, and the hook of all":     {false, ctrl("systems/arc", "other"), "", true},
	}
	for name, test := range tests {
		s, o := &Survey{}, Options{Scope: Controller, ReleaseNamespace: "systems", WatchNamespaces: list1(test.watch)}
		if test.record {
			s.Record = uninstalling()
		}
		p := &planner{s: s, o: o, release: uninstalled(s, o)}
		if got := p.ours(test.controller); got != test.want {
			t.Errorf("%s: %t", name, got)
		}
	}
	elsewhere := Options{Scope: Controller, ReleaseNamespace: "systems", ControllerNamespaces: []string{"control"}}
	if p := (&planner{s: &Survey{}, o: elsewhere, release: uninstalled(&Survey{}, elsewhere)}); !p.ours(ctrl("control/arc", "")) || p.ours(ctrl("systems/arc", "")) {
		t.Error("no record: it is where the hook was told")
	}
	by := &planner{s: &Survey{}, o: byHand}
	if by.ours(ctrl("systems/arc", "")) {
		t.Error("by hand no controller is being uninstalled")
	}
}

// A scale set stays the release's while nobody else's Helm release says that it is its.
func TestWhoseScaleSetItIs(t *testing.T) {
	ours := []string{"release: delete ars runners/set", "release: release ars runners/set"}
	tests := map[string]struct {
		set  *Object
		name string // of the release
		want []string
	}{
		"of the release":                    {obj("ars runners/set", by("runners/gpu")), "gpu", ours},
		"of another, in its place":          {obj("ars runners/set", by("runners/other")), "gpu", nil},
		"of nobody, in its place":           {obj("ars runners/set"), "gpu", ours},
		"of any, where no release is known": {obj("ars runners/set", by("runners/other")), "", ours},
	}
	for name, test := range tests {
		o := Options{Scope: ScaleSet, Release: test.name, ReleaseNamespace: "runners", ControllerNamespaces: []string{"systems"}, Sets: named1("set").Sets}
		if diff := cmp.Diff(test.want, lines(NewPlan(&Survey{Custom: []*Object{test.set}}, o, History{}))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	// A namesake in another namespace takes nothing away.
	o := Options{Scope: ScaleSet, Release: "gpu", ReleaseNamespace: "runners", ControllerNamespaces: []string{"systems"}, Sets: named1("set").Sets}
	s := &Survey{Custom: []*Object{obj("er runners/r", of("runners/set")), obj("ars other/set", by("other/gpu"))}}
	if diff := cmp.Diff([]string{"release: delete er runners/r", "release: release er runners/r"}, lines(NewPlan(s, o, History{}))); diff != "" {
		t.Errorf("a namesake elsewhere (-want +got):\n%s", diff)
	}
}
