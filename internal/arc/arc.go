// Package arc holds what arc-cleanup knows about GitHub's Actions Runner
// Controller (ARC): its API group, kinds, finalizers, labels and annotations.
// It does no I/O and imports nothing of this project.
//
// Paths in comments are paths of github.com/actions/actions-runner-controller.
package arc

import (
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Group and Version of ARC's custom resources (apis/actions.github.com/v1alpha1).
const (
	Group   = "actions.github.com"
	Version = "v1alpha1"
)

// The four kinds of the group, the same from chart 0.2.0 on.
const (
	AutoscalingRunnerSet = "AutoscalingRunnerSet"
	AutoscalingListener  = "AutoscalingListener"
	EphemeralRunnerSet   = "EphemeralRunnerSet"
	EphemeralRunner      = "EphemeralRunner"
)

// Resource names of the four kinds.
const (
	AutoscalingRunnerSets = "autoscalingrunnersets"
	AutoscalingListeners  = "autoscalinglisteners"
	EphemeralRunnerSets   = "ephemeralrunnersets"
	EphemeralRunners      = "ephemeralrunners"
)

// Resources lists the group's resources, children before parents: the order in
// which their finalizers can go without leaving an owner waiting for a child.
func Resources() []schema.GroupVersionResource {
	var out []schema.GroupVersionResource
	for _, r := range []string{EphemeralRunners, EphemeralRunnerSets, AutoscalingListeners, AutoscalingRunnerSets} {
		out = append(out, Resource(r))
	}
	return out
}

// Resource returns the group-version-resource of one of the group's resources.
func Resource(name string) schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: Group, Version: Version, Resource: name}
}

// CRDs lists the names of the group's CustomResourceDefinitions, as shipped in
// crds/ of the chart gha-runner-scale-set-controller.
func CRDs() []string {
	var out []string
	for _, r := range Resources() {
		out = append(out, r.Resource+"."+Group)
	}
	return out
}

// Finalizers. Nothing but these is ever removed.
const (
	// AutoscalingRunnerSetFinalizer is put on an AutoscalingRunnerSet by the
	// controller at its first reconcile (controllers/actions.github.com/autoscalingrunnerset_controller.go).
	AutoscalingRunnerSetFinalizer = "autoscalingrunnerset.actions.github.com/finalizer"
	// AutoscalingListenerFinalizer is put on an AutoscalingListener by the controller.
	AutoscalingListenerFinalizer = "autoscalinglistener.actions.github.com/finalizer"
	// EphemeralRunnerFinalizer is on EphemeralRunners and, up to ARC 0.14.2, on
	// EphemeralRunnerSets too.
	EphemeralRunnerFinalizer = "ephemeralrunner.actions.github.com/finalizer"
	// EphemeralRunnerSetFinalizer is what later versions put on EphemeralRunnerSets.
	EphemeralRunnerSetFinalizer = "ephemeralrunnerset.actions.github.com/finalizer"
	// RunnerRegistrationFinalizer is on an EphemeralRunner until its runner is
	// removed at GitHub.
	RunnerRegistrationFinalizer = "ephemeralrunner.actions.github.com/runner-registration-finalizer"
	// CleanupProtectionFinalizer is put by the scale-set chart on its Roles,
	// RoleBindings, ServiceAccounts and Secret (templates/_helpers.tpl).
	CleanupProtectionFinalizer = "actions.github.com/cleanup-protection"
	// SecretProtectionFinalizer is on the GitHub Secret of charts 0.2.0 and 0.3.0;
	// no controller removes it.
	SecretProtectionFinalizer = "actions.github.com/secret-protection"
)

var finalizers = []string{
	AutoscalingRunnerSetFinalizer,
	AutoscalingListenerFinalizer,
	EphemeralRunnerFinalizer,
	EphemeralRunnerSetFinalizer,
	RunnerRegistrationFinalizer,
	CleanupProtectionFinalizer,
	SecretProtectionFinalizer,

	LegacyRunnerFinalizer,
	LegacyPodFinalizer,
	LegacyLinkedFinalizer,
}

// IsFinalizer reports whether a finalizer is ARC's own. The comparison is exact:
// a name which merely looks like ARC's belongs to somebody else.
func IsFinalizer(name string) bool { return slices.Contains(finalizers, name) }

// Finalizers returns those of names that are ARC's, and the others.
func Finalizers(names []string) (own, foreign []string) {
	for _, n := range names {
		if IsFinalizer(n) {
			own = append(own, n)
		} else {
			foreign = append(foreign, n)
		}
	}
	return own, foreign
}

// Labels and annotations.
const (
	LabelPartOf   = "app.kubernetes.io/part-of"
	LabelInstance = "app.kubernetes.io/instance"
	// LabelVersion is the version of ARC. A controller deletes a scale set on which
	// it is another one (controllers/actions.github.com/autoscalingrunnerset_controller.go).
	LabelVersion = "app.kubernetes.io/version"

	// LabelScaleSetName and LabelScaleSetNamespace name the AutoscalingRunnerSet
	// an object belongs to.
	LabelScaleSetName      = "actions.github.com/scale-set-name"
	LabelScaleSetNamespace = "actions.github.com/scale-set-namespace"

	// LabelListenerName and LabelListenerNamespace are on a listener's Role and
	// RoleBinding in the runner namespace. These two have no owner; only the
	// controller deletes them (controllers/actions.github.com/resourcebuilder.go).
	LabelListenerName      = "auto-scaling-listener-name"
	LabelListenerNamespace = "auto-scaling-listener-namespace"

	// LabelControllerAccount is on the Deployment of a controller of scale sets, from
	// chart 0.4.0 on; by it ARC's scale-set chart finds the controller. The chart writes
	// it after its value `labels`, which therefore cannot change it.
	LabelControllerAccount = "actions.github.com/controller-service-account-name"
	// LabelWatchSingleNamespace is on the Deployment of a controller which
	// watches one namespace; its value is that namespace.
	LabelWatchSingleNamespace = "actions.github.com/controller-watch-single-namespace"

	// AnnotationRunnerScaleSetID is the scale set's id at GitHub, on the
	// AutoscalingRunnerSet. The key has no prefix.
	AnnotationRunnerScaleSetID = "runner-scale-set-id"

	// AnnotationRunnerScaleSetName is the scale set's name at GitHub.
	AnnotationRunnerScaleSetName = "actions.github.com/runner-scale-set-name"

	// AnnotationWake is this project's own: its value changes to have the controller
	// look at an object at once. All four reconcilers let every change of an object
	// through (WithEventFilter(predicate.ResourceVersionChangedPredicate{})), and what
	// they take hashes of are specs and labels.
	AnnotationWake = "arc-cleanup/wake"

	// AnnotationReleaseName and AnnotationReleaseNamespace are put by Helm on
	// everything a release installs, except hooks
	// (helm.sh/helm pkg/action/validate.go).
	AnnotationReleaseName      = "meta.helm.sh/release-name"
	AnnotationReleaseNamespace = "meta.helm.sh/release-namespace"
)

// IsScaleSet reports whether an object of a manifest is an AutoscalingRunnerSet, of whatever version.
func IsScaleSet(apiVersion, kind string) bool {
	return kind == AutoscalingRunnerSet && strings.HasPrefix(apiVersion, Group+"/")
}

// IsManager reports whether a Role or RoleBinding, already known to be the
// scale-set chart's by its finalizer, carries the controller's own rights in
// the runner namespace (charts/gha-runner-scale-set/templates/_helpers.tpl; the
// experimental charts end the name in -manager-role).
func IsManager(name string) bool {
	return strings.HasSuffix(strings.TrimSuffix(name, "-role"), "-manager")
}

// ScaleSetName is the name of the AutoscalingRunnerSet that a scale-set-name label
// speaks of. From 0.13 on the chart takes names with an underscore, which it keeps in
// labels and writes as a dash in the names of objects (ARC's pull request 3545).
func ScaleSetName(label string) string { return strings.ReplaceAll(label, "_", "-") }
