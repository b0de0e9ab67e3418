package plan_test

import (
	"slices"
	"testing"

	"github.com/arc-cleanup/arc-cleanup/internal/kube/kubetest"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
	"github.com/arc-cleanup/arc-cleanup/internal/plan/plantest"
)

func TestPlanAndBusyRunners(t *testing.T) {
	dying := plantest.BusySet()
	dying.Controllers = []plan.Controller{plantest.Dead(dying.Controllers[0])}
	alone, locked := plantest.BusySet(), plantest.BusySet()
	alone.Controllers = nil
	locked.Controllers[0].LockedOut = map[string]bool{"runners": true}
	idle := plantest.BusySet()
	idle.Busy = nil
	live := plantest.BusySet(func(o *object.Object) { o.Deleting = false })
	left := plantest.BusySet()
	left.ListenerRBAC = []*object.Object{kubetest.Object("role runners/listener", kubetest.Of("runners/set")), kubetest.Object("role runners/held", kubetest.Of("runners/set"), kubetest.Deleting, kubetest.Finalizers("example.com/f"))}
	left.CRDs = kubetest.CRDs()
	const awaited = "drain: await er runners/r, await ers runners/s, await ars runners/set"
	const waits = "busy: await pod runners/r"
	freed := []string{
		"free: free er runners/r", "free: free ers runners/s", "free: free ars runners/set",
		"free: free secret runners/unlabelled", "free: free role runners/set-manager", "collect: await pod runners/r",
	}
	const kept = "keep: runner r is busy with job \"launch\" of acme/rocket (launch.yml), after which the controller removes it"
	with := func(p plan.BusyRunnersPolicy) plan.Options {
		o := plantest.AsHook
		o.BusyRunners = p
		return o
	}
	testPlans(t, map[string]planTest{
		"a controller's uninstall waits for jobs":                 {plantest.BusySet(), plantest.AsHook, plan.Fresh, slices.Concat([]string{awaited, waits}, freed)},
		"also when no controller is there":                        {dying, plantest.AsHook, plan.Fresh, slices.Concat([]string{waits}, freed)},
		"a busy runner is neither nudged nor given a grace again": {plantest.BusySet(), plantest.AsHook, plan.Stuck, slices.Concat([]string{waits, "free: delete er runners/r"}, freed)},
		"an idle one is": {idle, plantest.AsHook, plan.Stuck, slices.Concat([]string{"nudge: delete er runners/r", "nudge: nudge er runners/r, nudge ars runners/set", awaited}, freed)},
		"left ones keep all that their set needs":                {left, with(plan.LeaveBusy), plan.Fresh, []string{kept, "keep: scale set set in namespace runners has busy runners"}},
		"a set is handed to the controller":                      {live, with(plan.LeaveBusy), plan.Fresh, []string{"hand-over: delete ars runners/set", kept}},
		"without a controller nothing would finish the deletion": {alone, with(plan.LeaveBusy), plan.Fresh, slices.Concat([]string{waits}, freed)},
		"nor would one that is not ready":                        {dying, with(plan.LeaveBusy), plan.Fresh, slices.Concat([]string{waits}, freed)},
		"nor one without its rights":                             {locked, with(plan.LeaveBusy), plan.Fresh, slices.Concat([]string{waits}, freed)},
		"force treats them like idle ones":                       {plantest.BusySet(), with(plan.ForceBusy), plan.Fresh, slices.Concat([]string{awaited}, freed)},
		"refused at once, with repository and job": {dying, with(plan.RefuseBusy), plan.Fresh, slices.Concat([]string{
			`refused: runner r in namespace runners is busy with job "launch" of acme/rocket (launch.yml)`,
			"  wait for the job or cancel it, then try again; --busy-runners force (policy.busyRunners: force) would kill it",
		}, freed)},
	})
}

func TestPlanDeletesLiveSetsWhenTold(t *testing.T) {
	o := plantest.AsHook
	o.ScaleSets = plan.DeleteScaleSets
	testPlans(t, map[string]planTest{
		"": {
			plan.Survey{Record: plantest.Uninstalling(), Controllers: []plan.Controller{plantest.Ctrl("systems/arc", "", kubetest.By("systems/arc"))}, Custom: []*object.Object{kubetest.Object("ars runners/set", kubetest.By("runners/gpu"))}},
			o, plan.Fresh,
			[]string{"drain: delete ars runners/set", "free: free ars runners/set"},
		},
	})
}

func TestPlanIsEmptyWhenSwitchedOff(t *testing.T) {
	s := plantest.BusySet()
	s.Off = true
	if p := plan.New(&s, plantest.AsHook, plan.History{}); !p.Off || len(p.Phases)+len(p.Refusals)+len(p.Kept) > 0 {
		t.Errorf("%+v", p)
	}
}
