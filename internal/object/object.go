// Package object is what is known of one object of the cluster, and how the kinds that
// arc-cleanup reads and writes are called. It does no I/O.
package object

import (
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

// Object is one object as it was last read. UID is its identity: an object of the same
// name made since is another object, and is never written to. There may be tens of
// thousands, so it is small, and there is one of each: plan and report point to it.
type Object struct {
	Resource        schema.GroupVersionResource
	Namespace, Name string
	UID             types.UID
	Finalizers      []string
	Deleting        bool // its deletion has begun, which nothing takes back

	// ScaleSet is the AutoscalingRunnerSet that the object says it belongs to, if any.
	ScaleSet types.NamespacedName
	// Release is the Helm release that installed the object, if Helm did.
	Release types.NamespacedName
	// Owner is the UID of its owner, where all of its owners are of ARC's group.
	Owner types.UID
	// Keep says that Helm was told to keep it.
	Keep bool
}

// String is the object as kubectl names it.
func (o Object) String() string {
	s := o.Resource.GroupResource().String() + "/" + o.Name
	if o.Namespace != "" {
		s += " in namespace " + o.Namespace
	}
	return s
}
