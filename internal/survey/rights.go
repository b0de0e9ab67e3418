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

// rights asks which ServiceAccounts may list what a controller works on. It asks once for each
// account and namespace: anyone can create many Deployments that look like controllers.
type rights struct {
	c    *kube.Client
	made schema.GroupVersionResource

	mu    sync.Mutex
	asked map[question]func() bool
}

// question is whether a ServiceAccount has the right in a namespace ("" means in all of them).
type question struct {
	account   types.NamespacedName
	namespace string
}

func newRights(c *kube.Client, made schema.GroupVersionResource) *rights {
	return &rights{c: c, made: made, asked: map[question]func() bool{}}
}

// watched returns those of the claimed namespaces in which the ServiceAccount may list what a
// controller works on; empty for all. Without such a right in any namespace, the Deployment is not
// a controller. Anyone who administers a namespace can create a Deployment there with a
// controller's labels and flags, which name any namespaces; these rights can be granted only by
// those who have them. If a question gets no answer, the claim counts.
func (r *rights) watched(ctx context.Context, account types.NamespacedName, claimed []string) (watches []string, controls bool) {
	ctx, cancel := advice(ctx)
	defer cancel()
	if len(claimed) == 0 {
		return nil, r.may(ctx, question{account, ""})
	}
	for _, namespace := range claims(claimed) {
		if r.may(ctx, question{account, namespace}) {
			watches = append(watches, namespace)
		}
	}
	return watches, len(watches) > 0
}

// claims returns those of the claimed namespaces that are asked about.
func claims(claimed []string) []string {
	slices.Sort(claimed)
	claimed = slices.Compact(claimed)
	return slices.Clone(claimed[:min(len(claimed), MostWatched)])
}

func (r *rights) may(ctx context.Context, q question) bool {
	r.mu.Lock()
	answer, is := r.asked[q]
	if !is {
		answer = sync.OnceValue(func() bool {
			allowed, err := r.c.Ask(ctx, object.SubjectAccessReviews, review(q.account, "SubjectAccessReview", map[string]any{
				"namespace": q.namespace, "verb": "list", "group": r.made.Group, "version": r.made.Version, "resource": r.made.Resource,
			}))
			return err != nil || allowed
		})
		r.asked[q] = answer
	}
	r.mu.Unlock()
	return answer()
}

// review builds the question whether the ServiceAccount has a right.
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

// askForRights finds the namespaces in which running controllers lack the rights to finish their
// work. These rights come from the manager Role and RoleBinding in each runner namespace
// (charts/gha-runner-scale-set/templates/manager_role.yaml); without them a controller cannot
// delete a runner's Pod. If a question gets no answer, the controller counts as able to finish.
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
	_ = g.Wait() // a failed question changes nothing
}

func mayDeletePods(ctx context.Context, c *kube.Client, account types.NamespacedName, namespace string) (bool, error) {
	review := review(account, "LocalSubjectAccessReview", map[string]any{
		"namespace": namespace, "verb": "delete", "version": "v1", "resource": object.Pods.Resource,
	})
	review.SetNamespace(namespace)
	return c.Ask(ctx, object.LocalSubjectAccessReviews, review)
}
