package status

import (
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/arc-cleanup/arc-cleanup/internal/object"
)

// deployment and pod have what explain reads of a Deployment and a Pod. The types of k8s.io/api would be a tenth of the image.
type (
	deployment struct {
		Spec struct {
			Replicas *int32                `json:"replicas"`
			Selector *metav1.LabelSelector `json:"selector"`
		} `json:"spec"`
		Status struct {
			Conditions []condition `json:"conditions"`
		} `json:"status"`
	}
	pod struct {
		Metadata struct {
			Name string `json:"name"`
		} `json:"metadata"`
		Status struct {
			Conditions        []condition `json:"conditions"`
			ContainerStatuses []struct {
				State     containerState `json:"state"`
				LastState containerState `json:"lastState"`
			} `json:"containerStatuses"`
		} `json:"status"`
	}
	condition struct {
		Type    string `json:"type"`
		Status  string `json:"status"`
		Reason  string `json:"reason"`
		Message string `json:"message"`
	}
	containerState struct {
		Waiting *struct {
			Reason  string `json:"reason"`
			Message string `json:"message"`
		} `json:"waiting"`
		Terminated *struct {
			ExitCode int32  `json:"exitCode"`
			Message  string `json:"message"`
		} `json:"terminated"`
	}
)

// enrolling reports how far the enroller is that Helm 3's post-renderer has added to a release.
func (r *reader) enrolling(namespace, name string) HookReport {
	u, err := r.client.Get(r.ctx, object.Deployments, namespace, name)
	if apierrors.IsNotFound(err) {
		return HookReport{State: Absent, Why: fmt.Sprintf("its enroller, Deployment %s, is gone", name)}
	}
	var d deployment
	if err == nil {
		if err = runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, &d); err != nil {
			err = fmt.Errorf("reading Deployment %s/%s: %w", namespace, name, err)
		}
	}
	if err != nil {
		r.unknown(err)
		return HookReport{State: Enrolling, Why: "its enroller could not be read"}
	}
	var running []pod
	for _, item := range r.list(object.Pods, namespace, metav1.FormatLabelSelector(d.Spec.Selector)) {
		var p pod
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(item.Object, &p); err != nil {
			r.unknown(fmt.Errorf("reading Pod %s/%s: %w", namespace, item.GetName(), err))
			continue
		}
		running = append(running, p)
	}
	return explain(name, d, running)
}

// explain says why a release has no hook yet. The Deployment and its Pods are the enroller's.
func explain(name string, d deployment, pods []pod) HookReport {
	if d.Spec.Replicas != nil && *d.Spec.Replicas == 0 {
		why := fmt.Sprintf("its enroller, Deployment %s, has ended without enrolling it, or the hook was removed since", name)
		return HookReport{State: Absent, Why: why}
	}
	for _, p := range pods {
		if why := failure(p); why != "" {
			return HookReport{State: Enrolling, Why: why}
		}
	}
	for _, c := range d.Status.Conditions {
		if c.Type == "ReplicaFailure" && c.Status == "True" {
			return HookReport{State: Enrolling, Why: fmt.Sprintf("its enroller cannot run: Deployment %s: %s: %s", name, c.Reason, c.Message)}
		}
	}
	return HookReport{State: Enrolling, Why: fmt.Sprintf("its enroller, Deployment %s, waits for Helm to finish", name)}
}

// failure says why an enroller's Pod does not run; "" if it may.
func failure(p pod) string {
	for _, c := range p.Status.ContainerStatuses {
		switch {
		case c.State.Waiting != nil && c.State.Waiting.Reason != "ContainerCreating":
			why := c.State.Waiting.Reason + ": " + c.State.Waiting.Message
			if last := c.LastState.Terminated; last != nil {
				why += fmt.Sprintf(" (exit code %d: %s)", last.ExitCode, strings.TrimSpace(last.Message))
			}
			return fmt.Sprintf("its enroller cannot run: Pod %s: %s", p.Metadata.Name, why)
		case c.State.Terminated != nil:
			end := c.State.Terminated
			return fmt.Sprintf("its enroller failed: Pod %s: exit code %d: %s", p.Metadata.Name, end.ExitCode, strings.TrimSpace(end.Message))
		}
	}
	for _, c := range p.Status.Conditions {
		if c.Type == "PodScheduled" && c.Status == "False" {
			return fmt.Sprintf("its enroller cannot run: Pod %s: %s: %s", p.Metadata.Name, c.Reason, c.Message)
		}
	}
	return ""
}
