package plan

import (
	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/identity"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
)

// History is what a run knows from its earlier rounds.
type History struct {
	// Stage says what is still expected of the controller.
	Stage Stage
	// ToGo counts the writes that separated the objects from their removal when the controller was
	// last woken; 0 if it was never woken.
	ToGo int
	// Deleted holds the UIDs of the CRDs that this run deleted, by name.
	Deleted map[string]types.UID
	// Held names the Terminating namespaces that objects of ARC held. Waited names those that this
	// run has waited for.
	Held, Waited map[string]bool
	// BackedUp holds the AutoscalingRunnerSets that are in a backup.
	BackedUp map[types.UID]bool
	// Sets holds the AutoscalingRunnerSets that this run has seen, and their releases. An object of
	// such a set that a finalizer of another tool holds is residue of this uninstall.
	Sets map[identity.Set]identity.Name
	// Runners holds the EphemeralRunners that this run has seen. The Pods and Secrets of a job name
	// their runner, and nothing else links them to it.
	Runners map[types.NamespacedName]*object.Object
	// Jobs holds the objects of jobs that were to be deleted with their runner. Once the runner is
	// gone, nothing else proves where they belong.
	Jobs map[types.UID]bool
	// Dependents holds the dependents that were seen while a custom resource of this uninstall owned
	// them. A runner's Secret, for example, is linked to ARC by its owner only.
	Dependents map[types.UID]bool
}

// NewHistory returns the History of a run that has just begun.
func NewHistory() History {
	return History{
		Deleted: map[string]types.UID{}, Held: map[string]bool{}, Waited: map[string]bool{}, BackedUp: map[types.UID]bool{},
		Sets: map[identity.Set]identity.Name{}, Runners: map[types.NamespacedName]*object.Object{}, Jobs: map[types.UID]bool{}, Dependents: map[types.UID]bool{},
	}
}

// RecordSurvey records what a survey found. Later rounds use it to recognise the objects that remain when
// their owners are gone.
func (h *History) RecordSurvey(s *Survey) {
	for _, o := range s.Custom {
		switch o.Resource.Resource {
		case arc.AutoscalingRunnerSets:
			h.Sets[o.ScaleSet] = o.Release
		case arc.EphemeralRunners:
			h.Runners[types.NamespacedName{Namespace: o.Namespace, Name: o.Name}] = o
		}
	}
}

// RecordPlan records what a plan has proved, before the run executes it.
func (h *History) RecordPlan(p *Plan) {
	for _, step := range p.Steps(PhaseNamespaces) {
		h.Held[step.Object.Name] = true
	}
	for _, step := range p.Steps(PhaseJobPods) {
		h.Jobs[step.Object.UID] = true
	}
	for _, o := range p.Owned {
		h.Dependents[o.UID] = true
	}
}

// PhaseEnded records that a phase of a plan is over, and reports whether the run must survey the cluster
// again: the leftovers of the controller and of jobs appear only then. When the jobs are over, the
// controller gets its time again.
func (h *History) PhaseEnded(p *Plan, phase PhaseName, scope Scope) bool {
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
