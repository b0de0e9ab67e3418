package cleanup

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/arc-cleanup/arc-cleanup/internal/survey"
)

// errOff is the cause of a context that the off switch ended.
var errOff = fmt.Errorf("switched off by the ConfigMap %s", survey.OffSwitch)

// offEvery is the time between two reads of the switch during a run.
const offEvery = 2 * time.Second

// watchOffSwitch returns a context that ends when the off switch is on, or when the rights that the
// hook had are gone, which a waiting run would not notice. Any other failed read changes nothing: each
// round's survey reads the switch too, and a failed read there counts as unknown.
func (r *run) watchOffSwitch(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	c, o := r.client, r.options
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
				case noRights(err) && r.permitted.Load():
					if err := revoked(ctx, c, o); err != nil {
						cancel(err)
					}
				}
			}
		}()
	}
	return ctx, func() { cancel(errors.New("over")) }
}
