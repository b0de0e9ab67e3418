package cleanup

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/arc-cleanup/arc-cleanup/internal/kube"
)

var accessReviewResource = schema.GroupVersionResource{Group: "authorization.k8s.io", Version: "v1", Resource: "selfsubjectaccessreviews"}

// right is one kind of write. Name is given where rights are given by name.
type right struct{ verb, group, resource, namespace, name string }

// rights lists every kind of write in a plan, each once.
func rights(p *Plan) []right {
	seen := map[right]bool{}
	var out []right
	for _, phase := range p.Phases {
		for _, s := range phase.Steps() {
			r := right{group: s.Object.Resource.Group, resource: s.Object.Resource.Resource, namespace: s.Object.Namespace}
			switch s.Action {
			case Delete:
				r.verb = "delete"
			case Release, Wake, Nudge, Stop:
				r.verb = "patch"
			case Create:
				r.verb = "create"
			default:
				continue
			}
			if s.Object.Resource == crdResource {
				r.name = s.Object.Name
			}
			if !seen[r] {
				seen[r] = true
				out = append(out, r)
			}
		}
	}
	return out
}

// preflight asks the API server for every kind of write in the plan whether it
// is allowed, and returns a refusal for each that is not: all at once, before the
// first write.
func preflight(ctx context.Context, c *kube.Client, p *Plan) []Refusal {
	var (
		g       errgroup.Group
		mu      sync.Mutex
		refused []Refusal
	)
	g.SetLimit(workers)
	for _, r := range rights(p) {
		g.Go(func() error {
			allowed, err := r.allowed(ctx, c)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err != nil:
				refused = append(refused, Refusal{Verdict: Failed, Message: fmt.Sprintf("could not ask whether it is allowed to %s: %v", r, err)})
			case !allowed:
				refused = append(refused, Refusal{Verdict: NotPermitted, Message: "not permitted to " + r.String(), Do: []string{r.rule()}})
			}
			return nil
		})
	}
	// No error: what failed is a refusal.
	_ = g.Wait()
	slices.SortFunc(refused, func(a, b Refusal) int { return cmp.Compare(a.Message, b.Message) })
	return refused
}

func (r right) allowed(ctx context.Context, c *kube.Client) (bool, error) {
	attributes := map[string]any{"verb": r.verb, "group": r.group, "resource": r.resource, "namespace": r.namespace, "name": r.name}
	review := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
		"spec": map[string]any{"resourceAttributes": attributes},
	}}
	var answer *unstructured.Unstructured
	err := kube.Retry(ctx, func(ctx context.Context) (err error) {
		answer, err = c.Dynamic.Resource(accessReviewResource).Create(ctx, review, metav1.CreateOptions{})
		return err
	})
	if err != nil {
		return false, err
	}
	allowed, _, err := unstructured.NestedBool(answer.Object, "status", "allowed")
	return allowed, err
}

func (r right) String() string {
	s := r.verb + " " + schema.GroupResource{Group: r.group, Resource: r.resource}.String()
	if r.name != "" {
		s += " " + r.name
	}
	if r.namespace != "" {
		s += " in namespace " + r.namespace
	}
	return s
}

// rule is the RBAC rule that grants the right.
func (r right) rule() string {
	rule := fmt.Sprintf("the rule {apiGroups: [%q], resources: [%s], verbs: [%s]", r.group, r.resource, r.verb)
	if r.name != "" {
		rule += fmt.Sprintf(", resourceNames: [%s]", r.name)
	}
	if r.namespace != "" {
		return rule + "} in a Role or ClusterRole bound in that namespace grants it"
	}
	return rule + "} in a ClusterRole grants it"
}
