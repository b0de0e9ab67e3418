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

// askers limits how many Deployments are asked about at once.
const askers = 8

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
	look := func(page []unstructured.Unstructured) error {
		for _, d := range page {
			if seen[d.GetUID()] {
				continue
			}
			seen[d.GetUID()] = true
			if err := s.look(ctx, d); err != nil {
				return err
			}
		}
		return nil
	}
	for _, namespace := range namespaces {
		for _, selector := range arc.ControllerSelectors() {
			if err := c.EachPage(ctx, object.Deployments, namespace, selector, look); err != nil {
				return s.end(err)
			}
		}
	}
	return s.end(nil)
}

// search finds the controllers among Deployments: their command and their rights to list custom
// resources decide.
type search struct {
	c  *kube.Client
	is func(map[string]string, []arc.Container) ([]string, bool)
	// rights are those to list the custom resources of made, for all Deployments of this search.
	rights *rights
	made   schema.GroupVersionResource

	asking errgroup.Group
	mu     sync.Mutex
	found  []plan.Controller
}

func newSearch(c *kube.Client, is func(map[string]string, []arc.Container) ([]string, bool), made schema.GroupVersionResource) *search {
	s := &search{c: c, is: is, made: made, rights: newRights(c, made)}
	s.asking.SetLimit(askers)
	return s
}

// end returns what the search has found, unless it has failed.
func (s *search) end(failed error) ([]plan.Controller, error) {
	if err := cmp.Or(failed, s.asking.Wait()); err != nil {
		return nil, err
	}
	return s.found, nil
}

// look asks about a Deployment if it looks like a controller. It returns before the answer, and keeps
// of the Deployment only what the answer needs.
func (s *search) look(ctx context.Context, d unstructured.Unstructured) error {
	var read struct {
		Spec struct {
			Selector metav1.LabelSelector `json:"selector"`
			Template struct {
				Spec struct {
					ServiceAccountName string          `json:"serviceAccountName"`
					Containers         []arc.Container `json:"containers"`
				} `json:"spec"`
			} `json:"template"`
		} `json:"spec"`
		Status struct {
			ReadyReplicas int64 `json:"readyReplicas"`
		} `json:"status"`
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(d.Object, &read); err != nil {
		return fmt.Errorf("reading the Deployment %s/%s: %w", d.GetNamespace(), d.GetName(), err)
	}
	pod := read.Spec.Template.Spec
	watches, controls := s.is(d.GetLabels(), pod.Containers)
	if !controls {
		return nil
	}
	m := metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
		Namespace: d.GetNamespace(), Name: d.GetName(), UID: d.GetUID(), Finalizers: d.GetFinalizers(),
		DeletionTimestamp: d.GetDeletionTimestamp(), Labels: d.GetLabels(), Annotations: d.GetAnnotations(),
	}}
	a := plan.Controller{
		Object: FromMetadata(object.Deployments, &m), Flux: d.GetLabels()[LabelFluxNamespace],
		Account: types.NamespacedName{Namespace: d.GetNamespace(), Name: cmp.Or(pod.ServiceAccountName, "default")}, // the default that Kubernetes sets
		Legacy:  s.made.Group == arc.LegacyGroup, Lease: arc.Lease(pod.Containers),
	}
	if read.Status.ReadyReplicas == 0 {
		a.Down = "has no ready replica"
	}
	claimed, pods := claims(watches), labels.FormatLabels(read.Spec.Selector.MatchLabels)
	s.asking.Go(func() error { return s.ask(ctx, a, claimed, pods) })
	return nil
}

// ask adds a controller, if its rights say that it is one. pods selects its Pods.
func (s *search) ask(ctx context.Context, a plan.Controller, claimed []string, pods string) error {
	var controls bool
	if a.Watches, controls = s.rights.watched(ctx, a.Account, claimed); !controls {
		return nil
	}
	a.Unproven = s.rights.unproven(a.Account)
	if a.Down == "" && pods != noLabels {
		crashes, err := crashes(ctx, s.c, a.Namespace, pods)
		if err != nil {
			return err
		}
		if crashes {
			a.Down = "is crash-looping"
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.found = append(s.found, a)
	return nil
}

// noLabels is what labels.FormatLabels returns for none.
const noLabels = "<none>"

// crashes reports whether one of the Pods that a selector finds is crash-looping. The hook of a
// single-namespace controller may not read the Pods of other controllers: then none is known to.
func crashes(ctx context.Context, c *kube.Client, namespace, selector string) (bool, error) {
	crashes := false
	err := c.EachPage(ctx, object.Pods, namespace, selector, func(pods []unstructured.Unstructured) error {
		crashes = crashes || slices.ContainsFunc(pods, func(pod unstructured.Unstructured) bool { return crashLooping(pod, time.Now()) })
		return nil
	})
	if apierrors.IsForbidden(err) {
		return false, nil
	}
	return crashes, err
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
