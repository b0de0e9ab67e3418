// Package cleanup removes what an uninstall of ARC leaves behind. It surveys the
// cluster without writing, plans as a pure function of what it saw, executes
// the plan, and reports what it did and what is left.
package cleanup

import (
	"cmp"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
)

// Scope says whose uninstall this is.
type Scope string

const (
	// Controller is the uninstall of ARC's controller: everything that is left
	// of its scale sets, and the CRDs.
	Controller Scope = "controller"
	// ScaleSet is the uninstall of one release's scale sets, while the
	// controller stays.
	ScaleSet Scope = "scale-set"
	// Namespace is the rescue of one namespace that hangs in Terminating. The
	// CRDs stay.
	Namespace Scope = "namespace"
	// Legacy is the uninstall of the legacy controller, whose group is
	// actions.summerwind.dev: everything that is left of its runners, and the CRDs.
	Legacy Scope = "legacy"
)

// ScaleSetsPolicy says what happens to scale sets which nobody has uninstalled.
type ScaleSetsPolicy string

const (
	// RefuseScaleSets names each with the command that uninstalls it.
	RefuseScaleSets ScaleSetsPolicy = "refuse"
	// DeleteScaleSets deletes the AutoscalingRunnerSets; their Helm releases stay.
	DeleteScaleSets ScaleSetsPolicy = "delete"
	// UninstallScaleSets deletes them, and their Helm releases too.
	UninstallScaleSets ScaleSetsPolicy = "uninstall"
)

// BusyRunnersPolicy says what happens to runners that have a job.
type BusyRunnersPolicy string

const (
	// WaitForBusy waits for the jobs within the budget, then refuses.
	WaitForBusy BusyRunnersPolicy = "wait"
	// LeaveBusy leaves their scale sets to the controller, which finishes them when
	// the jobs are over, as it would without us.
	LeaveBusy BusyRunnersPolicy = "leave"
	// RefuseBusy refuses at once.
	RefuseBusy BusyRunnersPolicy = "refuse"
	// ForceBusy treats them like idle ones: their jobs may be killed.
	ForceBusy BusyRunnersPolicy = "force"
)

// Options is what to clean up, and how carefully.
type Options struct {
	Scope Scope

	// RequireUninstalling makes a release that is being uninstalled the
	// condition of every write. The release is found by Job, the name of the
	// hook's own Job, or by Release.
	RequireUninstalling bool
	Job, Release        string
	// ReleaseNamespace is where the release is. Empty by hand.
	ReleaseNamespace string
	// StorageNamespace is where Helm's record of it is stored, if not there: Flux
	// keeps it beside the HelmRelease.
	StorageNamespace string

	// Namespace is the one to rescue, for Scope Namespace.
	Namespace string
	// WatchNamespace is the one namespace a single-namespace controller
	// watches; empty for a controller that watches all of them.
	WatchNamespace string
	// ControllerNamespace is where the listeners of a scale set live. It
	// matters to Scope ScaleSet only.
	ControllerNamespace string
	// ScaleSetNames adds scale sets in ReleaseNamespace to those of the release;
	// for installers that leave no Helm record.
	ScaleSetNames []string

	ScaleSets ScaleSetsPolicy
	// BusyRunners is, when empty, LeaveBusy for a scale set, whose controller
	// stays, and WaitForBusy for a controller.
	BusyRunners BusyRunnersPolicy

	// Backup is the Secret into which AutoscalingRunnerSets are written before they
	// go, for Scope Controller. Without a name there is none.
	Backup types.NamespacedName

	// Grace is how long a live controller may show no progress before its
	// finalizers are removed for it.
	Grace time.Duration

	// Progress, unless it is nil, is told how far the current phase is. It is
	// called often, and has to return at once.
	Progress func(Progress)
}

// ofController reports whether it is a controller that is uninstalled, and with it
// the CRDs.
func (o Options) ofController() bool { return o.Scope == Controller || o.Scope == Legacy }

func (o Options) busyRunners() BusyRunnersPolicy {
	switch {
	case o.BusyRunners != "":
		return o.BusyRunners
	case o.Scope == ScaleSet:
		return LeaveBusy
	}
	return WaitForBusy
}

// kinds are the kinds that may have ARC's finalizers and come and go with it,
// children before parents.
func (o Options) kinds() []schema.GroupVersionResource {
	if o.Scope == Legacy {
		return legacyKinds()
	}
	return arc.Resources()
}

// listenerNamespace is the namespace AutoscalingListeners are looked for in; ""
// is all of them.
func (o Options) listenerNamespace() string {
	if o.Scope == ScaleSet {
		return o.ControllerNamespace
	}
	return ""
}

// customNamespace is the namespace ARC's other custom resources are looked for
// in. A single-namespace controller's hook looks everywhere, since what lives
// elsewhere decides about the CRDs.
func (o Options) customNamespace(resource string) string {
	switch {
	case resource == arc.AutoscalingListeners:
		return o.listenerNamespace()
	case o.Scope == ScaleSet:
		return o.ReleaseNamespace
	}
	return o.Namespace
}

// coreNamespace is the namespace core objects are looked for in.
func (o Options) coreNamespace() string {
	if o.Scope == ScaleSet {
		return o.ReleaseNamespace
	}
	return cmp.Or(o.Namespace, o.WatchNamespace)
}

// foreground reports whether an object is deleted in the foreground: a listener
// in a namespace where this uninstall may not read, of which nobody but the garbage
// collector can say whether what it owned, Secrets with credentials among it, is gone.
func (o Options) foreground(of *Object) bool {
	return !o.ofController() && of.Resource.Resource == arc.AutoscalingListeners && of.Namespace != o.coreNamespace()
}

// listenersApart reports whether what listeners own is in another namespace than
// the core objects: beside a controller that watches one which is not its own.
func (o Options) listenersApart() bool {
	return o.Scope == Controller && o.WatchNamespace != "" && o.ReleaseNamespace != "" && o.ReleaseNamespace != o.WatchNamespace
}
