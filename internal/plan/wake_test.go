package plan_test

import (
	"slices"
	"testing"
	"time"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/kube/kubetest"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
	"github.com/arc-cleanup/arc-cleanup/internal/plan/plantest"
)

func TestPlanWakesBeforeItSkips(t *testing.T) {
	alive, locked, unknown := plantest.Drained(), plantest.Drained(), plantest.Drained()
	locked.Controllers[0].LockedOut = map[string]bool{"runners": true}
	unknown.Sets = nil
	for _, o := range unknown.Custom[:2] {
		o.Finalizers = []string{arc.EphemeralRunnerFinalizer}
	}
	mixed := plantest.Drained()
	busy := plantest.BusySet().Custom[0]
	busy.ScaleSet, busy.Deleting = kubetest.Named("runners/busy"), true
	working := kubetest.Object("ars runners/busy", kubetest.By("systems/arc"), kubetest.Deleting)
	mixed.Custom = append(mixed.Custom, busy, working)
	mixed.Busy = plantest.BusySet().Busy
	mixed.Custom = slices.DeleteFunc(mixed.Custom, func(o *object.Object) bool { return o.Name == "r" && o != busy })
	fresh := plantest.Drained()
	for _, o := range fresh.Custom {
		o.Deleting = false
	}

	const (
		woken   = "wake: wake er runners/r, wake ers runners/s, wake al systems/l, wake ars runners/set"
		skipped = "nudge: nudge er runners/next, nudge er runners/r, nudge ars runners/set"
		awaited = "drain: await er runners/next, await er runners/r, await ers runners/s, await al systems/l, await ars runners/set"
		freed   = "free: free er runners/next, free er runners/r"
	)
	rest := []string{freed, "free: free ers runners/s", "free: free al systems/l", "free: free ars runners/set"}
	over := append([]string{"free: delete er runners/next"}, rest...)
	lastly := func(first ...string) []string { return append(first, rest...) }
	testPlans(t, map[string]planTest{
		"first the controller has its time":           {alive, plantest.AsHook, plan.Fresh, lastly(awaited)},
		"then it is woken, and nothing skipped":       {alive, plantest.AsHook, plan.Slow, lastly(woken, awaited)},
		"then GitHub is skipped":                      {alive, plantest.AsHook, plan.Stuck, lastly("nudge: delete er runners/next", skipped, awaited)},
		"that over, nothing is waited for":            {alive, plantest.AsHook, plan.Over, over},
		"no time without anything to nudge":           {unknown, plantest.AsHook, plan.Stuck, over},
		"a controller that can do nothing is no help": {locked, plantest.AsHook, plan.Slow, rest},
		"a runner with a job is neither woken nor cut": {mixed, plantest.AsHook, plan.Slow, []string{
			"wake: wake ers runners/s, wake al systems/l, wake ars runners/set",
			"drain: await er runners/next, await ers runners/s, await al systems/l, await ars runners/set, await er runners/r, await ars runners/busy",
			"busy: await pod runners/r",
			"free: free er runners/next, free er runners/r", "free: free ers runners/s", "free: free al systems/l",
			"free: free ars runners/set, free ars runners/busy",
		}},
	})
	if p := plan.New(&fresh, plantest.AsHook, plan.History{Stage: plan.Slow}); len(p.Steps(plan.PhaseWake)) > 0 {
		t.Errorf("woken, though nothing of it is being deleted: %q", plantest.Lines(p))
	}
}

func TestStagesAfterADrain(t *testing.T) {
	for scope, want := range map[plan.Scope][]plan.Stage{
		// If nothing is to be done in a stage, the plan is for the next one.
		plan.ScopeController: {plan.Slow, plan.Slow},
		plan.ScopeScaleSet:   {plan.Slow, plan.Slow},
		plan.ScopeNamespace:  {plan.Slow, plan.Slow},
		plan.ScopeLegacy:     {plan.Stuck, plan.Over}, // first the runners, then their owners
	} {
		stage := plan.Fresh
		for i, next := range want {
			if stage = stage.AfterDrain(scope); stage != next {
				t.Errorf("%s, drain %d: %d, want %d", scope, i+1, stage, next)
			}
		}
	}
	if stage := plan.Stuck.AfterDrain(plan.ScopeScaleSet); stage != plan.Stuck {
		t.Errorf("as often as there is something to nudge: %d", stage)
	}
}

// The controller is woken again as long as each wake leads to progress, and then gets its whole
// grace period.
func TestPlanWakesAgainAfterProgress(t *testing.T) {
	s := plantest.Drained()
	toGo := 0
	for _, o := range s.Custom {
		toGo += len(o.Finalizers) + 1
	}
	toGo++ // one deletion begins
	graced := func(grace time.Duration) plan.Options { o := plantest.AsHook; o.Grace = grace; return o }
	o := graced(time.Minute)
	for name, test := range map[string]struct {
		options  plan.Options
		before   int
		first    plan.PhaseName
		patience time.Duration
	}{
		"the first time":       {o, 0, plan.PhaseWake, plan.WakePatience},
		"with a small grace":   {graced(time.Second), 0, plan.PhaseWake, time.Second},
		"woken in vain":        {o, toGo, plan.PhaseNudge, time.Minute},
		"more than before":     {o, toGo - 1, plan.PhaseNudge, time.Minute},
		"it brought something": {o, toGo + 1, plan.PhaseWake, time.Minute},
	} {
		p := plan.New(&s, test.options, plan.History{Stage: plan.Slow, ToGo: test.before})
		if p.Phases[0].Name != test.first || p.Wait(plan.PhaseDrain) != test.patience || (p.ToGo != 0) != (test.first == plan.PhaseWake) {
			t.Errorf("%s: %s, %s, %d to go", name, p.Phases[0].Name, p.Wait(plan.PhaseDrain), p.ToGo)
		}
	}
	if p := plan.New(&s, o, plan.History{Stage: plan.Slow}); p.ToGo != toGo {
		t.Errorf("%d to go, want %d", p.ToGo, toGo)
	}
}
