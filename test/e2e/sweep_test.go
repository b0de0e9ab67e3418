package e2e

import (
	"context"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/test/product"
)

// sweep is the brute force that the product must not be: whatever a test added
// goes, finalizers or not, so that tests do not depend on each other.
func (l *lab) sweep() {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(l.ctx), time.Minute)
	defer cancel()
	l.ctx = ctx
	for {
		added := l.added()
		if len(added) == 0 {
			return
		}
		if ctx.Err() != nil {
			l.Errorf("could not sweep away:\n%s", lines(added))
			return
		}
		for _, o := range added {
			l.remove(o)
		}
		time.Sleep(200 * time.Millisecond)
	}
}

func (l *lab) remove(o product.Object) {
	l.Helper()
	r := l.metadata.Resource(l.resource(o.Resource)).Namespace(o.Namespace)
	err := r.Delete(l.ctx, o.Name, metav1.DeleteOptions{GracePeriodSeconds: new(int64)})
	if err != nil && !apierrors.IsNotFound(err) {
		l.Logf("sweep: deleting %s: %v", o, err)
	}
	// Namespaces and CRDs go by themselves, when what is in them is gone.
	if o.Resource == "namespaces" || o.Resource == "customresourcedefinitions" {
		return
	}
	_, err = r.Patch(l.ctx, o.Name, types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		l.Logf("sweep: freeing %s: %v", o, err)
	}
}

// resource finds the group and version of a kind.
func (l *lab) resource(kind string) schema.GroupVersionResource {
	l.Helper()
	lists, err := l.client.Discovery().ServerPreferredResources()
	if err != nil {
		l.Fatalf("discovering the API: %v", err)
	}
	for _, list := range lists {
		for _, r := range list.APIResources {
			if r.Name == kind {
				gv, err := schema.ParseGroupVersion(list.GroupVersion)
				if err != nil {
					l.Fatal(err)
				}
				return gv.WithResource(kind)
			}
		}
	}
	return schema.GroupVersionResource{Resource: kind, Version: "v1"}
}
