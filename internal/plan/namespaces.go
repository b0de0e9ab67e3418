package plan

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
)

// Terminating is a namespace that is being deleted.
type Terminating struct {
	*object.Object
	// Why is what the namespace controller reports: which content remains, which API does not
	// answer. It may be slightly out of date.
	Why string
	// Pods are those that Kubernetes waits for before it deletes anything else. The namespace
	// controller does not report them.
	Pods []*object.Object
}

// WhyItRemains says why the namespace still exists when no object of ARC is left in it.
func (t Terminating) WhyItRemains() string {
	why := slices.DeleteFunc([]string{t.Why, t.podsFirst()}, func(s string) bool { return s == "" })
	if len(why) == 0 {
		return "still Terminating"
	}
	return "still Terminating: " + strings.Join(why, "; ")
}

// podsFirst names the Pods that must end before Kubernetes deletes anything else in the namespace.
func (t Terminating) podsFirst() string {
	const most = 3
	var pods []string
	for _, o := range t.Pods[:min(len(t.Pods), most)] {
		pods = append(pods, fmt.Sprintf("%s %s", o.Name, held(o)))
	}
	if n := len(t.Pods) - most; n > 0 {
		pods = append(pods, fmt.Sprintf("and %d more", n))
	}
	if len(pods) == 0 {
		return ""
	}
	return "Kubernetes deletes nothing else before its Pods are gone: " + strings.Join(pods, "; ")
}

// finalizersRemain is the beginning of the message that names the finalizers which hold a namespace
// (k8s.io/kubernetes pkg/controller/namespace/deletion/namespaced_resources_deleter.go).
const finalizersRemain = "Some content in the namespace has finalizers remaining: "

// heldByOthers reports whether a finalizer that is not ARC's holds the namespace. Waiting for it
// would be in vain.
func (t Terminating) heldByOthers() bool {
	for _, o := range t.Pods {
		if _, foreign := arc.Finalizers(o.Finalizers); len(foreign) > 0 {
			return true
		}
	}
	for message := range strings.SplitSeq(t.Why, "; ") {
		list, found := strings.CutPrefix(message, finalizersRemain)
		if !found {
			continue
		}
		for entry := range strings.SplitSeq(list, ", ") {
			if finalizer, _, _ := strings.Cut(entry, " in "); !arc.IsFinalizer(finalizer) {
				return true
			}
		}
	}
	return false
}

// inTerminating reports whether an object's namespace is being deleted. That cannot be undone, so
// the object counts as being deleted, even if Kubernetes has not reached it yet because it waits
// for the namespace's Pods first.
func (p *planner) inTerminating(o *object.Object) bool {
	_, terminating := p.s.Terminating[o.Namespace]
	return terminating
}

// cannotRunHooks reports whether Helm cannot create the hook of the object's release: the hook's
// objects are in the release's namespace and in the controller's, and a namespace that is being
// deleted accepts no new objects.
func (p *planner) cannotRunHooks(o *object.Object) bool {
	return slices.ContainsFunc(slices.Concat(p.o.namespaces().Controllers(p.release.Namespace), []string{o.Release.Namespace}), func(ns string) bool {
		_, terminating := p.s.Terminating[ns]
		return terminating
	})
}

// namespaces waits for the Terminating namespaces that objects of ARC held, in this survey or in an
// earlier one. If anything else holds a namespace, the report says so, but it is no residue of this
// uninstall.
func (p *planner) namespaces() {
	held := map[string]bool{}
	maps.Copy(held, p.history.Held)
	if p.o.Scope == ScopeNamespace {
		held[p.o.Namespace] = true
	}
	for _, objects := range [][]*object.Object{p.s.Custom, p.s.Protected, p.s.ListenerRBAC, p.s.Dependents} {
		for _, o := range p.inScope(objects) {
			held[o.Namespace] = true
		}
	}
	if p.o.Job != "" {
		// The hook's own Pod runs in this namespace.
		delete(held, p.o.ReleaseNamespace)
	}
	var steps []Step
	for _, name := range slices.Sorted(maps.Keys(p.s.Terminating)) {
		ns := p.s.Terminating[name]
		switch {
		case !held[name]:
		case p.history.Waited[name], name != p.o.Namespace && ns.heldByOthers():
			p.plan.Kept = append(p.plan.Kept, Finding{ns.Object, ns.WhyItRemains()})
		case name == p.o.Namespace:
			steps = append(steps, Step{Await, ns.Object, ns.WhyItRemains()})
		default:
			steps = append(steps, Step{Await, ns.Object, "Terminating, and was held by ARC's objects"})
		}
	}
	p.phase(PhaseNamespaces, steps)
}
