package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/arc-cleanup/arc-cleanup/internal/cleanup"
	"github.com/arc-cleanup/arc-cleanup/internal/kube"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
)

var (
	jobResource   = schema.GroupVersionResource{Group: "batch", Version: "v1", Resource: "jobs"}
	eventResource = schema.GroupVersionResource{Version: "v1", Resource: "events"}
)

func readJob(ctx context.Context, c *kube.Client, namespace, name string) (*unstructured.Unstructured, error) {
	var job *unstructured.Unstructured
	err := kube.Retry(ctx, func(ctx context.Context) (err error) {
		job, err = c.Dynamic.Resource(jobResource).Namespace(namespace).Get(ctx, name, metav1.GetOptions{})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading Job %s/%s: %w", namespace, name, err)
	}
	return job, nil
}

// jobStart is when the Job began: its first Pod's time, not this one's, so that
// all retries share one budget.
func jobStart(job *unstructured.Unstructured) (time.Time, error) {
	s, _, err := unstructured.NestedString(job.Object, "status", "startTime")
	if err != nil {
		return time.Time{}, fmt.Errorf("reading Job %s/%s: %w", job.GetNamespace(), job.GetName(), err)
	}
	start, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return time.Time{}, fmt.Errorf("reading Job %s/%s: status.startTime: %w", job.GetNamespace(), job.GetName(), err)
	}
	return start, nil
}

const (
	// eventTime bounds the writing of an Event, after everything else is over.
	eventTime = 5 * time.Second
	// eventBytes is the longest message the API server takes
	// (k8s.io/kubernetes pkg/apis/core/validation/events.go).
	eventBytes = 1024
)

// record writes the verdict as an Event of the Job, which outlives it: Helm
// deletes the Job of a hook that succeeded, with its Pod and log.
func record(c *kube.Client, job *unstructured.Unstructured, r *cleanup.Report, worked bool) error {
	ctx, cancel := context.WithTimeout(context.Background(), eventTime)
	defer cancel()
	kind := "Warning"
	if worked {
		kind = "Normal"
	}
	host, err := os.Hostname()
	if err != nil {
		return err
	}
	now := time.Now().UTC().Format(time.RFC3339)
	event := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Event",
		"metadata": map[string]any{"generateName": job.GetName() + ".", "namespace": job.GetNamespace()},
		"involvedObject": map[string]any{
			"apiVersion": job.GetAPIVersion(), "kind": job.GetKind(), "namespace": job.GetNamespace(),
			"name": job.GetName(), "uid": string(job.GetUID()),
		},
		"type": kind, "reason": reason(r.Verdict), "message": clipped(r, eventBytes),
		"source":             map[string]any{"component": "arc-cleanup", "host": host},
		"reportingComponent": "arc-cleanup", "reportingInstance": host,
		"firstTimestamp": now, "lastTimestamp": now, "count": int64(1),
	}}
	err = kube.Retry(ctx, func(ctx context.Context) error {
		_, err := c.Dynamic.Resource(eventResource).Namespace(job.GetNamespace()).Create(ctx, event, metav1.CreateOptions{})
		return err
	})
	if err != nil {
		return fmt.Errorf("creating an Event of Job %s/%s: %w", job.GetNamespace(), job.GetName(), err)
	}
	return nil
}

// reason is a verdict as Kubernetes writes reasons: out-of-time is
// CleanupOutOfTime.
func reason(v plan.Verdict) string {
	var b strings.Builder
	b.WriteString("Cleanup")
	for word := range strings.SplitSeq(string(v), "-") {
		b.WriteString(strings.ToUpper(word[:1]) + word[1:])
	}
	return b.String()
}

// clipped is a report in at most that many bytes, with the verdict: it stands at the
// end, and in a refusal at the beginning.
func clipped(r *cleanup.Report, most int) string {
	text := r.Text(terminationLines)
	if len(r.Refusals) > 0 {
		text = text[:min(len(text), most)]
	}
	return strings.ToValidUTF8(text[max(0, len(text)-most):], "")
}
