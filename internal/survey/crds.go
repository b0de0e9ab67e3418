package survey

import (
	"context"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

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
