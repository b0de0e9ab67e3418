package cleanup

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/kube"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
)

const (
	// relaxPatience is how long the API server may take to apply a changed schema. relaxEvery is
	// the time between two tries.
	relaxPatience = 15 * time.Second
	relaxEvery    = 200 * time.Millisecond
)

// free removes ARC's finalizers from an object. An object of an older version may be invalid under
// the schema of a later one, and then the API server rejects even that patch
// (actions-runner-controller#3395). If the plan deletes the CRD anyway, free relaxes its schema and
// tries again.
func (r *run) free(ctx context.Context, o *object.Object) error {
	err := r.client.RemoveFinalizers(ctx, *o, arc.IsFinalizer)
	if !apierrors.IsInvalid(err) || kube.Refused(err) {
		return err // a policy's denial has the same code
	}
	crd, deleted := r.deletedCRDs[o.Resource.GroupResource().String()]
	if !deleted {
		return err
	}
	if relaxErr := r.relax(ctx, crd); relaxErr != nil {
		return fmt.Errorf("%w; and %w", err, relaxErr)
	}
	for deadline := time.Now().Add(relaxPatience); apierrors.IsInvalid(err) && time.Now().Before(deadline); {
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", context.Cause(ctx), err)
		case <-time.After(relaxEvery):
		}
		err = r.client.RemoveFinalizers(ctx, *o, arc.IsFinalizer)
	}
	return err
}

// relax makes a CRD's schema accept every object, once in a run.
func (r *run) relax(ctx context.Context, crd *object.Object) error {
	r.relaxing.Lock()
	defer r.relaxing.Unlock()
	if r.relaxed[crd.UID] {
		return nil
	}
	u, err := r.client.Get(ctx, object.CRDs, "", crd.Name)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	patch, err := relaxation(u, crd.UID)
	if err != nil {
		return fmt.Errorf("reading %s: %w", crd, err)
	}
	err = kube.Retry(ctx, func(ctx context.Context) error {
		_, err := r.client.Metadata.Resource(object.CRDs).Patch(ctx, crd.Name, types.JSONPatchType, patch, metav1.PatchOptions{})
		return err
	})
	if err != nil {
		return fmt.Errorf("relaxing the schema of %s: %w", crd, err)
	}
	if r.relaxed == nil {
		r.relaxed = map[types.UID]bool{}
	}
	r.relaxed[crd.UID] = true
	r.log.Warn().Stringer("object", crd).Msg("relaxed the CRD's schema, because its objects do not fit it and the CRD is about to be deleted")
	r.mu.Lock()
	defer r.mu.Unlock()
	r.report.Done = append(r.report.Done, plan.Step{Action: plan.Relax, Object: crd})
	return nil
}

// relaxation returns the JSON patch that makes this CRD, identified by its UID, accept every object
// in all versions.
func relaxation(crd *unstructured.Unstructured, uid types.UID) ([]byte, error) {
	versions, _, err := unstructured.NestedSlice(crd.Object, "spec", "versions")
	if err != nil {
		return nil, err
	}
	patch := []map[string]any{{"op": "test", "path": "/metadata/uid", "value": uid}}
	for i, v := range versions {
		version, _ := v.(map[string]any)
		at := fmt.Sprintf("/spec/versions/%d/", i)
		patch = append(patch, map[string]any{"op": "replace", "path": at + "schema", "value": map[string]any{
			"openAPIV3Schema": map[string]any{"type": "object", "x-kubernetes-preserve-unknown-fields": true},
		}})
		// Selectable fields must be in the schema.
		if version["selectableFields"] != nil {
			patch = append(patch, map[string]any{"op": "remove", "path": at + "selectableFields"})
		}
	}
	return json.Marshal(patch)
}
