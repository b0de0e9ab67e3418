package node

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// retryTime is how long a Pod waits for what it lacks, before it looks again.
const retryTime = 500 * time.Millisecond

// A pod runs the containers of a Pod and reports about them until it is
// deleted.
type pod struct {
	node            *Node
	namespace, name string
	uid             types.UID
	dir             string
	started         metav1.Time

	mu         sync.Mutex
	object     *corev1.Pod // as the controller last gave it, without environment
	containers []*container
	conditions map[corev1.PodConditionType]corev1.PodCondition
	deadline   time.Time // for its end; zero until it is deleted

	stopping context.Context // done when the Pod has to end
	stop     context.CancelFunc
	killing  context.Context // done when it must not take any longer
	killAll  context.CancelFunc
	changed  chan struct{} // the status has to be written
}

func newPod(n *Node, object *corev1.Pod) *pod {
	p := &pod{
		node:       n,
		namespace:  object.Namespace,
		name:       object.Name,
		uid:        object.UID,
		dir:        filepath.Join(n.dir, string(object.UID)),
		started:    metav1.Now(),
		object:     object,
		conditions: map[corev1.PodConditionType]corev1.PodCondition{},
		changed:    make(chan struct{}, 1),
	}
	p.killing, p.killAll = context.WithCancel(n.running)
	p.stopping, p.stop = context.WithCancel(p.killing)
	for i := range object.Spec.InitContainers {
		p.containers = append(p.containers, newContainer(p, object.Spec.InitContainers[i].Name, true))
	}
	for i := range object.Spec.Containers {
		p.containers = append(p.containers, newContainer(p, object.Spec.Containers[i].Name, false))
	}
	return p
}

func (p *pod) getObject() *corev1.Pod {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.object
}

func (p *pod) setObject(object *corev1.Pod) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.object = object
}

// run is the life of the Pod.
func (p *pod) run() {
	defer p.killAll()
	var reports sync.WaitGroup
	reports.Go(p.report)
	if object := p.load(); object != nil {
		p.runContainers(object)
		<-p.stopping.Done() // logs stay until the Pod is deleted
	}
	close(p.changed)
	reports.Wait()
	p.node.forget(p)
	os.RemoveAll(p.dir) //nolint:errcheck // the node's folder goes in the end
	p.remove()
}

// load reads the whole Pod; nil means that there is none to run.
func (p *pod) load() *corev1.Pod {
	for {
		object, err := p.node.client.CoreV1().Pods(p.namespace).Get(p.stopping, p.name, metav1.GetOptions{})
		if err == nil && object.UID == p.uid {
			return object
		}
		if err == nil || apierrors.IsNotFound(err) || !p.wait(retryTime) {
			return nil
		}
	}
}

func (p *pod) runContainers(object *corev1.Pod) {
	if !p.prepareVolumes(object) {
		return
	}
	policy := object.Spec.RestartPolicy
	initPolicy := policy
	if policy == corev1.RestartPolicyAlways {
		initPolicy = corev1.RestartPolicyOnFailure // they have to end before the others start
	}
	inits := len(object.Spec.InitContainers)
	for i := range object.Spec.InitContainers {
		if !p.containers[i].run(object, &object.Spec.InitContainers[i], initPolicy) {
			return
		}
	}
	var running sync.WaitGroup
	for i := range object.Spec.Containers {
		running.Go(func() { p.containers[inits+i].run(object, &object.Spec.Containers[i], policy) })
	}
	running.Wait()
}

func (p *pod) prepareVolumes(object *corev1.Pod) bool {
	for {
		err := p.makeVolumes(object)
		if err == nil {
			return true
		}
		for _, c := range p.containers {
			c.waiting("ContainerCreating", err.Error())
		}
		if !p.wait(retryTime) {
			return false
		}
	}
}

// wait returns false when the Pod has to end.
func (p *pod) wait(d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-p.stopping.Done():
		return false
	}
}

// terminate asks the containers to end and kills them after the grace period.
// A later call can only shorten it.
func (p *pod) terminate(graceSeconds int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stop()
	grace := time.Duration(graceSeconds) * time.Second
	deadline := time.Now().Add(grace)
	if !p.deadline.IsZero() && deadline.After(p.deadline) {
		return
	}
	p.deadline = deadline
	time.AfterFunc(grace, p.killAll)
}

// kill sends SIGKILL to a container, which may be started again afterwards.
func (p *pod) kill(name string) bool {
	c := p.container(name)
	return c != nil && c.kill()
}

func (p *pod) container(name string) *container {
	for _, c := range p.containers {
		if c.name == name {
			return c
		}
	}
	return nil
}

// remove takes a Pod that has ended out of the API server, which keeps it
// until its node says so.
func (p *pod) remove() {
	now := int64(0)
	options := metav1.DeleteOptions{GracePeriodSeconds: &now, Preconditions: &metav1.Preconditions{UID: &p.uid}}
	for {
		err := p.node.client.CoreV1().Pods(p.namespace).Delete(p.node.running, p.name, options)
		if err == nil || apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
			return
		}
		select {
		case <-p.node.running.Done():
			return
		case <-time.After(retryTime):
		}
	}
}
