package harness

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	dynamicfake "k8s.io/client-go/dynamic/fake"
)

// TestRegistered: ARC loses a runner at GitHub once in some hundred, and not on demand.
func TestRegistered(t *testing.T) {
	runner := func(name string, id int64) runtime.Object {
		o := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "actions.github.com/v1alpha1", "kind": "EphemeralRunner"}}
		o.SetNamespace("runners")
		o.SetName(name)
		if id > 0 {
			o.Object["status"] = map[string]any{"runnerId": id}
		}
		return o
	}
	client := dynamicfake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(),
		map[schema.GroupVersionResource]string{ephemeralRunners: "EphemeralRunnerList"},
		runner("begins", 0), runner("there", 1), runner("lost", 2))
	for _, step := range []struct {
		atGitHub []string
		want     bool
		left     int
	}{{[]string{"there"}, false, 2}, {[]string{"there"}, true, 2}, {nil, false, 1}, {nil, false, 1}} {
		is, err := Registered(t.Context(), client, step.atGitHub, "runners")
		if err != nil {
			t.Fatal(err)
		}
		left, err := client.Resource(ephemeralRunners).Namespace("runners").List(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if is != step.want || len(left.Items) != step.left {
			t.Errorf("with %v at GitHub: %t, %d left; want %t, %d", step.atGitHub, is, len(left.Items), step.want, step.left)
		}
	}
}
