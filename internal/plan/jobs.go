package plan

import (
	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
)

// ofJobs deletes what the jobs of EphemeralRunners leave behind where no controller does. It
// requires the proof that a controller requires: an EphemeralRunner with the name in the label, in
// the same namespace, that is being removed now or was removed earlier in this run. Without such a
// runner the label proves nothing. Objects of either group that an earlier round has proved stay
// proved.
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
				steps = append(steps, Step{Delete, j.Object, jobLeftover})
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
			steps = append(steps, Step{Delete, j.Object, jobLeftover})
		}
	}
	return steps
}

// jobLeftover is the reason for deleting an object of a job.
const jobLeftover = "belongs to a job and has no owner"
