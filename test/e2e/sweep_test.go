package e2e

import (
	"context"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
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
			l.Errorf("could not sweep away:\n%s", strings.Join(added, "\n"))
			return
		}
		for _, name := range added {
			kind, object, _ := strings.Cut(name, " ")
			l.remove(kind, object)
		}
		time.Sleep(200 * time.Millisecond)
	}
}

func (l *lab) remove(kind, object string) {
	l.Helper()
	ns, name, namespaced := strings.Cut(object, "/")
	if !namespaced {
		ns, name = "", object
	}
	r := l.metadata.Resource(l.resource(kind)).Namespace(ns)
	err := r.Delete(l.ctx, name, metav1.DeleteOptions{GracePeriodSeconds: new(int64)})
	if err != nil && !apierrors.IsNotFound(err) {
		l.Logf("sweep: deleting %s %s: %v", kind, object, err)
	}
	// Namespaces and CRDs go by themselves, when what is in them is gone.
	if kind == "namespaces" || kind == "customresourcedefinitions" {
		return
	}
	_, err = r.Patch(l.ctx, name, types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		l.Logf("sweep: freeing %s %s: %v", kind, object, err)
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
