// Package identity says whose an object is, and how that was proved. It is the one
// place that weighs claims: a record, a label, an annotation counts only as far as
// whoever may write it where it stands could have done the deed without us. It does
// no I/O.
//
// Three namespaces are three things: the release's (Helm's --namespace), the one in
// which Helm stores its record, and those in which its objects are.
package identity

import (
	"cmp"
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
)

// Set is a scale set: the namespace and the name of its AutoscalingRunnerSet.
type Set = types.NamespacedName

// Name is how Helm names a release: its namespace, and its name in it.
type Name = types.NamespacedName

// Release is the Helm release that is being uninstalled, as far as it is known.
type Release struct {
	// Name is its name; empty when nobody has said it.
	Name string
	// Namespace is the release's, which the annotations of its objects name.
	Namespace string
	// Recorded says that Helm's record of it was read, where it has to be.
	Recorded bool
	// Deployments and Sets are those that its record says it installs.
	Deployments, Sets []types.NamespacedName
}

// Key is the release as the annotations of its objects name it.
func (r Release) Key() Name { return Name{Namespace: r.Namespace, Name: r.Name} }

// SetOf weighs the labels by which an object names its scale set. The namespace in
// them counts for a listener alone, and for what a listener owns, which live beside
// the controller: of anything else, which lives beside its set, whoever may write
// it could claim another team's. Names are canonical.
func SetOf(namespace string, listeners bool, labelNamespace, labelName string) Set {
	switch {
	case labelName == "":
		return Set{}
	case listeners && labelNamespace != "":
		return Set{Namespace: labelNamespace, Name: arc.ScaleSetName(labelName)}
	}
	return Set{Namespace: namespace, Name: arc.ScaleSetName(labelName)}
}

// Installed reports whether Helm installed an object with the release, as the
// object's own annotations say: whoever may write these may delete the object. It is
// no proof about any other object.
func (r Release) Installed(of Name) bool { return r.Name != "" && of == r.Key() }

// ScaleSets are the release's: those that were named, those that its record has in
// the release's namespace, and those of which objects say so where they are. claimed
// are the last; existing holds the AutoscalingRunnerSets there are, with the releases
// that they name. One that is there, and does not say the same, is not the release's
// because something beside it claims so, and one that says to be another release's
// not at all.
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

// Controller is a controller of ARC as it says of itself. That it is one its rights
// have proved: a Deployment may be made by whoever administers a namespace, they not.
type Controller struct {
	types.NamespacedName
	// Release is the one that Helm's annotations name.
	Release Name
	// Watches are the namespaces it watches; none is all.
	Watches []string
	// Leaving says that it, or its namespace, is being deleted.
	Leaving bool
}

// Hook is what the hook was rendered for, or what was named by hand.
type Hook struct {
	// ControllerNamespaces are those of the release's controllers; empty is the
	// release's.
	ControllerNamespaces []string
	// WatchNamespaces are those which the release's controllers watch; empty is all.
	WatchNamespaces []string
}

// Owns reports whether a controller is the release's.
func (r Release) Owns(c Controller, h Hook) bool {
	switch {
	case r.Recorded:
		return c.Release == r.Key() && slices.Contains(r.Deployments, c.NamespacedName)
	case r.Namespace == "":
		return false
	case !slices.Contains(h.Controllers(r), c.Namespace):
		return false
	case c.Release.Name != "" && (c.Release.Namespace != r.Namespace || r.Name != "" && c.Release.Name != r.Name):
		return false
	}
	// No record (Argo CD, helm template): a controller beside the hook is the one it
	// was rendered for, unless it watches another namespace.
	return len(c.Watches) == 0 || len(h.WatchNamespaces) == 0 ||
		slices.ContainsFunc(c.Watches, func(ns string) bool { return slices.Contains(h.WatchNamespaces, ns) })
}

// Sees reports whether the controller watches a namespace.
func (c Controller) Sees(namespace string) bool {
	return len(c.Watches) == 0 || slices.Contains(c.Watches, namespace)
}

// Controllers are the namespaces in which the release's controllers are looked for.
func (h Hook) Controllers(r Release) []string {
	if len(h.ControllerNamespaces) > 0 {
		return h.ControllerNamespaces
	}
	return []string{r.Namespace}
}

// IsOther reports whether a controller is somebody else's, that lives and may use
// ARC's CRDs.
func (r Release) IsOther(c Controller, h Hook) bool {
	return !c.Leaving && !r.Owns(c, h)
}
