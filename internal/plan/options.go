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

// Scope says whose uninstall this is.
type Scope string

const (
	// Controller is the uninstall of ARC's controller: everything that is left
	// of its scale sets, and the CRDs.
	ScopeController Scope = "controller"
	// ScaleSet is the uninstall of one release's scale sets, while the
	// controller stays.
	ScopeScaleSet Scope = "scale-set"
	// Namespace is the rescue of one namespace that hangs in Terminating. The
	// CRDs stay.
	ScopeNamespace Scope = "namespace"
	// Legacy is the uninstall of the legacy controller, whose group is
	// actions.summerwind.dev: everything that is left of its runners, and the CRDs.
	ScopeLegacy Scope = "legacy"
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

// CRDsPolicy says whether the CRDs go.
type CRDsPolicy string

const (
	// DeleteCRDs deletes them, unless somebody else uses or keeps them.
	DeleteCRDs CRDsPolicy = "delete"
	// KeepCRDs leaves them to who manages them apart from ARC's release.
	KeepCRDs CRDsPolicy = "keep"
)

// Options is what to clean up, and how carefully.
type Options struct {
	Scope Scope

	// RequireUninstalling makes a release that is being uninstalled the
	// condition of every write. The release is found by Job, the name of the
	// hook's own Job, or by Release. Without it a Job has to have been made by Argo CD,
	// which runs it at a deletion only, and keeps no record.
	RequireUninstalling bool
	Job, Release        string
	// ReleaseNamespace is where the release is. Empty by hand.
	ReleaseNamespace string
	// StorageNamespace is where Helm's record of it is stored, if not there: Flux
	// keeps it beside the HelmRelease.
	StorageNamespace string

	// Namespace is the one to rescue, for Scope Namespace.
	Namespace string
	// WatchNamespaces are those which the release's single-namespace controllers
	// watch; empty for a controller that watches all of them.
	WatchNamespaces []string
	// ControllerNamespaces are where the controllers and so the listeners are. Empty
	// is the release's namespace.
	ControllerNamespaces []string
	// RunnerNamespaces are where scale sets and their runners are, beside those of Sets.
	// Empty is, for Scope ScaleSet, the release's namespace and, for Scope Controller,
	// those that are watched.
	RunnerNamespaces []string
	// Sets adds scale sets to those of the release; for installers that leave no Helm
	// record.
	Sets []identity.Set

	// CRDs says whether they go.
	CRDs CRDsPolicy

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

	// Confirmed is the digest of the plan that somebody has seen, and that alone is to
	// be run; empty for whatever the plan is.
	Confirmed string
}

// RemovesCRDs reports whether it is a controller that is uninstalled, and with it
// the CRDs.
func (o Options) RemovesCRDs() bool { return o.Scope == ScopeController || o.Scope == ScopeLegacy }

// Uninstalls reports whether the Helm releases of scale sets go with them.
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

// Kinds are the kinds that may have ARC's finalizers and come and go with it,
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

// controllerNamespaces are where the release's controllers and listeners are.
func (o Options) ControllersIn() []string {
	if len(o.ControllerNamespaces) > 0 {
		return o.ControllerNamespaces
	}
	return []string{o.ReleaseNamespace}
}

// CustomNamespaces are the namespaces ARC's custom resources of a kind are looked
// for in; "" is all of them. A controller's hook looks everywhere, since what lives
// elsewhere decides about the CRDs.
func (o Options) CustomNamespaces(resource string) []string {
	switch {
	case o.Scope != ScopeScaleSet && resource == arc.AutoscalingListeners:
		return Everywhere
	case o.Scope != ScopeScaleSet:
		return []string{o.Namespace}
	case resource == arc.AutoscalingListeners:
		return o.ControllersIn()
	}
	return o.CoreNamespaces()
}

// Everywhere are all namespaces.
var Everywhere = []string{""}

// CoreNamespaces are the namespaces core objects are looked for in; "" is all of
// them. A scale set is looked for where it is said to be.
func (o Options) CoreNamespaces() []string {
	in := Everywhere
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

// readsCore reports whether core objects are looked for in a namespace.
func (o Options) readsCore(namespace string) bool {
	in := o.CoreNamespaces()
	return slices.Contains(in, namespace) || slices.Contains(in, "")
}

// Foreground reports whether an object is deleted in the foreground: a listener
// in a namespace where this uninstall may not read, of which nobody but the garbage
// collector can say whether what it owned, Secrets with credentials among it, is gone.
func (o Options) Foreground(of *object.Object) bool {
	return !o.RemovesCRDs() && of.Resource.Resource == arc.AutoscalingListeners && !o.readsCore(of.Namespace)
}

// ListenersApart are the namespaces beside those of the core objects in which what
// listeners own is looked for: those of controllers that watch others than their own.
func (o Options) ListenersApart() []string {
	if o.Scope != ScopeController {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(o.ControllersIn()), func(namespace string) bool {
		return namespace == "" || o.readsCore(namespace) // "": nobody has said where
	})
}
