package plan

import (
	"fmt"
	"slices"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/identity"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
)

// busy returns the reachable runners that have a job.
func (p *planner) busy() []*object.Object {
	return slices.DeleteFunc(p.inScope(p.s.Custom), func(o *object.Object) bool {
		_, busy := p.s.Busy[o.UID]
		return !busy
	})
}

// leaveBusy marks the scale sets with busy runners as left alone: what the
// controller needs to finish them (their finalizers, its own rights) stays.
func (p *planner) leaveBusy() {
	for _, o := range p.busy() {
		if !p.leaves(o) {
			continue
		}
		set := o.ScaleSet
		if set.Name == "" {
			set.Namespace = o.Namespace // as of legacy runners
		}
		p.handedOver[set] = true
		p.plan.Kept = append(p.plan.Kept, Finding{o, fmt.Sprintf("runner %s is busy with %s, after which the controller removes it", o.Name, p.s.Busy[o.UID])})
	}
}

// isHandedOver reports whether an object belongs to a scale set that is left alone.
// Where charts put no labels, the namespace decides.
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

// waitForBusy waits for the jobs which no controller will see to their end.
func (p *planner) waitForBusy() {
	policy := p.o.busyRunners()
	if policy != WaitForBusy && policy != LeaveBusy {
		return
	}
	var steps []Step
	for _, o := range p.busy() {
		if p.leaves(o) {
			continue
		}
		j := p.s.Busy[o.UID]
		steps = append(steps, Step{Await, j.Pod, "busy with " + j.String()})
		p.plan.Jobs = append(p.plan.Jobs, busyRefusal(j))
	}
	p.phase(PhaseBusy, steps)
}

// working holds the scale sets whose runners have jobs that are not to be cut off:
// it is these that their controller waits for.
func (p *planner) working() map[identity.Set]bool {
	busy := map[identity.Set]bool{}
	if p.o.busyRunners() != ForceBusy {
		for _, o := range p.busy() {
			busy[o.ScaleSet] = true
		}
	}
	return busy
}

// busyRefusal names the runner by its Pod, which has its name.
func busyRefusal(j Job) Refusal {
	r := Refusal{
		Verdict: Refused,
		Message: fmt.Sprintf("runner %s in namespace %s is busy with %s", j.Pod.Name, j.Pod.Namespace, j),
		Do:      []string{"wait for the job or cancel it, then try again; busyRunners=force would kill it"},
	}
	if j.Alone {
		// The Pod too: where no controller ends it, it would look busy the next time.
		r.Do = append(r.Do, "it does not end with its job; once it has none: "+deletion("runner."+arc.LegacyGroup+",pod", j.Pod.Name, j.Pod.Namespace))
	}
	return r
}
