package status

import (
	"context"
	"fmt"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/arc-cleanup/arc-cleanup/internal/kube"
)

// enrolling says how far the enroller is that Helm 3's post-renderer has added.
func (t *taker) enrolling(namespace, name string) Hook {
	var u *unstructured.Unstructured
	deployments := schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}
	err := kube.Retry(t.ctx, func(ctx context.Context) (err error) {
		u, err = t.client.Dynamic.Resource(deployments).Namespace(namespace).Get(ctx, name, metav1.GetOptions{})
		return err
	})
	if apierrors.IsNotFound(err) {
		return Hook{State: Absent, Why: fmt.Sprintf("its enroller, Deployment %s, is gone", name)}
	}
	var d appsv1.Deployment
	if err == nil {
		err = runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, &d)
	}
	if err != nil {
		t.unknown(fmt.Errorf("reading Deployment %s/%s: %w", namespace, name, err))
		return Hook{State: Enrolling, Why: "its enroller could not be read"}
	}
	var pods []corev1.Pod
	for _, item := range t.list(schema.GroupVersionResource{Version: "v1", Resource: "pods"}, namespace, metav1.FormatLabelSelector(d.Spec.Selector)) {
		var p corev1.Pod
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(item.Object, &p); err != nil {
			t.unknown(fmt.Errorf("reading Pod %s/%s: %w", namespace, item.GetName(), err))
			continue
		}
		pods = append(pods, p)
	}
	return explain(name, d, pods)
}

// explain says why a release has no hook yet, from its enroller's Deployment and
// Pods.
func explain(name string, d appsv1.Deployment, pods []corev1.Pod) Hook {
	if d.Spec.Replicas != nil && *d.Spec.Replicas == 0 {
		return Hook{State: Absent, Why: fmt.Sprintf("its enroller, Deployment %s, has ended without enrolling it, or the hook was taken out since", name)}
	}
	for _, p := range pods {
		for _, c := range p.Status.ContainerStatuses {
			switch {
			case c.State.Waiting != nil && c.State.Waiting.Reason != "ContainerCreating":
				why := c.State.Waiting.Reason + ": " + c.State.Waiting.Message
				if last := c.LastTerminationState.Terminated; last != nil {
					why += fmt.Sprintf(" (exit code %d: %s)", last.ExitCode, strings.TrimSpace(last.Message))
				}
				return Hook{State: Enrolling, Why: fmt.Sprintf("its enroller cannot run: Pod %s: %s", p.Name, why)}
			case c.State.Terminated != nil:
				return Hook{State: Enrolling, Why: fmt.Sprintf("its enroller failed: Pod %s: exit code %d: %s", p.Name, c.State.Terminated.ExitCode, strings.TrimSpace(c.State.Terminated.Message))}
			}
		}
		for _, c := range p.Status.Conditions {
			if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
				return Hook{State: Enrolling, Why: fmt.Sprintf("its enroller cannot run: Pod %s: %s: %s", p.Name, c.Reason, c.Message)}
			}
		}
	}
	for _, c := range d.Status.Conditions {
		if c.Type == appsv1.DeploymentReplicaFailure && c.Status == corev1.ConditionTrue {
			return Hook{State: Enrolling, Why: fmt.Sprintf("its enroller cannot run: Deployment %s: %s: %s", name, c.Reason, c.Message)}
		}
	}
	return Hook{State: Enrolling, Why: fmt.Sprintf("its enroller, Deployment %s, waits for the end of Helm", name)}
}
