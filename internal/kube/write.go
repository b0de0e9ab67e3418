package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/arc-cleanup/arc-cleanup/internal/object"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

// Create creates an object and returns what the API server made of it.
func (c *Client) Create(
	ctx context.Context, gvr schema.GroupVersionResource, o *unstructured.Unstructured,
) (*unstructured.Unstructured, error) {
	what := gvr.GroupResource().String()
	if o.GetName() != "" { // a review has no name, and an Event gets one
		what = object.Object{Resource: gvr, Namespace: o.GetNamespace(), Name: o.GetName()}.String()
	}
	return retried(ctx, "creating "+what, func(ctx context.Context) (*unstructured.Unstructured, error) {
		return c.Dynamic.Resource(gvr).Namespace(o.GetNamespace()).Create(ctx, o, c.creating())
	})
}

// Update writes an object over the one that was read: its resourceVersion says which. It returns
// what the API server made of it.
func (c *Client) Update(
	ctx context.Context, gvr schema.GroupVersionResource, o *unstructured.Unstructured,
) (*unstructured.Unstructured, error) {
	what := object.Object{Resource: gvr, Namespace: o.GetNamespace(), Name: o.GetName()}.String()
	return retried(ctx, "updating "+what, func(ctx context.Context) (*unstructured.Unstructured, error) {
		return c.Dynamic.Resource(gvr).Namespace(o.GetNamespace()).Update(ctx, o, metav1.UpdateOptions{DryRun: c.dryRun})
	})
}

// Apply applies an object on the server's side, as a field manager. It takes over fields of other managers.
func (c *Client) Apply(ctx context.Context, gvr schema.GroupVersionResource, o *unstructured.Unstructured, manager string) error {
	what := object.Object{Resource: gvr, Namespace: o.GetNamespace(), Name: o.GetName()}.String()
	_, err := retried(ctx, "applying "+what, func(ctx context.Context) (*unstructured.Unstructured, error) {
		return c.Dynamic.Resource(gvr).Namespace(o.GetNamespace()).Apply(ctx, o.GetName(), o,
			metav1.ApplyOptions{FieldManager: manager, Force: true, DryRun: c.dryRun})
	})
	return err
}

// Delete asks for the deletion of exactly this object. It succeeds if the object is gone, or if another
// object has its name. With foreground propagation, the API server keeps the object until the garbage
// collector has deleted its dependents, also if its deletion has begun before. Delete retries transient
// errors.
func (c *Client) Delete(ctx context.Context, t object.Object, propagation metav1.DeletionPropagation) error {
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

// DeleteUnchanged asks for the deletion of exactly this object as it was read: its resourceVersion says
// when. It reports whether the API server took the request; it did not if the object is gone, has changed,
// or if another object has its name.
func (c *Client) DeleteUnchanged(ctx context.Context, t object.Object, resourceVersion string) (bool, error) {
	background := metav1.DeletePropagationBackground
	err := Retry(ctx, func(ctx context.Context) error {
		return c.Metadata.Resource(t.Resource).Namespace(t.Namespace).Delete(ctx, t.Name, metav1.DeleteOptions{
			Preconditions:     &metav1.Preconditions{UID: &t.UID, ResourceVersion: &resourceVersion},
			PropagationPolicy: &background,
			DryRun:            c.dryRun,
		})
	})
	if err != nil && !passed(err) {
		return false, fmt.Errorf("deleting %s: %w", t, err)
	}
	return err == nil, nil
}

// turns bounds how often an object that keeps changing is read again.
const turns = 10

// RemoveFinalizers removes the finalizers for which own is true, and no others. The patch tests UID and
// finalizers: if either has changed, the patch fails, and RemoveFinalizers tries again after a fresh
// read. It succeeds if the object is gone. It gives up after a few turns; the caller may look again.
func (c *Client) RemoveFinalizers(ctx context.Context, t object.Object, own func(string) bool) error {
	r := c.Metadata.Resource(t.Resource).Namespace(t.Namespace)
	for turn := 1; ; turn++ {
		keep := slices.DeleteFunc(slices.Clone(t.Finalizers), own)
		if len(keep) == len(t.Finalizers) {
			return nil
		}
		patch, err := finalizerPatch(t, keep)
		if err != nil {
			return err
		}
		patchErr := Retry(ctx, func(ctx context.Context) error {
			_, err := r.Patch(ctx, t.Name, types.JSONPatchType, patch, metav1.PatchOptions{DryRun: c.dryRun})
			return err
		})
		switch {
		case patchErr == nil, apierrors.IsNotFound(patchErr) && !Refused(patchErr):
			return nil
		case Refused(patchErr), !apierrors.IsInvalid(patchErr) && !apierrors.IsConflict(patchErr):
			return fmt.Errorf("removing finalizers from %s: %w", t, patchErr)
		}
		// A failed test and a refused object are both "invalid": only a fresh read tells them apart.
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

// finalizerPatch is the JSON patch that leaves an object only the finalizers in keep.
func finalizerPatch(t object.Object, keep []string) ([]byte, error) {
	operations := []map[string]any{
		{"op": "test", "path": "/metadata/uid", "value": t.UID},
		{"op": "test", "path": "/metadata/finalizers", "value": t.Finalizers},
		{"op": "replace", "path": "/metadata/finalizers", "value": keep},
	}
	if t.Deleting && len(keep) == 0 {
		// This patch ends the object (a Pod, when its containers have ended). Field-manager bookkeeping
		// would be a fifth of the patch's cost; this tells the API server to leave it out (kubernetes.io,
		// Server-Side Apply, "Clearing managedFields").
		operations = append(operations, map[string]any{"op": "add", "path": "/metadata/managedFields", "value": []any{map[string]any{}}})
	}
	return json.Marshal(operations)
}

// ScaleToZero sets the replicas of exactly this object to 0. It succeeds if the object is gone, or if
// another object has its name.
func (c *Client) ScaleToZero(ctx context.Context, t object.Object) error { return c.Scale(ctx, t, 0) }

// Scale sets the replicas of exactly this object. It succeeds as ScaleToZero does.
func (c *Client) Scale(ctx context.Context, t object.Object, replicas int32) error {
	change := map[string]any{"metadata": map[string]any{"uid": t.UID}, "spec": map[string]any{"replicas": replicas}}
	if err := c.merge(ctx, t, change); err != nil {
		return fmt.Errorf("scaling %s to %d: %w", t, replicas, err)
	}
	return nil
}

// Annotate sets annotations of exactly this object; nil removes one. It succeeds if the object is gone, or
// if another object has its name.
func (c *Client) Annotate(ctx context.Context, t object.Object, annotations map[string]any) error {
	if err := c.merge(ctx, t, map[string]any{"metadata": map[string]any{"uid": t.UID, "annotations": annotations}}); err != nil {
		return fmt.Errorf("annotating %s: %w", t, err)
	}
	return nil
}

// merge patches an object. The patch names its UID.
func (c *Client) merge(ctx context.Context, t object.Object, change map[string]any) error {
	patch, err := json.Marshal(change)
	if err != nil {
		return err
	}
	r := c.Metadata.Resource(t.Resource).Namespace(t.Namespace)
	err = Retry(ctx, func(ctx context.Context) error {
		_, err := r.Patch(ctx, t.Name, types.MergePatchType, patch, metav1.PatchOptions{DryRun: c.dryRun})
		return err
	})
	// Without a resourceVersion a patch conflicts only when the UID differs.
	if err != nil && !passed(err) {
		return err
	}
	return nil
}

// passed reports whether a write failed because the object is gone, or because another one has its name. A
// webhook may refuse with the same codes.
func passed(err error) bool {
	return !Refused(err) && (apierrors.IsNotFound(err) || apierrors.IsConflict(err))
}
