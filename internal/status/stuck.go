package status

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/cleanup"
	"github.com/arc-cleanup/arc-cleanup/internal/english"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
)

// stuck reports ARC's custom resources that are being deleted, and the namespaces whose deletion waits
// for them.
func (r *reader) stuck() {
	terminating := map[string]*metav1.PartialObjectMetadata{}
	err := r.client.Each(r.ctx, object.Namespaces, "", metav1.ListOptions{}, func(m *metav1.PartialObjectMetadata) error {
		if m.DeletionTimestamp != nil {
			terminating[m.Name] = m
		}
		return nil
	})
	if err != nil {
		r.unknown(err)
	}
	hold, wait := map[string]int{}, map[string]int{}
	for _, gvr := range slices.Backward(slices.Concat(arc.LegacyResources(), arc.Resources())) {
		r.stuckOf(gvr, hold, wait)
	}
	for name, m := range terminating {
		switch {
		case hold[name] > 0:
			r.add("namespaces", m, fmt.Sprintf("is Terminating, and held by %s of ARC", english.Count(hold[name], "custom resource")))
		case wait[name] > 0:
			r.add("namespaces", m, fmt.Sprintf("is Terminating, and has %s of ARC, "+
				"which Kubernetes deletes after the namespace's Pods", english.Count(wait[name], "custom resource")))
		}
	}
}

// stuckOf reports what is stuck of one kind. It counts, by namespace, the objects that are being deleted
// in hold and all others in wait.
func (r *reader) stuckOf(gvr schema.GroupVersionResource, hold, wait map[string]int) {
	err := r.client.Each(r.ctx, gvr, "", metav1.ListOptions{}, func(m *metav1.PartialObjectMetadata) error {
		if m.DeletionTimestamp == nil {
			wait[m.Namespace]++
			return nil
		}
		hold[m.Namespace]++
		r.add(gvr.GroupResource().String(), m, "is being deleted, and held by "+strings.Join(m.Finalizers, ", "))
		return nil
	})
	switch {
	case err == nil, apierrors.IsNotFound(err):
	case gvr.Group == arc.LegacyGroup && apierrors.IsForbidden(err) && r.withoutLegacy():
	default:
		r.unknown(err)
	}
}

// withoutLegacy reports whether the API server serves no kind of legacy ARC. Then nobody needs to know
// that these kinds could not be read.
func (r *reader) withoutLegacy() bool {
	if !r.noLegacy {
		served, err := r.client.Served(r.ctx, arc.LegacyGroup)
		r.noLegacy = err == nil && len(served) == 0
	}
	return r.noLegacy
}

// add reports an object that is being deleted.
func (r *reader) add(resource string, m *metav1.PartialObjectMetadata, why string) {
	r.document.Stuck = append(r.document.Stuck, Object{
		Resource: resource, Namespace: m.Namespace, Name: m.Name, Why: why, Since: &m.DeletionTimestamp.Time,
	})
}

// surveyed adds what the surveys of a run by hand find, of ARC and of legacy ARC: their controllers, and the objects that no
// controller looks after, which "arc-cleanup run --all-namespaces" would remove.
func (r *reader) surveyed() {
	seen := map[Object]bool{}
	for _, o := range r.document.Stuck {
		seen[Object{Resource: o.Resource, Namespace: o.Namespace, Name: o.Name}] = true
	}
	unknown, remains := map[string]bool{}, map[string]bool{}
	for _, scope := range []plan.Scope{plan.ScopeController, plan.ScopeLegacy} {
		if scope == plan.ScopeLegacy && r.noLegacy {
			continue
		}
		planned := cleanup.Preview(r.ctx, r.client, plan.Options{Scope: scope, ScaleSets: plan.RefuseScaleSets}, nil)
		for _, refusal := range planned.Refusals {
			if refusal.Verdict != plan.Refused && !unknown[refusal.Message] {
				unknown[refusal.Message] = true
				r.unread(refusal)
			}
		}
		r.controllersIn(planned)
		r.orphansIn(planned, seen)
		for _, remain := range planned.Remains {
			if !remains[remain.What] {
				remains[remain.What] = true
				r.document.Remains = append(r.document.Remains, plan.Remain{What: remain.What, Do: append([]string{}, remain.Do...)})
			}
		}
	}
	slices.SortFunc(r.document.Controllers, func(a, b Controller) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Group, b.Group))
	})
	slices.SortStableFunc(r.document.Stuck, func(a, b Object) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Resource, b.Resource), cmp.Compare(a.Name, b.Name))
	})
}

// orphansIn adds the objects of a plan that were not seen before. A controller may be among what could not be read.
func (r *reader) orphansIn(planned *plan.Plan, seen map[Object]bool) {
	why := "no controller looks after it"
	if planned.Unread {
		why = "no controller is known that looks after it, and not everything could be read"
	}
	for _, phase := range planned.Phases {
		for _, s := range phase.Steps() {
			o := Object{Resource: s.Object.Resource.GroupResource().String(), Namespace: s.Object.Namespace, Name: s.Object.Name}
			if !seen[o] {
				seen[o] = true
				o.Why = why
				r.document.Stuck = append(r.document.Stuck, o)
			}
		}
	}
}
