package plan

import (
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/identity"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
)

// ending returns the runners that only wait for their Pod to end: the controller has already
// de-registered them at GitHub. The controller handles their scale set only when they are gone, so
// GitHub is not what blocks it.
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
		// Any tenant can create a Pod that names the runner as its owner. The controller looks for
		// the Pod by the runner's namespace and name
		// (controllers/actions.github.com/resourcebuilder.go, newEphemeralRunnerPod).
		return o.Resource.Resource != arc.EphemeralRunners || !told || !pods[pod{o.UID, o.Namespace, o.Name}]
	})
}

// endRunners removes the finalizers of runners whose Pods do not end, except in sets with jobs.
// First it deletes what their jobs left, as the controller would: without the runner nothing proves
// where these objects belong.
func (p *planner) endRunners(custom []*object.Object, working map[identity.Set]bool) (deletes, ends []Step) {
	for _, o := range p.ending(custom) {
		if working[o.ScaleSet] {
			continue
		}
		for _, j := range p.s.OfJobs {
			if j.Namespace == o.Namespace && j.Runner == o.Name && !j.Deleting {
				deletes = append(deletes, Step{Delete, j.Object, jobLeftover})
			}
		}
		ends = append(ends, Step{Free, o, "it is de-registered at GitHub, but its Pod does not end"})
	}
	return deletes, ends
}

// wake has the controller reconcile at once what is being deleted. A controller that has failed on
// an object waits longer and longer, up to minutes, before the next try, even if the cause is gone.
// Objects that are not being deleted yet wait for their owner. It reports whether there is anything
// to wake: if the last wake led to no progress, there is nothing.
func (p *planner) wake(custom []*object.Object) bool {
	working := p.working()
	var steps []Step
	toGo := 0
	for _, o := range custom {
		toGo += 1 + len(o.Finalizers)
		if !o.Deleting {
			toGo++
		}
		if o.Deleting && !working[o.ScaleSet] {
			steps = append(steps, Step{Wake, o, "the controller may be waiting before its next try"})
		}
	}
	first := p.history.ToGo == 0
	if len(steps) == 0 || !first && toGo >= p.history.ToGo {
		return false
	}
	p.phase(PhaseWake, steps)
	p.plan.ToGo = toGo
	if first {
		p.patience = min(p.o.Grace, WakePatience)
	}
	return true
}

// nudge uses the controller's own ways to finish without GitHub: it does not de-register a scale
// set without an ID, and it lets a runner go that is being deleted and has no registration
// finalizer. The deletion comes first, because on a runner that is not being deleted the controller
// restores the finalizer (controllers/actions.github.com/autoscalingrunnerset_controller.go,
// ephemeralrunner_controller.go). It reports whether there is anything to nudge.
func (p *planner) nudge(custom []*object.Object) bool {
	deleting := map[types.UID]bool{}
	for _, o := range custom {
		deleting[o.UID] = o.Deleting
	}
	working := p.working()
	deletes, ends := p.endRunners(custom, working)
	ending := map[identity.Set]bool{}
	for _, step := range ends {
		ending[step.Object.ScaleSet] = true
	}
	var nudges []Step
	for _, o := range custom {
		switch {
		case working[o.ScaleSet]:
		case o.Resource.Resource == arc.AutoscalingRunnerSets && ending[o.ScaleSet]:
			// Once these runners are gone, the controller de-registers the set itself.
		case o.Resource.Resource == arc.AutoscalingRunnerSets && p.s.Sets[o.UID].ID != "":
			nudges = append(nudges, Step{Nudge, o, "GitHub does not let the controller de-register it"})
		case slices.Contains(o.Finalizers, arc.RunnerRegistrationFinalizer) && (deleting[o.Owner] || o.Deleting):
			// A set that is not being deleted yet would replace its runners.
			if !o.Deleting {
				deletes = append(deletes, Step{Delete, o, "its scale set is being deleted"})
			}
			nudges = append(nudges, Step{Nudge, o, "GitHub does not let the controller de-register it"})
		}
	}
	p.phase(PhaseNudge, deletes, nudges, ends)
	return len(nudges)+len(ends) > 0
}
