package survey

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/kube"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
)

// MostWatched limits how many namespaces a Deployment can claim to watch. ARC's program watches
// one, and anyone can add containers to a Deployment that only looks like a controller.
const MostWatched = 16

// readers limits how many whole Deployments are in memory at once: anyone may create many large
// ones that look like controllers.
const readers = 8

// A controller that has restarted this often, and has run for less than this time, is
// crash-looping. Between two crashes its Deployment looks ready.
const (
	manyRestarts = 3
	shortRun     = time.Minute
)

// Controllers finds ARC's controllers in namespaces ("" is all of them). It reads only those
// Deployments in full that may be one.
func Controllers(ctx context.Context, c *kube.Client, namespaces []string) ([]plan.Controller, error) {
	var candidates []types.NamespacedName
	for _, namespace := range namespaces {
		for _, selector := range arc.ControllerSelectors() {
			err := c.Each(ctx, object.Deployments, namespace, metav1.ListOptions{LabelSelector: selector}, func(m *metav1.PartialObjectMetadata) error {
				candidates = append(candidates, types.NamespacedName{Namespace: m.Namespace, Name: m.Name})
				return nil
			})
			if err != nil {
				return nil, err
			}
		}
	}
	return readControllers(ctx, c, candidates, arc.Controller, arc.Resource(arc.AutoscalingRunnerSets))
}

// readControllers reads the Deployments that may be controllers, and returns those that are: their
// command and their rights to list custom resources decide.
func readControllers(ctx context.Context, c *kube.Client, candidates []types.NamespacedName, is func(map[string]string, []arc.Container) ([]string, bool), made schema.GroupVersionResource) ([]plan.Controller, error) {
	slices.SortFunc(candidates, func(a, b types.NamespacedName) int { return cmp.Compare(a.String(), b.String()) })
	var (
		g     errgroup.Group
		mu    sync.Mutex
		found []plan.Controller
	)
	g.SetLimit(readers)
	for _, name := range slices.Compact(candidates) {
		g.Go(func() error {
			a, err := readController(ctx, c, name, is, made)
			if err == nil && a != nil {
				mu.Lock()
				defer mu.Unlock()
				found = append(found, *a)
			}
			return err
		})
	}
	err := g.Wait() // before found is read: Go does not define the order in which results are evaluated
	return found, err
}

// readController reads a Deployment. It returns nil if it is not a controller's.
func readController(ctx context.Context, c *kube.Client, name types.NamespacedName, is func(map[string]string, []arc.Container) ([]string, bool), made schema.GroupVersionResource) (*plan.Controller, error) {
	d, err := c.Get(ctx, object.Deployments, name.Namespace, name.Name)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var read struct {
		Spec struct {
			Template struct {
				Spec struct {
					ServiceAccountName string          `json:"serviceAccountName"`
					Containers         []arc.Container `json:"containers"`
				} `json:"spec"`
			} `json:"template"`
		} `json:"spec"`
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(d.Object, &read); err != nil {
		return nil, fmt.Errorf("reading the Deployment %s: %w", name, err)
	}
	pod := read.Spec.Template.Spec
	watches, controls := is(d.GetLabels(), pod.Containers)
	account := types.NamespacedName{Namespace: name.Namespace, Name: cmp.Or(pod.ServiceAccountName, "default")} // the default that Kubernetes sets
	if !controls {
		return nil, nil
	}
	watches, controls = watched(ctx, c, account, watches, made)
	if !controls {
		return nil, nil
	}
	a, err := controller(ctx, c, *d)
	a.Watches, a.Account, a.Legacy, a.Lease = watches, account, made.Group == arc.LegacyGroup, arc.Lease(pod.Containers)
	return &a, err
}

// controller converts a controller's Deployment, and finds out whether the controller works.
func controller(ctx context.Context, c *kube.Client, d unstructured.Unstructured) (plan.Controller, error) {
	m := metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
		Namespace: d.GetNamespace(), Name: d.GetName(), UID: d.GetUID(), Finalizers: d.GetFinalizers(),
		DeletionTimestamp: d.GetDeletionTimestamp(), Labels: d.GetLabels(), Annotations: d.GetAnnotations(),
	}}
	a := plan.Controller{Object: FromMetadata(object.Deployments, &m), Flux: d.GetLabels()[LabelFluxNamespace]}
	if ready, _, _ := unstructured.NestedInt64(d.Object, "status", "readyReplicas"); ready == 0 {
		a.Down = "has no ready replica"
		return a, nil
	}
	selector, _, _ := unstructured.NestedStringMap(d.Object, "spec", "selector", "matchLabels")
	if len(selector) == 0 {
		return a, nil
	}
	pods, err := c.List(ctx, object.Pods, d.GetNamespace(), labels.FormatLabels(selector))
	if apierrors.IsForbidden(err) {
		// The hook of a single-namespace controller may not read the Pods of other controllers.
		return a, nil
	}
	for _, pod := range pods {
		if crashLooping(pod, time.Now()) {
			a.Down = "is crash-looping"
		}
	}
	return a, err
}

// crashLooping reports whether, according to a Pod's status, a container has restarted many times
// and is waiting to restart or has just restarted.
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

// LabelFluxNamespace is on everything that Flux's helm-controller installs (fluxcd/helm-controller
// internal/postrender, originLabels).
const LabelFluxNamespace = "helm.toolkit.fluxcd.io/namespace"
