package plan

import (
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
)

// collect removes what custom resources own. The garbage collector does that when the owner is
// deleted, unless the owner's kind is removed before the collector has discovered the kind, which
// takes half a minute and more. In that case the dependents would stay forever, so collect deletes
// every object whose owners are all gone, which is the collector's own rule.
func (p *planner) collect() {
	owners := map[OwnerKey]bool{} // whether the custom resource belongs to this uninstall
	for _, o := range p.s.Custom {
		owners[OwnerKey{o.Namespace, o.UID}] = p.outOfScope(o) == "" && !p.isHandedOver(o)
	}
	steps := p.awaitHeld()
	for _, o := range p.s.Dependents {
		owned, present := owners[OwnerKey{o.Namespace, o.Owner}]
		switch {
		case present && owned:
			p.plan.Owned = append(p.plan.Owned, o)
			steps = append(steps, Step{Await, o, "the garbage collector deletes it after its owner"})
		case present, !p.isOrphan(o):
		case (o.Deleting || len(o.Finalizers) > 0) && !p.history.Dependents[o.UID] && !p.ofKnownSet(o):
			p.keepHeld(o)
		case !o.Deleting:
			steps = append(steps, Step{Delete, o, OwnerGone})
		default:
			steps = append(steps, Step{Await, o, "already being deleted"})
		}
	}
	p.phase(PhaseCollect, steps)
}

// awaitHeld waits for objects that are being deleted and that no custom resource owns.
func (p *planner) awaitHeld() (steps []Step) {
	for _, o := range p.inScope(slices.Concat(p.s.Held, p.s.ListenerRBAC)) {
		switch {
		case !o.Deleting || p.isHandedOver(o):
		case p.ofKnownSet(o):
			steps = append(steps, Step{Await, o, "already being deleted"})
		case o.ScaleSet.Name != "":
			p.keepHeld(o)
		}
	}
	return steps
}

// isOrphan reports whether this uninstall may delete an object whose owner is gone.
func (p *planner) isOrphan(o *object.Object) bool {
	switch {
	case p.isHandedOver(o):
		return false
	case p.history.Dependents[o.UID], p.isRunnersSecret(o):
		return true
	case o.ScaleSet.Name == "" && len(p.others) > 0:
		return false // it names no scale set, so it may belong to the other controller
	}
	// The Secret with a listener's configuration has no labels. It is in its controller's
	// namespace, which holds no other objects of ARC.
	unlabelled := slices.Contains(p.o.OtherListenerNamespaces(), o.Namespace) && o.ScaleSet.Name == ""
	return unlabelled || p.outOfScope(o) == ""
}

// isRunnersSecret reports whether the Secret has the name of a runner of a scale set that is being
// uninstalled. ARC labels a runner's Pod, but not its Secret, so a run that begins when the runner is
// gone knows the Secret by its name alone. Whoever forges one loses only what the garbage collector
// deletes anyway, since its owner is gone.
func (p *planner) isRunnersSecret(o *object.Object) bool {
	if o.Resource != object.Secrets || o.ScaleSet.Name != "" {
		return false
	}
	for set := range p.sets {
		if set.Namespace == o.Namespace && arc.NamesRunnerOf(o.Name, set.Name) {
			return true
		}
	}
	return false
}

// OwnerKey identifies an owner. It includes the namespace because a namespaced object can only own
// objects in its own namespace, whatever an owner reference says (k8s.io/kubernetes
// pkg/controller/garbagecollector).
type OwnerKey struct {
	Namespace string
	UID       types.UID
}

// keepHeld reports an object that is not going away and whose only link to ARC is its own label or
// owner reference. Anyone who may write in that namespace can have set these, so the uninstall
// neither waits for the object nor fails because of it.
func (p *planner) keepHeld(o *object.Object) {
	why := held(o)
	if o.Deleting && len(o.Finalizers) > 0 {
		why = "it is being deleted, and " + why
	}
	p.plan.Kept = append(p.plan.Kept, Finding{o, why})
}

// ofKnownSet reports whether an object belongs to a scale set that this run has seen, by the label or by
// the Helm release. Only those who may create scale sets create a set, but any tenant can create an
// object with its label. A label that names a set in another namespace, as a listener's does,
// proves nothing.
func (p *planner) ofKnownSet(o *object.Object) bool {
	if o.ScaleSet.Name != "" {
		if o.ScaleSet.Namespace != o.Namespace {
			return false
		}
		_, seen := p.history.Sets[o.ScaleSet]
		return seen || p.existing[o.ScaleSet] || p.sets[o.ScaleSet]
	}
	for set, of := range p.history.Sets {
		if set.Namespace == o.Namespace && of.Name != "" && of == o.Release {
			return true
		}
	}
	return false
}

// OwnerGone is the reason for deleting an orphan. The run looks for the owner once more before it
// deletes.
const OwnerGone = "its owner is gone"

// listenerDependents waits until the garbage collector has deleted what the listeners own, for
// listeners that are deleted in the foreground.
func (p *planner) listenerDependents(custom []*object.Object) {
	var steps []Step
	for _, o := range custom {
		if p.o.Foreground(o) && !p.isHandedOver(o) {
			steps = append(steps, Step{Await, o, "goes when the garbage collector has deleted what it owns"})
		}
	}
	p.phase(PhaseListenerDependents, steps)
}
