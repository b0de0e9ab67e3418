// Package object describes one object of the cluster, and names the kinds that arc-cleanup reads
// and writes. It does no I/O.
package object

import (
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

// Object is one object as it was last read. Its UID identifies it: a new object with the same name
// is another object, to which arc-cleanup never writes. A cluster may have tens of thousands, so an
// Object is small and exists once: plans and reports point to it.
type Object struct {
	Resource        schema.GroupVersionResource
	Namespace, Name string
	UID             types.UID
	Finalizers      []string
	Deleting        bool // its deletion has begun, which cannot be undone

	// ScaleSet is the AutoscalingRunnerSet that the object's labels name, if any.
	ScaleSet types.NamespacedName
	// Release is the Helm release that installed the object, if Helm did.
	Release types.NamespacedName
	// Owner is the UID of its owner, if all its owners are in ARC's group.
	Owner types.UID
	// Keep says that Helm was told to keep the object.
	Keep bool
}

// String returns the object as kubectl names it.
func (o Object) String() string {
	s := o.Resource.GroupResource().String() + "/" + o.Name
	if o.Namespace != "" {
		s += " in namespace " + o.Namespace
	}
	return s
}
