package arc

import (
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// LegacyGroup is the API group of the legacy controller, from the chart actions-runner-controller
// (apis/actions.summerwind.net/v1alpha1). Its version is Version, too.
const LegacyGroup = "actions.summerwind.dev"

// Resource names of the legacy group, all namespaced.
const (
	Runners                     = "runners"
	RunnerReplicaSets           = "runnerreplicasets"
	RunnerSets                  = "runnersets"
	RunnerDeployments           = "runnerdeployments"
	HorizontalRunnerAutoscalers = "horizontalrunnerautoscalers"
)

// LegacyResources lists the legacy group's resources, children before parents. A
// HorizontalRunnerAutoscaler owns nothing. It comes last because it sets the replicas of the others
// and so must be deleted before them.
func LegacyResources() []schema.GroupVersionResource {
	var out []schema.GroupVersionResource
	for _, r := range []string{Runners, RunnerReplicaSets, RunnerSets, RunnerDeployments, HorizontalRunnerAutoscalers} {
		out = append(out, LegacyResource(r))
	}
	return out
}

// LegacyResource returns the GroupVersionResource of one of the legacy group's resources.
func LegacyResource(name string) schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: LegacyGroup, Version: Version, Resource: name}
}

// LegacyCRDs lists the names of the legacy group's CustomResourceDefinitions, as in crds/ of the
// chart actions-runner-controller.
func LegacyCRDs() []string {
	var out []string
	for _, r := range LegacyResources() {
		out = append(out, r.Resource+"."+LegacyGroup)
	}
	return out
}

// Finalizers of the legacy controller.
const (
	// LegacyRunnerFinalizer is on Runners
	// (controllers/actions.summerwind.net/runner_controller.go).
	LegacyRunnerFinalizer = "runner.actions.summerwind.dev"
	// LegacyPodFinalizer is on a runner's Pod until the runner is removed at GitHub
	// (controllers/actions.summerwind.net/constants.go, runner_pod_controller.go).
	LegacyPodFinalizer = "actions.summerwind.dev/runner-pod"
	// LegacyLinkedFinalizer is on a runner's Pod whose jobs run in Pods of their own, until those
	// Pods are gone.
	LegacyLinkedFinalizer = "actions.summerwind.dev/linked-resources"
)

// Annotations on a legacy runner's Pod
// (controllers/actions.summerwind.net/runner_graceful_stop.go).
const (
	// AnnotationLegacyUnregistered is set when GitHub has removed the runner. The runner then has
	// no job and gets none.
	AnnotationLegacyUnregistered = "actions-runner/unregistration-complete-timestamp"
	// AnnotationLegacyRefused is GitHub's answer when it refused to remove the runner because of
	// its job.
	AnnotationLegacyRefused = "actions-runner/unregistration-failure-message"
)

// LabelRunnerPod is on the Pods and Secrets of a job that runs in Pods of its own. It names the
// runner's Pod, which has the name of its EphemeralRunner. These objects have no owner: the
// controllers of both groups delete them by this label when the runner is deleted
// (controllers/actions.github.com/ephemeralrunner_controller.go,
// controllers/actions.summerwind.net/runner_pod_controller.go).
const LabelRunnerPod = "runner-pod"

// LabelChart is the chart and its version, according to Helm's conventions.
const LabelChart = "helm.sh/chart"

// MayBeLegacyController reports whether a Deployment's labels fit the legacy controller, installed
// by the chart or by the manifests for kubectl (config/manager/manager.yaml).
func MayBeLegacyController(labels map[string]string) bool {
	return IsLegacyChart(labels) || labels["control-plane"] == "controller-manager"
}

// IsLegacyChart reports whether an object's labels name the legacy chart.
func IsLegacyChart(labels map[string]string) bool {
	return strings.HasPrefix(labels[LabelChart], "actions-runner-controller-")
}

// LegacyController says whether a Deployment is the legacy controller, and which namespace it
// watches; "" means all. The command decides, because the chart's webhook server and metrics server
// have the same labels. The chart's name is in a label, and unlike the name and the instance it
// cannot be overridden. Deployments that Helm did not install lack that label; they are recognised
// by the image's name (charts/actions-runner-controller/templates/deployment.yaml).
func LegacyController(labels map[string]string, containers []Container) (watches string, is bool) {
	charted := IsLegacyChart(labels)
	for _, c := range containers {
		switch {
		case !slices.Equal(c.Command, []string{"/manager"}), c.scaleSetsOnly():
			continue
		case !charted && !strings.Contains(c.Image, "/actions-runner-controller:") && !strings.Contains(c.Image, "/actions-runner-controller@"):
			continue
		}
		watches, _ = c.flag("watch-namespace")
		return watches, true
	}
	return "", false
}

// IsLegacyWebhook reports whether a webhook's name is one of the legacy chart's
// (charts/actions-runner-controller/templates/webhook_configs.yaml). The configuration itself tells
// nothing: its name can be overridden, and it has no labels.
func IsLegacyWebhook(name string) bool { return strings.HasSuffix(name, "."+LegacyGroup) }
