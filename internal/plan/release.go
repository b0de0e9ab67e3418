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

// Uninstalled is the Helm release being uninstalled, as far as it is known: by
// hand it is named, and its record may be gone already.
func Uninstalled(s *Survey, o Options) identity.Release {
	if s.Record == nil {
		return identity.Release{Name: o.Release, Namespace: o.ReleaseNamespace}
	}
	return identity.Release{
		Name: s.Record.Name, Namespace: s.Record.Namespace, Recorded: true,
		Deployments: s.Record.Deployments, Sets: s.Record.Sets,
	}
}

// hook is what the hook was rendered for.
func (o Options) hook() identity.Hook {
	return identity.Hook{ControllerNamespaces: o.ControllerNamespaces, WatchNamespaces: o.WatchNamespaces}
}

// ScaleSets are those of the release, whether they still exist (by what Helm has
// recorded) or objects of them say so, and those named in the options.
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

// claims are what a controller says of itself, and what is known of it.
func (p *planner) claims(c Controller) identity.Controller {
	return identity.Controller{
		NamespacedName: types.NamespacedName{Namespace: c.Namespace, Name: c.Name},
		Release:        c.Release, Watches: c.Watches, Leaving: p.leaving(c),
	}
}

// ours reports whether a controller is the release's.
func (p *planner) ours(c Controller) bool { return p.release.Owns(p.claims(c), p.o.hook()) }

// Owns reports whether a controller is that of the release which is being uninstalled.
func (s *Survey) Owns(o Options, c Controller) bool {
	p := planner{s: s, o: o, release: Uninstalled(s, o)}
	return p.ours(c)
}

// leaving reports whether a controller is on its way out: it neither finishes
// anything nor has a claim on anything.
func (p *planner) leaving(c Controller) bool {
	_, terminating := p.s.Terminating[c.Namespace]
	return c.Deleting || terminating
}

// inRelease reports whether Helm installed the object with the release that is
// being uninstalled.
func (p *planner) inRelease(o *object.Object) bool { return p.release.Installed(o.Release) }

// outOfScope says why an object is none of this uninstall's business; "" means
// that it is.
func (p *planner) outOfScope(o *object.Object) string {
	// A listener, and what it owns, is beside its controller.
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
