package cleanup

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/kube"
)

// Terminating is a namespace that is being deleted.
type Terminating struct {
	*Object
	// Why is what the namespace controller says of it: what content is left,
	// which API cannot be asked. It may be a little old.
	Why string
}

// still says why it is there when nothing of ARC is in it any more.
func (t Terminating) still() string {
	if t.Why == "" {
		return "still Terminating"
	}
	return "still Terminating: " + t.Why
}

// terminating finds the namespaces on their way out, or whether the one of that
// name is, and whether it is there and nobody deletes it.
func terminating(ctx context.Context, c *kube.Client, name string) (found map[string]Terminating, live bool, err error) {
	options := metav1.ListOptions{}
	if name != "" {
		options.FieldSelector = "metadata.name=" + name
	}
	found = map[string]Terminating{}
	err = c.Each(ctx, namespaceResource, "", options, func(m *metav1.PartialObjectMetadata) error {
		if m.DeletionTimestamp != nil {
			found[m.Name] = Terminating{Object: object(namespaceResource, m)}
		} else if m.Name == name {
			live = true
		}
		return nil
	})
	if err != nil {
		return nil, false, err
	}
	for name, t := range found {
		var ns *unstructured.Unstructured
		err := kube.Retry(ctx, func(ctx context.Context) (err error) {
			ns, err = c.Dynamic.Resource(namespaceResource).Get(ctx, name, metav1.GetOptions{})
			return err
		})
		if apierrors.IsNotFound(err) {
			delete(found, name)
			continue
		}
		if err != nil {
			return nil, false, fmt.Errorf("reading the namespace %s: %w", name, err)
		}
		t.Why = holding(ns)
		found[name] = t
	}
	return found, live, nil
}

// holding is the messages of the conditions by which Kubernetes' namespace
// controller says what a deletion waits for
// (k8s.io/kubernetes pkg/controller/namespace/deletion/status_condition_utils.go).
func holding(ns *unstructured.Unstructured) string {
	conditions, _, _ := unstructured.NestedSlice(ns.Object, "status", "conditions")
	var messages []string
	for _, c := range conditions {
		condition, _ := c.(map[string]any)
		if condition["status"] == "True" {
			messages = append(messages, fmt.Sprint(condition["message"]))
		}
	}
	return strings.Join(messages, "; ")
}

// finalizersRemain begins the message about what holds a namespace
// (k8s.io/kubernetes pkg/controller/namespace/deletion/namespaced_resources_deleter.go).
const finalizersRemain = "Some content in the namespace has finalizers remaining: "

// heldByOthers reports whether a finalizer that is not ARC's holds the namespace:
// to wait would be in vain.
func heldByOthers(why string) bool {
	for message := range strings.SplitSeq(why, "; ") {
		list, found := strings.CutPrefix(message, finalizersRemain)
		if !found {
			continue
		}
		for entry := range strings.SplitSeq(list, ", ") {
			if finalizer, _, _ := strings.Cut(entry, " in "); !arc.IsFinalizer(finalizer) {
				return true
			}
		}
	}
	return false
}

// namespaces waits for those that are Terminating and were held by objects of
// ours, in this survey or in an earlier one. What else holds one is not ours: it
// is said, and is no residue.
func (p *planner) namespaces() {
	held := map[string]bool{}
	maps.Copy(held, p.history.Held)
	if p.o.Scope == Namespace {
		held[p.o.Namespace] = true
	}
	for _, objects := range [][]*Object{p.s.Custom, p.s.Protected, p.s.ListenerRBAC, p.s.Dependents} {
		for _, o := range p.reachable(objects) {
			held[o.Namespace] = true
		}
	}
	if p.o.Job != "" {
		// The hook's own Pod is in there.
		delete(held, p.o.ReleaseNamespace)
	}
	var steps []Step
	for _, name := range slices.Sorted(maps.Keys(p.s.Terminating)) {
		ns := p.s.Terminating[name]
		switch {
		case !held[name]:
		case p.history.Waited[name], name != p.o.Namespace && heldByOthers(ns.Why):
			p.plan.Kept = append(p.plan.Kept, Kept{ns.Object, ns.still()})
		case name == p.o.Namespace:
			steps = append(steps, Step{Await, ns.Object, ns.still()})
		default:
			steps = append(steps, Step{Await, ns.Object, "Terminating, and was held by ARC's objects"})
		}
	}
	p.phase(Namespaces, steps)
}

// refuseLiveNamespace is for a namespace that nobody deletes: there is nothing to
// rescue, and all that ARC has there is in use.
func (p *planner) refuseLiveNamespace() {
	if !p.s.Live {
		return
	}
	p.plan.Refusals = append(p.plan.Refusals, Refusal{
		Verdict: Refused,
		Message: fmt.Sprintf("namespace %s is not being deleted: there is nothing to rescue", p.o.Namespace),
		Do:      []string{"kubectl delete namespace " + p.o.Namespace + " --wait=false"},
	})
}
