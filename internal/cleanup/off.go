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

// errOff is the cause of a context that the off switch has ended.
var errOff = fmt.Errorf("switched off by the ConfigMap %s", survey.OffSwitch)

// offEvery is how often the switch is looked at during a run.
const offEvery = 2 * time.Second

// heedOffSwitch returns a context which ends when the switch is thrown, or the
// hook's rights are gone, which a wait would not notice. Another look that fails
// changes nothing: every round's survey looks again, and takes nothing for absent
// that it could not read.
func heedOffSwitch(ctx context.Context, c *kube.Client, o plan.Options) (context.Context, context.CancelFunc) {
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
				case denied(err):
					if err := revoked(ctx, c, o); err != nil {
						cancel(err)
					}
				}
			}
		}()
	}
	return ctx, func() { cancel(errors.New("over")) }
}
