package cleanup

import (
	"context"
	"testing"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/github"
	"github.com/arc-cleanup/arc-cleanup/internal/kube/kubetest"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
	"github.com/arc-cleanup/arc-cleanup/internal/plan/plantest"
)

// A run that is stopped does not know what became of the writes that it has begun. What they may have freed is registered for all
// that it knows: its report is the only document that names it.
func TestWhatAStoppedRunMayHaveFreed(t *testing.T) {
	t.Parallel()
	for _, done := range []bool{true, false} {
		items := kubetest.Whole(kubetest.Object("ars runners/set", kubetest.Deleting))
		for i := range items {
			items[i].Annotations = map[string]string{arc.AnnotationRunnerScaleSetID: "7"}
		}
		a, c := kubetest.New(t, append(kubetest.Whole(kubetest.CRDs()...), items...)...)
		ctx, cancel := context.WithCancelCause(t.Context())
		over := make(chan struct{})
		const free = "PATCH ars runners/set"
		stop := func(request string) {
			if request == free {
				cancel(ErrInterrupted)
				<-over // the answer does not come in time
			}
		}
		if done {
			a.React = func(_ *kubetest.Server, request string) { stop(request) }
		} else {
			a.Fault = func(request string) int { stop(request); return 0 }
		}
		r := Run(ctx, c, graced(plantest.ByHand, ample), quiet, Person{})
		close(over)
		if registered := len(r.Registered); done != (registered == 1) || r.Verdict != plan.Interrupted {
			t.Errorf("done %t: %d are registered: %s", done, registered, r.Text(10))
		}
		for _, reg := range r.Registered {
			if reg.Outcome != github.Kept || reg.Planned() != "scale set set (id 7) of " {
				t.Errorf("%s: %s", reg, reg.Outcome)
			}
		}
	}
}
