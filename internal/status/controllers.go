package status

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/kube"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
	"github.com/arc-cleanup/arc-cleanup/internal/survey"
)

// controllers reports ARC's controllers and legacy controllers, whoever has installed them: only they remove ARC's finalizers.
func (r *reader) controllers() {
	r.controllersOf(arc.Group, func(ctx context.Context, c *kube.Client) ([]plan.Controller, error) {
		return survey.Controllers(ctx, c, plan.AllNamespaces)
	})
	if !r.withoutLegacy() {
		r.controllersOf(arc.LegacyGroup, survey.LegacyControllers)
	}
	slices.SortFunc(r.document.Controllers, func(a, b Controller) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
}

func (r *reader) controllersOf(group string, find func(context.Context, *kube.Client) ([]plan.Controller, error)) {
	found, err := find(r.ctx, r.client)
	if err != nil {
		r.unknown(fmt.Errorf("looking for controllers of %s: %w", group, err))
	}
	for _, c := range found {
		if c.Unproven != nil {
			r.note(fmt.Errorf("whether the Deployment %s in namespace %s has a controller's rights: %w", c.Name, c.Namespace, c.Unproven))
		}
		r.document.Controllers = append(r.document.Controllers, Controller{
			Namespace: c.Namespace, Name: c.Name, Group: group, Watches: append([]string{}, c.Watches...), Down: c.Down, Deleting: c.Deleting,
		})
	}
}
