package arc

import (
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// LegacyGroup is the API group of the legacy controller, the chart
// actions-runner-controller (apis/actions.summerwind.net/v1alpha1). Its version is
// Version, too.
const LegacyGroup = "actions.summerwind.dev"

// Resource names of the legacy group, all namespaced.
const (
	Runners                     = "runners"
	RunnerReplicaSets           = "runnerreplicasets"
	RunnerSets                  = "runnersets"
	RunnerDeployments           = "runnerdeployments"
	HorizontalRunnerAutoscalers = "horizontalrunnerautoscalers"
)

// LegacyResources lists the legacy group's resources, children before parents. An
// autoscaler owns nothing, and comes last because it sets the replicas of the
// others: it has to be deleted before them.
func LegacyResources() []schema.GroupVersionResource {
	var out []schema.GroupVersionResource
	for _, r := range []string{Runners, RunnerReplicaSets, RunnerSets, RunnerDeployments, HorizontalRunnerAutoscalers} {
		out = append(out, LegacyResource(r))
	}
	return out
}

// LegacyResource returns the group-version-resource of one of the legacy group's
// resources.
func LegacyResource(name string) schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: LegacyGroup, Version: Version, Resource: name}
}

// LegacyCRDs lists the names of the legacy group's CustomResourceDefinitions, as
// shipped in crds/ of the chart actions-runner-controller.
func LegacyCRDs() []string {
	var out []string
	for _, r := range LegacyResources() {
		out = append(out, r.Resource+"."+LegacyGroup)
	}
	return out
}

// Finalizers of the legacy controller.
const (
	// LegacyRunnerFinalizer is put on a Runner (controllers/actions.summerwind.net/runner_controller.go).
	LegacyRunnerFinalizer = "runner.actions.summerwind.dev"
	// LegacyPodFinalizer is put on a runner's Pod until the runner is removed at
	// GitHub (controllers/actions.summerwind.net/constants.go, runner_pod_controller.go).
	LegacyPodFinalizer = "actions.summerwind.dev/runner-pod"
	// LegacyLinkedFinalizer is put on a runner's Pod whose jobs run in Pods of their
	// own, until these are gone.
	LegacyLinkedFinalizer = "actions.summerwind.dev/linked-resources"
)

// Annotations on a legacy runner's Pod
// (controllers/actions.summerwind.net/runner_graceful_stop.go).
const (
	// AnnotationLegacyUnregistered is there once GitHub has removed the runner, so
	// that it has no job and gets none.
	AnnotationLegacyUnregistered = "actions-runner/unregistration-complete-timestamp"
	// AnnotationLegacyRefused is what GitHub said when it refused to remove the
	// runner because of its job.
	AnnotationLegacyRefused = "actions-runner/unregistration-failure-message"
)

// LabelRunnerPod names, on the Pods and Secrets of a job that runs in Pods of
// its own, the runner's Pod, which has the name of its EphemeralRunner. Nothing owns
// them: the controllers of both groups delete them by this label when the runner goes
// (controllers/actions.github.com/ephemeralrunner_controller.go,
// controllers/actions.summerwind.net/runner_pod_controller.go).
const LabelRunnerPod = "runner-pod"

// LabelChart is the chart and its version, as Helm's own conventions have it.
const LabelChart = "helm.sh/chart"

// MayBeLegacyController reports whether, by its labels, a Deployment may be that of
// the legacy controller, of the chart or of the manifests for kubectl
// (config/manager/manager.yaml).
func MayBeLegacyController(labels map[string]string) bool {
	return IsLegacyChart(labels) || labels["control-plane"] == "controller-manager"
}

// IsLegacyChart reports whether an object's labels say that it is of the legacy
// chart.
func IsLegacyChart(labels map[string]string) bool {
	return strings.HasPrefix(labels[LabelChart], "actions-runner-controller-")
}

// LegacyController says whether a Deployment is that of the legacy controller, and
// which one namespace it watches ("" is all). The labels are also those of the
// chart's webhook and metrics servers, so the command decides; name and instance
// can be overridden, the chart's name cannot. Deployments that are not Helm's have
// no such label, but the image's name (charts/actions-runner-controller/templates/deployment.yaml).
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
// (charts/actions-runner-controller/templates/webhook_configs.yaml): the
// configurations' own names and labels tell nothing, the first can be overridden
// and the second are missing.
func IsLegacyWebhook(name string) bool { return strings.HasSuffix(name, "."+LegacyGroup) }
