package plan

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
)

// hasFinisher reports whether a running controller will finish the deletion of an object. The
// controller must watch the object's namespace or, for a listener, its scale set's.
func (p *planner) hasFinisher(o *object.Object) bool {
	return p.hasFinisherIn(cmp.Or(o.ScaleSet.Namespace, o.Namespace), isLegacy(o))
}

// isLegacy reports whether the legacy controller finishes the object: legacy custom resources, and
// the Pods of their runners.
func isLegacy(o *object.Object) bool {
	return o.Resource.Group == arc.LegacyGroup || o.Resource == object.Pods
}

// hasFinisherIn reports whether a running controller of the given group finishes deletions in a
// namespace.
func (p *planner) hasFinisherIn(namespace string, legacy bool) bool {
	return slices.ContainsFunc(p.s.Controllers, func(c Controller) bool {
		if c.Legacy != legacy || c.Down != "" || p.leaving(c) || c.LockedOut[namespace] || !p.claims(c).Sees(namespace) {
			return false
		}
		return !p.o.RemovesCRDs() || p.ownsController(c)
	})
}

// whyNoFinisher says why no controller will finish an object; "" if one will.
func (p *planner) whyNoFinisher(o *object.Object) string {
	if p.hasFinisher(o) {
		return ""
	}
	for _, c := range p.s.Controllers {
		switch {
		case c.Legacy != isLegacy(o), p.o.RemovesCRDs() && !p.ownsController(c), p.leaving(c):
		case c.Down != "":
			return fmt.Sprintf("the controller %s/%s %s", c.Namespace, c.Name, c.Down)
		case c.LockedOut[cmp.Or(o.ScaleSet.Namespace, o.Namespace)]:
			return fmt.Sprintf("the controller %s/%s has no rights there any more", c.Namespace, c.Name)
		}
	}
	return "no controller to do it"
}
