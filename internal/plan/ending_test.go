package plan_test

import (
	"testing"

	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/kube/kubetest"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
	"github.com/arc-cleanup/arc-cleanup/internal/plan/plantest"
)

// TestPlanAndRunnersThatEndSlowly: the plan does not skip GitHub because of a Pod that does not
// end.
func TestPlanAndRunnersThatEndSlowly(t *testing.T) {
	survey := func(runner string, pods ...*object.Object) plan.Survey {
		return plan.Survey{
			Record: plantest.Uninstalling(), Controllers: []plan.Controller{plantest.Ctrl("systems/arc", "", kubetest.By("systems/arc"))},
			Custom: []*object.Object{
				kubetest.Object("er runners/r", kubetest.Of("runners/set"), kubetest.Owned("ers runners/s"), kubetest.Deleting, kubetest.Finalizers(runner)),
				kubetest.Object("ars runners/set", kubetest.Deleting, kubetest.Finalizers(arc.AutoscalingRunnerSetFinalizer)),
			},
			Dependents: pods,
			Sets:       map[types.UID]plan.ScaleSetInfo{"ars runners/set": {ID: "7"}},
		}
	}
	withJob := func(s plan.Survey) plan.Survey {
		s.OfJobs = []plan.OfJob{{Object: kubetest.Object("pod runners/r-workflow"), Runner: "r"}, {Object: kubetest.Object("secret runners/r-job"), Runner: "r"}, {Object: kubetest.Object("pod elsewhere/forged"), Runner: "r"}, {Object: kubetest.Object("pod runners/other"), Runner: "no-runner"}}
		return s
	}
	theirs := func(name string) *object.Object {
		return kubetest.Object("pod runners/"+name, kubetest.Owned("er runners/r"), kubetest.Deleting)
	}
	const awaited, freed = "drain: await er runners/r, await ars runners/set", "free: free ars runners/set"
	testPlans(t, map[string]planTest{
		"only its Pod is in the way": {
			survey(arc.EphemeralRunnerFinalizer, theirs("r")), plantest.AsHook, plan.Stuck,
			[]string{"nudge: free er runners/r", awaited, "free: free er runners/r", freed, "collect: await pod runners/r"},
		},
		"GitHub is, too": {
			survey(arc.RunnerRegistrationFinalizer, theirs("r")), plantest.AsHook, plan.Stuck,
			[]string{"nudge: nudge er runners/r, nudge ars runners/set", awaited, "free: free er runners/r", freed, "collect: await pod runners/r"},
		},
		"a Pod that only says to be its": {
			survey(arc.EphemeralRunnerFinalizer, theirs("other")), plantest.AsHook, plan.Stuck,
			[]string{"nudge: nudge ars runners/set", awaited, "free: free er runners/r", freed, "collect: await pod runners/other"},
		},
		"beside one that only says so": {
			survey(arc.EphemeralRunnerFinalizer, theirs("r"), theirs("other")), plantest.AsHook, plan.Stuck,
			[]string{"nudge: free er runners/r", awaited, "free: free er runners/r", freed, "collect: await pod runners/r, await pod runners/other"},
		},
		// The controller would delete these before it frees the runner, and nothing proves
		// afterwards where they belong.
		"the leftovers of its job are deleted first": {
			withJob(survey(arc.EphemeralRunnerFinalizer, theirs("r"))), plantest.AsHook, plan.Stuck,
			[]string{"nudge: delete pod runners/r-workflow, delete secret runners/r-job", "nudge: free er runners/r", awaited, "free: free er runners/r", freed, "collect: await pod runners/r"},
		},
		"a Pod of its name elsewhere": {
			survey(arc.EphemeralRunnerFinalizer, kubetest.Object("pod elsewhere/r", kubetest.Owned("er runners/r"), kubetest.Deleting)), plantest.AsHook, plan.Stuck,
			[]string{"nudge: nudge ars runners/set", awaited, "free: free er runners/r", freed, "keep: is being deleted, and not gone yet"},
		},
	})
}
