package plan_test

import (
	"testing"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/kube/kubetest"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
	"github.com/arc-cleanup/arc-cleanup/internal/plan/plantest"
)

// later confirms the plan of one survey, and checks that of another in a later round.
func later(t *testing.T, o plan.Options, first, then *plan.Survey, h plan.History) (*plan.Plan, []plan.Refusal) {
	t.Helper()
	var c plan.Confirmed
	p := plan.New(first, o, plan.NewHistory())
	if refused := c.CheckFirst(p, p.Digest()); len(refused) > 0 {
		t.Fatalf("the plan is not its own: %v", refused)
	}
	p = plan.New(then, o, h)
	return p, c.CheckLater(p)
}

// Confirming a plan also confirms the steps that it must leave to a later round, so that a run that began can end.
func TestAConfirmedRunCanEnd(t *testing.T) {
	record := plantest.RecordOf("systems/arc", "systems/arc")
	record.Objects = append(record.Objects, plantest.InRecord(arc.AutoscalingRunnerSet, "systems/set"))
	set := kubetest.Object("ars systems/set", kubetest.Deleting)
	p, refused := later(t, plantest.AsHook,
		&plan.Survey{Record: record, CRDs: kubetest.CRDs(), Custom: []*object.Object{set}},
		&plan.Survey{Record: record, CRDs: kubetest.CRDs()}, plan.NewHistory())
	if len(p.Steps(plan.PhaseCRDs)) == 0 || len(refused) > 0 {
		t.Errorf("the CRDs of a release that holds scale sets: %q, %v", plantest.Lines(p), refused)
	}

	runner := kubetest.Object("er runners/r", kubetest.Of("runners/set"), kubetest.Deleting)
	s := &plan.Survey{
		Record: plantest.Uninstalling(), Custom: []*object.Object{runner}, Controllers: []plan.Controller{plantest.Ctrl("systems/arc", "", kubetest.By("systems/arc"))},
		OfJobs: []plan.OfJob{{Object: kubetest.Object("pod runners/r-workflow"), Runner: "r"}},
	}
	h := plan.NewHistory()
	h.Stage = plan.Over
	p, refused = later(t, plantest.AsHook, s, s, h)
	if len(p.Steps(plan.PhaseJobPods)) != 1 || len(refused) > 0 {
		t.Errorf("what a runner's job left: %q, %v", plantest.Lines(p), refused)
	}
}

// Any tenant can create an object that names an owner of ARC which never was.
func TestANewOrphanDoesNotEndAConfirmedRun(t *testing.T) {
	orphan := kubetest.Object("pod tenant/fake", kubetest.Owned("never was"))
	set := kubetest.Object("ars runners/set", kubetest.Deleting)
	first := &plan.Survey{CRDs: kubetest.CRDs(), Custom: []*object.Object{set}}
	then := &plan.Survey{CRDs: kubetest.CRDs(), Custom: []*object.Object{set}, Dependents: []*object.Object{orphan}}
	p, refused := later(t, plantest.ByHand, first, then, plan.NewHistory())
	if len(refused) > 0 || len(p.Steps(plan.PhaseCollect)) > 0 || len(p.Kept) != 1 || p.Kept[0].Object != orphan {
		t.Errorf("%q, %v", plantest.Lines(p), refused)
	}

	// Without it nothing would be left of this plan but CRDs that wait: that is no success.
	record := plantest.RecordOf("systems/arc", "systems/arc")
	record.Objects = append(record.Objects, plantest.InRecord(arc.AutoscalingRunnerSet, "systems/set"))
	first = &plan.Survey{Record: record, CRDs: kubetest.CRDs(), Custom: []*object.Object{set}}
	then = &plan.Survey{Record: record, CRDs: kubetest.CRDs(), Dependents: []*object.Object{orphan}}
	if p, refused := later(t, plantest.AsHook, first, then, plan.NewHistory()); len(refused) == 0 || len(p.Phases) == 0 {
		t.Errorf("%q, %v", plantest.Lines(p), refused)
	}
}
