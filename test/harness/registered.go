package harness

import (
	"context"
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
)

var ephemeralRunners = schema.GroupVersionResource{Group: "actions.github.com", Version: "v1alpha1", Resource: "ephemeralrunners"}

// Registered reports whether GitHub has the runners that ARC says it has, and one at least. It deletes the others, for which
// ARC then makes new ones: while its cache is late, ARC 0.6.1 asks GitHub a second time for a runner that it has, takes the
// refusal for a leftover, and removes the runner there.
func Registered(ctx context.Context, client dynamic.Interface, atGitHub []string, namespace string) (bool, error) {
	list, err := client.Resource(ephemeralRunners).Namespace(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return false, fmt.Errorf("listing the runners of namespace %s: %w", namespace, err)
	}
	registered := false
	for _, runner := range list.Items {
		id, _, err := unstructured.NestedInt64(runner.Object, "status", "runnerId")
		switch {
		case err != nil:
			return false, fmt.Errorf("reading EphemeralRunner %s: %w", runner.GetName(), err)
		case id == 0: // not yet
		case slices.Contains(atGitHub, runner.GetName()):
			registered = true
		default:
			return false, client.Resource(ephemeralRunners).Namespace(namespace).Delete(ctx, runner.GetName(), metav1.DeleteOptions{})
		}
	}
	return registered, nil
}
