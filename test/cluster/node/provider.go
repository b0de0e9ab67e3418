package node

import (
	"context"

	"github.com/virtual-kubelet/virtual-kubelet/errdefs"
	corev1 "k8s.io/api/core/v1"
)

// What the Pod controller asks of a node. It is told nothing about statuses
// (NotifyPods): it would write whole Pods, as they were when it last saw them,
// and so bring back finalizers which others have removed. Pods write their
// statuses themselves.

// withoutEnvironment hides the containers' environment from the Pod
// controller, which would resolve it from caches that lag behind. The Pod gets
// it when it is started.
func withoutEnvironment(object any) (any, error) {
	pod, ok := object.(*corev1.Pod)
	if !ok {
		return object, nil
	}
	for _, containers := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range containers {
			containers[i].Env, containers[i].EnvFrom = nil, nil
		}
	}
	return pod, nil
}

func key(namespace, name string) string { return namespace + "/" + name }

func (n *Node) pod(namespace, name string) (*pod, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	p, ok := n.pods[key(namespace, name)]
	return p, ok
}

// CreatePod starts a Pod.
func (n *Node) CreatePod(_ context.Context, object *corev1.Pod) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	p := newPod(n, object)
	n.pods[key(object.Namespace, object.Name)] = p
	n.work.Go(p.run)
	return nil
}

// UpdatePod notes a Pod's changed metadata, or replaces a Pod by a new one of
// the same name.
func (n *Node) UpdatePod(ctx context.Context, object *corev1.Pod) error {
	p, ok := n.pod(object.Namespace, object.Name)
	if ok && p.uid == object.UID {
		p.setObject(object)
		return nil
	}
	if ok {
		p.terminate(0)
	}
	return n.CreatePod(ctx, object)
}

// DeletePod begins to end a Pod; when its processes are gone it removes itself
// from the API server.
func (n *Node) DeletePod(_ context.Context, object *corev1.Pod) error {
	p, ok := n.pod(object.Namespace, object.Name)
	if !ok || p.uid != object.UID {
		return errdefs.NotFoundf("pod %s/%s is not on the node", object.Namespace, object.Name)
	}
	grace := int64(corev1.DefaultTerminationGracePeriodSeconds)
	if seconds := object.DeletionGracePeriodSeconds; seconds != nil {
		grace = *seconds
	} else if seconds := object.Spec.TerminationGracePeriodSeconds; seconds != nil {
		grace = *seconds
	}
	p.terminate(grace)
	return nil
}

// GetPod returns a Pod as it was last given to the node.
func (n *Node) GetPod(_ context.Context, namespace, name string) (*corev1.Pod, error) {
	p, ok := n.pod(namespace, name)
	if !ok {
		return nil, errdefs.NotFoundf("pod %s/%s is not on the node", namespace, name)
	}
	return p.getObject(), nil
}

// GetPods returns all Pods as they were last given to the node.
func (n *Node) GetPods(context.Context) ([]*corev1.Pod, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	objects := make([]*corev1.Pod, 0, len(n.pods))
	for _, p := range n.pods {
		objects = append(objects, p.getObject())
	}
	return objects, nil
}

// GetPodStatus returns a Pod's status.
func (n *Node) GetPodStatus(_ context.Context, namespace, name string) (*corev1.PodStatus, error) {
	p, ok := n.pod(namespace, name)
	if !ok {
		return nil, errdefs.NotFoundf("pod %s/%s is not on the node", namespace, name)
	}
	return p.status(), nil
}

// NotifyPods is how the controller offers to write statuses; see above.
func (n *Node) NotifyPods(context.Context, func(*corev1.Pod)) {}

// forget removes a Pod which has ended, unless a new one has taken its place.
func (n *Node) forget(p *pod) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if k := key(p.namespace, p.name); n.pods[k] == p {
		delete(n.pods, k)
	}
}
