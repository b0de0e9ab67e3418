package harness

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
)

// clearTime bounds Clear.
const clearTime = time.Minute

// Clear is the brute force that the product must not be: whatever was not there
// before goes, finalizers or not, so that tests do not depend on each other.
func Clear(ctx context.Context, config *rest.Config, before map[Object]bool) error {
	ctx, cancel := context.WithTimeout(ctx, clearTime)
	defer cancel()
	client, err := metadata.NewForConfig(config)
	if err != nil {
		return err
	}
	var failed error
	for {
		now, err := Inventory(ctx, config)
		if err != nil {
			return fmt.Errorf("clearing: %w", err)
		}
		added := Added(before, now)
		if len(added) == 0 {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("could not clear away:\n%s(%w)", Lines(added), failed)
		}
		kinds, err := Kinds(config)
		if err != nil {
			return fmt.Errorf("clearing: %w", err)
		}
		for _, o := range added {
			i := slices.IndexFunc(kinds, func(k Kind) bool { return k.Resource == o.Resource })
			if i < 0 {
				continue // its CRD has gone, and it with it
			}
			if err := remove(ctx, client.Resource(kinds[i].GroupVersionResource).Namespace(o.Namespace), o); err != nil {
				failed = fmt.Errorf("clearing %s away: %w", o, err)
			}
		}
		time.Sleep(200 * time.Millisecond)
	}
}

func remove(ctx context.Context, r metadata.ResourceInterface, o Object) error {
	err := r.Delete(ctx, o.Name, metav1.DeleteOptions{GracePeriodSeconds: new(int64)})
	// Namespaces and CRDs go by themselves, when what is in them is gone.
	if err == nil && o.Resource != "namespaces" && o.Resource != "customresourcedefinitions" {
		_, err = r.Patch(ctx, o.Name, types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`), metav1.PatchOptions{})
	}
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// Added lists what is there now and was not before, in order.
func Added(before, now map[Object]bool) []Object {
	var out []Object
	for o := range now {
		if !before[o] {
			out = append(out, o)
		}
	}
	slices.SortFunc(out, func(a, b Object) int { return strings.Compare(a.String(), b.String()) })
	return out
}

// Lines is one line for each object.
func Lines(objects []Object) string {
	var b strings.Builder
	for _, o := range objects {
		fmt.Fprintf(&b, "  %s\n", o)
	}
	return b.String()
}
