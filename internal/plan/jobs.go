package plan

import (
	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
)

// ofJobs deletes what jobs of EphemeralRunners leave where no controller does. The proof
// is what a controller asks for, too: an EphemeralRunner of that name in that namespace
// which is removed, now or earlier in this run. Without one the label proves nothing. What
// an earlier round has proved, of either group, stays proved.
func (p *planner) ofJobs() (steps []Step) {
	runners := map[types.NamespacedName]*object.Object{}
	for _, o := range p.s.Custom {
		if o.Resource == arc.Resource(arc.EphemeralRunners) {
			runners[types.NamespacedName{Namespace: o.Namespace, Name: o.Name}] = o
		}
	}
	for _, j := range p.s.OfJobs {
		if p.history.Jobs[j.UID] {
			if !j.Deleting {
				steps = append(steps, Step{Delete, j.Object, ofAJob})
			}
			continue
		}
		name := types.NamespacedName{Namespace: j.Namespace, Name: j.Runner}
		runner, there := runners[name]
		if !there {
			runner = p.history.Runners[name]
		}
		switch {
		case runner == nil, j.Deleting, p.outOfScope(runner) != "", p.isHandedOver(runner):
		case there && p.history.Stage != Over && p.hasFinisher(runner):
		default:
			steps = append(steps, Step{Delete, j.Object, ofAJob})
		}
	}
	return steps
}

// ofAJob is why such an object is deleted.
const ofAJob = "of a job, and nothing owns it"
