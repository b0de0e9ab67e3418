package node

import (
	"encoding/json"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// report writes the Pod's status whenever it has changed, until the Pod has
// ended.
func (p *pod) report() {
	for range p.changed {
		for !p.writeStatus() {
			select {
			case <-p.node.running.Done():
				return
			case <-time.After(retryTime):
			}
		}
	}
}

// writeStatus returns false when it has to be tried again.
func (p *pod) writeStatus() bool {
	patch, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"uid": p.uid}, // not of another Pod of the same name
		"status":   p.status(),
	})
	if err != nil {
		panic(err) // a status is plain data
	}
	_, err = p.node.client.CoreV1().Pods(p.namespace).Patch(p.node.running, p.name,
		types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "status")
	return err == nil || apierrors.IsNotFound(err) || apierrors.IsConflict(err) || apierrors.IsInvalid(err)
}

// status puts the Pod's status together from those of its containers.
func (p *pod) status() *corev1.PodStatus {
	p.mu.Lock()
	defer p.mu.Unlock()
	status := &corev1.PodStatus{
		HostIP:    address,
		HostIPs:   []corev1.HostIP{{IP: address}},
		PodIP:     address,
		PodIPs:    []corev1.PodIP{{IP: address}},
		StartTime: &p.started,
	}
	initialized, ready := true, true
	for _, c := range p.containers {
		c.mu.Lock()
		one := *c.status.DeepCopy()
		c.mu.Unlock()
		if c.init {
			status.InitContainerStatuses = append(status.InitContainerStatuses, one)
			initialized = initialized && one.Ready
			continue
		}
		status.ContainerStatuses = append(status.ContainerStatuses, one)
		ready = ready && one.Ready
	}
	status.Phase = phase(status, p.stopping.Err() != nil)
	for kind, holds := range map[corev1.PodConditionType]bool{
		corev1.PodScheduled:    true,
		corev1.PodInitialized:  initialized,
		corev1.ContainersReady: ready,
		corev1.PodReady:        ready,
	} {
		status.Conditions = append(status.Conditions, p.condition(kind, holds))
	}
	return status
}

// condition keeps the time at which it last changed. The caller holds the lock.
func (p *pod) condition(kind corev1.PodConditionType, holds bool) corev1.PodCondition {
	status := corev1.ConditionFalse
	if holds {
		status = corev1.ConditionTrue
	}
	if p.conditions[kind].Status != status {
		p.conditions[kind] = corev1.PodCondition{Type: kind, Status: status, LastTransitionTime: metav1.Now()}
	}
	return p.conditions[kind]
}

// phase sums up the containers' states.
func phase(status *corev1.PodStatus, stopping bool) corev1.PodPhase {
	for _, s := range status.InitContainerStatuses {
		if ended := s.State.Terminated; ended != nil && ended.ExitCode != 0 {
			return corev1.PodFailed
		}
	}
	var pending, alive, failed bool
	for _, s := range status.ContainerStatuses {
		switch {
		case s.State.Terminated != nil:
			failed = failed || s.State.Terminated.ExitCode != 0
		case s.State.Running != nil:
			alive = true
		case s.LastTerminationState.Terminated == nil:
			pending = true
		case stopping: // it ended, and is not started again
			failed = true
		default:
			alive = true
		}
	}
	switch {
	case pending:
		return corev1.PodPending
	case alive:
		return corev1.PodRunning
	case failed:
		return corev1.PodFailed
	}
	return corev1.PodSucceeded
}
