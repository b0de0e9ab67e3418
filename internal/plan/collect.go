package plan

import (
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/internal/object"
)

// collect takes care of what custom resources own. The garbage collector removes
// it when its owner goes, unless the owner's kind goes before the collector has
// learned of it, which takes it half a minute and more: then it stays for ever.
// What is garbage by the collector's own rule, all owners gone, is deleted here.
func (p *planner) collect() {
	owners := map[Owning]bool{} // whether a custom resource is this uninstall's
	for _, o := range p.s.Custom {
		owners[Owning{o.Namespace, o.UID}] = p.outOfScope(o) == "" && !p.isHandedOver(o)
	}
	steps := p.awaitHeld()
	for _, o := range p.s.Dependents {
		owned, present := owners[Owning{o.Namespace, o.Owner}]
		switch {
		case present && owned:
			p.plan.Owned = append(p.plan.Owned, o)
			steps = append(steps, Step{Await, o, "garbage collection follows its owner"})
		case present, !p.isOrphan(o):
		case (o.Deleting || len(o.Finalizers) > 0) && !p.history.Ours[o.UID] && !p.known(o):
			p.keepHeld(o)
		case !o.Deleting:
			steps = append(steps, Step{Delete, o, OwnerGone})
		default:
			steps = append(steps, Step{Await, o, "already being deleted"})
		}
	}
	p.phase(PhaseCollect, steps)
}

// awaitHeld waits for what is being deleted and no custom resource owns.
func (p *planner) awaitHeld() (steps []Step) {
	for _, o := range p.inScope(slices.Concat(p.s.Held, p.s.ListenerRBAC)) {
		switch {
		case !o.Deleting || p.isHandedOver(o):
		case p.known(o):
			steps = append(steps, Step{Await, o, "already being deleted"})
		case o.ScaleSet.Name != "":
			p.keepHeld(o)
		}
	}
	return steps
}

// isOrphan reports whether an object whose owner is gone is this uninstall's to delete.
func (p *planner) isOrphan(o *object.Object) bool {
	switch {
	case p.isHandedOver(o):
		return false
	case p.history.Ours[o.UID]:
		return true
	case o.ScaleSet.Name == "" && len(p.others) > 0:
		return false // it does not say whose it is, and may be the other controller's
	}
	// A listener's Secret with its configuration has no labels. It is beside its
	// controller, where no other objects of ARC are.
	unlabelled := slices.Contains(p.o.ListenersApart(), o.Namespace) && o.ScaleSet.Name == ""
	return unlabelled || p.outOfScope(o) == ""
}

// Owning is an owner, where it can own: what is in a namespace owns nothing in
// another one, whatever an object there says (k8s.io/kubernetes
// pkg/controller/garbagecollector).
type Owning struct {
	Namespace string
	UID       types.UID
}

// keepHeld names what does not go, and says of itself alone that it is ARC's. Whoever
// may write there can have put the label or the owner on it: that is no reason for the
// uninstall to wait for it, nor to fail.
func (p *planner) keepHeld(o *object.Object) {
	why := held(o)
	if o.Deleting && len(o.Finalizers) > 0 {
		why = "it is being deleted, and " + why
	}
	p.plan.Kept = append(p.plan.Kept, Finding{o, why})
}

// known reports whether an object is of a scale set that was seen, by its label or by
// its release: a set is made by whoever may make one, the rest by any tenant. That it is
// a listener's, and so of a set in another namespace, the label alone cannot say.
func (p *planner) known(o *object.Object) bool {
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

// OwnerGone is why an orphan is deleted. Its owner is looked for once more before.
const OwnerGone = "its owner is gone"

// listenerDependents waits for the listeners that are kept until what they own is gone.
func (p *planner) listenerDependents(custom []*object.Object) {
	var steps []Step
	for _, o := range custom {
		if p.o.Foreground(o) && !p.isHandedOver(o) {
			steps = append(steps, Step{Await, o, "goes when the garbage collector has deleted what it owns"})
		}
	}
	p.phase(PhaseListenerDependents, steps)
}
