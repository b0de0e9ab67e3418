package status

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/arc-cleanup/arc-cleanup/internal/helm"
)

func TestExplain(t *testing.T) {
	t.Parallel()
	scaled := func(replicas int32, conditions ...appsv1.DeploymentCondition) appsv1.Deployment {
		return appsv1.Deployment{Spec: appsv1.DeploymentSpec{Replicas: &replicas}, Status: appsv1.DeploymentStatus{Conditions: conditions}}
	}
	pods := func(s corev1.PodStatus) []corev1.Pod {
		return []corev1.Pod{{ObjectMeta: metav1.ObjectMeta{Name: "p"}, Status: s}}
	}
	container := func(now, last corev1.ContainerState) []corev1.Pod {
		return pods(corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{State: now, LastTerminationState: last}}})
	}
	waiting := func(reason, message string) corev1.ContainerState {
		return corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}
	}
	ended := corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 5, Message: "forbidden\n"}}
	tests := map[string]struct {
		d    appsv1.Deployment
		pods []corev1.Pod
		want HookReport
	}{
		"no Pod yet":          {scaled(1), nil, HookReport{State: Enrolling, Why: "its enroller, Deployment e, waits for Helm to finish"}},
		"it runs":             {scaled(1), container(corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}, corev1.ContainerState{}), HookReport{State: Enrolling, Why: "its enroller, Deployment e, waits for Helm to finish"}},
		"being started":       {scaled(1), container(waiting("ContainerCreating", ""), corev1.ContainerState{}), HookReport{State: Enrolling, Why: "its enroller, Deployment e, waits for Helm to finish"}},
		"ended":               {scaled(0), nil, HookReport{State: Absent, Why: "its enroller, Deployment e, has ended without enrolling it, or the hook was removed since"}},
		"no image":            {scaled(1), container(waiting("ErrImagePull", "not found"), corev1.ContainerState{}), HookReport{State: Enrolling, Why: "its enroller cannot run: Pod p: ErrImagePull: not found"}},
		"again and again":     {scaled(1), container(waiting("CrashLoopBackOff", "back-off"), ended), HookReport{State: Enrolling, Why: "its enroller cannot run: Pod p: CrashLoopBackOff: back-off (exit code 5: forbidden)"}},
		"failed just now":     {scaled(1), container(ended, corev1.ContainerState{}), HookReport{State: Enrolling, Why: "its enroller failed: Pod p: exit code 5: forbidden"}},
		"no node":             {scaled(1), pods(corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: "Unschedulable", Message: "0/1 nodes"}}}), HookReport{State: Enrolling, Why: "its enroller cannot run: Pod p: Unschedulable: 0/1 nodes"}},
		"Pods are not let in": {scaled(1, appsv1.DeploymentCondition{Type: appsv1.DeploymentReplicaFailure, Status: corev1.ConditionTrue, Reason: "FailedCreate", Message: "quota"}), nil, HookReport{State: Enrolling, Why: "its enroller cannot run: Deployment e: FailedCreate: quota"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var pods []pod
			for _, p := range test.pods {
				pods = append(pods, asRead[pod](t, &p))
			}
			if diff := cmp.Diff(test.want, explain("e", asRead[deployment](t, &test.d), pods)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// asRead returns of an object of the API what is read of it.
func asRead[T any](t *testing.T, o any) (read T) {
	t.Helper()
	u, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o)
	if err = errors.Join(err, runtime.DefaultUnstructuredConverter.FromUnstructured(u, &read)); err != nil {
		t.Fatal(err)
	}
	return read
}

// The status of an enroller is read from its Deployment and its Pods.
func TestEnrolling(t *testing.T) {
	t.Parallel()
	enroller := record{name: "arc", namespace: "ns", status: helm.Deployed, manifest: set +
		"---\nkind: ConfigMap\nmetadata: {name: e, labels: {app.kubernetes.io/name: arc-cleanup, app.kubernetes.io/component: enroller}}\ndata: {hooks.json: '[]'}\n"}
	object := func(name, field string, value any) map[string]any {
		version, kind := "v1", "Pod"
		if field == "spec" {
			version, kind = "apps/v1", "Deployment"
		}
		return map[string]any{"apiVersion": version, "kind": kind, "metadata": map[string]any{"name": name, "namespace": "ns", "labels": map[string]string{"app": "e"}}, field: value}
	}
	runs := object("e", "spec", map[string]any{"replicas": 1, "selector": map[string]any{"matchLabels": map[string]any{"app": "e"}}})
	failed := object("p", "status", map[string]any{"containerStatuses": []any{map[string]any{
		"state": map[string]any{"terminated": map[string]any{"exitCode": 6, "message": "no right"}},
	}}})
	const waits = "its enroller, Deployment e, waits for Helm to finish"
	tests := map[string]struct {
		more    []map[string]any
		fail    map[string]int
		want    HookReport
		unknown string
	}{
		"it waits":      {[]map[string]any{runs}, nil, HookReport{State: Enrolling, Why: waits}, ""},
		"its Pod fails": {[]map[string]any{runs, failed}, nil, HookReport{State: Enrolling, Why: "its enroller failed: Pod p: exit code 6: no right"}, ""},
		"it is gone":    {[]map[string]any{}, nil, HookReport{State: Absent, Why: "its enroller, Deployment e, is gone"}, ""},
		"no right to read it": {
			nil,
			map[string]int{"GET deploy ns/e": http.StatusForbidden},
			HookReport{State: Enrolling, Why: "its enroller could not be read"},
			"reading deployments.apps/e in namespace ns",
		},
		"not a Deployment": {
			[]map[string]any{object("e", "spec", "?")},
			nil,
			HookReport{State: Enrolling, Why: "its enroller could not be read"},
			"reading Deployment ns/e",
		},
		"no right to read its Pods": {
			[]map[string]any{runs},
			map[string]int{"LIST pod ns": http.StatusForbidden},
			HookReport{State: Enrolling, Why: waits},
			"listing pods in namespace ns",
		},
		"not a Pod": {
			[]map[string]any{runs, object("broken", "status", "?"), failed},
			nil,
			HookReport{State: Enrolling, Why: "its enroller failed: Pod p: exit code 6: no right"},
			"reading Pod ns/broken",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, err := Read(t.Context(), serveMore(t, test.fail, test.more, enroller), Query{Options: options})
			if len(d.Releases) != 1 || d.Releases[0].Hook != test.want || d.Releases[0].Uninstall.Ready {
				t.Errorf("%+v", d.Releases)
			}
			if all := strings.Join(d.Unknown, "\n"); (err != nil) != (test.unknown != "") || !strings.Contains(all, test.unknown) || test.unknown == "" && all != "" {
				t.Errorf("unknown %q, %v", all, err)
			}
		})
	}
}
