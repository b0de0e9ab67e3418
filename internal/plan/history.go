package plan

import (
	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/identity"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
)

// History is what a run knows beyond its last survey.
type History struct {
	// Stage says what of the controller is still expected.
	Stage Stage
	// ToGo is how many steps the objects were from gone when the controller was woken
	// last; 0 says that it was not.
	ToGo int
	// Deleted holds the CRDs that were deleted, by name.
	Deleted map[string]types.UID
	// Held names the Terminating namespaces that were held by objects of ARC, and
	// Waited those which have been waited for.
	Held, Waited map[string]bool
	// BackedUp holds the AutoscalingRunnerSets that are in a backup.
	BackedUp map[types.UID]bool
	// Sets holds the AutoscalingRunnerSets that were seen, and their releases: what
	// others' finalizers hold of them is left of this uninstall.
	Sets map[identity.Set]identity.Name
	// Runners holds the EphemeralRunners that were seen: by their names, and nothing
	// else, Pods and Secrets of jobs are known.
	Runners map[types.NamespacedName]*object.Object
	// Jobs holds what was to go with a runner: once it is gone nothing proves that.
	Jobs map[types.UID]bool
	// Ours holds what custom resources of this uninstall owned when they were still
	// there: a runner's Secret says by nothing but its owner whose it is.
	Ours map[types.UID]bool
}

// NewHistory is that of a run which has just begun.
func NewHistory() History {
	return History{
		Deleted: map[string]types.UID{}, Held: map[string]bool{}, Waited: map[string]bool{}, BackedUp: map[types.UID]bool{},
		Sets: map[identity.Set]identity.Name{}, Runners: map[types.NamespacedName]*object.Object{}, Jobs: map[types.UID]bool{}, Ours: map[types.UID]bool{},
	}
}

// Saw notes what there is now: when it is gone, what is left of it is known by that.
func (h *History) Saw(s *Survey) {
	for _, o := range s.Custom {
		switch o.Resource.Resource {
		case arc.AutoscalingRunnerSets:
			h.Sets[o.ScaleSet] = o.Release
		case arc.EphemeralRunners:
			h.Runners[types.NamespacedName{Namespace: o.Namespace, Name: o.Name}] = o
		}
	}
}

// Begins notes what a plan has proved, before it is carried out.
func (h *History) Begins(p *Plan) {
	for _, step := range p.Steps(PhaseNamespaces) {
		h.Held[step.Object.Name] = true
	}
	for _, step := range p.Steps(PhaseJobPods) {
		h.Jobs[step.Object.UID] = true
	}
	for _, o := range p.Owned {
		h.Ours[o.UID] = true
	}
}

// Ended notes that a phase of a plan is over, and reports whether that asks for a new
// survey: what the controller and the jobs leave can only be seen then. When the jobs
// are over, the controller has its chance again.
func (h *History) Ended(p *Plan, phase PhaseName, scope Scope) bool {
	switch phase {
	case PhaseDrain:
		h.Stage, h.ToGo = p.Stage.AfterDrain(scope), p.ToGo
	case PhaseBusy:
		h.Stage, h.ToGo = Fresh, 0
	default:
		return false
	}
	return true
}
