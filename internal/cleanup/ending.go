package cleanup

import (
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
)

// ending finds the runners that wait for nothing but the end of their Pod: the
// controller has told GitHub of them. It comes to their scale set only when they are
// gone, so that GitHub is not what is in its way.
func (p *planner) ending(custom []*Object) []*Object {
	pods := map[types.UID]string{}
	for _, o := range p.s.Dependents {
		if o.Resource == podResource {
			pods[o.Owner] = o.Name
		}
	}
	return slices.DeleteFunc(slices.Clone(custom), func(o *Object) bool {
		told := o.Deleting && slices.Contains(o.Finalizers, arc.EphemeralRunnerFinalizer) &&
			!slices.Contains(o.Finalizers, arc.RunnerRegistrationFinalizer)
		// Any tenant can say of a Pod that a runner owns it. The controller goes by the
		// name (controllers/actions.github.com/resourcebuilder.go, newEphemeralRunnerPod).
		return o.Resource.Resource != arc.EphemeralRunners || !told || pods[o.UID] != o.Name
	})
}
