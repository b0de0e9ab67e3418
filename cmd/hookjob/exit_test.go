package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/arc-cleanup/arc-cleanup/internal/chart"
)

// TestTheJobKnowsTheExitCodes holds the exit codes after which the Job starts no other
// Pod against those of the program: a Pod that ended with one would fail again.
func TestTheJobKnowsTheExitCodes(t *testing.T) {
	hooks, err := chart.Render(chart.Release{Name: "r", Namespace: "ns"}, map[string]any{"image": map[string]any{"repository": "registry.example/arc-hookjob"}})
	if err != nil {
		t.Fatal(err)
	}
	var job struct {
		Spec struct {
			PodFailurePolicy struct {
				Rules []struct {
					Action      string
					OnExitCodes struct{ Values []int }
				}
			}
		}
	}
	if err := yaml.Unmarshal([]byte(hooks[len(hooks)-1].Manifest), &job); err != nil {
		t.Fatal(err)
	}
	var codes []int
	for _, rule := range job.Spec.PodFailurePolicy.Rules {
		if rule.Action == "FailJob" {
			codes = append(codes, rule.OnExitCodes.Values...)
		}
	}
	if diff := cmp.Diff([]int{exitUsage, exitRefused, exitNotPermitted, exitOutOfTime}, codes); diff != "" {
		t.Errorf("the program's (-), the Job's (+):\n%s", diff)
	}
}
