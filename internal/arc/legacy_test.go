package arc

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestLegacyChildrenComeBeforeParents(t *testing.T) {
	want := []string{
		"runners.actions.summerwind.dev",
		"runnerreplicasets.actions.summerwind.dev",
		"runnersets.actions.summerwind.dev",
		"runnerdeployments.actions.summerwind.dev",
		"horizontalrunnerautoscalers.actions.summerwind.dev",
	}
	if diff := cmp.Diff(want, LegacyCRDs()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for i, r := range LegacyResources() {
		if r.Version != "v1alpha1" || r.GroupResource().String() != want[i] {
			t.Errorf("%s: not the CRD %s", r, want[i])
		}
	}
}

func TestLegacyController(t *testing.T) {
	chart := map[string]string{"helm.sh/chart": "actions-runner-controller-0.23.7", "app.kubernetes.io/name": "renamed"}
	command := func(path string, args ...string) Container {
		return Container{Image: "registry.example.com/mirror:1", Command: []string{path}, Args: args}
	}
	image := func(image string) Container { return Container{Image: image, Command: []string{"/manager"}} }
	proxy := Container{Image: "quay.io/brancz/kube-rbac-proxy:v0.13.1", Args: []string{"--v=10"}}
	tests := map[string]struct {
		labels     map[string]string
		containers []Container
		watches    string
		want       bool
	}{
		"the chart's":                        {chart, []Container{command("/manager", "--port=9443"), proxy}, "", true},
		"the proxy comes first":              {chart, []Container{proxy, command("/manager")}, "", true},
		"one namespace":                      {chart, []Container{command("/manager", "--watch-namespace=ci", "--log-format=text")}, "ci", true},
		"the chart's webhook server":         {chart, []Container{command("/github-webhook-server"), proxy}, "", false},
		"the chart's metrics server":         {chart, []Container{command("/actions-metrics-server")}, "", false},
		"from the manifests, without Helm":   {nil, []Container{image("summerwind/actions-runner-controller:v0.27.6")}, "", true},
		"by digest":                          {nil, []Container{image("ghcr.io/x/actions-runner-controller@sha256:00")}, "", true},
		"the controller of scale sets":       {map[string]string{"helm.sh/chart": "gha-rs-controller-0.12.1"}, []Container{image("ghcr.io/actions/gha-runner-scale-set-controller:0.12.1")}, "", false},
		"the same program for scale sets":    {nil, []Container{{Image: "summerwind/actions-runner-controller:v0.27.6", Command: []string{"/manager"}, Args: []string{"--auto-scaling-runner-set-only"}}}, "", false},
		"another operator":                   {nil, []Container{command("/manager", "--watch-namespace=ci")}, "", false},
		"a chart whose name begins likewise": {map[string]string{"helm.sh/chart": "actions-runner-controllers-1.0.0"}, []Container{command("/manager")}, "", false},
	}
	for name, test := range tests {
		if watches, is := LegacyController(test.labels, test.containers); is != test.want || watches != test.watches {
			t.Errorf("%s: %q, %t", name, watches, is)
		}
	}
}

func TestIsLegacyWebhook(t *testing.T) {
	tests := map[string]bool{
		"mutate.runner.actions.summerwind.dev":             true,
		"validate.runnerdeployment.actions.summerwind.dev": true,
		"mutate-runner-pod.webhook.actions.summerwind.dev": true,
		"actions.summerwind.dev":                           false,
		"mutate.runner.actions.github.com":                 false,
		"x.actions.summerwind.dev.example.com":             false,
	}
	for name, want := range tests {
		if got := IsLegacyWebhook(name); got != want {
			t.Errorf("%s: %t", name, got)
		}
	}
}
