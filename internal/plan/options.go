package plan

import (
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/identity"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
)

// Scope says what is being uninstalled.
type Scope string

const (
	// ScopeController is the uninstall of ARC's controller: what is left of its scale sets, and the
	// CRDs.
	ScopeController Scope = "controller"
	// ScopeScaleSet is the uninstall of one release's scale sets. The controller stays.
	ScopeScaleSet Scope = "scale-set"
	// ScopeNamespace is the rescue of one namespace that is stuck in Terminating. The CRDs stay.
	ScopeNamespace Scope = "namespace"
	// ScopeLegacy is the uninstall of the legacy controller, whose group is actions.summerwind.dev:
	// what is left of its runners, and the CRDs.
	ScopeLegacy Scope = "legacy"
)

// ScaleSetsPolicy says what happens to scale sets that are still installed.
type ScaleSetsPolicy string

const (
	// RefuseScaleSets names each set and the command that uninstalls it.
	RefuseScaleSets ScaleSetsPolicy = "refuse"
	// DeleteScaleSets deletes the AutoscalingRunnerSets; their Helm releases stay.
	DeleteScaleSets ScaleSetsPolicy = "delete"
	// UninstallScaleSets deletes the AutoscalingRunnerSets and their Helm releases.
	UninstallScaleSets ScaleSetsPolicy = "uninstall"
)

// BusyRunnersPolicy says what happens to runners that have a job.
type BusyRunnersPolicy string

const (
	// WaitForBusy waits for the jobs within the time budget, then refuses.
	WaitForBusy BusyRunnersPolicy = "wait"
	// LeaveBusy hands their scale sets over to the controller, which finishes them when the jobs
	// are over, as it does without arc-cleanup.
	LeaveBusy BusyRunnersPolicy = "leave"
	// RefuseBusy refuses at once.
	RefuseBusy BusyRunnersPolicy = "refuse"
	// ForceBusy treats them like idle runners: their jobs may be killed.
	ForceBusy BusyRunnersPolicy = "force"
)

// CRDsPolicy says whether the CRDs are deleted.
type CRDsPolicy string

const (
	// DeleteCRDs deletes the CRDs, unless another controller uses them or they are marked to be
	// kept.
	DeleteCRDs CRDsPolicy = "delete"
	// KeepCRDs leaves the CRDs, for clusters that manage them apart from ARC's release.
	KeepCRDs CRDsPolicy = "keep"
)

// GitHubPolicy says what happens to registrations at GitHub that no controller removes.
type GitHubPolicy string

const (
	// KeepRegistered leaves them to GitHub, which removes them after some days.
	KeepRegistered GitHubPolicy = "keep"
	// Deregister removes them.
	Deregister GitHubPolicy = "deregister"
)

// Options says what to clean up, and under which conditions.
type Options struct {
	Scope Scope

	// RequireUninstalling refuses every write unless Helm is uninstalling the release. The release
	// is found by Job, the name of the hook's own Job, or by Release. Without RequireUninstalling,
	// Argo CD must have created the Job: it does that only for a deletion, and keeps no record.
	RequireUninstalling bool
	Job, Release        string
	// ReleaseNamespace is the release's namespace. It may be empty in a run by hand.
	ReleaseNamespace string
	// StorageNamespace is the namespace of Helm's record, if it is not ReleaseNamespace: Flux
	// stores the record beside the HelmRelease.
	StorageNamespace string

	// Namespace is the one to rescue, for Scope Namespace.
	Namespace string
	// WatchNamespaces are the namespaces that the release's single-namespace controllers watch;
	// empty if a controller watches all.
	WatchNamespaces []string
	// ControllerNamespaces are the namespaces of the controllers, and so of the listeners; empty
	// for the release's namespace.
	ControllerNamespaces []string
	// RunnerNamespaces are the namespaces of scale sets and their runners, beside those of Sets. If
	// empty, these are the release's namespace for Scope ScaleSet, and the watched namespaces for
	// Scope Controller.
	RunnerNamespaces []string
	// Sets adds scale sets to those of the release, for installers that leave no Helm record.
	Sets []identity.Set

	// CRDs says whether the CRDs are deleted.
	CRDs CRDsPolicy

	ScaleSets ScaleSetsPolicy
	// BusyRunners defaults to LeaveBusy for a scale set, whose controller stays, and to WaitForBusy
	// for a controller.
	BusyRunners BusyRunnersPolicy

	// GitHub says what happens to registrations that no controller removes.
	GitHub GitHubPolicy

	// Backup is the Secret in which AutoscalingRunnerSets are saved before they are deleted, for
	// Scope Controller. Without a name there is no backup. cmd/hookjob/flags.go names it after the start.
	Backup types.NamespacedName

	// Record is the Secret in which a run that de-registers writes down what is registered at GitHub, before it frees it. Records
	// of earlier runs are read in its namespace. Without a name there is none.
	Record types.NamespacedName

	// Grace is how long a running controller may show no progress before the run removes its
	// finalizers.
	Grace time.Duration

	// Confirmed is the digest of the plan that a person has seen. The run executes no other plan;
	// empty accepts any plan.
	Confirmed string
}

// RemovesCRDs reports whether this uninstall removes the CRDs, as every uninstall of a controller
// does.
func (o Options) RemovesCRDs() bool { return o.Scope == ScopeController || o.Scope == ScopeLegacy }

// wholeCluster reports whether this is a cleanup of the whole cluster by hand, and not the uninstall of a release.
func (o Options) wholeCluster() bool {
	return o.Scope == ScopeController && o.Job == "" && o.Release == ""
}

// Uninstalls reports whether the Helm releases of scale sets are removed with them.
func (o Options) Uninstalls() bool {
	return o.Scope == ScopeController && o.ScaleSets == UninstallScaleSets
}

func (o Options) busyRunners() BusyRunnersPolicy {
	switch {
	case o.BusyRunners != "":
		return o.BusyRunners
	case o.Scope == ScopeScaleSet:
		return LeaveBusy
	}
	return WaitForBusy
}

// Kinds returns the kinds that may have ARC's finalizers and are installed and removed with it,
// children before parents.
func (o Options) Kinds() []schema.GroupVersionResource {
	switch o.Scope {
	case ScopeLegacy:
		return legacyKinds()
	case ScopeNamespace:
		return slices.Concat(legacyKinds(), arc.Resources())
	}
	return arc.Resources()
}

// ControllersIn returns the namespaces of the release's controllers and listeners.
func (o Options) ControllersIn() []string {
	return o.namespaces().Controllers(o.ReleaseNamespace)
}

// CustomNamespaces returns the namespaces to search for custom resources of a kind; "" is all of
// them. A controller's uninstall searches everywhere, because resources elsewhere decide whether
// the CRDs stay.
func (o Options) CustomNamespaces(resource string) []string {
	switch {
	case o.Scope != ScopeScaleSet && resource == arc.AutoscalingListeners:
		return AllNamespaces
	case o.Scope != ScopeScaleSet:
		return []string{o.Namespace}
	case resource == arc.AutoscalingListeners:
		return o.ControllersIn()
	}
	return o.CoreNamespaces()
}

// AllNamespaces searches the whole cluster.
var AllNamespaces = []string{""}

// CoreNamespaces returns the namespaces to search for core objects; "" is all of them. The
// namespace of a scale set that the options name is always among them.
func (o Options) CoreNamespaces() []string {
	in := AllNamespaces
	switch {
	case o.Scope == ScopeNamespace:
		in = []string{o.Namespace}
	case len(o.RunnerNamespaces) > 0:
		in = o.RunnerNamespaces
	case o.Scope == ScopeScaleSet:
		in = []string{o.ReleaseNamespace}
	case len(o.WatchNamespaces) > 0:
		in = o.WatchNamespaces
	}
	if o.Scope == ScopeScaleSet {
		for _, set := range o.Sets {
			if !slices.Contains(in, set.Namespace) {
				in = append(slices.Clone(in), set.Namespace)
			}
		}
	}
	return in
}

// readsCore reports whether the survey reads the core objects of a namespace.
func (o Options) readsCore(namespace string) bool {
	in := o.CoreNamespaces()
	return slices.Contains(in, namespace) || slices.Contains(in, "")
}

// Foreground reports whether the deletion of an object must be a foreground deletion. It is one for
// a listener in a namespace whose core objects this uninstall may not read: only the garbage
// collector can then tell whether its dependents are gone, Secrets with credentials among them.
func (o Options) Foreground(of *object.Object) bool {
	return !o.RemovesCRDs() && of.Resource.Resource == arc.AutoscalingListeners && !o.readsCore(of.Namespace)
}

// OtherListenerNamespaces returns the namespaces outside CoreNamespaces to search for what listeners own:
// those of controllers that watch other namespaces than their own.
func (o Options) OtherListenerNamespaces() []string {
	if o.Scope != ScopeController {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(o.ControllersIn()), func(namespace string) bool {
		return namespace == "" || o.readsCore(namespace) // "" is a controller namespace that is not known
	})
}
