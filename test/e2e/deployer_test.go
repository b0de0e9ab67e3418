package e2e

import (
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// A deployer is a lab with a tool in it that deploys what its own objects say: HelmReleases of Flux, Applications of Argo CD.
type deployer struct {
	*lab
	kind      schema.GroupVersionResource
	namespace string
}

// createAll creates what the tool needs in the cluster.
func (d *deployer) createAll(manifests [][]byte) {
	d.Helper()
	for _, text := range manifests {
		o := &unstructured.Unstructured{}
		unmarshal(d.T, text, &o.Object)
		d.create(o)
	}
}

// object is one of the tool's; nil when it is gone.
func (d *deployer) object(name string) *unstructured.Unstructured {
	d.Helper()
	o, err := d.dynamic.Resource(d.kind).Namespace(d.namespace).Get(d.ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		d.Fatal(err)
	}
	return o
}

func (d *deployer) delete(name string) {
	d.Helper()
	if err := d.dynamic.Resource(d.kind).Namespace(d.namespace).Delete(d.ctx, name, metav1.DeleteOptions{}); err != nil {
		d.Fatal(err)
	}
}

func (d *deployer) awaitGone(name string) {
	d.Helper()
	start := time.Now()
	d.eventually(d.kind.Resource+" "+name+" is gone", func() bool { return d.object(name) == nil })
	d.Logf("%s %s is gone after %.1fs", d.kind.Resource, name, time.Since(start).Seconds())
}
