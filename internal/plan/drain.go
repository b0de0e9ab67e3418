package plan

import (
	"slices"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
)

// drain deletes the objects that are not being deleted yet, and leaves the rest to the controller,
// which stops the runners and de-registers them at GitHub.
func (p *planner) drain(custom []*object.Object) {
	var handOver, steps []Step
	for _, o := range custom {
		switch {
		case p.isHandedOver(o):
			// The run does not wait for it: that would take as long as the job.
			if !o.Deleting && o.Resource.Resource == arc.AutoscalingRunnerSets {
				handOver = append(handOver, Step{Delete, o, "the controller finishes it when its jobs are over"})
			}
		case o.Deleting, o.Owner != "":
			steps = append(steps, Step{Await, o, "the controller deletes it"})
		case o.Resource.Resource == arc.AutoscalingRunnerSets && p.inTerminating(o):
			steps = append(steps, Step{Delete, o, "its namespace is being deleted"})
		case o.Resource.Resource == arc.AutoscalingRunnerSets && p.o.Scope == ScopeController && !p.inRelease(o):
			steps = append(steps, Step{Delete, o, p.otherRelease()})
		case o.Resource.Resource == arc.AutoscalingRunnerSets:
			steps = append(steps, Step{Delete, o, "a scale set of the release"})
		case isLegacy(o): // in a namespace that is being deleted
			steps = append(steps, Step{Delete, o, "its namespace is being deleted"})
		case p.existing[o.ScaleSet]:
			steps = append(steps, Step{Await, o, "goes with its scale set"})
		default:
			steps = append(steps, Step{Delete, o, "its scale set is gone"})
		}
	}
	p.phase(PhaseHandOver, handOver)
	p.phase(PhaseDrain, steps)
}

// otherRelease says why a run deletes a scale set that is not of its release.
func (p *planner) otherRelease() string {
	if p.o.ScaleSets == RefuseScaleSets { // the plan has a refusal for this set
		return "when it is no longer refused"
	}
	return "scaleSets=" + string(p.o.ScaleSets)
}

// controllersPart plans what a running controller has to do, and how the run helps it. The run waits
// for the controller again only after it has done something for it. After a wake it waits only
// briefly, and the full grace period only if the wake led to progress.
func (p *planner) controllersPart(custom []*object.Object) {
	helped := slices.DeleteFunc(slices.Clone(custom), func(o *object.Object) bool { return !p.hasFinisher(o) })
	p.patience = p.o.Grace
	if p.o.Scope != ScopeLegacy {
		if p.history.Stage == Slow && !p.wake(helped) {
			p.history.Stage = Stuck
		}
		if p.history.Stage == Stuck && !p.nudge(helped) {
			p.history.Stage = Over
		}
	}
	switch p.plan.Stage = p.history.Stage; {
	case p.plan.Stage == Over:
	case p.o.Scope == ScopeLegacy:
		p.stop(helped)
	default:
		p.drain(helped)
	}
}
