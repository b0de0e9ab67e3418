package cleanup

import (
	"cmp"
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
	"github.com/arc-cleanup/arc-cleanup/internal/object"
)

// Terminating is a namespace that is being deleted.
type Terminating struct {
	*object.Object
	// Why is what the namespace controller says of it: what content is left,
	// which API cannot be asked. It may be a little old.
	Why string
	// Pods are those that Kubernetes waits for before it deletes anything else, and
	// of which it says nothing.
	Pods []*object.Object
}

// still says why it is there when nothing of ARC is in it any more.
func (t Terminating) still() string {
	why := slices.DeleteFunc([]string{t.Why, t.podsFirst()}, func(s string) bool { return s == "" })
	if len(why) == 0 {
		return "still Terminating"
	}
	return "still Terminating: " + strings.Join(why, "; ")
}

// podsFirst names the Pods without whose end nothing else in the namespace goes.
func (t Terminating) podsFirst() string {
	const most = 3
	var pods []string
	for _, o := range t.Pods[:min(len(t.Pods), most)] {
		pods = append(pods, fmt.Sprintf("%s %s", o.Name, held(o)))
	}
	if n := len(t.Pods) - most; n > 0 {
		pods = append(pods, fmt.Sprintf("and %d more", n))
	}
	if len(pods) == 0 {
		return ""
	}
	return "Kubernetes deletes nothing else before its Pods are gone: " + strings.Join(pods, "; ")
}

// terminating finds the namespaces on their way out, or whether the one of that
// name is, and whether it is there and nobody deletes it.
func terminating(ctx context.Context, c *kube.Client, name string) (found map[string]Terminating, live bool, err error) {
	options := metav1.ListOptions{}
	if name != "" {
		options.FieldSelector = "metadata.name=" + name
	}
	found = map[string]Terminating{}
	err = c.Each(ctx, object.Namespaces, "", options, func(m *metav1.PartialObjectMetadata) error {
		if m.DeletionTimestamp != nil {
			found[m.Name] = Terminating{Object: fromMetadata(object.Namespaces, m)}
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
			ns, err = c.Dynamic.Resource(object.Namespaces).Get(ctx, name, metav1.GetOptions{})
			return err
		})
		if apierrors.IsNotFound(err) {
			delete(found, name)
			continue
		}
		if err != nil {
			return nil, false, fmt.Errorf("reading the namespace %s: %w", name, err)
		}
		if t.Why = holding(ns); !strings.Contains(t.Why, contentRemains) {
			if t.Pods, err = pods(ctx, c, name); err != nil {
				t.Why = strings.TrimPrefix(fmt.Sprintf("%s; which Pods it waits for is not known: %v", t.Why, err), "; ")
			}
		}
		found[name] = t
	}
	return found, live, nil
}

// contentRemains begins the message about what is left in a namespace. There is none
// as long as Pods are left: since 1.33 Kubernetes deletes them before everything else,
// and says until they are gone that all content is (k8s.io/kubernetes
// pkg/controller/namespace/deletion/namespaced_resources_deleter.go, deleteAllContent).
const contentRemains = "Some resources are remaining: "

// pods lists those of a namespace.
func pods(ctx context.Context, c *kube.Client, namespace string) ([]*object.Object, error) {
	var found []*object.Object
	err := c.Each(ctx, object.Pods, namespace, metav1.ListOptions{}, func(m *metav1.PartialObjectMetadata) error {
		found = append(found, fromMetadata(object.Pods, m))
		return nil
	})
	slices.SortFunc(found, func(a, b *object.Object) int { return cmp.Compare(a.Name, b.Name) })
	return found, err
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
func (t Terminating) heldByOthers() bool {
	for _, o := range t.Pods {
		if _, foreign := arc.Finalizers(o.Finalizers); len(foreign) > 0 {
			return true
		}
	}
	for message := range strings.SplitSeq(t.Why, "; ") {
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

// doomed reports whether an object's namespace is being deleted, from which there is
// no way back: the object is as good as being deleted, though Kubernetes may not have
// come to it, since it waits for the namespace's Pods.
func (p *planner) doomed(o *object.Object) bool {
	_, terminating := p.s.Terminating[o.Namespace]
	return terminating
}

// unhookable reports whether no hook of the object's release can be created: it is
// made of objects in the release's namespace and in the controller's, and into a
// namespace that is being deleted nobody can put any.
func (p *planner) unhookable(o *object.Object) bool {
	return slices.ContainsFunc(slices.Concat(p.o.hook().Controllers(p.release), []string{o.Release.Namespace}), func(ns string) bool {
		_, terminating := p.s.Terminating[ns]
		return terminating
	})
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
	for _, objects := range [][]*object.Object{p.s.Custom, p.s.Protected, p.s.ListenerRBAC, p.s.Dependents} {
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
		case p.history.Waited[name], name != p.o.Namespace && ns.heldByOthers():
			p.plan.Kept = append(p.plan.Kept, Finding{ns.Object, ns.still()})
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
