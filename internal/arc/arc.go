// Package arc holds the facts that arc-cleanup needs about GitHub's Actions Runner Controller
// (ARC): its API groups, kinds, finalizers, labels and annotations. It does no I/O and imports no
// other package of this project.
//
// Paths in comments are paths of github.com/actions/actions-runner-controller.
package arc

import (
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Group and Version of ARC's custom resources (apis/actions.github.com/v1alpha1).
const (
	Group   = "actions.github.com"
	Version = "v1alpha1"
)

// The four kinds of the group. They are the same since chart 0.2.0. CONTRIBUTING.md, "A new kind of
// ARC", lists what to change for another one.
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

// Resources lists the group's resources, children before parents. Removing finalizers in this order
// never leaves an owner waiting for a child.
func Resources() []schema.GroupVersionResource {
	var out []schema.GroupVersionResource
	for _, r := range []string{EphemeralRunners, EphemeralRunnerSets, AutoscalingListeners, AutoscalingRunnerSets} {
		out = append(out, Resource(r))
	}
	return out
}

// Resource returns the GroupVersionResource of one of the group's resources.
func Resource(name string) schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: Group, Version: Version, Resource: name}
}

// CRDs lists the names of the group's CustomResourceDefinitions, as in crds/ of the chart
// gha-runner-scale-set-controller.
func CRDs() []string {
	var out []string
	for _, r := range Resources() {
		out = append(out, r.Resource+"."+Group)
	}
	return out
}

// Finalizers. arc-cleanup never removes any others.
const (
	// AutoscalingRunnerSetFinalizer is on AutoscalingRunnerSets. The controller adds it at its
	// first reconcile (controllers/actions.github.com/autoscalingrunnerset_controller.go).
	AutoscalingRunnerSetFinalizer = "autoscalingrunnerset.actions.github.com/finalizer"
	// AutoscalingListenerFinalizer is on AutoscalingListeners. The controller adds it.
	AutoscalingListenerFinalizer = "autoscalinglistener.actions.github.com/finalizer"
	// EphemeralRunnerFinalizer is on EphemeralRunners and, up to ARC 0.14.2, on EphemeralRunnerSets
	// too.
	EphemeralRunnerFinalizer = "ephemeralrunner.actions.github.com/finalizer"
	// EphemeralRunnerSetFinalizer is on the EphemeralRunnerSets of later versions.
	EphemeralRunnerSetFinalizer = "ephemeralrunnerset.actions.github.com/finalizer"
	// RunnerRegistrationFinalizer is on an EphemeralRunner until its runner is removed at GitHub.
	RunnerRegistrationFinalizer = "ephemeralrunner.actions.github.com/runner-registration-finalizer"
	// CleanupProtectionFinalizer is on the Roles, RoleBindings, ServiceAccounts and the Secret of
	// the scale-set chart (templates/_helpers.tpl).
	CleanupProtectionFinalizer = "actions.github.com/cleanup-protection"
	// SecretProtectionFinalizer is on the GitHub Secret of charts 0.2.0 and 0.3.0. No controller
	// removes it.
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

// IsFinalizer reports whether a finalizer is ARC's own. It compares whole names: a finalizer that
// only looks like ARC's is not ARC's.
func IsFinalizer(name string) bool { return slices.Contains(finalizers, name) }

// Finalizers splits finalizers into ARC's own and the others.
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
	// LabelVersion is the version of ARC. A controller deletes a scale set whose label has another
	// version (controllers/actions.github.com/autoscalingrunnerset_controller.go).
	LabelVersion = "app.kubernetes.io/version"

	// LabelScaleSetName and LabelScaleSetNamespace name the AutoscalingRunnerSet to which an object
	// belongs.
	LabelScaleSetName      = "actions.github.com/scale-set-name"
	LabelScaleSetNamespace = "actions.github.com/scale-set-namespace"

	// LabelListenerName and LabelListenerNamespace are on a listener's Role and RoleBinding in the
	// runner namespace. These two have no owner; only the controller deletes them
	// (controllers/actions.github.com/resourcebuilder.go).
	LabelListenerName      = "auto-scaling-listener-name"
	LabelListenerNamespace = "auto-scaling-listener-namespace"

	// LabelControllerAccount is on the Deployment of a controller of scale sets, since chart 0.4.0.
	// ARC's scale-set chart finds the controller by it. The controller's chart writes it after its
	// value `labels`, so that value cannot change it.
	LabelControllerAccount = "actions.github.com/controller-service-account-name"
	// LabelWatchSingleNamespace is on the Deployment of a controller that watches one namespace.
	// Its value is that namespace.
	LabelWatchSingleNamespace = "actions.github.com/controller-watch-single-namespace"

	// AnnotationRunnerScaleSetID is the scale set's ID at GitHub, on the AutoscalingRunnerSet. The
	// key has no prefix.
	AnnotationRunnerScaleSetID = "runner-scale-set-id"

	// AnnotationRunnerScaleSetName is the scale set's name at GitHub.
	AnnotationRunnerScaleSetName = "actions.github.com/runner-scale-set-name"

	// AnnotationOldName is what 0.6.1 has in place of AnnotationRunnerScaleSetName.
	AnnotationOldName = "runner-scale-set-name"

	// AnnotationRunnerGroupName is the name of its runner group at GitHub.
	AnnotationRunnerGroupName = "actions.github.com/runner-group-name"

	// AnnotationWake belongs to arc-cleanup. Changing its value makes the controller reconcile the
	// object at once: all four reconcilers react to every change of an object
	// (WithEventFilter(predicate.ResourceVersionChangedPredicate{})). The change has no other
	// effect, because the controller's hashes cover specs and labels only.
	AnnotationWake = "arc-cleanup/wake"

	// AnnotationReleaseName and AnnotationReleaseNamespace are on everything that a Helm release
	// installs, except hooks (helm.sh/helm pkg/action/validate.go).
	AnnotationReleaseName      = "meta.helm.sh/release-name"
	AnnotationReleaseNamespace = "meta.helm.sh/release-namespace"
)

// IsScaleSet reports whether an object in a manifest is an AutoscalingRunnerSet, whatever its API version.
func IsScaleSet(apiVersion, kind string) bool {
	return kind == AutoscalingRunnerSet && strings.HasPrefix(apiVersion, Group+"/")
}

// IsManager reports whether a Role or RoleBinding with the scale-set chart's finalizer grants the
// controller's own rights in the runner namespace
// (charts/gha-runner-scale-set/templates/_helpers.tpl; in the experimental charts the name ends in
// -manager-role).
func IsManager(name string) bool {
	return strings.HasSuffix(strings.TrimSuffix(name, "-role"), "-manager")
}

// ScaleSetName returns the name of the AutoscalingRunnerSet that a scale-set-name label names.
// Since 0.13 the chart accepts names with an underscore: it keeps the underscore in labels and
// writes a dash in the names of objects (ARC's pull request 3545).
func ScaleSetName(label string) string { return strings.ReplaceAll(label, "_", "-") }

// runnerName matches the name of an EphemeralRunner: its set's name, up to 0.14 the five characters
// of its runner set, and its own five (resourcebuilder.go, newEphemeralRunnerSet and
// newEphemeralRunner).
var runnerName = regexp.MustCompile(`^(.+?)(-[a-z0-9]{5})?-runner-[a-z0-9]{5}$`)

// NamesRunnerOf reports whether a name is one that ARC gives the runners of a scale set, and with
// them their Pods and Secrets.
func NamesRunnerOf(name, set string) bool {
	m := runnerName.FindStringSubmatch(name)
	return m != nil && (m[1] == set || m[1]+m[2] == set)
}
