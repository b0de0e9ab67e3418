package cleanup

import (
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
)

// ending finds the runners that wait for nothing but the end of their Pod: the
// controller has told GitHub of them. It comes to their scale set only when they are
// gone, so that GitHub is not what is in its way.
func (p *planner) ending(custom []*object.Object) []*object.Object {
	type pod struct {
		of              types.UID
		namespace, name string
	}
	pods := map[pod]bool{}
	for _, o := range p.s.Dependents {
		if o.Resource == object.Pods {
			pods[pod{o.Owner, o.Namespace, o.Name}] = true
		}
	}
	return slices.DeleteFunc(slices.Clone(custom), func(o *object.Object) bool {
		told := o.Deleting && slices.Contains(o.Finalizers, arc.EphemeralRunnerFinalizer) &&
			!slices.Contains(o.Finalizers, arc.RunnerRegistrationFinalizer)
		// Any tenant can say of a Pod that a runner owns it. The controller goes by its own
		// namespace and name (controllers/actions.github.com/resourcebuilder.go, newEphemeralRunnerPod).
		return o.Resource.Resource != arc.EphemeralRunners || !told || !pods[pod{o.UID, o.Namespace, o.Name}]
	})
}
