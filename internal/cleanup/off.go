package cleanup

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/arc-cleanup/arc-cleanup/internal/kube"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
	"github.com/arc-cleanup/arc-cleanup/internal/survey"
)

// errOff is the cause of a context that the off switch ended.
var errOff = fmt.Errorf("switched off by the ConfigMap %s", survey.OffSwitch)

// offEvery is the time between two reads of the switch during a run.
const offEvery = 2 * time.Second

// watchOffSwitch returns a context that ends when the off switch is on, or when the hook's rights
// are gone, which a waiting run would not notice. Any other failed read changes nothing: each
// round's survey reads the switch too, and a failed read there counts as unknown.
func watchOffSwitch(ctx context.Context, c *kube.Client, o plan.Options) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	if o.ReleaseNamespace != "" {
		go func() {
			for {
				select {
				case <-ctx.Done():
					return
				case <-time.After(offEvery):
				}
				off, err := survey.SwitchedOff(ctx, c, o.ReleaseNamespace)
				switch {
				case err == nil && off:
					cancel(errOff)
				case noRights(err):
					if err := revoked(ctx, c, o); err != nil {
						cancel(err)
					}
				}
			}
		}()
	}
	return ctx, func() { cancel(errors.New("over")) }
}
