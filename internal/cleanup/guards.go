package cleanup

import (
	"context"
	"fmt"
	"slices"

	"github.com/arc-cleanup/arc-cleanup/internal/helm"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
	"github.com/arc-cleanup/arc-cleanup/internal/survey"
)

// unchanged checks, right before the CRDs are deleted, that the plan's assumptions still hold: no
// new scale set and no new controller since the survey, and the release is still being uninstalled.
// The survey may be half a minute old, or as old as the time budget allows.
func (r *run) unchanged(ctx context.Context, s *plan.Survey) error {
	known := map[types.UID]bool{}
	for _, o := range s.Custom {
		known[o.UID] = true
	}
	made := []schema.GroupVersionResource{arc.Resource(arc.AutoscalingRunnerSets)}
	find := func() ([]plan.Controller, error) { return survey.Controllers(ctx, r.client, plan.AllNamespaces) }
	if r.options.Scope == plan.ScopeLegacy {
		made = arc.LegacyResources()
		find = func() ([]plan.Controller, error) { return survey.LegacyControllers(ctx, r.client) }
	}
	for _, gvr := range made {
		err := r.client.Each(ctx, gvr, "", metav1.ListOptions{}, func(m *metav1.PartialObjectMetadata) error {
			if !known[m.UID] {
				return fmt.Errorf("%w: %s is new", errChanged, survey.FromMetadata(gvr, m))
			}
			return nil
		})
		if err != nil && !apierrors.IsNotFound(err) {
			return err
		}
	}
	for _, c := range s.Controllers {
		known[c.UID] = true
	}
	found, err := find()
	if err != nil {
		return err
	}
	for _, c := range found {
		if !known[c.UID] && !c.Deleting {
			return fmt.Errorf("%w: the controller %s is new", errChanged, c)
		}
	}
	if !r.options.RequireUninstalling {
		return nil
	}
	record, err := survey.FindRecord(ctx, r.client, r.options)
	switch {
	case err != nil:
		return err
	case record.Status != helm.Uninstalling:
		return fmt.Errorf("%w: release %s in namespace %s is %s", errChanged, record.Name, record.Namespace, record.Status)
	}
	return nil
}

// ownersGone reads the owners of orphans once more, by their UIDs, before the orphans are deleted.
func (r *run) ownersGone(ctx context.Context, steps []plan.Step) error {
	orphans := map[plan.OwnerKey]*object.Object{}
	for _, s := range steps {
		if s.Action == plan.Delete {
			orphans[plan.OwnerKey{Namespace: s.Object.Namespace, UID: s.Object.Owner}] = s.Object
		}
	}
	if len(orphans) == 0 {
		return nil
	}
	kinds, namespaces := arc.Resources(), r.options.CustomNamespaces
	switch r.options.Scope {
	case plan.ScopeLegacy:
		kinds, namespaces = arc.LegacyResources(), func(string) []string { return r.options.CoreNamespaces() }
	case plan.ScopeNamespace:
		kinds = slices.Concat(arc.LegacyResources(), kinds)
	}
	for _, gvr := range kinds {
		for _, namespace := range namespaces(gvr.Resource) {
			err := r.client.Each(ctx, gvr, namespace, metav1.ListOptions{}, func(m *metav1.PartialObjectMetadata) error {
				if o := orphans[plan.OwnerKey{Namespace: m.Namespace, UID: m.UID}]; o != nil {
					return fmt.Errorf("%w: the owner of %s is there", errChanged, o)
				}
				return nil
			})
			if err != nil && !apierrors.IsNotFound(err) {
				return err
			}
		}
	}
	return nil
}
