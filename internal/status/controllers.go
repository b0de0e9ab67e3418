package status

import (
	"fmt"
	"slices"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/english"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
)

// controllersIn adds the controllers that a preview found, whoever has installed them: only they remove ARC's finalizers.
func (r *reader) controllersIn(planned *plan.Plan) {
	for _, c := range planned.Controllers {
		group := arc.Group
		if c.Legacy {
			group = arc.LegacyGroup
		}
		r.document.Controllers = append(r.document.Controllers, Controller{
			Namespace: c.Namespace, Name: c.Name, Group: group, Watches: append([]string{}, c.Watches...), Down: c.Down, Deleting: c.Deleting,
		})
	}
	r.noteUnproven(planned.Controllers)
}

// noteUnproven names the first Deployment that may only look like a controller: anyone can make many, for all of which the question
// fails in the same way.
func (r *reader) noteUnproven(all []plan.Controller) {
	unproven := slices.DeleteFunc(slices.Clone(all), func(c plan.Controller) bool { return c.Unproven == nil })
	if len(unproven) == 0 {
		return
	}
	first, too := unproven[0], ""
	if more := len(unproven) - 1; more > 0 {
		too = ", and so may " + english.Count(more, "other Deployment")
	}
	r.note(fmt.Errorf("the Deployment %s in namespace %s may only look like a controller%s: its rights could not be asked for: %w", first.Name, first.Namespace, too, first.Unproven))
}
