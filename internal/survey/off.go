package survey

import (
	"context"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/arc-cleanup/arc-cleanup/internal/kube"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
)

// OffSwitch is the name of a ConfigMap in the release's namespace. While it exists, a hook stops,
// also when it is retried: it succeeds and writes nothing more. It is needed because installers
// such as Flux cannot disable hooks once a deletion has begun.
const OffSwitch = "arc-cleanup-off"

// OffSwitchRead names the read of the off switch in Survey.Unknown.
const OffSwitchRead = "the off switch"

// SwitchedOff reports whether the off switch is on in a namespace.
func SwitchedOff(ctx context.Context, c *kube.Client, namespace string) (bool, error) {
	_, err := c.GetMetadata(ctx, object.ConfigMaps, namespace, OffSwitch)
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	return err == nil, err
}
