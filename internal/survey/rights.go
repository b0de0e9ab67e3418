package survey

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/kube"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
)

// watched are the namespaces which what looks like a controller watches in truth; none
// is all. It is no controller if there are none: its ServiceAccount may not even list
// what a controller looks after. Anybody who administers a namespace can make a
// Deployment with a controller's labels and flags there, and have it name whichever
// namespaces; only who has these rights can give them. An answer that cannot be had
// leaves it what it says.
func watched(ctx context.Context, c *kube.Client, account types.NamespacedName, says []string, made schema.GroupVersionResource) (watches []string, controls bool) {
	ctx, cancel := advice(ctx)
	defer cancel()
	may := func(namespace string) bool {
		review := review(account, "SubjectAccessReview", map[string]any{
			"namespace": namespace, "verb": "list", "group": made.Group, "version": made.Version, "resource": made.Resource,
		})
		allowed, err := c.Ask(ctx, object.SubjectAccessReviews, review)
		return err != nil || allowed
	}
	if len(says) == 0 {
		return nil, may("")
	}
	slices.Sort(says)
	says = slices.Compact(says)
	for _, namespace := range says[:min(len(says), MostWatched)] {
		if may(namespace) {
			watches = append(watches, namespace)
		}
	}
	return watches, len(watches) > 0
}

// review asks what the ServiceAccount may do.
func review(account types.NamespacedName, kind string, attributes map[string]any) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "authorization.k8s.io/v1", "kind": kind,
		"spec": map[string]any{
			"user":               fmt.Sprintf("system:serviceaccount:%s:%s", account.Namespace, account.Name),
			"groups":             []any{"system:serviceaccounts", "system:serviceaccounts:" + account.Namespace, "system:authenticated"},
			"resourceAttributes": attributes,
		},
	}}
}

// askForRights finds out where controllers that run are locked out. What a
// controller may do in a runner namespace comes from the manager Role and
// RoleBinding there (charts/gha-runner-scale-set/templates/manager_role.yaml);
// once these are gone it can delete no runner's Pod. An answer that cannot be had
// leaves the controller its chance.
func askForRights(ctx context.Context, c *kube.Client, s *plan.Survey) {
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
	ctx, cancel := advice(ctx)
	defer cancel()
	g.SetLimit(kube.Workers)
	for i, a := range s.Controllers {
		if a.Down != "" {
			continue
		}
		s.Controllers[i].LockedOut = map[string]bool{}
		for namespace := range places {
			if len(a.Watches) > 0 && !slices.Contains(a.Watches, namespace) {
				continue
			}
			g.Go(func() error {
				if allowed, err := mayDeletePods(ctx, c, a.Account, namespace); err == nil && !allowed {
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

func mayDeletePods(ctx context.Context, c *kube.Client, account types.NamespacedName, namespace string) (bool, error) {
	review := review(account, "LocalSubjectAccessReview", map[string]any{
		"namespace": namespace, "verb": "delete", "version": "v1", "resource": object.Pods.Resource,
	})
	review.SetNamespace(namespace)
	return c.Ask(ctx, object.LocalSubjectAccessReviews, review)
}
