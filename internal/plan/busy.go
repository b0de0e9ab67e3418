package plan

import (
	"fmt"
	"slices"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/identity"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
)

// busy returns the runners in scope that have a job.
func (p *planner) busy() []*object.Object {
	return slices.DeleteFunc(p.inScope(p.s.Custom), func(o *object.Object) bool {
		_, busy := p.s.Busy[o.UID]
		return !busy
	})
}

// leaveBusy hands the scale sets with busy runners over to the controller: the finalizers on their
// objects and the controller's Roles there stay, because the controller needs both to finish them.
func (p *planner) leaveBusy() {
	for _, o := range p.busy() {
		if !p.leavesToController(o) {
			continue
		}
		set := o.ScaleSet
		if set.Name == "" {
			set.Namespace = o.Namespace // legacy runners have no scale set
		}
		p.handedOver[set] = true
		p.plan.Kept = append(p.plan.Kept, Finding{o, fmt.Sprintf("runner %s is busy with %s, after which the controller removes it", o.Name, p.s.Busy[o.UID])})
	}
}

// isHandedOver reports whether an object belongs to a scale set that is handed over to the
// controller. The legacy charts set no labels, so for their objects the namespace decides.
func (p *planner) isHandedOver(o *object.Object) bool {
	if o.ScaleSet.Name != "" {
		return p.handedOver[o.ScaleSet]
	}
	for set := range p.handedOver {
		if set.Namespace == o.Namespace {
			return true
		}
	}
	return false
}

// waitForBusy waits for the jobs of runners that are not handed over to a controller.
func (p *planner) waitForBusy() {
	policy := p.o.busyRunners()
	if policy != WaitForBusy && policy != LeaveBusy {
		return
	}
	var steps []Step
	for _, o := range p.busy() {
		if p.leavesToController(o) {
			continue
		}
		j := p.s.Busy[o.UID]
		steps = append(steps, Step{Await, j.Pod, "busy with " + j.String()})
		p.plan.Jobs = append(p.plan.Jobs, busyRefusal(j))
	}
	p.phase(PhaseBusy, steps)
}

// working returns the scale sets with busy runners whose jobs must not be killed: their controller
// is waiting for these jobs.
func (p *planner) working() map[identity.Set]bool {
	busy := map[identity.Set]bool{}
	if p.o.busyRunners() != ForceBusy {
		for _, o := range p.busy() {
			busy[o.ScaleSet] = true
		}
	}
	return busy
}

// busyRefusal names the runner by its Pod, which has the same name.
func busyRefusal(j Job) Refusal {
	r := Refusal{
		Verdict: Refused,
		Message: fmt.Sprintf("runner %s in namespace %s is busy with %s", j.Pod.Name, j.Pod.Namespace, j),
		Do:      []string{"wait for the job or cancel it, then try again; --busy-runners force (policy.busyRunners: force) would kill it"},
	}
	if j.Alone {
		// Delete the Pod too: if no controller removes it, the runner still looks busy in the next
		// run.
		r.Do = append(r.Do, "the runner stays when its job is over; delete it then: "+deletion("runner."+arc.LegacyGroup+",pod", j.Pod.Name, j.Pod.Namespace))
	}
	return r
}

// leavesToController reports whether a busy runner's scale set is handed over to a controller. It is only if a
// running controller is there to finish it.
func (p *planner) leavesToController(o *object.Object) bool {
	return p.o.busyRunners() == LeaveBusy && p.hasFinisher(o)
}
