package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/arc-cleanup/arc-cleanup/internal/cleanup"
	"github.com/arc-cleanup/arc-cleanup/internal/kube"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
)

func readJob(ctx context.Context, c *kube.Client, namespace, name string) (*unstructured.Unstructured, error) {
	return c.Get(ctx, object.Jobs, namespace, name)
}

// jobStart returns when the Job began: the start of its first Pod. All retries share one budget from then on.
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
	// eventTime bounds the writing of the Event at the end of the run.
	eventTime = 5 * time.Second
	// eventBytes is the longest message the API server takes
	// (k8s.io/kubernetes pkg/apis/core/validation/events.go).
	eventBytes = 1024
)

// record writes the verdict as an Event of the Job. The Event outlives the Job: Helm deletes the Job of a
// hook that succeeded, with its Pod and log.
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
	if _, err := c.Create(ctx, object.Events, event); err != nil {
		return fmt.Errorf("creating an Event of Job %s/%s: %w", job.GetNamespace(), job.GetName(), err)
	}
	return nil
}

// reason returns a verdict as the reason of an Event: out-of-time becomes CleanupOutOfTime.
func reason(v plan.Verdict) string {
	var b strings.Builder
	b.WriteString("Cleanup")
	for word := range strings.SplitSeq(string(v), "-") {
		b.WriteString(strings.ToUpper(word[:1]) + word[1:])
	}
	return b.String()
}

// clipped shortens a report to at most that many bytes. It keeps the verdict, which is at the end, or in a
// refusal at the beginning.
func clipped(r *cleanup.Report, most int) string {
	text := r.Text(terminationLines)
	if len(r.Refusals) > 0 {
		text = text[:min(len(text), most)]
	}
	return strings.ToValidUTF8(text[max(0, len(text)-most):], "")
}
