package arc

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestOnlyExactFinalizersAreOwn(t *testing.T) {
	own := []string{
		"autoscalingrunnerset.actions.github.com/finalizer",
		"autoscalinglistener.actions.github.com/finalizer",
		"ephemeralrunner.actions.github.com/finalizer",
		"ephemeralrunnerset.actions.github.com/finalizer",
		"ephemeralrunner.actions.github.com/runner-registration-finalizer",
		"actions.github.com/cleanup-protection",
		"actions.github.com/secret-protection",
		"runner.actions.summerwind.dev",
		"actions.summerwind.dev/runner-pod",
		"actions.summerwind.dev/linked-resources",
	}
	foreign := []string{
		"customresourcecleanup.apiextensions.k8s.io", // a finalizer that CRDs have
		"foregroundDeletion",
		"kubernetes.io/pvc-protection",
		"actions.github.com/cleanup-protection2",
		"Actions.github.com/cleanup-protection",
		"example.actions.github.com/finalizer",
		"actions.github.com/finalizer",
		"actions.summerwind.dev/runner",
		"actions.summerwind.dev",
		"",
	}
	// Mix own and foreign names, to see that each half keeps its order.
	var names []string
	for i, f := range foreign {
		names = append(names, f)
		if i < len(own) {
			names = append(names, own[i])
		}
	}
	gotOwn, gotForeign := Finalizers(names)
	if diff := cmp.Diff(own, gotOwn); diff != "" {
		t.Errorf("own (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(foreign, gotForeign); diff != "" {
		t.Errorf("foreign (-want +got):\n%s", diff)
	}
}

func TestChildrenComeBeforeParents(t *testing.T) {
	var got []string
	for _, r := range Resources() {
		if r.Group != "actions.github.com" || r.Version != "v1alpha1" {
			t.Errorf("%s: not ARC's group and version", r)
		}
		got = append(got, r.Resource)
	}
	want := []string{"ephemeralrunners", "ephemeralrunnersets", "autoscalinglisteners", "autoscalingrunnersets"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestCRDsAreThoseOfTheChart(t *testing.T) {
	want := []string{
		"ephemeralrunners.actions.github.com",
		"ephemeralrunnersets.actions.github.com",
		"autoscalinglisteners.actions.github.com",
		"autoscalingrunnersets.actions.github.com",
	}
	if diff := cmp.Diff(want, CRDs()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestIsManager(t *testing.T) {
	tests := map[string]bool{
		"arc-runner-set-gha-rs-manager":    true,
		"arc-runner-set-manager-role":      true, // experimental charts, Role and RoleBinding
		"arc-runner-set-gha-rs-kube-mode":  false,
		"arc-runner-set-0a1b2c3d-listener": false,
		"manager-of-runners":               false,
		"manager":                          false,
	}
	for name, want := range tests {
		if got := IsManager(name); got != want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

func TestNamesRunnerOf(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, set string
		want      bool
	}{
		{"set-8cvvz-runner-t5dfg", "set", true},
		{"set-runner-t5dfg", "set", true}, // since 0.15 a runner set has its set's name
		{"my-set-8cvvz-runner-t5dfg", "my-set", true},
		{"my-set-8cvvz-runner-t5dfg", "set", false},
		{"my-set-8cvvz-runner-t5dfg", "my", false},
		{"set-8cvvz", "set", false},
		{"set-8cvvz-runner-t5dfg-config", "set", false},
		{"set", "set", false},
		{"set-8cvvz-runner-t5dfg", "", false},
	}
	for _, tt := range tests {
		if got := NamesRunnerOf(tt.name, tt.set); got != tt.want {
			t.Errorf("NamesRunnerOf(%q, %q) = %v", tt.name, tt.set, got)
		}
	}
}
