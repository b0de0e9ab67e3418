package plan

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/identity"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
)

// Uninstalled returns the Helm release that is being uninstalled, as far as it is known. A run by
// hand names it, because its record may be gone.
func Uninstalled(s *Survey, o Options) identity.Release {
	if s.Record == nil {
		return identity.Release{Name: o.Release, Namespace: o.ReleaseNamespace}
	}
	r := identity.Release{Name: s.Record.Name, Namespace: s.Record.Namespace, Recorded: true}
	for _, o := range s.Record.Objects {
		switch name := (types.NamespacedName{Namespace: o.Namespace, Name: o.Name}); {
		case arc.IsScaleSet(o.APIVersion, o.Kind):
			r.Sets = append(r.Sets, name)
		case o.Kind == "Deployment":
			r.Deployments = append(r.Deployments, name)
		}
	}
	return r
}

// namespaces returns those for which the hook was rendered.
func (o Options) namespaces() identity.Namespaces {
	return identity.Namespaces{ControllerNamespaces: o.ControllerNamespaces, WatchNamespaces: o.WatchNamespaces}
}

// ScaleSets returns the scale sets of the release and those that the options name. A set of the
// release may be gone: then Helm's record or the labels of other objects name it.
func ScaleSets(s *Survey, o Options) []identity.Set {
	of := Uninstalled(s, o)
	var claimed []identity.Set
	existing := map[identity.Set]identity.Name{}
	for _, obj := range slices.Concat(s.Custom, s.Protected) {
		if obj.Resource.Resource == arc.AutoscalingRunnerSets {
			existing[obj.ScaleSet] = obj.Release
		}
		if obj.ScaleSet.Name != "" && of.Installed(obj.Release) {
			claimed = append(claimed, obj.ScaleSet)
		}
	}
	return of.ScaleSets(o.Sets, claimed, existing)
}

// claims returns a controller's own statements together with what is known about it.
func (p *planner) claims(c Controller) identity.Controller {
	return identity.Controller{
		NamespacedName: types.NamespacedName{Namespace: c.Namespace, Name: c.Name},
		Release:        c.Release, Watches: c.Watches, Leaving: p.leaving(c),
	}
}

// ownsController reports whether a controller belongs to the release.
func (p *planner) ownsController(c Controller) bool {
	return p.release.Owns(p.claims(c), p.o.namespaces())
}

// Owns reports whether a controller belongs to the release that is being uninstalled.
func (s *Survey) Owns(o Options, c Controller) bool {
	p := planner{s: s, o: o, release: Uninstalled(s, o)}
	return p.ownsController(c)
}

// leaving reports whether a controller is being removed. Such a controller finishes nothing, and
// keeps nothing alive.
func (p *planner) leaving(c Controller) bool {
	_, terminating := p.s.Terminating[c.Namespace]
	return c.Deleting || terminating
}

// inRelease reports whether Helm installed the object with the release that is being uninstalled.
func (p *planner) inRelease(o *object.Object) bool { return p.release.Installed(o.Release) }

// outOfScope says why this uninstall does not touch an object; "" if the object is in scope.
func (p *planner) outOfScope(o *object.Object) string {
	// A listener and its dependents are in the controller's namespace.
	ns := cmp.Or(o.ScaleSet.Namespace, o.Namespace)
	if p.o.Scope == ScopeScaleSet {
		if p.sets[o.ScaleSet] || p.inRelease(o) {
			return ""
		}
		return "not a scale set of this release"
	}
	if p.o.Scope == ScopeNamespace {
		if ns == p.o.Namespace || o.Namespace == p.o.Namespace {
			return ""
		}
		return fmt.Sprintf("outside namespace %s", p.o.Namespace)
	}
	if gvr := o.Resource.GroupResource().String(); p.reinstalled[gvr] {
		return fmt.Sprintf("the CRD %s was installed again", gvr)
	}
	for _, c := range p.others {
		if p.claims(c).Sees(ns) {
			return fmt.Sprintf("watched by the controller %s/%s", c.Namespace, c.Name)
		}
	}
	if watched := p.o.WatchNamespaces; len(watched) > 0 && !slices.Contains(watched, ns) {
		return fmt.Sprintf("outside the namespaces which this release's controllers watch: %s", strings.Join(watched, ", "))
	}
	return ""
}

func (p *planner) inScope(objects []*object.Object) []*object.Object {
	return slices.DeleteFunc(slices.Clone(objects), func(o *object.Object) bool { return p.outOfScope(o) != "" })
}
