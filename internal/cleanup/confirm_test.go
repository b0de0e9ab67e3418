package cleanup

import (
	"strings"
	"testing"

	"github.com/arc-cleanup/arc-cleanup/internal/kube/kubetest"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
	"github.com/arc-cleanup/arc-cleanup/internal/plan/plantest"
)

func TestRunDoesWhatWasConfirmed(t *testing.T) {
	t.Parallel()
	a, c := kubetest.New(t, kubetest.Stuck()...)
	o := graced(plantest.OfRelease, ample)
	o.Confirmed = Preview(t.Context(), c, o, nil).Digest()

	a.Put(kubetest.Whole(kubetest.Object("er runners/new", kubetest.Of("runners/set")))[0])
	r := Run(t.Context(), c, o, quiet, Person{})
	if text := r.Text(10); r.Verdict != plan.Refused || len(a.Written()) > 0 || !strings.Contains(text, "the plan has changed since it was confirmed") || !strings.Contains(text, o.Confirmed) {
		t.Errorf("wrote %v\n%s", a.Written(), text)
	}
	a.Take("er runners/new")
	if r := Run(t.Context(), c, o, quiet, Person{}); r.Verdict != plan.Done {
		t.Error(r.Text(10))
	}
	// A plan that does nothing needs no confirmation.
	if r := Run(t.Context(), c, o, quiet, Person{}); r.Verdict != plan.Done || len(r.Done) > 0 {
		t.Error(r.Text(10))
	}
}

// A scale set that appears during the run is not touched, because it was not in the confirmed plan.
func TestASetThatComesUpWhileAConfirmedPlanRuns(t *testing.T) {
	t.Parallel()
	a, c := kubetest.New(t, kubetest.Stuck()...)
	o := graced(plantest.OfRelease, ample)
	o.ScaleSets = plan.DeleteScaleSets
	o.Confirmed = Preview(t.Context(), c, o, nil).Digest()
	done := false
	a.React = func(a *kubetest.Server, _ string) {
		if !done {
			done = true
			a.Put(kubetest.Whole(kubetest.Object("ars runners/late", kubetest.Of("runners/late")))[0])
		}
	}
	r := Run(t.Context(), c, o, quiet, Person{})
	if text := r.Text(10); r.Verdict != plan.Refused || !strings.Contains(text, "autoscalingrunnersets.actions.github.com/late in namespace runners is not in the plan that was confirmed") {
		t.Errorf("%s", text)
	}
	for _, w := range a.Written() {
		if strings.Contains(w, "late") {
			t.Errorf("wrote %s", w)
		}
	}
}

// An object that is removed with its CRD has no step of its own without a finalizer, but the digest
// includes it.
func TestTheDigestKnowsWhatACRDTakes(t *testing.T) {
	t.Parallel()
	a, c := kubetest.New(t, kubetest.Stuck()...)
	o := graced(plantest.OfRelease, ample)
	seen := Preview(t.Context(), c, o, nil)
	a.Put(kubetest.Whole(kubetest.Object("er runners/late", kubetest.Finalizers()))[0])
	late := Preview(t.Context(), c, o, nil)
	if seen.Digest() == "" || seen.Digest() == late.Digest() {
		t.Errorf("%q and %q", seen.Digest(), late.Digest())
	}
	var first plan.Confirmed
	first.CheckFirst(seen, seen.Digest())
	if refused := first.CheckLater(late); len(refused) != 1 || !strings.Contains(refused[0].Message, "ephemeralrunners.actions.github.com/late in namespace runners is not in the plan") {
		t.Errorf("%v", refused)
	}
}
