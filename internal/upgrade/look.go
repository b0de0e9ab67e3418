package upgrade

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/internal/anchor"
	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/enrol"
	"github.com/arc-cleanup/arc-cleanup/internal/hook"
	"github.com/arc-cleanup/arc-cleanup/internal/kube"
	"github.com/arc-cleanup/arc-cleanup/internal/release"
)

// Look reads the situation, but for what is asked for. It writes nothing.
func Look(ctx context.Context, c *kube.Client) (Situation, error) {
	var s Situation
	var err error
	if s.Saved, err = load(ctx, c); err != nil {
		return s, err
	}
	known := map[types.NamespacedName]bool{}
	var failed error
	err = release.Each(ctx, c, "", "", func(r *release.Revision, err error) {
		if errors.Is(err, release.ErrUnreadable) {
			return // somebody else's: scale sets of it count as nobody's
		}
		if err == nil && (r.StoredElsewhere() || !r.Status.Installed()) {
			return // not of this place, or gone
		}
		var found *Found
		if err == nil {
			found, err = read(r)
		}
		switch {
		case err != nil:
			failed = errors.Join(failed, err)
		case found != nil:
			known[found.key()] = true
			s.Found = append(s.Found, *found)
		}
	})
	if err != nil || failed != nil {
		return s, errors.Join(err, failed)
	}
	err = c.Each(ctx, arc.Resource(arc.AutoscalingRunnerSets), "", metav1.ListOptions{}, func(m *metav1.PartialObjectMetadata) error {
		of := types.NamespacedName{Namespace: m.Annotations[arc.AnnotationReleaseNamespace], Name: m.Annotations[arc.AnnotationReleaseName]}
		if m.DeletionTimestamp == nil && !known[of] {
			s.Loose = append(s.Loose, types.NamespacedName{Namespace: m.Namespace, Name: m.Name})
		}
		return nil
	})
	if err != nil && !apierrors.IsNotFound(err) {
		return s, err
	}
	return s, nil
}

// read reads a release of ARC; nil for any other.
func read(r *release.Revision) (*Found, error) {
	a, _, err := anchor.Find([]byte(r.Manifest))
	if err != nil {
		return nil, fmt.Errorf("the manifest of release %s in namespace %s: %w", r.Name, r.Namespace, err)
	}
	if a == nil || a.Scope != anchor.Controller && a.Scope != anchor.ScaleSet {
		return nil, nil
	}
	hooks, err := enrol.Of(r)
	if err != nil {
		return nil, fmt.Errorf("the hook of release %s in namespace %s: %w", r.Name, r.Namespace, err)
	}
	f := &Found{Status: r.Status, Revision: r.Revision, Release: Release{
		Namespace: r.Namespace, Name: r.Name, Controller: a.Scope == anchor.Controller,
		Chart: r.Chart, Driver: r.Driver, ServerSide: r.ServerSide,
		Values: r.Config, Hooks: hooks,
	}}
	f.WatchNamespace, _ = a.Values["watchNamespace"].(string)
	f.Mixed = f.Controller && slices.ContainsFunc(r.Objects, func(o release.Object) bool { return o.Kind == arc.AutoscalingRunnerSet })
	for _, h := range r.Hooks {
		m := enrol.Metadata(h)
		if !hook.IsOurs(m.Labels, m.Annotations) && strings.Contains(m.Annotations[hook.Annotation], "-delete") {
			f.OtherHooks = true
		}
	}
	return f, nil
}
