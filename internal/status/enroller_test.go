package status

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestExplain(t *testing.T) {
	t.Parallel()
	deployment := func(replicas int32, conditions ...appsv1.DeploymentCondition) appsv1.Deployment {
		return appsv1.Deployment{Spec: appsv1.DeploymentSpec{Replicas: &replicas}, Status: appsv1.DeploymentStatus{Conditions: conditions}}
	}
	pod := func(s corev1.PodStatus) []corev1.Pod {
		return []corev1.Pod{{ObjectMeta: metav1.ObjectMeta{Name: "p"}, Status: s}}
	}
	container := func(now, last corev1.ContainerState) []corev1.Pod {
		return pod(corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{State: now, LastTerminationState: last}}})
	}
	waiting := func(reason, message string) corev1.ContainerState {
		return corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}
	}
	ended := corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 5, Message: "forbidden\n"}}
	tests := map[string]struct {
		d    appsv1.Deployment
		pods []corev1.Pod
		want Hook
	}{
		"no Pod yet":          {deployment(1), nil, Hook{State: Enrolling, Why: "its enroller, Deployment e, waits for Helm to finish"}},
		"it runs":             {deployment(1), container(corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}, corev1.ContainerState{}), Hook{State: Enrolling, Why: "its enroller, Deployment e, waits for Helm to finish"}},
		"being started":       {deployment(1), container(waiting("ContainerCreating", ""), corev1.ContainerState{}), Hook{State: Enrolling, Why: "its enroller, Deployment e, waits for Helm to finish"}},
		"ended":               {deployment(0), nil, Hook{State: Absent, Why: "its enroller, Deployment e, has ended without enrolling it, or the hook was removed since"}},
		"no image":            {deployment(1), container(waiting("ErrImagePull", "not found"), corev1.ContainerState{}), Hook{State: Enrolling, Why: "its enroller cannot run: Pod p: ErrImagePull: not found"}},
		"again and again":     {deployment(1), container(waiting("CrashLoopBackOff", "back-off"), ended), Hook{State: Enrolling, Why: "its enroller cannot run: Pod p: CrashLoopBackOff: back-off (exit code 5: forbidden)"}},
		"failed just now":     {deployment(1), container(ended, corev1.ContainerState{}), Hook{State: Enrolling, Why: "its enroller failed: Pod p: exit code 5: forbidden"}},
		"no node":             {deployment(1), pod(corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: "Unschedulable", Message: "0/1 nodes"}}}), Hook{State: Enrolling, Why: "its enroller cannot run: Pod p: Unschedulable: 0/1 nodes"}},
		"Pods are not let in": {deployment(1, appsv1.DeploymentCondition{Type: appsv1.DeploymentReplicaFailure, Status: corev1.ConditionTrue, Reason: "FailedCreate", Message: "quota"}), nil, Hook{State: Enrolling, Why: "its enroller cannot run: Deployment e: FailedCreate: quota"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(test.want, explain("e", test.d, test.pods)); diff != "" {
				t.Error(diff)
			}
		})
	}
}
