package release

import (
	"context"
	"errors"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/arc-cleanup/arc-cleanup/internal/helm"
	"github.com/arc-cleanup/arc-cleanup/internal/kube"
)

// Fail records that the newest revision of a release has failed, if it is pending. A Helm that was killed
// leaves it pending, and `helm upgrade` refuses to go on. The caller has to know that no Helm is at work on
// it.
func Fail(ctx context.Context, c *kube.Client, namespace, name string) error {
	var failed error
	err := each(ctx, c, namespace, name, func(r *helm.Record, holder *unstructured.Unstructured, err error) {
		if err == nil && !r.StoredElsewhere() && r.Status.Pending() {
			err = fail(ctx, c, r, holder)
		}
		failed = errors.Join(failed, err)
	})
	return errors.Join(err, failed)
}

func fail(ctx context.Context, c *kube.Client, r *helm.Record, holder *unstructured.Unstructured) error {
	data, err := r.EncodeAs(helm.Failed)
	if err != nil {
		return err
	}
	if err := putRecord(holder, data); err != nil {
		return err
	}
	labels := holder.GetLabels()
	labels["status"] = string(helm.Failed)
	holder.SetLabels(labels)
	_, err = c.Update(ctx, r.Storage[len(r.Storage)-1].Resource, holder)
	return err
}
