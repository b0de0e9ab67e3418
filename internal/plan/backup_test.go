package plan_test

import (
	"testing"

	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/internal/kube/kubetest"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
	"github.com/arc-cleanup/arc-cleanup/internal/plan/plantest"
)

func TestPlanBacksUpWhatPeopleWrote(t *testing.T) {
	t.Parallel()
	set, runner := kubetest.Object("ars runners/set", kubetest.Deleting), kubetest.Object("er runners/r", kubetest.Of("runners/set"), kubetest.Deleting)
	theirs := kubetest.Object("ars team/set")
	tests := map[string]struct {
		survey  plan.Survey
		options plan.Options
		history plan.History
		backup  bool
	}{
		"a set that will be gone":        {plan.Survey{Custom: []*object.Object{runner, set}}, plantest.Kept(plantest.ByHand), plan.History{}, true},
		"not without one":                {plan.Survey{Custom: []*object.Object{runner}}, plantest.Kept(plantest.ByHand), plan.History{}, false},
		"not when it is switched off":    {plan.Survey{Custom: []*object.Object{set}}, plantest.ByHand, plan.History{}, false},
		"not of a scale set's uninstall": {plan.Survey{Record: plantest.Uninstalling(), Custom: []*object.Object{set}}, plantest.Kept(plantest.OfSet), plan.History{}, false},
		"not twice":                      {plan.Survey{Custom: []*object.Object{set}}, plantest.Kept(plantest.ByHand), plan.History{BackedUp: map[types.UID]bool{set.UID: true}}, false},
		"not the objects that the controller deletes": {
			plan.Survey{Record: plantest.Uninstalling(), Custom: []*object.Object{runner, set}, Busy: map[types.UID]plan.Job{runner.UID: {Pod: kubetest.Object("pod runners/r")}}, Controllers: []plan.Controller{plantest.Ctrl("systems/arc", "", kubetest.By("systems/arc"))}},
			plantest.Leaving(plantest.Kept(plantest.AsHook)),
			plan.History{},
			false,
		},
		"not of another controller's": {plan.Survey{Custom: []*object.Object{theirs, runner}, Controllers: []plan.Controller{plantest.Ctrl("team/arc", "team")}}, plantest.Kept(plantest.ByHand), plan.History{}, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			steps := plan.New(&test.survey, test.options, test.history).Steps(plan.PhaseBackUp)
			if (len(steps) == 1) != test.backup {
				t.Fatalf("steps %v", steps)
			}
			if test.backup && kubetest.Ref(steps[0].Object) != "secret systems/backup" {
				t.Errorf("%v", steps)
			}
		})
	}
}

// TestPlanRefusesABackupThatNobodyCanMake: no Secret can be created in a namespace that is being
// deleted.
func TestPlanRefusesABackupThatNobodyCanMake(t *testing.T) {
	t.Parallel()
	s := plan.Survey{Custom: []*object.Object{kubetest.Object("ars runners/set", kubetest.Deleting)}, Terminating: plantest.Gone("systems")}
	refusals := plan.New(&s, plantest.Kept(plantest.ByHand), plan.History{}).Refusals
	if len(refusals) != 1 || refusals[0].Message != "the backup of 1 AutoscalingRunnerSet would be in namespace systems, which is being deleted" {
		t.Errorf("%+v", refusals)
	}
	if refusals := plan.New(&s, plantest.ByHand, plan.History{}).Refusals; len(refusals) != 0 {
		t.Errorf("without a backup: %+v", refusals)
	}
}
