package survey

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/arc-cleanup/arc-cleanup/internal/kube"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
)

// terminating finds the namespaces that are being deleted. With a name, it looks at that namespace
// only, and says whether it exists and is not being deleted.
func terminating(ctx context.Context, c *kube.Client, name string) (found map[string]plan.Terminating, live bool, err error) {
	options := metav1.ListOptions{}
	if name != "" {
		options.FieldSelector = "metadata.name=" + name
	}
	found = map[string]plan.Terminating{}
	err = c.Each(ctx, object.Namespaces, "", options, func(m *metav1.PartialObjectMetadata) error {
		if m.DeletionTimestamp != nil {
			found[m.Name] = plan.Terminating{Object: FromMetadata(object.Namespaces, m)}
		} else if m.Name == name {
			live = true
		}
		return nil
	})
	if err != nil {
		return nil, false, err
	}
	for name, t := range found {
		ns, err := c.Get(ctx, object.Namespaces, "", name)
		if apierrors.IsNotFound(err) {
			delete(found, name)
			continue
		}
		if err != nil {
			return nil, false, err
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

// contentRemains is the beginning of the message about the remaining content of a namespace. There
// is no such message while Pods remain: since 1.33 Kubernetes deletes the Pods first, and until
// they are gone it reports that all content was deleted (k8s.io/kubernetes
// pkg/controller/namespace/deletion/namespaced_resources_deleter.go, deleteAllContent).
const contentRemains = "Some resources are remaining: "

// pods lists the Pods of a namespace.
func pods(ctx context.Context, c *kube.Client, namespace string) ([]*object.Object, error) {
	var found []*object.Object
	err := c.Each(ctx, object.Pods, namespace, metav1.ListOptions{}, func(m *metav1.PartialObjectMetadata) error {
		found = append(found, FromMetadata(object.Pods, m))
		return nil
	})
	slices.SortFunc(found, func(a, b *object.Object) int { return cmp.Compare(a.Name, b.Name) })
	return found, err
}

// holding returns the messages of the conditions in which Kubernetes' namespace controller says
// what a deletion waits for (k8s.io/kubernetes
// pkg/controller/namespace/deletion/status_condition_utils.go).
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
