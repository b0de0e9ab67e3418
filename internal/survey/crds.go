package survey

import (
	"context"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/kube"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
)

// crdsByHand names the existing CRDs of both groups, served or not. A hook may read CRDs by name
// only, so it goes by what the API server serves.
func crdsByHand(ctx context.Context, c *kube.Client, o plan.Options) (names []string, err error) {
	if o.Job != "" {
		return nil, nil
	}
	err = c.Each(ctx, object.CRDs, "", metav1.ListOptions{}, func(m *metav1.PartialObjectMetadata) error {
		if group := groupOf(m.Name); group == arc.Group || group == arc.LegacyGroup {
			names = append(names, m.Name)
		}
		return nil
	})
	return names, err
}

// groupOf returns the group of a CRD. Its name is RESOURCE.GROUP.
func groupOf(crd string) string {
	_, group, _ := strings.Cut(crd, ".")
	return group
}

// union adds the existing CRDs of a group to the served ones.
func union(served, existing []string, group string) []string {
	all := slices.Clone(served)
	for _, name := range existing {
		if groupOf(name) == group {
			all = append(all, name)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// LackingCRDs compares ARC's CRDs in the cluster with those of a chart. One that does not exist lacks nothing.
func LackingCRDs(ctx context.Context, c *kube.Client, of []map[string]any) (out []arc.LackingCRD, err error) {
	for _, name := range arc.CRDs() {
		i := slices.IndexFunc(of, func(crd map[string]any) bool { return (&unstructured.Unstructured{Object: crd}).GetName() == name })
		if i < 0 {
			continue
		}
		is, err := c.Get(ctx, object.CRDs, "", name)
		switch {
		case apierrors.IsNotFound(err):
			continue
		case err != nil:
			return nil, err
		}
		if lacks := arc.Lacks(is.Object, of[i]); len(lacks) > 0 {
			out = append(out, arc.LackingCRD{Name: name, Lacks: lacks})
		}
	}
	return out, nil
}
