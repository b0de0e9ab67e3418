package cleanup

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/arc-cleanup/arc-cleanup/internal/kube"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
)

// OffSwitch is the name of a ConfigMap in the release's namespace which, as long
// as it exists, stops a hook that runs or is retried: it ends as a success and
// writes nothing more. Once a deletion began, installers such as Flux cannot
// switch hooks off any more.
const OffSwitch = "arc-cleanup-off"

// theOffSwitch is what a reading of it is called.
const theOffSwitch = "the off switch"

// errOff is the cause of a context that the off switch has ended.
var errOff = fmt.Errorf("switched off by the ConfigMap %s", OffSwitch)

// offEvery is how often the switch is looked at during a run.
const offEvery = 2 * time.Second

func switchedOff(ctx context.Context, c *kube.Client, namespace string) (bool, error) {
	err := kube.Retry(ctx, func(ctx context.Context) error {
		_, err := c.Metadata.Resource(object.ConfigMaps).Namespace(namespace).Get(ctx, OffSwitch, metav1.GetOptions{})
		return err
	})
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("reading ConfigMap %s/%s: %w", namespace, OffSwitch, err)
	}
	return true, nil
}

// heedOffSwitch returns a context which ends when the switch is thrown, or the
// hook's rights are gone, which a wait would not notice. Another look that fails
// changes nothing: every round's survey looks again, and takes nothing for absent
// that it could not read.
func heedOffSwitch(ctx context.Context, c *kube.Client, o Options) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	if o.ReleaseNamespace != "" {
		go func() {
			for {
				select {
				case <-ctx.Done():
					return
				case <-time.After(offEvery):
				}
				off, err := switchedOff(ctx, c, o.ReleaseNamespace)
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
