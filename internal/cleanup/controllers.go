package cleanup

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/kube"
)

// ARC is one installed ARC controller.
type ARC struct {
	*Object
	// Watches is the one namespace it watches; empty is all.
	Watches string
	// Down says why it cannot be counted on; empty when it runs.
	Down string
	// LockedOut names the namespaces in which it lacks the rights to finish.
	LockedOut map[string]bool
	// Account is the name of its ServiceAccount.
	Account string
}

// A controller which has restarted this often and runs for less than this is
// crash-looping: between two crashes its Deployment says that it is ready.
const (
	manyRestarts = 3
	shortRun     = time.Minute
)

// controllers finds the ARC controllers in a namespace ("" is all of them).
func controllers(ctx context.Context, c *kube.Client, namespace string) ([]ARC, error) {
	deployments, err := list(ctx, c, deploymentResource, namespace, arc.LabelPartOf)
	if err != nil {
		return nil, err
	}
	var found []ARC
	for _, d := range deployments {
		if !arc.IsControllerPartOf(d.GetLabels()[arc.LabelPartOf]) {
			continue
		}
		a, err := controller(ctx, c, d)
		if err != nil {
			return nil, err
		}
		found = append(found, a)
	}
	return found, nil
}

// controller is a Deployment of a controller, and whether it can be counted on.
func controller(ctx context.Context, c *kube.Client, d unstructured.Unstructured) (ARC, error) {
	m := metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
		Namespace: d.GetNamespace(), Name: d.GetName(), UID: d.GetUID(), Finalizers: d.GetFinalizers(),
		DeletionTimestamp: d.GetDeletionTimestamp(), Labels: d.GetLabels(), Annotations: d.GetAnnotations(),
	}}
	a := ARC{Object: object(deploymentResource, &m), Watches: d.GetLabels()[arc.LabelWatchSingleNamespace]}
	a.Account, _, _ = unstructured.NestedString(d.Object, "spec", "template", "spec", "serviceAccountName")
	if ready, _, _ := unstructured.NestedInt64(d.Object, "status", "readyReplicas"); ready == 0 {
		a.Down = "has no ready replica"
		return a, nil
	}
	selector, _, _ := unstructured.NestedStringMap(d.Object, "spec", "selector", "matchLabels")
	if len(selector) == 0 {
		return a, nil
	}
	pods, err := list(ctx, c, podResource, d.GetNamespace(), labels.FormatLabels(selector))
	if apierrors.IsForbidden(err) {
		// The hook of a single-namespace controller may not look at others'.
		return a, nil
	}
	for _, pod := range pods {
		if crashLooping(pod, time.Now()) {
			a.Down = "is crash-looping"
		}
	}
	return a, err
}

// crashLooping reads a Pod's status: a container waits to be started once more,
// or has just been, many times.
func crashLooping(pod unstructured.Unstructured, now time.Time) bool {
	statuses, _, _ := unstructured.NestedSlice(pod.Object, "status", "containerStatuses")
	for _, s := range statuses {
		status, _ := s.(map[string]any)
		if reason, _, _ := unstructured.NestedString(status, "state", "waiting", "reason"); reason == "CrashLoopBackOff" {
			return true
		}
		restarts, _, _ := unstructured.NestedInt64(status, "restartCount")
		text, _, _ := unstructured.NestedString(status, "state", "running", "startedAt")
		started, err := time.Parse(time.RFC3339, text)
		if restarts >= manyRestarts && err == nil && now.Sub(started) < shortRun {
			return true
		}
	}
	return false
}

var localAccessReviewResource = schema.GroupVersionResource{Group: "authorization.k8s.io", Version: "v1", Resource: "localsubjectaccessreviews"}

// askForRights finds out where controllers that run are locked out. What a
// controller may do in a runner namespace comes from the manager Role and
// RoleBinding there (charts/gha-runner-scale-set/templates/manager_role.yaml);
// once these are gone it can delete no runner's Pod. An answer that cannot be had
// leaves the controller its chance.
func askForRights(ctx context.Context, c *kube.Client, s *Survey) {
	places := map[string]bool{}
	for _, o := range s.Custom {
		if o.Resource.Resource != arc.AutoscalingListeners {
			places[o.Namespace] = true
		}
	}
	var (
		g  errgroup.Group
		mu sync.Mutex
	)
	g.SetLimit(workers)
	for i, a := range s.Controllers {
		if a.Down != "" || a.Account == "" {
			continue
		}
		s.Controllers[i].LockedOut = map[string]bool{}
		for namespace := range places {
			if a.Watches != "" && a.Watches != namespace {
				continue
			}
			g.Go(func() error {
				if allowed, err := mayDeletePods(ctx, c, a, namespace); err == nil && !allowed {
					mu.Lock()
					defer mu.Unlock()
					s.Controllers[i].LockedOut[namespace] = true
				}
				return nil
			})
		}
	}
	_ = g.Wait() // no error: see above
}

func mayDeletePods(ctx context.Context, c *kube.Client, a ARC, namespace string) (bool, error) {
	review := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "authorization.k8s.io/v1", "kind": "LocalSubjectAccessReview",
		"metadata": map[string]any{"namespace": namespace},
		"spec": map[string]any{
			"user":   fmt.Sprintf("system:serviceaccount:%s:%s", a.Namespace, a.Account),
			"groups": []any{"system:serviceaccounts", "system:serviceaccounts:" + a.Namespace, "system:authenticated"},
			"resourceAttributes": map[string]any{
				"namespace": namespace, "verb": "delete", "version": "v1", "resource": podResource.Resource,
			},
		},
	}}
	var answer *unstructured.Unstructured
	err := kube.Retry(ctx, func(ctx context.Context) (err error) {
		answer, err = c.Dynamic.Resource(localAccessReviewResource).Namespace(namespace).Create(ctx, review, metav1.CreateOptions{})
		return err
	})
	if err != nil {
		return false, err
	}
	allowed, found, err := unstructured.NestedBool(answer.Object, "status", "allowed")
	if err == nil && !found {
		err = apierrors.NewBadRequest("the answer says neither yes nor no")
	}
	return allowed, err
}
