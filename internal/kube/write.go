package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

// Target is one object as it was last read. UID is its identity: an object of
// the same name made since is another object, and is never written to.
type Target struct {
	Resource        schema.GroupVersionResource
	Namespace, Name string
	UID             types.UID
	Finalizers      []string
	Deleting        bool // its deletion has begun, which nothing takes back
}

// Create creates an object and returns what the API server made of it.
func (c *Client) Create(ctx context.Context, gvr schema.GroupVersionResource, o *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	what := gvr.GroupResource().String()
	if o.GetName() != "" { // a review has no name, and an Event gets one
		what = Target{Resource: gvr, Namespace: o.GetNamespace(), Name: o.GetName()}.String()
	}
	return retried(ctx, "creating "+what, func(ctx context.Context) (*unstructured.Unstructured, error) {
		return c.Dynamic.Resource(gvr).Namespace(o.GetNamespace()).Create(ctx, o, c.Creating())
	})
}

// Update writes an object over the one that was read: its resourceVersion says which. It returns
// what the API server made of it.
func (c *Client) Update(ctx context.Context, gvr schema.GroupVersionResource, o *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	what := Target{Resource: gvr, Namespace: o.GetNamespace(), Name: o.GetName()}.String()
	return retried(ctx, "updating "+what, func(ctx context.Context) (*unstructured.Unstructured, error) {
		return c.Dynamic.Resource(gvr).Namespace(o.GetNamespace()).Update(ctx, o, metav1.UpdateOptions{DryRun: c.dryRun})
	})
}

// Delete asks for the deletion of exactly this object. Absence, and an object
// of another UID in its place, are success. In the foreground the API server
// keeps the object until the garbage collector has deleted what it owns, also
// when its deletion has begun. The request is tried again while what hinders it
// is transient.
func (c *Client) Delete(ctx context.Context, t Target, propagation metav1.DeletionPropagation) error {
	err := Retry(ctx, func(ctx context.Context) error {
		return c.Metadata.Resource(t.Resource).Namespace(t.Namespace).Delete(ctx, t.Name, metav1.DeleteOptions{
			Preconditions:     &metav1.Preconditions{UID: &t.UID},
			PropagationPolicy: &propagation,
			DryRun:            c.dryRun,
		})
	})
	// A delete with a UID precondition conflicts only when the UID differs.
	if err != nil && !passed(err) {
		return fmt.Errorf("deleting %s: %w", t, err)
	}
	return nil
}

// turns bounds how often an object is read again that changes under our hands.
const turns = 10

// RemoveFinalizers removes those finalizers for which own is true, and no
// other. The patch tests UID and finalizers, so that whatever changed meanwhile
// makes it fail and be worked out anew from a fresh read. Absence is success.
// After a few such turns it is left to the caller to look again.
func (c *Client) RemoveFinalizers(ctx context.Context, t Target, own func(string) bool) error {
	r := c.Metadata.Resource(t.Resource).Namespace(t.Namespace)
	for turn := 1; ; turn++ {
		keep := slices.DeleteFunc(slices.Clone(t.Finalizers), own)
		if len(keep) == len(t.Finalizers) {
			return nil
		}
		operations := []map[string]any{
			{"op": "test", "path": "/metadata/uid", "value": t.UID},
			{"op": "test", "path": "/metadata/finalizers", "value": t.Finalizers},
			{"op": "replace", "path": "/metadata/finalizers", "value": keep},
		}
		if t.Deleting && len(keep) == 0 {
			// The object goes with this patch (a Pod, when its containers have ended). To work
			// out who manages which of its fields costs the API server a fifth of the time; this
			// is how it is told not to (kubernetes.io, Server-Side Apply, "Clearing managedFields").
			operations = append(operations, map[string]any{"op": "add", "path": "/metadata/managedFields", "value": []any{map[string]any{}}})
		}
		patch, err := json.Marshal(operations)
		if err != nil {
			return err
		}
		patchErr := Retry(ctx, func(ctx context.Context) error {
			_, err := r.Patch(ctx, t.Name, types.JSONPatchType, patch, metav1.PatchOptions{DryRun: c.dryRun})
			return err
		})
		switch {
		case patchErr == nil:
			return nil
		case Refused(patchErr):
			return fmt.Errorf("removing finalizers from %s: %w", t, patchErr)
		case apierrors.IsNotFound(patchErr):
			return nil
		case !apierrors.IsInvalid(patchErr) && !apierrors.IsConflict(patchErr):
			return fmt.Errorf("removing finalizers from %s: %w", t, patchErr)
		}
		// A failed test and a refused object are both "invalid": only a fresh
		// read tells them apart.
		now, err := c.GetMetadata(ctx, t.Resource, t.Namespace, t.Name)
		switch {
		case apierrors.IsNotFound(err):
			return nil
		case err != nil:
			return err
		case now.UID != t.UID:
			return nil
		case turn == turns, apierrors.IsInvalid(patchErr) && slices.Equal(now.Finalizers, t.Finalizers):
			return fmt.Errorf("removing finalizers from %s: %w", t, patchErr)
		}
		t.Finalizers, t.Deleting = now.Finalizers, now.DeletionTimestamp != nil
	}
}

// ScaleToZero sets the replicas of exactly this object to none. Absence, and an
// object of another UID in its place, are success.
func (c *Client) ScaleToZero(ctx context.Context, t Target) error {
	if err := c.merge(ctx, t, map[string]any{"metadata": map[string]any{"uid": t.UID}, "spec": map[string]any{"replicas": 0}}); err != nil {
		return fmt.Errorf("scaling %s to zero: %w", t, err)
	}
	return nil
}

// Annotate sets annotations of exactly this object; nil removes one. Absence, and
// an object of another UID in its place, are success.
func (c *Client) Annotate(ctx context.Context, t Target, annotations map[string]any) error {
	if err := c.merge(ctx, t, map[string]any{"metadata": map[string]any{"uid": t.UID, "annotations": annotations}}); err != nil {
		return fmt.Errorf("annotating %s: %w", t, err)
	}
	return nil
}

// merge patches an object, which the patch names by its UID.
func (c *Client) merge(ctx context.Context, t Target, change map[string]any) error {
	patch, err := json.Marshal(change)
	if err != nil {
		return err
	}
	err = Retry(ctx, func(ctx context.Context) error {
		_, err := c.Metadata.Resource(t.Resource).Namespace(t.Namespace).Patch(ctx, t.Name, types.MergePatchType, patch, metav1.PatchOptions{DryRun: c.dryRun})
		return err
	})
	// Without a resourceVersion a patch conflicts only when the UID differs.
	if err != nil && !passed(err) {
		return err
	}
	return nil
}

// passed reports whether a write failed because the object is gone, or another one
// has its name. A webhook may refuse with the same codes.
func passed(err error) bool {
	return !Refused(err) && (apierrors.IsNotFound(err) || apierrors.IsConflict(err))
}

// String is the object as kubectl names it.
func (t Target) String() string {
	s := t.Resource.GroupResource().String() + "/" + t.Name
	if t.Namespace != "" {
		s += " in namespace " + t.Namespace
	}
	return s
}
