package survey

import (
	"cmp"
	"context"
	"fmt"
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
// Deployments that may be one.
func Controllers(ctx context.Context, c *kube.Client, namespaces []string) ([]plan.Controller, error) {
	s := newSearch(c, arc.Controller, arc.Resource(arc.AutoscalingRunnerSets))
	seen := map[types.UID]bool{} // both selectors may find a Deployment
	for _, namespace := range namespaces {
		for _, selector := range arc.ControllerSelectors() {
			err := c.EachPage(ctx, object.Deployments, namespace, selector, readers, func(page []unstructured.Unstructured) error {
				var g errgroup.Group
				for _, d := range page {
					if !seen[d.GetUID()] {
						seen[d.GetUID()] = true
						g.Go(func() error { return s.look(ctx, d) })
					}
				}
				return g.Wait()
			})
			if err != nil {
				return nil, err
			}
		}
	}
	return s.found, nil
}

// search finds the controllers among Deployments: their command and their rights to list custom
// resources decide.
type search struct {
	c  *kube.Client
	is func(map[string]string, []arc.Container) ([]string, bool)
	// rights are those to list the custom resources of made, for all Deployments of this search.
	rights *rights
	made   schema.GroupVersionResource

	mu    sync.Mutex
	found []plan.Controller
}

func newSearch(c *kube.Client, is func(map[string]string, []arc.Container) ([]string, bool), made schema.GroupVersionResource) *search {
	return &search{c: c, is: is, made: made, rights: newRights(c, made)}
}

// look adds the controller of a Deployment, if it is one.
func (s *search) look(ctx context.Context, d unstructured.Unstructured) error {
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
		return fmt.Errorf("reading the Deployment %s/%s: %w", d.GetNamespace(), d.GetName(), err)
	}
	pod := read.Spec.Template.Spec
	watches, controls := s.is(d.GetLabels(), pod.Containers)
	account := types.NamespacedName{Namespace: d.GetNamespace(), Name: cmp.Or(pod.ServiceAccountName, "default")} // the default that Kubernetes sets
	if !controls {
		return nil
	}
	watches, controls = s.rights.watched(ctx, account, watches)
	if !controls {
		return nil
	}
	a, err := controller(ctx, s.c, d)
	if err != nil {
		return err
	}
	a.Watches, a.Account, a.Legacy, a.Lease = watches, account, s.made.Group == arc.LegacyGroup, arc.Lease(pod.Containers)
	a.Unproven = s.rights.unproven(account)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.found = append(s.found, a)
	return nil
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
