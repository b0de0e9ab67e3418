package cleanup

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
)

// drained is what stands still in a drain: a set and its listener, runner set and
// runner, and a runner that its controller has not come to.
func drained() Survey {
	registered := finalizers(arc.EphemeralRunnerFinalizer, arc.RunnerRegistrationFinalizer)
	return Survey{
		Record: uninstalling(), Controllers: []ARC{ctrl("systems/arc", "", by("systems/arc"))},
		Custom: []*object.Object{
			obj("er runners/next", of("runners/set"), owned("ers runners/s"), registered),
			obj("er runners/r", of("runners/set"), owned("ers runners/s"), registered, deleting),
			obj("ers runners/s", of("runners/set"), owned("ars runners/set"), deleting),
			obj("al systems/l", of("runners/set"), deleting),
			obj("ars runners/set", by("systems/arc"), deleting),
		},
		Sets: map[types.UID]ScaleSetInfo{"ars runners/set": {ID: "7"}},
	}
}

func TestPlanWakesBeforeItSkips(t *testing.T) {
	alive, locked, unknown := drained(), drained(), drained()
	locked.Controllers[0].LockedOut = map[string]bool{"runners": true}
	unknown.Sets = nil
	for _, o := range unknown.Custom[:2] {
		o.Finalizers = []string{arc.EphemeralRunnerFinalizer}
	}
	mixed := drained()
	busy := busySet().Custom[0]
	busy.ScaleSet, busy.Deleting = named("runners/busy"), true
	working := obj("ars runners/busy", by("systems/arc"), deleting)
	mixed.Custom = append(mixed.Custom, busy, working)
	mixed.Busy = busySet().Busy
	mixed.Custom = slices.DeleteFunc(mixed.Custom, func(o *object.Object) bool { return o.Name == "r" && o != busy })
	fresh := drained()
	for _, o := range fresh.Custom {
		o.Deleting = false
	}

	const (
		woken   = "wake: wake er runners/r, wake ers runners/s, wake al systems/l, wake ars runners/set"
		skipped = "nudge: nudge er runners/next, nudge er runners/r, nudge ars runners/set"
		awaited = "drain: await er runners/next, await er runners/r, await ers runners/s, await al systems/l, await ars runners/set"
		freed   = "release: release er runners/next, release er runners/r"
	)
	rest := []string{freed, "release: release ers runners/s", "release: release al systems/l", "release: release ars runners/set"}
	over := append([]string{"release: delete er runners/next"}, rest...)
	lastly := func(first ...string) []string { return append(first, rest...) }
	testPlans(t, map[string]planTest{
		"first the controller has its time":           {alive, asHook, Fresh, lastly(awaited)},
		"then it is woken, and nothing skipped":       {alive, asHook, Slow, lastly(woken, awaited)},
		"then GitHub is skipped":                      {alive, asHook, Stuck, lastly("nudge: delete er runners/next", skipped, awaited)},
		"that over, nothing is waited for":            {alive, asHook, Over, over},
		"no time without anything to nudge":           {unknown, asHook, Stuck, over},
		"a controller that can do nothing is no help": {locked, asHook, Slow, rest},
		"a runner with a job is neither woken nor cut": {mixed, asHook, Slow, []string{
			"wake: wake ers runners/s, wake al systems/l, wake ars runners/set",
			"drain: await er runners/next, await ers runners/s, await al systems/l, await ars runners/set, await er runners/r, await ars runners/busy",
			"busy: await pod runners/r",
			"release: release er runners/next, release er runners/r", "release: release ers runners/s", "release: release al systems/l",
			"release: release ars runners/set, release ars runners/busy",
		}},
	})
	if p := NewPlan(&fresh, asHook, History{Stage: Slow}); len(p.steps(Rouse)) > 0 {
		t.Errorf("woken, though nothing of it is being deleted: %q", lines(p))
	}
}

// It is woken again as often as that brought something on, and then has its whole grace.
func TestPlanWakesAgainAfterProgress(t *testing.T) {
	s := drained()
	toGo := 0
	for _, o := range s.Custom {
		toGo += len(o.Finalizers) + 1
	}
	toGo++ // a deletion to begin
	o := graced(asHook, time.Minute)
	for name, test := range map[string]struct {
		options  Options
		before   int
		first    PhaseName
		patience time.Duration
	}{
		"the first time":       {o, 0, Rouse, wakePatience},
		"with a small grace":   {graced(asHook, time.Second), 0, Rouse, time.Second},
		"woken in vain":        {o, toGo, Unblock, time.Minute},
		"more than before":     {o, toGo - 1, Unblock, time.Minute},
		"it brought something": {o, toGo + 1, Rouse, time.Minute},
	} {
		p := NewPlan(&s, test.options, History{Stage: Slow, ToGo: test.before})
		if p.Phases[0].Name != test.first || p.patience != test.patience || (p.toGo != 0) != (test.first == Rouse) {
			t.Errorf("%s: %s, %s, %d to go", name, p.Phases[0].Name, p.patience, p.toGo)
		}
	}
	if p := NewPlan(&s, o, History{Stage: Slow}); p.toGo != toGo {
		t.Errorf("%d to go, want %d", p.toGo, toGo)
	}
}

func TestStagesAfterADrain(t *testing.T) {
	for scope, want := range map[Scope][]Stage{
		// The plan for a stage without anything to do is for the next one.
		Controller: {Slow, Slow},
		ScaleSet:   {Slow, Slow},
		Namespace:  {Slow, Slow},
		Legacy:     {Stuck, Over}, // first the runners, then their owners
	} {
		stage := Fresh
		for i, next := range want {
			if stage = stage.afterDrain(scope); stage != next {
				t.Errorf("%s, drain %d: %d, want %d", scope, i+1, stage, next)
			}
		}
	}
	if stage := Stuck.afterDrain(ScaleSet); stage != Stuck {
		t.Errorf("as often as there is something to nudge: %d", stage)
	}
}

// sleeping is a scale set whose live controller waits in its back-off.
func sleeping() []item {
	items := append(whole(crdObjects()...), deployment("systems/arc", "", by("systems/arc")))
	items = append(items, whole(
		obj("ars runners/set", by("systems/arc"), deleting),
		obj("ers runners/s", of("runners/set"), owned("ars runners/set"), deleting),
		obj("er runners/r", of("runners/set"), owned("ers runners/s"), finalizers(arc.EphemeralRunnerFinalizer, arc.RunnerRegistrationFinalizer), deleting),
	)...)
	for i, it := range items {
		if it.Resource == short["ars"] {
			items[i].annotations[arc.AnnotationRunnerScaleSetID] = "7"
		}
	}
	return items
}

const short300 = 300 * time.Millisecond

// Woken, a controller finishes: nothing is skipped, and nothing stays registered.
func TestRunWakesTheController(t *testing.T) {
	t.Parallel()
	a, c := newAPI(t, sleeping()...)
	a.react = func(a *api, request string) {
		if request == "PATCH er runners/r" {
			go a.take("er runners/r", "ers runners/s", "ars runners/set")
		}
	}
	r := Run(t.Context(), c, graced(ofRelease, short300), quiet, nil)
	expect(t, r, outcome{Verdict: Done})
	if s := r.Summary(); !strings.Contains(s, "had the controller try again for 1 ") || strings.Contains(s, "skip GitHub") || len(r.Registered) > 0 {
		t.Errorf("%s, registered %v", s, r.Registered)
	}
	for _, phase := range r.Phases {
		if phase.Phase == Unblock || phase.Phase == Free {
			t.Errorf("it came to %s", phase.Phase)
		}
	}
}

// What a woken controller only then comes to, it may fail over as well.
func TestRunWakesAgainAfterProgress(t *testing.T) {
	t.Parallel()
	a, c := newAPI(t, sleeping()...)
	wakes := map[string]int{}
	a.react = func(a *api, request string) {
		// Only the runner is within reach the first time, and the set the second.
		wakes[request]++
		switch {
		case request == "PATCH er runners/r":
			go a.take("er runners/r", "ers runners/s")
		case request == "PATCH ars runners/set" && wakes[request] > 12:
			go a.take("ars runners/set")
		}
	}
	r := Run(t.Context(), c, graced(ofRelease, short300), quiet, nil)
	expect(t, r, outcome{Verdict: Done})
	if s := r.Summary(); strings.Contains(s, "skip GitHub") || len(r.Registered) > 0 {
		t.Errorf("%s, registered %v", s, r.Registered)
	}
}

// What cannot be woken hinders nothing, and what is skipped was woken before.
func TestRunGoesOnWhereNothingCanBeWoken(t *testing.T) {
	t.Parallel()
	a, c := newAPI(t, sleeping()...)
	a.fault = on(http.StatusUnprocessableEntity, 1, "PATCH er runners/r")
	r := Run(t.Context(), c, graced(ofRelease, short300), quiet, nil)
	expect(t, r, outcome{Verdict: Done})
	var phases []PhaseName
	for _, phase := range r.Phases {
		phases = append(phases, phase.Phase)
	}
	if want := []PhaseName{Drain, Rouse, Drain, Unblock, Drain}; len(phases) < len(want) || !slices.Equal(phases[:len(want)], want) {
		t.Errorf("phases %v, want %v first", phases, want)
	}
	if len(r.Registered) != 2 {
		t.Errorf("registered: %v", r.Registered)
	}
}

// A controller that does nothing has its grace once, when there is nothing to nudge.
func TestNoSecondGraceForNothing(t *testing.T) {
	t.Parallel()
	items := append(whole(crdObjects()...), deployment("systems/arc", "", by("systems/arc")))
	// Its owner is not being deleted, so that there is nothing to wake.
	items = append(items, whole(obj("er runners/r", of("runners/set"), owned("s")))...)
	_, c := newAPI(t, items...)
	r := Run(t.Context(), c, graced(ofRelease, short300), quiet, nil)
	expect(t, r, outcome{Verdict: Done})
	drains := 0
	for _, phase := range r.Phases {
		if phase.Phase == Drain {
			drains++
		}
	}
	if drains != 1 {
		t.Errorf("%d drains: %v", drains, r.Phases)
	}
}
