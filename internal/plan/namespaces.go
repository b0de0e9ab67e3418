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
	// Why is what the namespace controller says of it: what content is left,
	// which API cannot be asked. It may be a little old.
	Why string
	// Pods are those that Kubernetes waits for before it deletes anything else, and
	// of which it says nothing.
	Pods []*object.Object
}

// Still says why it is there when nothing of ARC is in it any more.
func (t Terminating) Still() string {
	why := slices.DeleteFunc([]string{t.Why, t.podsFirst()}, func(s string) bool { return s == "" })
	if len(why) == 0 {
		return "still Terminating"
	}
	return "still Terminating: " + strings.Join(why, "; ")
}

// podsFirst names the Pods without whose end nothing else in the namespace goes.
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

// finalizersRemain begins the message about what holds a namespace
// (k8s.io/kubernetes pkg/controller/namespace/deletion/namespaced_resources_deleter.go).
const finalizersRemain = "Some content in the namespace has finalizers remaining: "

// heldByOthers reports whether a finalizer that is not ARC's holds the namespace:
// to wait would be in vain.
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

// inTerminating reports whether an object's namespace is being deleted, from which there is
// no way back: the object is as good as being deleted, though Kubernetes may not have
// come to it, since it waits for the namespace's Pods.
func (p *planner) inTerminating(o *object.Object) bool {
	_, terminating := p.s.Terminating[o.Namespace]
	return terminating
}

// unhookable reports whether no hook of the object's release can be created: it is
// made of objects in the release's namespace and in the controller's, and into a
// namespace that is being deleted nobody can put any.
func (p *planner) unhookable(o *object.Object) bool {
	return slices.ContainsFunc(slices.Concat(p.o.hook().Controllers(p.release), []string{o.Release.Namespace}), func(ns string) bool {
		_, terminating := p.s.Terminating[ns]
		return terminating
	})
}

// namespaces waits for those that are Terminating and were held by objects of
// ours, in this survey or in an earlier one. What else holds one is not ours: it
// is said, and is no residue.
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
		// The hook's own Pod is in there.
		delete(held, p.o.ReleaseNamespace)
	}
	var steps []Step
	for _, name := range slices.Sorted(maps.Keys(p.s.Terminating)) {
		ns := p.s.Terminating[name]
		switch {
		case !held[name]:
		case p.history.Waited[name], name != p.o.Namespace && ns.heldByOthers():
			p.plan.Kept = append(p.plan.Kept, Finding{ns.Object, ns.Still()})
		case name == p.o.Namespace:
			steps = append(steps, Step{Await, ns.Object, ns.Still()})
		default:
			steps = append(steps, Step{Await, ns.Object, "Terminating, and was held by ARC's objects"})
		}
	}
	p.phase(PhaseNamespaces, steps)
}
