package cleanup

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/kube/kubetest"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
	"github.com/arc-cleanup/arc-cleanup/internal/plan/plantest"
)

// sleeping is a scale set whose live controller waits in its back-off.
func sleeping() []kubetest.Item {
	items := append(kubetest.Whole(kubetest.CRDs()...), kubetest.Deployment("systems/arc", "", kubetest.By("systems/arc")))
	items = append(items, kubetest.Whole(
		kubetest.Object("ars runners/set", kubetest.By("systems/arc"), kubetest.Deleting),
		kubetest.Object("ers runners/s", kubetest.Of("runners/set"), kubetest.Owned("ars runners/set"), kubetest.Deleting),
		kubetest.Object("er runners/r", kubetest.Of("runners/set"), kubetest.Owned("ers runners/s"), kubetest.Finalizers(arc.EphemeralRunnerFinalizer, arc.RunnerRegistrationFinalizer), kubetest.Deleting),
	)...)
	for i, it := range items {
		if it.Resource == kubetest.Short["ars"] {
			items[i].Annotations[arc.AnnotationRunnerScaleSetID] = "7"
		}
	}
	return items
}

const short300 = 300 * time.Millisecond

// A woken controller finishes: it skips nothing, and nothing stays registered.
func TestRunWakesTheController(t *testing.T) {
	t.Parallel()
	a, c := kubetest.New(t, sleeping()...)
	a.React = func(a *kubetest.Server, request string) {
		if request == "PATCH er runners/r" {
			go a.Take("er runners/r", "ers runners/s", "ars runners/set")
		}
	}
	r := Run(t.Context(), c, graced(plantest.OfRelease, short300), quiet, Person{})
	expect(t, r, outcome{Verdict: plan.Done})
	if s := r.Summary(); !strings.Contains(s, "had the controller try again for 1 ") || strings.Contains(s, "skip GitHub") || len(r.Registered) > 0 {
		t.Errorf("%s, registered %v", s, r.Registered)
	}
	for _, phase := range r.Phases {
		if phase.Phase == plan.PhaseNudge || phase.Phase == plan.PhaseFree {
			t.Errorf("it came to %s", phase.Phase)
		}
	}
}

// The controller may also fail on objects that it reaches only after the wake.
func TestRunWakesAgainAfterProgress(t *testing.T) {
	t.Parallel()
	a, c := kubetest.New(t, sleeping()...)
	wakes := map[string]int{}
	a.React = func(a *kubetest.Server, request string) {
		// The controller reaches only the runner the first time, and the scale set the second time.
		wakes[request]++
		switch {
		case request == "PATCH er runners/r":
			go a.Take("er runners/r", "ers runners/s")
		case request == "PATCH ars runners/set" && wakes[request] > 12:
			go a.Take("ars runners/set")
		}
	}
	r := Run(t.Context(), c, graced(plantest.OfRelease, short300), quiet, Person{})
	expect(t, r, outcome{Verdict: plan.Done})
	if s := r.Summary(); strings.Contains(s, "skip GitHub") || len(r.Registered) > 0 {
		t.Errorf("%s, registered %v", s, r.Registered)
	}
}

// A failed wake stops nothing, and a nudge comes only after a wake.
func TestRunGoesOnWhereNothingCanBeWoken(t *testing.T) {
	t.Parallel()
	a, c := kubetest.New(t, sleeping()...)
	a.Fault = kubetest.On(http.StatusUnprocessableEntity, 1, "PATCH er runners/r")
	r := Run(t.Context(), c, graced(plantest.OfRelease, short300), quiet, Person{})
	expect(t, r, outcome{Verdict: plan.Done})
	var phases []plan.PhaseName
	for _, phase := range r.Phases {
		phases = append(phases, phase.Phase)
	}
	if want := []plan.PhaseName{plan.PhaseDrain, plan.PhaseWake, plan.PhaseDrain, plan.PhaseNudge, plan.PhaseDrain}; len(phases) < len(want) || !slices.Equal(phases[:len(want)], want) {
		t.Errorf("phases %v, want %v first", phases, want)
	}
	if len(r.Registered) != 2 {
		t.Errorf("registered: %v", r.Registered)
	}
}

// A controller that does nothing gets its grace period once if there is nothing to nudge.
func TestNoSecondGraceForNothing(t *testing.T) {
	t.Parallel()
	items := append(kubetest.Whole(kubetest.CRDs()...), kubetest.Deployment("systems/arc", "", kubetest.By("systems/arc")))
	// Its owner is not being deleted, so there is nothing to wake.
	items = append(items, kubetest.Whole(kubetest.Object("er runners/r", kubetest.Of("runners/set"), kubetest.Owned("s")))...)
	_, c := kubetest.New(t, items...)
	r := Run(t.Context(), c, graced(plantest.OfRelease, short300), quiet, Person{})
	expect(t, r, outcome{Verdict: plan.Done})
	drains := 0
	for _, phase := range r.Phases {
		if phase.Phase == plan.PhaseDrain {
			drains++
		}
	}
	if drains != 1 {
		t.Errorf("%d drains: %v", drains, r.Phases)
	}
}
