package plan_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/arc-cleanup/arc-cleanup/internal/helm"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/kube/kubetest"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
	"github.com/arc-cleanup/arc-cleanup/internal/plan/plantest"
)

const allCRDs = "delete crd ephemeralrunners.actions.github.com, delete crd ephemeralrunnersets.actions.github.com, " +
	"delete crd autoscalinglisteners.actions.github.com, delete crd autoscalingrunnersets.actions.github.com"

type planTest struct {
	survey  plan.Survey
	options plan.Options
	stage   plan.Stage
	want    []string
}

func testPlans(t *testing.T, tests map[string]planTest) {
	t.Helper()
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, plantest.Lines(plan.New(&test.survey, test.options, plan.History{Stage: test.stage}))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestPlanRefuses(t *testing.T) {
	deployed := plantest.Uninstalling()
	deployed.Status = "deployed"
	set := func(mods ...kubetest.Change) []*object.Object {
		return []*object.Object{kubetest.Object("ars runners/set", mods...)}
	}
	helmed := set(kubetest.By("runners/gpu"))
	proven := map[types.UID]bool{helmed[0].UID: true}
	const noProof = "  this runs as a pre-delete hook of `helm uninstall`; by hand, use `arc-cleanup run --all-namespaces`"
	no := apierrors.NewForbidden(object.Secrets.GroupResource(), "", errors.New("User cannot list"))

	tests := map[string]planTest{
		"without a record": {
			plan.Survey{ProofErr: errors.New("no Helm release found")},
			plantest.AsHook, plan.Fresh,
			[]string{"refused: no proof that anything is being uninstalled: no Helm release found", noProof},
		},
		"a release that Helm is not uninstalling": {
			plan.Survey{Record: deployed},
			plantest.AsHook, plan.Fresh,
			[]string{
				"refused: release arc in namespace systems is deployed: Helm is not uninstalling it",
				"  helm uninstall arc --namespace systems",
			},
		},
		"a live set of a Helm release": {
			plan.Survey{Record: plantest.Uninstalling(), Custom: helmed, Proven: proven, Sets: map[types.UID]plan.ScaleSetInfo{helmed[0].UID: {Current: 3, Running: 2}}},
			plantest.AsHook, plan.Over,
			[]string{
				"refused: scale set set in namespace runners is still installed (runners: 3, busy: 2), by Helm release gpu",
				"  helm uninstall gpu --namespace runners",
				"free: free ars runners/set",
			},
		},
		"a live set whose hook cannot be created": {
			plan.Survey{Record: plantest.Uninstalling(), Custom: helmed, Proven: proven, Terminating: plantest.Gone("systems")},
			plantest.AsHook, plan.Over,
			[]string{
				"refused: scale set set in namespace runners is still installed (runners: 0, busy: 0), by Helm release gpu",
				"  helm uninstall gpu --namespace runners --no-hooks",
				"free: free ars runners/set",
			},
		},
		"a live set without a release": {
			plan.Survey{Record: plantest.Uninstalling(), Custom: set()},
			plantest.AsHook, plan.Over,
			[]string{
				"refused: scale set set in namespace runners is still installed (runners: 0, busy: 0)",
				"  kubectl delete autoscalingrunnerset set --namespace runners --wait=false",
				"free: free ars runners/set",
			},
		},
		"a live set whose release's record says nothing of it": {
			plan.Survey{Record: plantest.Uninstalling(), Custom: helmed},
			plantest.AsHook, plan.Over,
			[]string{
				"refused: scale set set in namespace runners is still installed (runners: 0, busy: 0)",
				"  kubectl delete autoscalingrunnerset set --namespace runners --wait=false",
				"free: free ars runners/set",
			},
		},
		"a live set also by hand": {
			plan.Survey{Custom: helmed, Proven: proven},
			plantest.ByHand, plan.Over,
			[]string{
				"refused: scale set set in namespace runners is still installed (runners: 0, busy: 0), by Helm release gpu",
				"  helm uninstall gpu --namespace runners",
				"free: free ars runners/set",
			},
		},
		"a failed read": {
			plan.Survey{Record: plantest.Uninstalling(), Unknown: []plan.Unknown{{What: "pods", Err: errors.New("dial: refused")}}},
			plantest.AsHook, plan.Fresh,
			[]string{"failed: could not read pods: dial: refused"},
		},
		"a missing right": {
			plan.Survey{Record: plantest.Uninstalling(), Unknown: []plan.Unknown{{What: "secrets", Err: no}}},
			plantest.AsHook, plan.Fresh,
			[]string{
				`not-permitted: could not read secrets: secrets is forbidden: User cannot list`,
				"  grant the right named above; a failed read never means that there is nothing",
			},
		},
		"everything at once": {
			plan.Survey{
				ProofErr: errors.New("none"), Unknown: []plan.Unknown{{What: "pods", Err: errors.New("x")}, {What: "secrets", Err: no}},
				Custom: []*object.Object{kubetest.Object("ars runners/one"), kubetest.Object("ars runners/two", kubetest.By("runners/two"))},
			},
			plantest.AsHook, plan.Over,
			[]string{
				"refused: no proof that anything is being uninstalled: none", noProof,
				"failed: could not read pods: x",
				"not-permitted: could not read secrets: secrets is forbidden: User cannot list",
				"  grant the right named above; a failed read never means that there is nothing",
				"refused: scale set one in namespace runners is still installed (runners: 0, busy: 0)",
				"  kubectl delete autoscalingrunnerset one --namespace runners --wait=false",
				"refused: scale set two in namespace runners is still installed (runners: 0, busy: 0)",
				"  kubectl delete autoscalingrunnerset two --namespace runners --wait=false",
				"free: free ars runners/one, free ars runners/two",
			},
		},

		"nothing when a set is on its way out": {plan.Survey{Record: plantest.Uninstalling(), Custom: set(kubetest.Deleting)}, plantest.AsHook, plan.Over, []string{"free: free ars runners/set"}},
		"nothing when a set is of the release": {plan.Survey{Record: plantest.Uninstalling(), Custom: set(kubetest.By("systems/arc"))}, plantest.AsHook, plan.Over, []string{"free: free ars runners/set"}},
		"a Job that neither Argo CD nor Helm made": {
			plan.Survey{ProofErr: errors.New("none"), CRDs: kubetest.CRDs()},
			plantest.InArgo, plan.Fresh,
			[]string{
				"refused: no proof that anything is being uninstalled: the Job arc-arc-cleanup was made neither by Argo CD, for the deletion of an Application, nor by `helm uninstall`",
				"  if neither deletes the release, switch the hook off: enabled: false; by hand, use `arc-cleanup run --all-namespaces`",
				"crds: " + allCRDs,
			},
		},
		"the Job of a release that is deployed": {
			plan.Survey{Record: deployed},
			plantest.InArgo, plan.Fresh,
			[]string{
				"refused: no proof that anything is being uninstalled: the Job arc-arc-cleanup was made neither by Argo CD, for the deletion of an Application, nor by `helm uninstall`",
				"  if neither deletes the release, switch the hook off: enabled: false; by hand, use `arc-cleanup run --all-namespaces`",
			},
		},
		"a Job that cannot be read": {
			plan.Survey{Unknown: []plan.Unknown{{What: "the hook's Job", Err: errors.New("x")}}}, plantest.InArgo, plan.Fresh, []string{"failed: could not read the hook's Job: x"},
		},
		"nothing when Helm says it itself":             {plan.Survey{Record: plantest.Uninstalling()}, plantest.InArgo, plan.Fresh, nil},
		"no refusal without proof if none is required": {plan.Survey{ProofErr: errors.New("none"), ByArgoCD: true}, plantest.InArgo, plan.Fresh, nil},
		"nothing when the status is not asked":         {plan.Survey{Record: deployed, ByArgoCD: true}, plantest.InArgo, plan.Fresh, nil},
		// A release of the same name in another namespace is another release.
		"a live set of a namesake": {plan.Survey{Record: plantest.Uninstalling(), Custom: set(kubetest.By("runners/arc")), Proven: proven}, plantest.AsHook, plan.Over, []string{
			"refused: scale set set in namespace runners is still installed (runners: 0, busy: 0), by Helm release arc",
			"  helm uninstall arc --namespace runners", "free: free ars runners/set",
		}},
		// The record is gone, and the user names the release.
		"nothing when a set is of the release named by hand": {
			plan.Survey{ProofErr: plantest.ErrNoRelease, Custom: set(kubetest.By("systems/arc"))},
			plan.Options{Scope: plan.ScopeController, Release: "arc", ReleaseNamespace: "systems"},
			plan.Over,
			[]string{"free: free ars runners/set"},
		},
	}
	testPlans(t, tests)
}

func TestVerdictOfRefusals(t *testing.T) {
	tests := map[string]struct {
		of   []plan.Verdict
		want plan.Verdict
	}{
		"a refusal says most":  {[]plan.Verdict{plan.Failed, plan.NotPermitted, plan.Refused}, plan.Refused},
		"then a missing right": {[]plan.Verdict{plan.Failed, plan.NotPermitted}, plan.NotPermitted},
		"then the failed read": {[]plan.Verdict{plan.Failed}, plan.Failed},
	}
	for name, test := range tests {
		var p plan.Plan
		for _, v := range test.of {
			p.Refusals = append(p.Refusals, plan.Refusal{Verdict: v})
		}
		if got := p.Verdict(); got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
}

func TestPlanSparesWhatOthersUse(t *testing.T) {
	other := func(watches string, mods ...kubetest.Change) []plan.Controller {
		return []plan.Controller{plantest.Ctrl("team/other", watches, mods...)}
	}
	custom := []*object.Object{kubetest.Object("er runners/a", kubetest.Deleting), kubetest.Object("er theirs/b", kubetest.Deleting)}
	guarded := []*object.Object{kubetest.Protected("secret runners/s"), kubetest.Protected("secret theirs/s")}
	everything := []string{
		"free: free er runners/a, free er theirs/b", "free: free secret runners/s, free secret theirs/s", "crds: " + allCRDs,
	}

	tests := map[string]planTest{
		"a controller of the whole cluster keeps all": {
			plan.Survey{Controllers: other(""), Custom: custom, Protected: guarded, CRDs: kubetest.CRDs()},
			plantest.ByHand, plan.Fresh,
			[]string{"keep: the controller team/other uses them"},
		},
		"a controller of one namespace keeps that and the CRDs": {
			plan.Survey{Controllers: other("theirs"), Custom: custom, Protected: guarded, CRDs: kubetest.CRDs()},
			plantest.ByHand, plan.Fresh,
			[]string{"free: free er runners/a", "free: free secret runners/s", "keep: the controller team/other uses them"},
		},
		"its live set is no reason to refuse": {
			plan.Survey{Controllers: other("theirs"), Custom: []*object.Object{kubetest.Object("ars theirs/set")}, CRDs: kubetest.CRDs()},
			plantest.ByHand, plan.Fresh,
			[]string{"keep: the controller team/other uses them"},
		},
		"a controller that is not ready has a claim all the same": {
			plan.Survey{Controllers: []plan.Controller{plantest.Dead(plantest.Ctrl("team/other", ""))}, CRDs: kubetest.CRDs()},
			plantest.ByHand, plan.Fresh,
			[]string{"keep: the controller team/other uses them"},
		},
		"a controller that is being deleted has no claim": {
			plan.Survey{Controllers: other("", kubetest.Deleting), Custom: custom, Protected: guarded, CRDs: kubetest.CRDs()}, plantest.ByHand, plan.Fresh, everything,
		},
		"nor has one whose namespace is": {
			plan.Survey{Controllers: other(""), Terminating: plantest.Gone("team"), Custom: custom, Protected: guarded, CRDs: kubetest.CRDs()}, plantest.ByHand, plan.Fresh, everything,
		},
		"another release's controller in the same namespace has": {
			plan.Survey{Record: plantest.Uninstalling(), Controllers: []plan.Controller{plantest.Ctrl("systems/b", "", kubetest.By("systems/b"))}, CRDs: kubetest.CRDs()},
			plantest.AsHook, plan.Fresh,
			[]string{"keep: the controller systems/b uses them"},
		},
		"a listener is of its scale set's namespace": {
			plan.Survey{Controllers: other("theirs"), Custom: []*object.Object{kubetest.Object("al team/l", kubetest.Of("theirs/set"), kubetest.Deleting), kubetest.Object("al theirs/m", kubetest.Of("runners/set"), kubetest.Deleting)}},
			plantest.ByHand, plan.Over,
			[]string{"free: free al theirs/m"},
		},
		"custom resources outside the watched namespace keep the CRDs": {
			plan.Survey{Record: plantest.Uninstalling(), Custom: custom, Protected: guarded, CRDs: kubetest.CRDs()},
			plantest.OnlyRuns, plan.Fresh,
			[]string{
				"free: free er runners/a", "free: free secret runners/s",
				"keep: 1 custom resource in namespace theirs is not this release's",
			},
		},
		"a live set outside the watched namespace is no reason to refuse": {
			plan.Survey{Record: plantest.Uninstalling(), Custom: []*object.Object{kubetest.Object("ars theirs/set")}, CRDs: kubetest.CRDs()},
			plantest.OnlyRuns, plan.Fresh,
			[]string{"keep: 1 custom resource in namespace theirs is not this release's"},
		},
		"nothing outside the watched namespace": {
			plan.Survey{Record: plantest.Uninstalling(), Custom: custom[:1], CRDs: kubetest.CRDs()},
			plantest.OnlyRuns, plan.Fresh,
			[]string{"free: free er runners/a", "crds: " + allCRDs},
		},

		"without a record, the controller beside the hook is ours": {
			plan.Survey{ByArgoCD: true, Controllers: []plan.Controller{plantest.Ctrl("systems/arc", "")}, CRDs: kubetest.CRDs()}, plantest.InArgo, plan.Fresh, []string{"crds: " + allCRDs},
		},
		"and one elsewhere is not": {
			plan.Survey{ByArgoCD: true, Controllers: other(""), CRDs: kubetest.CRDs()}, plantest.InArgo, plan.Fresh, []string{"keep: the controller team/other uses them"},
		},
		"nor one beside it which watches another namespace": {
			plan.Survey{Controllers: []plan.Controller{plantest.Ctrl("systems/arc", "runners"), plantest.Ctrl("systems/b", "theirs")}, CRDs: kubetest.CRDs()},
			plan.Options{Scope: plan.ScopeController, ReleaseNamespace: "systems", WatchNamespaces: []string{"runners"}},
			plan.Fresh,
			[]string{"keep: the controller systems/b uses them"},
		},
		"by hand without a release, a running controller counts as another's": {
			plan.Survey{Controllers: []plan.Controller{plantest.Ctrl("systems/arc", "")}, CRDs: kubetest.CRDs()},
			plantest.ByHand, plan.Fresh,
			[]string{"keep: the controller systems/arc uses them"},
		},
	}
	testPlans(t, tests)
}

func TestPlanDrains(t *testing.T) {
	ours := []plan.Controller{plantest.Ctrl("systems/arc", "", kubetest.By("systems/arc"))}
	sets := []*object.Object{
		kubetest.Object("er runners/r", kubetest.Of("runners/set"), kubetest.Owned("ers runners/s")),
		kubetest.Object("ers runners/s", kubetest.Of("runners/set"), kubetest.Owned("ars runners/set")),
		kubetest.Object("al systems/l", kubetest.Of("runners/set")),
		kubetest.Object("al systems/lost", kubetest.Of("runners/gone")),
		kubetest.Object("ars runners/set", kubetest.By("systems/arc")),
		kubetest.Object("ars runners/leaving", kubetest.Deleting),
	}
	drain := "drain: await er runners/r, await ers runners/s, await al systems/l, delete al systems/lost, delete ars runners/set, await ars runners/leaving"
	freed := []string{
		"free: free er runners/r", "free: free ers runners/s",
		"free: free al systems/l, free al systems/lost", "free: free ars runners/set, free ars runners/leaving",
	}
	forced := []string{
		"free: delete ars runners/set", "free: delete al systems/l, delete al systems/lost",
		"free: delete ers runners/s", "free: delete er runners/r",
	}

	tests := map[string]planTest{
		"with its own controller alive": {
			plan.Survey{Record: plantest.Uninstalling(), Controllers: ours, Custom: sets}, plantest.AsHook, plan.Fresh, append([]string{drain}, freed...),
		},
		"not with a controller that is not ready": {
			plan.Survey{Record: plantest.Uninstalling(), Controllers: []plan.Controller{plantest.Dead(ours[0])}, Custom: sets}, plantest.AsHook, plan.Fresh, freed,
		},
		"not with a controller that is being deleted": {
			plan.Survey{Record: plantest.Uninstalling(), Controllers: []plan.Controller{plantest.Ctrl("systems/arc", "", kubetest.By("systems/arc"), kubetest.Deleting)}, Custom: sets}, plantest.AsHook, plan.Fresh, freed,
		},
		"not with a controller whose namespace is being deleted": {
			plan.Survey{Record: plantest.Uninstalling(), Controllers: ours, Terminating: plantest.Gone("systems"), Custom: sets}, plantest.AsHook, plan.Fresh, freed,
		},
		"not without a controller": {
			plan.Survey{Record: plantest.Uninstalling(), Custom: sets}, plantest.AsHook, plan.Fresh, freed,
		},
		// The controller is still alive, and would restore the finalizer of an object that is not
		// being deleted.
		"not twice": {
			plan.Survey{Record: plantest.Uninstalling(), Controllers: ours, Custom: sets}, plantest.AsHook, plan.Over, append(forced, freed...),
		},
		"not when there is nothing": {
			plan.Survey{Record: plantest.Uninstalling(), Controllers: ours}, plantest.AsHook, plan.Fresh, nil,
		},

		"a scale set with the controller of the cluster": {
			plan.Survey{
				Record: plantest.RecordOf("runners/gpu"), Controllers: ours,
				Custom: []*object.Object{kubetest.Object("ars runners/set", kubetest.By("runners/gpu"), kubetest.Finalizers())},
			},
			plantest.OfSet, plan.Fresh,
			[]string{"drain: delete ars runners/set", "free: delete ars runners/set"},
		},
		"a scale set with the controller of its namespace": {
			plan.Survey{Controllers: []plan.Controller{plantest.Ctrl("systems/arc", "runners")}, Custom: []*object.Object{kubetest.Object("ars runners/set")}},
			plantest.ScaleSetsNamed("set"), plan.Fresh,
			[]string{"drain: delete ars runners/set", "free: delete ars runners/set", "free: free ars runners/set"},
		},
		"no scale set with the controller of another namespace": {
			plan.Survey{Controllers: []plan.Controller{plantest.Ctrl("systems/arc", "theirs")}, Custom: []*object.Object{kubetest.Object("ars runners/set")}},
			plantest.ScaleSetsNamed("set"), plan.Fresh,
			[]string{"free: delete ars runners/set", "free: free ars runners/set"},
		},
	}
	testPlans(t, tests)
}

func TestPlanOrdersTheRelease(t *testing.T) {
	live := []*object.Object{
		kubetest.Object("er runners/r", kubetest.Of("runners/set")),
		kubetest.Object("ers runners/s", kubetest.Of("runners/set"), kubetest.Finalizers(arc.EphemeralRunnerSetFinalizer)),
		kubetest.Object("al systems/l", kubetest.Of("runners/set")),
		kubetest.Object("ars runners/set", kubetest.By("systems/arc")),
	}
	guarded := []*object.Object{
		kubetest.Protected("rolebinding runners/set-gha-rs-kube-mode"), kubetest.Protected("rolebinding runners/set-gha-rs-manager"),
		kubetest.Protected("role runners/set-gha-rs-manager"), kubetest.Protected("role runners/set-manager-role"),
		kubetest.Protected("sa runners/set-no-permission"), kubetest.Protected("secret runners/github"),
	}
	order := []string{
		"free: free er runners/r",
		"free: free ers runners/s",
		"free: free al systems/l",
		"free: free ars runners/set",
		"free: free rolebinding runners/set-gha-rs-kube-mode, free sa runners/set-no-permission, free secret runners/github",
		"free: free rolebinding runners/set-gha-rs-manager, free role runners/set-gha-rs-manager, free role runners/set-manager-role",
	}
	listeners := []*object.Object{kubetest.Object("rolebinding runners/l", kubetest.Of("runners/set")), kubetest.Object("role runners/l", kubetest.Of("runners/set")), kubetest.Object("role runners/old", kubetest.Deleting)}

	tests := map[string]planTest{
		"children first, the manager's rights last, then the listeners', then the CRDs": {
			plan.Survey{Record: plantest.Uninstalling(), Custom: live, Protected: guarded, ListenerRBAC: listeners, CRDs: kubetest.CRDs()},
			plantest.AsHook, plan.Fresh,
			append(append([]string{}, order...), "listeners: delete rolebinding runners/l, delete role runners/l", "crds: "+allCRDs),
		},
		"where the CRDs stay, all is deleted before any finalizer goes": {
			plan.Survey{Record: plantest.Uninstalling(), Controllers: []plan.Controller{plantest.Ctrl("team/b", "theirs")}, Custom: live, Protected: guarded, CRDs: kubetest.CRDs()},
			plantest.AsHook, plan.Fresh,
			append(append([]string{
				"free: delete ars runners/set", "free: delete al systems/l", "free: delete ers runners/s", "free: delete er runners/r",
			}, order...),
				"keep: the controller team/b uses them"),
		},
		"an object that other finalizers hold is only waited for": {
			plan.Survey{Custom: []*object.Object{kubetest.Object("er runners/r", kubetest.Deleting, kubetest.Finalizers("example.com/f")), kubetest.Object("er runners/new", kubetest.Finalizers("example.com/f"))}},
			plantest.ByHand, plan.Fresh,
			[]string{"free: await er runners/r"},
		},
		"CRDs that go already are waited for": {
			plan.Survey{CRDs: kubetest.CRDs(kubetest.Deleting)[:1]}, plantest.ByHand, plan.Fresh, []string{"crds: await crd ephemeralrunners.actions.github.com"},
		},
		"nothing to do": {plan.Survey{Record: plantest.Uninstalling(), Controllers: []plan.Controller{plantest.Ctrl("systems/arc", "", kubetest.By("systems/arc"))}}, plantest.AsHook, plan.Fresh, nil},
	}
	testPlans(t, tests)
}

// Each step that frees an object says why no controller does it.
func TestPlanSaysWhyNoControllerHelps(t *testing.T) {
	lockedOut := plantest.Ctrl("systems/arc", "", kubetest.By("systems/arc"))
	lockedOut.LockedOut = map[string]bool{"runners": true}
	leaving := plantest.Ctrl("systems/arc", "", kubetest.By("systems/arc"), kubetest.Deleting)
	tests := map[string]struct {
		controllers []plan.Controller
		want        string
	}{
		"there is no controller":        {nil, "no controller to do it"},
		"it is down":                    {[]plan.Controller{plantest.Dead(plantest.Ctrl("systems/arc", "", kubetest.By("systems/arc")))}, "the controller systems/arc has no ready replica"},
		"it has lost rights":            {[]plan.Controller{lockedOut}, "the controller systems/arc has no rights there any more"},
		"it is leaving":                 {[]plan.Controller{leaving}, "no controller to do it"},
		"it belongs to another release": {[]plan.Controller{plantest.Dead(plantest.Ctrl("team/b", "team", kubetest.By("team/b")))}, "no controller to do it"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := &plan.Survey{Record: plantest.Uninstalling(), Controllers: test.controllers, Custom: []*object.Object{kubetest.Object("er runners/r", kubetest.Finalizers(arc.EphemeralRunnerFinalizer), kubetest.Deleting)}}
			steps := plan.New(s, plantest.AsHook, plan.History{}).Steps(plan.PhaseFree)
			if len(steps) != 1 || steps[0].Why != test.want {
				t.Errorf("%+v, want because %s", steps, test.want)
			}
		})
	}
}

func TestPlanCollects(t *testing.T) {
	tests := map[string]planTest{
		"dependents that go with their owner are waited for": {
			plan.Survey{Custom: []*object.Object{kubetest.Object("er runners/r", kubetest.Deleting)}, Dependents: []*object.Object{kubetest.Object("pod runners/r", kubetest.Owned("er runners/r"))}},
			plantest.ByHand, plan.Over,
			[]string{"free: free er runners/r", "collect: await pod runners/r"},
		},
		"dependents of another controller's objects are left alone": {
			plan.Survey{
				Controllers: []plan.Controller{plantest.Ctrl("team/b", "theirs")}, Custom: []*object.Object{kubetest.Object("er theirs/r")},
				Dependents: []*object.Object{kubetest.Object("pod theirs/r", kubetest.Owned("er theirs/r")), kubetest.Object("pod theirs/lost", kubetest.Owned("er theirs/lost"))},
			}, plantest.ByHand, plan.Over, nil,
		},
		"orphans are deleted": {
			plan.Survey{Dependents: []*object.Object{kubetest.Object("pod runners/r", kubetest.Owned("er runners/r"))}}, plantest.ByHand, plan.Fresh, []string{"collect: delete pod runners/r"},
		},
		"orphans of listeners of a controller that watches another namespace": {
			plan.Survey{Record: plantest.Uninstalling(), Dependents: []*object.Object{
				kubetest.Object("secret systems/l", kubetest.Of("runners/set"), kubetest.Owned("al systems/l")), kubetest.Object("secret systems/far", kubetest.Of("far/set"), kubetest.Owned("al systems/far")),
				kubetest.Object("secret systems/l-config", kubetest.Owned("al systems/l")), kubetest.Object("secret far/lost", kubetest.Owned("er far/r")),
			}}, plantest.OnlyRuns, plan.Fresh, []string{"collect: delete secret systems/l, delete secret systems/l-config"},
		},
		"by hand, too, where the controller's namespace is named": {
			plan.Survey{Dependents: []*object.Object{kubetest.Object("secret systems/l-config", kubetest.Owned("al systems/l"))}},
			plan.Options{Scope: plan.ScopeController, WatchNamespaces: []string{"runners"}, ControllerNamespaces: []string{"systems"}},
			plan.Fresh,
			[]string{"collect: delete secret systems/l-config"},
		},
		"a runner's Secret is known by its name, once the runner is gone": {
			plan.Survey{Record: plantest.Uninstalling(), Dependents: []*object.Object{
				kubetest.Object("secret runners/set-8cvvz-runner-t5dfg", kubetest.Owned("er runners/set-8cvvz-runner-t5dfg")),
				kubetest.Object("secret runners/other-8cvvz-runner-t5dfg", kubetest.Owned("er runners/other-8cvvz-runner-t5dfg")),
				kubetest.Object("secret systems/set-8cvvz-runner-t5dfg", kubetest.Of("runners/other"), kubetest.Owned("er systems/set-8cvvz-runner-t5dfg")),
				kubetest.Object("sa runners/set-8cvvz-runner-t5dfg", kubetest.Owned("er runners/set-8cvvz-runner-t5dfg")),
			}}, plantest.WithNames(plantest.OfSet, "set"), plan.Fresh, []string{"collect: delete secret runners/set-8cvvz-runner-t5dfg"},
		},
		"but not unlabelled orphans that may be another controller's": {
			plan.Survey{Record: plantest.Uninstalling(), Controllers: []plan.Controller{plantest.Ctrl("systems/b", "far")}, Dependents: []*object.Object{
				kubetest.Object("secret systems/l", kubetest.Of("runners/set"), kubetest.Owned("al systems/l")), kubetest.Object("secret systems/l-config", kubetest.Owned("al systems/l")),
			}}, plantest.OnlyRuns, plan.Fresh, []string{"collect: delete secret systems/l"},
		},
		"nor orphans of a set that is left to its controller": {
			func() plan.Survey {
				s := plantest.BusySet()
				s.Dependents = []*object.Object{kubetest.Object("secret runners/lost", kubetest.Of("runners/set"), kubetest.Owned("er runners/lost"))}
				return s
			}(),
			plantest.Leaving(plantest.AsHook), plan.Fresh,
			[]string{"keep: runner r is busy with job \"launch\" of acme/rocket (launch.yml), after which the controller removes it"},
		},
		"nor held dependents of a set that was never seen": {
			plan.Survey{Dependents: []*object.Object{kubetest.Object("secret runners/x", kubetest.Of("runners/x"), kubetest.Owned("er runners/r"), kubetest.Finalizers("example.com/keep"))}},
			plantest.ByHand, plan.Fresh,
			[]string{"keep: held by finalizers which are not ARC's: example.com/keep"},
		},
		"or waited for, where it is being deleted and of a set that is known": {
			plan.Survey{Dependents: []*object.Object{kubetest.Object("pod runners/r", kubetest.Of("runners/set"), kubetest.Owned("er runners/r"), kubetest.Deleting)}}, plantest.WithNames(plantest.ByHand, "set"), plan.Fresh, []string{"collect: await pod runners/r"},
		},
		"and else it is named": {
			plan.Survey{Dependents: []*object.Object{kubetest.Object("pod runners/r", kubetest.Owned("er runners/r"), kubetest.Deleting)}}, plantest.ByHand, plan.Fresh, []string{"keep: is being deleted, and not gone yet"},
		},
	}
	testPlans(t, tests)
}

func TestPlanOfAScaleSet(t *testing.T) {
	mine := plantest.RecordOf("runners/gpu")
	all := plan.Survey{
		Record: mine,
		Custom: []*object.Object{
			kubetest.Object("er runners/mine", kubetest.Of("runners/set"), kubetest.Deleting), kubetest.Object("er runners/other", kubetest.Of("runners/other"), kubetest.Deleting),
			kubetest.Object("al systems/mine", kubetest.Of("runners/set"), kubetest.Deleting), kubetest.Object("al systems/other", kubetest.Of("runners/other"), kubetest.Deleting),
			// A set of the same name in another namespace.
			kubetest.Object("al systems/far", kubetest.Of("far/set"), kubetest.Deleting),
			kubetest.Object("ars runners/set", kubetest.By("runners/gpu"), kubetest.Deleting), kubetest.Object("ars runners/other", kubetest.By("runners/other")),
		},
		Protected: []*object.Object{
			kubetest.Protected("secret runners/mine", kubetest.Of("runners/set")), kubetest.Protected("secret runners/unlabelled", kubetest.By("runners/gpu")),
			kubetest.Protected("secret runners/other", kubetest.Of("runners/other"), kubetest.By("runners/other")),
		},
		ListenerRBAC: []*object.Object{kubetest.Object("role runners/mine", kubetest.Of("runners/set")), kubetest.Object("role runners/other", kubetest.Of("runners/other"))},
		Dependents:   []*object.Object{kubetest.Object("pod runners/mine", kubetest.Of("runners/set"), kubetest.Owned("gone")), kubetest.Object("pod runners/other", kubetest.Of("runners/other"), kubetest.Owned("gone"))},
		// Never in the plan: a scale set's uninstall does not touch CRDs.
		CRDs: kubetest.CRDs(),
	}
	ofMine := []string{
		"free: delete al systems/mine",
		"free: free er runners/mine", "free: free al systems/mine", "free: free ars runners/set",
		"free: free secret runners/mine, free secret runners/unlabelled",
		"listeners: delete role runners/mine", "collect: delete pod runners/mine", "listener-dependents: await al systems/mine",
	}
	noRecord := all
	noRecord.Record, noRecord.ProofErr = nil, plantest.ErrNoRelease
	left := plan.Survey{Record: mine, Custom: all.Custom[:5], ListenerRBAC: all.ListenerRBAC}
	known := *mine
	known.Objects = append(slices.Clone(mine.Objects), plantest.InRecord(arc.AutoscalingRunnerSet, "runners/set"))
	recorded := left
	recorded.Record = &known
	replaced := plan.Survey{Record: &known, Custom: append(slices.Clone(left.Custom), kubetest.Object("ars runners/set", kubetest.By("runners/theirs")))}

	argo := noRecord
	argo.ByArgoCD = true
	tests := map[string]planTest{
		"only the sets that the release installed": {all, plantest.OfSet, plan.Over, ofMine},
		"or the named sets": {noRecord, plantest.ScaleSetsNamed("set"), plan.Over, []string{
			"free: delete al systems/mine",
			"free: free er runners/mine", "free: free al systems/mine", "free: free ars runners/set",
			"free: free secret runners/mine", "listeners: delete role runners/mine", "collect: delete pod runners/mine",
			"listener-dependents: await al systems/mine",
		}},
		"the release named by hand, when its record is gone": {
			noRecord, plan.Options{Scope: plan.ScopeScaleSet, Release: "gpu", ReleaseNamespace: "runners", ControllerNamespaces: []string{"systems"}}, plan.Over, ofMine,
		},
		"nothing of a release that is not known": {
			argo, plan.Options{Scope: plan.ScopeScaleSet, Job: "hook", ReleaseNamespace: "runners"}, plan.Over, nil,
		},
		"proof is asked for": {noRecord, plantest.OfSet, plan.Over, []string{
			"refused: no proof that anything is being uninstalled: no Helm release found",
			"  this runs as a pre-delete hook of `helm uninstall`; by hand, use `arc-cleanup run --scope scale-set --release NAME --release-namespace runners`",
		}},
		"the same, by Helm's record": {recorded, plantest.OfSet, plan.Over, []string{
			"free: delete al systems/mine", "free: free er runners/mine", "free: free al systems/mine",
			"listeners: delete role runners/mine", "listener-dependents: await al systems/mine",
		}},
		"a listener that waits for its dependents is not deleted twice": {
			plan.Survey{Record: &known, Custom: []*object.Object{kubetest.Object("al systems/mine", kubetest.Of("runners/set"), kubetest.Deleting, kubetest.Finalizers(metav1.FinalizerDeleteDependents))}},
			plantest.OfSet, plan.Over,
			[]string{"listener-dependents: await al systems/mine"},
		},
		"a listener in a namespace that is read needs no foreground deletion": {
			plan.Survey{Record: &known, Custom: []*object.Object{kubetest.Object("al runners/mine", kubetest.Of("runners/set"), kubetest.Deleting)}},
			plantest.OfSet, plan.Over,
			[]string{"free: free al runners/mine"},
		},
		"a namesake that another release has installed meanwhile is theirs": {replaced, plantest.OfSet, plan.Over, nil},
		"the leftovers of a set that is gone, by its name": {left, plantest.WithNames(plantest.OfSet, "set"), plan.Over, []string{
			"free: delete al systems/mine", "free: free er runners/mine", "free: free al systems/mine",
			"listeners: delete role runners/mine", "listener-dependents: await al systems/mine",
		}},
	}
	testPlans(t, tests)
}

func TestARunnersSecretIsRememberedByItsOwner(t *testing.T) {
	s := &plan.Survey{
		Record:     plantest.Uninstalling(),
		Dependents: []*object.Object{kubetest.Object("secret runners/jit", kubetest.Owned("er runners/r")), kubetest.Object("secret runners/theirs", kubetest.Owned("er runners/other"))},
	}
	s.Record.Namespace = "runners"
	if got := plantest.Lines(plan.New(s, plantest.WithNames(plantest.OfSet, "set"), plan.History{})); got != nil {
		t.Errorf("of a Secret that does not say whose it is: %q", got)
	}
	h := plan.History{Dependents: map[types.UID]bool{"secret runners/jit": true}}
	if diff := cmp.Diff([]string{"collect: delete secret runners/jit"}, plantest.Lines(plan.New(s, plantest.WithNames(plantest.OfSet, "set"), h))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestScaleSetsAreRememberedByName(t *testing.T) {
	s := &plan.Survey{
		Record:    &helm.Record{Name: "gpu", Namespace: "runners"},
		Custom:    []*object.Object{kubetest.Object("ars runners/b", kubetest.By("runners/gpu")), kubetest.Object("ars runners/other", kubetest.By("runners/other"))},
		Protected: []*object.Object{kubetest.Protected("secret runners/s", kubetest.Of("runners/a"), kubetest.By("runners/gpu")), kubetest.Protected("secret runners/t", kubetest.By("runners/gpu"))},
	}
	if diff := cmp.Diff(plantest.ScaleSetsNamed("a", "b", "z").Sets, plan.ScaleSets(s, plantest.WithNames(plantest.OfSet, "z", "a"))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestDocumentOfAPlan(t *testing.T) {
	p := &plan.Plan{
		Refusals: []plan.Refusal{{Verdict: plan.Refused, Message: "no", Do: []string{"do"}}},
		Phases:   []plan.Phase{{Name: plan.PhaseFree, Ranks: [][]plan.Step{{{Action: plan.Delete, Object: kubetest.Object("er runners/a"), Why: "x"}}, {{Action: plan.Free, Object: kubetest.Object("er runners/a"), Why: "y"}}}}},
		Kept:     []plan.Finding{{Object: kubetest.Object("crd c"), Why: "used"}},
		Notes:    []string{"beware"},

		Obstacles: []plan.Finding{{Object: kubetest.Object("apiservice v1.metrics"), Why: "gone"}},
		Remains:   []plan.Remain{{What: "more", Do: []string{"look"}}, {What: "yet more"}},

		Registered: []plan.Registration{{Object: kubetest.Object("er runners/a"), Set: plan.ScaleSetInfo{ID: "7", Name: "set", URL: "https://github.com/acme"}}},
	}
	const a = `"group": "actions.github.com", "resource": "ephemeralrunners", "namespace": "runners", "name": "a", "uid": "er runners/a"`
	for want, p := range map[string]*plan.Plan{
		`{"version": "arc-cleanup/plan/v1",
		  "refusals": [{"verdict": "refused", "message": "no", "do": ["do"]}],
		  "phases": [{"name": "free", "steps": [{"action": "delete", ` + a + `, "why": "x"}, {"action": "free", ` + a + `, "why": "y"}]}],
		  "kept": [{"group": "apiextensions.k8s.io", "resource": "customresourcedefinitions", "name": "c", "uid": "crd c", "why": "used"}],
		  "notes": ["beware"],
		  "obstacles": [{"group": "apiregistration.k8s.io", "resource": "apiservices", "name": "v1.metrics", "uid": "apiservice v1.metrics", "why": "gone"}],
		  "remains": [{"what": "more", "do": ["look"]}, {"what": "yet more", "do": []}],
		  "registered": [{"kind": "runner", "namespace": "runners", "name": "a", "id": "7", "url": "https://github.com/acme"}]}`: p,
		// Lists are never null, so that readers can always iterate over them.
		`{"version": "arc-cleanup/plan/v1", "refusals": [], "phases": [], "kept": [], "notes": [], "obstacles": [], "remains": [], "registered": []}`: {},
	} {
		kubetest.ExpectJSON(t, want, p)
	}
}

// With a record, the release decides. Without one, the controller's namespace and what it watches
// decide.
func TestWhoseControllerItIs(t *testing.T) {
	tests := map[string]struct {
		record     bool
		controller plan.Controller
		watch      string
		want       bool
	}{
		"of the release": {true, plantest.Ctrl("systems/arc", "", kubetest.By("systems/arc")), "", true},
		"of the release, watching another namespace": {true, plantest.Ctrl("systems/arc", "other", kubetest.By("systems/arc")), "runners", true},
		"of another release beside it":               {true, plantest.Ctrl("systems/arc", "", kubetest.By("systems/b")), "", false},
		"no record, beside the hook":                 {false, plantest.Ctrl("systems/arc", ""), "", true},
		"no record, elsewhere":                       {false, plantest.Ctrl("team/arc", ""), "", false},
		"no record, of every namespace":              {false, plantest.Ctrl("systems/arc", ""), "runners", true},
		"no record, of the hook's":                   {false, plantest.Ctrl("systems/arc", "runners"), "runners", true},
		"no record, of another":                      {false, plantest.Ctrl("systems/arc", "other"), "runners", false},
		"no record, of one, and the hook of all":     {false, plantest.Ctrl("systems/arc", "other"), "", true},
	}
	for name, test := range tests {
		s, o := &plan.Survey{}, plan.Options{Scope: plan.ScopeController, ReleaseNamespace: "systems", WatchNamespaces: kubetest.ListOf(test.watch)}
		if test.record {
			s.Record = plantest.Uninstalling()
		}
		if got := s.Owns(o, test.controller); got != test.want {
			t.Errorf("%s: %t", name, got)
		}
	}
	elsewhere := plan.Options{Scope: plan.ScopeController, ReleaseNamespace: "systems", ControllerNamespaces: []string{"control"}}
	unrecorded := &plan.Survey{}
	if !unrecorded.Owns(elsewhere, plantest.Ctrl("control/arc", "")) || unrecorded.Owns(elsewhere, plantest.Ctrl("systems/arc", "")) {
		t.Error("no record: it is where the hook was told")
	}
	if unrecorded.Owns(plantest.ByHand, plantest.Ctrl("systems/arc", "")) {
		t.Error("by hand no controller is being uninstalled")
	}
}

// A scale set belongs to the release unless it names another Helm release.
func TestWhoseScaleSetItIs(t *testing.T) {
	ours := []string{"free: delete ars runners/set", "free: free ars runners/set"}
	tests := map[string]struct {
		set  *object.Object
		name string // of the release
		want []string
	}{
		"of the release":                                {kubetest.Object("ars runners/set", kubetest.By("runners/gpu")), "gpu", ours},
		"of another, in its place":                      {kubetest.Object("ars runners/set", kubetest.By("runners/other")), "gpu", nil},
		"without a release, in the release's namespace": {kubetest.Object("ars runners/set"), "gpu", ours},
		"of any, where no release is known":             {kubetest.Object("ars runners/set", kubetest.By("runners/other")), "", ours},
	}
	for name, test := range tests {
		o := plan.Options{Scope: plan.ScopeScaleSet, Release: test.name, ReleaseNamespace: "runners", ControllerNamespaces: []string{"systems"}, Sets: plantest.ScaleSetsNamed("set").Sets}
		if diff := cmp.Diff(test.want, plantest.Lines(plan.New(&plan.Survey{Custom: []*object.Object{test.set}}, o, plan.History{}))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	// A release of the same name in another namespace changes nothing.
	o := plan.Options{Scope: plan.ScopeScaleSet, Release: "gpu", ReleaseNamespace: "runners", ControllerNamespaces: []string{"systems"}, Sets: plantest.ScaleSetsNamed("set").Sets}
	s := &plan.Survey{Custom: []*object.Object{kubetest.Object("er runners/r", kubetest.Of("runners/set")), kubetest.Object("ars other/set", kubetest.By("other/gpu"))}}
	if diff := cmp.Diff([]string{"free: delete er runners/r", "free: free er runners/r"}, plantest.Lines(plan.New(s, o, plan.History{}))); diff != "" {
		t.Errorf("a namesake elsewhere (-want +got):\n%s", diff)
	}
}
