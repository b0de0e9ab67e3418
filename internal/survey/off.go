package survey

import (
	"context"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/arc-cleanup/arc-cleanup/internal/kube"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
)

// OffSwitch is the name of a ConfigMap in the release's namespace which, as long
// as it exists, stops a hook that runs or is retried: it ends as a success and
// writes nothing more. Once a deletion began, installers such as Flux cannot
// switch hooks off any more.
const OffSwitch = "arc-cleanup-off"

// ReadsOffSwitch is what a reading of it is called.
const ReadsOffSwitch = "the off switch"

// SwitchedOff reports whether the off switch is thrown in a namespace.
func SwitchedOff(ctx context.Context, c *kube.Client, namespace string) (bool, error) {
	_, err := c.GetMetadata(ctx, object.ConfigMaps, namespace, OffSwitch)
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	return err == nil, err
}
