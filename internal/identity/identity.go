// Package identity decides to whom an object belongs, and what proves it. No other package weighs
// claims: a record, a label or an annotation counts only if everyone who may write it there could
// also have done without arc-cleanup what arc-cleanup does because of it. The package does no I/O.
//
// There are three kinds of namespaces: the release's namespace (Helm's --namespace), the namespace
// in which Helm stores the release's record, and the namespaces of the release's objects.
package identity

import (
	"cmp"
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
)

// Set is a scale set: the namespace and the name of its AutoscalingRunnerSet.
type Set = types.NamespacedName

// Name identifies a Helm release by its namespace and its name.
type Name = types.NamespacedName

// Release is the Helm release that is being uninstalled, as far as it is known.
type Release struct {
	// Name is the release's name; empty if it is not known.
	Name string
	// Namespace is the release's namespace, which its objects' annotations name.
	Namespace string
	// Recorded says that Helm's record was read, where a run requires it.
	Recorded bool
	// Deployments and Sets are the Deployments and AutoscalingRunnerSets in its record.
	Deployments, Sets []types.NamespacedName
}

// Key returns the release as the annotations of its objects name it.
func (r Release) Key() Name { return Name{Namespace: r.Namespace, Name: r.Name} }

// SetOf returns the scale set that an object's labels name. The namespace in the labels counts only
// for a listener and its dependents, which are in the controller's namespace. Every other object is
// in its set's namespace; if the label counted there, anyone who may write the object could claim
// another team's set. The returned name is canonical.
func SetOf(namespace string, listeners bool, labelNamespace, labelName string) Set {
	switch {
	case labelName == "":
		return Set{}
	case listeners && labelNamespace != "":
		return Set{Namespace: labelNamespace, Name: arc.ScaleSetName(labelName)}
	}
	return Set{Namespace: namespace, Name: arc.ScaleSetName(labelName)}
}

// Installed reports whether the release installed an object, according to the object's own
// annotations. Whoever may write these may also delete the object. They prove nothing about any
// other object.
func (r Release) Installed(of Name) bool { return r.Name != "" && of == r.Key() }

// ScaleSets returns the scale sets of the release: the named ones, those of its record in the
// release's namespace, and the claimed ones, which objects beside them assign to the release.
// existing holds the AutoscalingRunnerSets that exist, with the releases that they name. A claim
// counts for an existing set only if the set names the same release, and a set that names another
// release is never included.
func (r Release) ScaleSets(named, claimed []Set, existing map[Set]Name) []Set {
	sets := slices.Clone(named)
	for _, set := range r.Sets {
		if set.Namespace == r.Namespace {
			sets = append(sets, set)
		}
	}
	for _, set := range claimed {
		if of, there := existing[set]; !there || of == r.Key() {
			sets = append(sets, set)
		}
	}
	sets = slices.DeleteFunc(sets, func(set Set) bool {
		of := existing[set]
		return r.Name != "" && of.Name != "" && of != r.Key()
	})
	slices.SortFunc(sets, func(a, b Set) int { return cmp.Compare(a.String(), b.String()) })
	return slices.Compact(sets)
}

// Controller is what a controller of ARC says about itself. Its rights have proved that it is a
// controller: anyone who administers a namespace can create a Deployment there, but cannot grant
// these rights.
type Controller struct {
	types.NamespacedName
	// Release is the release that Helm's annotations name.
	Release Name
	// Watches are the namespaces that it watches; empty for all.
	Watches []string
	// Leaving says that the controller or its namespace is being deleted.
	Leaving bool
}

// Namespaces holds the namespaces for which the hook was rendered, or that a run by hand names.
type Namespaces struct {
	// ControllerNamespaces are the namespaces of the release's controllers; empty for the release's
	// namespace.
	ControllerNamespaces []string
	// WatchNamespaces are the namespaces that the release's controllers watch; empty for all.
	WatchNamespaces []string
}

// Owns reports whether a controller belongs to the release.
func (r Release) Owns(c Controller, h Namespaces) bool {
	switch {
	case r.Recorded:
		return c.Release == r.Key() && slices.Contains(r.Deployments, c.NamespacedName)
	case r.Namespace == "":
		return false
	case !slices.Contains(h.Controllers(r.Namespace), c.Namespace):
		return false
	case c.Release.Name != "" && (c.Release.Namespace != r.Namespace || r.Name != "" && c.Release.Name != r.Name):
		return false
	}
	// Without a record (Argo CD, helm template), a controller beside the hook counts as the one for
	// which the hook was rendered, unless it watches another namespace.
	return len(c.Watches) == 0 || len(h.WatchNamespaces) == 0 ||
		slices.ContainsFunc(c.Watches, func(ns string) bool { return slices.Contains(h.WatchNamespaces, ns) })
}

// Sees reports whether the controller watches a namespace.
func (c Controller) Sees(namespace string) bool {
	return len(c.Watches) == 0 || slices.Contains(c.Watches, namespace)
}

// Controllers returns the namespaces to search for the controllers of a release in this namespace.
func (h Namespaces) Controllers(release string) []string {
	if len(h.ControllerNamespaces) > 0 {
		return h.ControllerNamespaces
	}
	return []string{release}
}

// IsOther reports whether a controller belongs to another release, and may still use ARC's CRDs.
func (r Release) IsOther(c Controller, h Namespaces) bool {
	return !c.Leaving && !r.Owns(c, h)
}
