package upgrade

import (
	"context"
	"slices"
	"strconv"
)

// upgradeArgs returns Helm's arguments to upgrade a release with the values on stdin. They are the user's,
// over the defaults of the new chart.
func (h *Helm) upgradeArgs(r Release, chart []string) []string {
	args := slices.Concat([]string{"upgrade", r.Name}, chart, []string{"--namespace", r.Namespace, "--reset-values", "--values", "-"})
	if h.major == 4 {
		if r.ServerSide {
			// freeze has taken over the replicas of the Deployment.
			args = append(args, "--server-side=true", "--force-conflicts")
		} else {
			args = append(args, "--server-side=false")
		}
	}
	if r.Controller {
		args = append(args, "--wait")
	}
	return slices.Concat(args, h.postRenderer(), []string{"--timeout", h.Timeout.String()})
}

// rollbackArgs returns Helm's arguments to take a release back to the revision that was saved. Hooks of a
// record do not run: whoever may write Secrets in the namespace can write one.
func (h *Helm) rollbackArgs(r Release) []string {
	return []string{"rollback", r.Name, strconv.Itoa(r.Revision), "--namespace", r.Namespace, "--no-hooks", "--timeout", h.Timeout.String()}
}

func (h *Helm) upgrade(ctx context.Context, r Release, c Chart) error {
	_, err := h.run(ctx, h.patience(), r.values(), r.Driver, h.upgradeArgs(r, []string{c.path})...)
	return err
}

func (h *Helm) rollback(ctx context.Context, r Release) error {
	_, err := h.run(ctx, h.patience(), nil, r.Driver, h.rollbackArgs(r)...)
	return err
}
