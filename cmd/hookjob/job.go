package main

import (
	"context"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/arc-cleanup/arc-cleanup/internal/kube"
)

// jobStart is when the Job began: its first Pod's time, not this one's, so that
// all retries share one budget.
func jobStart(ctx context.Context, c *kube.Client, namespace, name string) (time.Time, error) {
	var job *unstructured.Unstructured
	err := kube.Retry(ctx, func(ctx context.Context) (err error) {
		job, err = c.Dynamic.Resource(schema.GroupVersionResource{Group: "batch", Version: "v1", Resource: "jobs"}).
			Namespace(namespace).Get(ctx, name, metav1.GetOptions{})
		return err
	})
	if err != nil {
		return time.Time{}, fmt.Errorf("reading Job %s/%s: %w", namespace, name, err)
	}
	s, _, err := unstructured.NestedString(job.Object, "status", "startTime")
	if err != nil {
		return time.Time{}, fmt.Errorf("reading Job %s/%s: %w", namespace, name, err)
	}
	start, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return time.Time{}, fmt.Errorf("reading Job %s/%s: status.startTime: %w", namespace, name, err)
	}
	return start, nil
}
