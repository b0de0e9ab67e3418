package survey

import (
	"context"
	"fmt"

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

// ReadsOffSwitch is what a reading of it is called.
const ReadsOffSwitch = "the off switch"

func SwitchedOff(ctx context.Context, c *kube.Client, namespace string) (bool, error) {
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
