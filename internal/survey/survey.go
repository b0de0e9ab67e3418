// Package survey reads from the cluster the facts that a plan needs. It writes nothing. What it
// cannot read is unknown, never absent.
package survey

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/kube"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
)

// Read reads the cluster. It returns a Survey even if reads fail; those are listed in Unknown.
//
// It lists dependents before their owners. An owner exists before its dependents, so an owner that
// is missing from the later list is gone, and cannot just be too new for it. The jobs of runners
// are read last.
func Read(ctx context.Context, c *kube.Client, o plan.Options) *plan.Survey {
	if o.Scope == plan.ScopeLegacy {
		return surveyLegacy(ctx, c, o)
	}
	r := newReading(ctx, c, o)
	s := r.s
	groups := []string{arc.Group}
	r.proof()
	r.wait()
	r.findSets()
	r.records()
	r.core()
	if o.Scope == plan.ScopeNamespace {
		// The rescue of a namespace frees the objects of both groups.
		groups = append(groups, arc.LegacyGroup)
		r.wait()
		r.legacy()
	}
	r.wait()
	for _, gvr := range arc.Resources() {
		r.custom(gvr)
		r.wait()
	}
	r.scaleSets()
	r.jobs()
	r.controllers()
	if o.Uninstalls() {
		r.releases()
	}
	if o.Scope == plan.ScopeController {
		r.crds(arc.CRDs())
	}
	if o.Scope != plan.ScopeScaleSet {
		r.surroundings()
	}
	r.end(groups...)
	if o.Scope == plan.ScopeNamespace {
		dropUnprovenPods(s)
		markAlone(s)
	}
	askForRights(ctx, c, s)
	r.prove()
	return s
}

// scaleSets reads what only whole AutoscalingRunnerSets contain.
func (r *reading) scaleSets() {
	sets := arc.Resource(arc.AutoscalingRunnerSets)
	for _, namespace := range r.o.CustomNamespaces(sets.Resource) {
		r.read(sets.GroupResource().String(), func(add func(func())) error {
			return r.c.EachPage(r.ctx, sets, namespace, "", func(page []unstructured.Unstructured) error {
				for _, u := range page {
					uid, info := u.GetUID(), scaleSetInfo(u)
					add(func() { r.s.Sets[uid] = info })
				}
				return nil
			})
		})
	}
}

// jobs reads which runners have a job.
func (r *reading) jobs() {
	r.read("jobs of runners", func(add func(func())) error {
		jobs, err := Busy(r.ctx, r.c, r.o.CoreNamespaces())
		add(func() { maps.Copy(r.s.Busy, jobs) })
		return err
	})
}

func (r *reading) controllers() {
	r.read("ARC controllers", func(add func(func())) error {
		namespaces := plan.AllNamespaces
		if r.o.Scope == plan.ScopeScaleSet {
			namespaces = r.o.ControllersIn()
		}
		found, err := Controllers(r.ctx, r.c, namespaces)
		add(func() { r.s.Controllers = append(r.s.Controllers, found...) })
		return err
	})
}

// releases reads the Helm releases of scale sets, one record at a time as prove does.
func (r *reading) releases() {
	var one sync.Mutex
	for _, namespace := range r.o.CoreNamespaces() {
		r.read("the Helm releases of scale sets", func(add func(func())) error {
			one.Lock()
			defer one.Unlock()
			found, err := installed(r.ctx, r.c, namespace, r.placed)
			add(func() { r.s.Installed = append(r.s.Installed, found...) })
			return err
		})
	}
}

// findSets makes the survey search for the scale sets of the release's record in their own
// namespaces: with namespaceOverride these differ from the release's namespace.
func (r *reading) findSets() { r.o.Sets = slices.Concat(r.o.Sets, plan.Uninstalled(r.s, r.o).Sets) }

// core reads Pods, and the core objects that ARC protects or owns.
func (r *reading) core() {
	each := func(what string, gvr schema.GroupVersionResource, namespace string, see func(*object.Object, *metav1.PartialObjectMetadata)) {
		r.read(what, func(add func(func())) error {
			return r.c.Each(r.ctx, gvr, namespace, metav1.ListOptions{}, func(m *metav1.PartialObjectMetadata) error {
				obj := FromMetadata(gvr, m)
				add(func() {
					see(obj, m)
					addOfJob(r.s, obj, m)
					if r.o.Uninstalls() {
						r.placed.add(obj, m.Labels)
					}
				})
				return nil
			})
		})
	}
	dependent := func(o *object.Object, _ *metav1.PartialObjectMetadata) {
		if own, _ := arc.Finalizers(o.Finalizers); len(own) > 0 && o.Resource == object.Pods {
			r.s.LegacyHeld = append(r.s.LegacyHeld, o)
		}
		if o.Owner != "" {
			r.s.Dependents = append(r.s.Dependents, o)
		}
	}
	for _, namespace := range r.o.CoreNamespaces() {
		for _, gvr := range plan.ProtectedResources {
			each(gvr.GroupResource().String(), gvr, namespace, func(o *object.Object, m *metav1.PartialObjectMetadata) { addCore(r.s, o, m) })
		}
		each("pods", object.Pods, namespace, dependent)
		if r.o.Uninstalls() {
			for _, gvr := range labelled {
				each(gvr.Resource+" of scale sets", gvr, namespace, func(*object.Object, *metav1.PartialObjectMetadata) {})
			}
		}
	}
	for _, namespace := range r.o.OtherListenerNamespaces() {
		for _, gvr := range []schema.GroupVersionResource{object.Pods, object.Secrets, object.ServiceAccounts} {
			each(gvr.Resource+" of listeners", gvr, namespace, dependent)
		}
	}
}

// custom reads ARC's custom resources of one kind.
func (r *reading) custom(gvr schema.GroupVersionResource) {
	for _, namespace := range r.o.CustomNamespaces(gvr.Resource) {
		r.read(gvr.GroupResource().String(), func(add func(func())) error {
			return r.c.Each(r.ctx, gvr, namespace, metav1.ListOptions{}, func(m *metav1.PartialObjectMetadata) error {
				obj := FromMetadata(gvr, m)
				add(func() {
					r.s.Custom = append(r.s.Custom, obj)
					r.managed(obj, m)
				})
				return nil
			})
		})
	}
}

func (r *reading) crds(names []string) {
	for _, name := range names {
		r.read(crdPrefix+name, func(add func(func())) error {
			m, err := r.c.GetMetadata(r.ctx, object.CRDs, "", name)
			if err == nil {
				add(func() { r.s.CRDs = append(r.s.CRDs, FromMetadata(object.CRDs, m)) })
			}
			return err
		})
	}
}

// adviceTime limits each read that the uninstall can do without. It is long enough for an API
// server that restarts. A read that never gets an answer must not use up the time budget.
const adviceTime = 15 * time.Second

// advice returns a context with that limit.
func advice(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, adviceTime, fmt.Errorf("no answer for %s", adviceTime))
}

// surroundings reads the namespaces, and what may block the uninstall without being part of ARC.
func (r *reading) surroundings() {
	r.readers.Go(func() {
		// This is for advice only: a failed read blocks nothing.
		ctx, cancel := advice(r.ctx)
		defer cancel()
		r.s.Obstacles, r.s.ObstaclesErr = FindObstacles(ctx, r.c)
	})
	r.read("namespaces", func(add func(func())) error {
		found, live, err := terminating(r.ctx, r.c, r.o.Namespace)
		add(func() { r.s.Terminating, r.s.Live = found, live })
		return err
	})
}
