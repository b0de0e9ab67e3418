package cleanup

import (
	"context"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
)

func (r *run) step(ctx context.Context, s plan.Step) error {
	t := *s.Object
	switch {
	case s.Action == plan.Delete:
		propagation := metav1.DeletePropagationBackground
		if r.options.Foreground(s.Object) {
			propagation = metav1.DeletePropagationForeground
		}
		return r.client.Delete(ctx, t, propagation)
	case s.Action == plan.Free:
		return r.free(ctx, s.Object)
	case s.Action == plan.Stop:
		return r.client.ScaleToZero(ctx, t)
	case s.Action == plan.Wake:
		return r.wake(ctx, t)
	case t.Resource.Resource == arc.AutoscalingRunnerSets:
		return r.nudge(ctx, t)
	default:
		return r.client.RemoveFinalizers(ctx, t, func(f string) bool { return f == arc.RunnerRegistrationFinalizer })
	}
}

// wake makes the controller reconcile an object at once, by an annotation whose value changes. It
// wakes a scale set several times: the controller has failed on the set for a while, so it waits
// longer and longer before each next step. It frees the protected objects one by one, and counts
// each of them as another failure
// (controllers/actions.github.com/autoscalingrunnerset_controller.go,
// removeFinalizersFromDependentResources).
func (r *run) wake(ctx context.Context, t object.Object) error {
	turns := 1
	if t.Resource.Resource == arc.AutoscalingRunnerSets {
		turns = wakes
	}
	for turn := range turns {
		if turn > 0 {
			select {
			case <-ctx.Done():
				return context.Cause(ctx)
			case <-time.After(wakeEvery):
			}
		}
		value := time.Now().UTC().Format(time.RFC3339Nano)
		if err := r.client.Annotate(ctx, t, map[string]any{arc.AnnotationWake: value}); err != nil {
			return err
		}
	}
	return nil
}

// nudge removes a scale set's ID and wakes the controller, which then finishes without GitHub.
func (r *run) nudge(ctx context.Context, set object.Object) error {
	if err := r.client.Annotate(ctx, set, map[string]any{arc.AnnotationRunnerScaleSetID: nil}); err != nil {
		return err
	}
	return r.wake(ctx, set)
}
