package plan

import (
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
)

// legacyKinds returns the kinds of Scope Legacy, children before parents: the runners' Pods, which
// have finalizers, and the custom resources.
func legacyKinds() []schema.GroupVersionResource {
	return append([]schema.GroupVersionResource{object.Pods}, arc.LegacyResources()...)
}

// webhooks deletes the configurations of the release's webhooks if no server answers them any more:
// they would block the removal of a Runner's finalizer, and Helm deletes them only after the hook.
func (p *planner) webhooks() {
	if len(p.plan.Steps(PhaseWebhooks)) > 0 {
		return
	}
	var steps []Step
	for _, w := range p.s.Webhooks {
		if why := p.whyDead(w); why != "" && p.ownsWebhooks(w) {
			steps = append(steps, Step{Delete, w.Object, why})
		}
	}
	p.phase(PhaseWebhooks, steps)
}

// whyDead says why the webhooks get no answer; "" if they may get one. It also asks whether the
// controller is down, because between two crashes its endpoint looks ready.
func (p *planner) whyDead(w Webhooks) string {
	if w.Dead != "" {
		return w.Dead
	}
	for _, c := range p.s.Controllers {
		if c.Namespace == w.Service.Namespace && c.Down != "" && (p.ownsController(c) || p.o.ReleaseNamespace == "") {
			return fmt.Sprintf("the controller %s/%s %s", c.Namespace, c.Name, c.Down)
		}
	}
	return ""
}

// ownsWebhooks reports whether the webhooks belong to the release that is being uninstalled.
func (p *planner) ownsWebhooks(w Webhooks) bool {
	switch {
	case p.release.Name != "" && w.Release.Name != "":
		return w.Release == p.release.Key()
	case p.o.ReleaseNamespace != "":
		return w.Service.Namespace == p.o.ReleaseNamespace
	}
	return !slices.ContainsFunc(p.others, func(c Controller) bool { return c.Namespace == w.Service.Namespace })
}

// jobPods deletes the Pods and Secrets of jobs where no controller does. It comes before free: once
// the runner's Pod has lost its finalizer, or the EphemeralRunner is gone, nothing identifies them.
func (p *planner) jobPods() {
	var steps []Step
	for _, o := range p.inScope(p.s.Linked) {
		if !o.Deleting && !p.isHandedOver(o) && (p.history.Stage == Over || !p.hasFinisherIn(o.Namespace, true)) {
			steps = append(steps, Step{Delete, o, jobLeftover})
		}
	}
	seen := map[types.UID]bool{}
	for _, step := range steps {
		seen[step.Object.UID] = true
	}
	for _, step := range p.ofJobs() {
		if !seen[step.Object.UID] {
			steps = append(steps, step)
		}
	}
	p.phase(PhaseJobPods, steps)
}

// isLegacyRoot reports whether this is a legacy object that has runners and no owner.
func isLegacyRoot(o *object.Object) bool {
	return o.Resource.Group == arc.LegacyGroup && o.Resource.Resource != arc.HorizontalRunnerAutoscalers && o.Owner == ""
}

// stop has the running controller end its runners. Deleting a RunnerDeployment or a RunnerSet would
// remove its runners at once. After scaling it to zero, the controller removes each runner at
// GitHub, which refuses while the runner has a job, and then deletes it. The owners are deleted
// only when no runner is left.
func (p *planner) stop(helped []*object.Object) {
	helped = slices.DeleteFunc(helped, p.isHandedOver)
	kinds := legacyKinds()
	alone := p.idleAlone(helped)
	var autoscalers, stops, runners []Step
	deletes := make([][]Step, len(kinds))
	for _, o := range helped {
		i := len(kinds) - 1 - slices.Index(kinds, o.Resource) // parents first
		_, ofAlone := alone[o.Owner]
		switch {
		case o.Resource == object.Pods && ofAlone:
			// It is deleted with its runner, below.
		case o.Resource == object.Pods, o.Resource.Resource == arc.Runners && o.Owner != "":
			runners = append(runners, Step{Await, o, "the controller removes it at GitHub, and then here"})
		case o.Deleting:
			deletes[i] = append(deletes[i], Step{Await, o, "already being deleted"})
		case o.Resource.Resource == arc.HorizontalRunnerAutoscalers:
			autoscalers = append(autoscalers, Step{Delete, o, "it would start runners again"})
		case o.Resource.Resource == arc.Runners:
			// See the loop below.
		default:
			if o.Owner == "" {
				stops = append(stops, Step{Stop, o, "lets its runners finish"})
			}
			deletes[i] = append(deletes[i], Step{Delete, o, "without runners"})
		}
	}
	if len(runners) > 0 {
		p.webhooks() // they block the change of replicas too
		p.phase(PhaseStop, autoscalers, stops)
		p.phase(PhaseDrain, runners)
		return
	}
	last := len(kinds) - 1 - slices.Index(kinds, arc.LegacyResource(arc.Runners))
	for _, o := range helped {
		if alone[o.UID] && !o.Deleting {
			deletes[last] = append(deletes[last], Step{Delete, o, "has no job"})
		}
	}
	p.phase(PhaseDrain, append([][]Step{autoscalers}, deletes...)...)
}

// idleAlone returns the runners that nothing scales. The value says whether the run may delete the
// runner: its Pod shows no job, or jobs may be killed.
func (p *planner) idleAlone(objects []*object.Object) map[types.UID]bool {
	alone := map[types.UID]bool{}
	for _, o := range objects {
		if o.Resource.Resource == arc.Runners && o.Owner == "" {
			alone[o.UID] = true
		}
	}
	for _, o := range objects {
		_, busy := p.s.Busy[o.UID]
		if _, of := alone[o.Owner]; of && busy && p.o.busyRunners() != ForceBusy {
			alone[o.Owner] = false
		}
	}
	return alone
}
