package plan

import (
	"cmp"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
)

// free removes ARC's finalizers from the remaining objects: from children before their owners, and
// from the controller's own Role and RoleBinding last, because a running controller still needs them.
func (p *planner) free(custom, protected []*object.Object) {
	// Delete everything first, owners before children: a running controller replaces a runner until
	// its set is being deleted, and it restores the finalizer of an object that is not being
	// deleted.
	kinds := p.o.Kinds()
	freeing := len(kinds)
	ranks := make([][]Step, 2*len(kinds)+2)
	stay := p.crdsStay()
	for _, o := range custom {
		if p.isHandedOver(o) {
			continue
		}
		i := slices.Index(kinds, o.Resource)
		if p.deletes(o, stay) {
			last := freeing - 1
			ranks[last-i] = append(ranks[last-i], Step{Delete, o, "left behind"})
		}
		own, _ := arc.Finalizers(o.Finalizers)
		if len(own) == 0 && o.Resource == arc.Resource(arc.AutoscalingRunnerSets) && !p.hasFinisher(o) {
			p.plan.Bare = append(p.plan.Bare, o)
		}
		if len(own) > 0 {
			ranks[freeing+i] = append(ranks[freeing+i], Step{Free, o, cmp.Or(p.whyNoFinisher(o), "the controller did not")})
		} else if o.Deleting && !p.o.Foreground(o) {
			ranks[freeing+i] = append(ranks[freeing+i], Step{Await, o, "already being deleted"})
		}
	}
	for _, o := range protected {
		if p.isHandedOver(o) {
			continue
		}
		i := 2 * len(kinds)
		if arc.IsManager(o.Name) {
			i++
		}
		ranks[i] = append(ranks[i], Step{Free, o, "its scale set is gone"})
	}
	p.phase(PhaseFree, ranks...)
}

// crdsStay reports whether some of the CRDs stay. Objects whose CRD stays are not removed with it.
func (p *planner) crdsStay() bool {
	return !p.o.RemovesCRDs() || p.mixed() || p.crdsKept() != "" ||
		slices.ContainsFunc(p.s.CRDs, func(o *object.Object) bool { return p.crdKept(o) != "" })
}

// deletes reports whether an object needs a deletion of its own. An object that is removed with its
// CRD needs none, unless a running controller would restore its finalizers until then.
func (p *planner) deletes(o *object.Object, crdsStay bool) bool {
	begun := o.Deleting && (!p.o.Foreground(o) || slices.Contains(o.Finalizers, metav1.FinalizerDeleteDependents))
	// No owner and no CRD removes a legacy runner's Pod without an owner.
	alone := o.Resource == object.Pods && o.Owner == ""
	return !begun && (crdsStay || alone || p.history.Stage == Over && p.hasFinisher(o))
}

// listeners deletes the Roles and RoleBindings of listeners. They have no owner, so only a
// controller would delete them.
func (p *planner) listeners() {
	var steps []Step
	for _, o := range p.inScope(p.s.ListenerRBAC) {
		if !o.Deleting && !p.isHandedOver(o) {
			steps = append(steps, Step{Delete, o, "belongs to a listener and has no owner"})
		}
	}
	p.phase(PhaseListeners, steps)
}
