package status

import (
	"time"

	"github.com/arc-cleanup/arc-cleanup/internal/plan"
)

// Version is the version of the JSON document. Fields may be added within a
// version; none is removed or changes its meaning.
const Version = "arc-cleanup/status/v1"

// Document is the state of a cluster as JSON.
type Document struct {
	Version   string     `json:"version"`
	Releases  []Release  `json:"releases"`
	ScaleSets []ScaleSet `json:"scaleSets"`
	Stuck     []Object   `json:"stuck"`
	// Remains is what else there is of ARC that an uninstall leaves.
	Remains []plan.Remain `json:"remains"`
	Unknown []string      `json:"unknown"`
}

// Release is a Helm release that installs ARC's controller or a scale set.
type Release struct {
	Name      string `json:"name"`
	Namespace string `json:"namespace"`
	// Storage is where Helm keeps the record, if not in Namespace.
	Storage   string    `json:"storageNamespace,omitempty"`
	Revision  int       `json:"revision"`
	State     string    `json:"state"`
	Chart     Chart     `json:"chart"`
	Installs  string    `json:"installs"` // controller or scale-set
	Hook      Hook      `json:"hook"`
	Uninstall Uninstall `json:"uninstall"`
}

// Chart is the chart a release was rendered from.
type Chart struct {
	Name       string `json:"name"`
	Version    string `json:"version"`
	AppVersion string `json:"appVersion"`
}

// HookState says whether helm uninstall will run the hook.
type HookState string

// The states of a hook.
const (
	Present   HookState = "present"
	Absent    HookState = "absent"
	Enrolling HookState = "enrolling" // Helm 3's post-renderer added what enrols it
)

// Hook is the hook of a release.
type Hook struct {
	State HookState `json:"state"`
	// Chart is the hook's own, with its version.
	Chart string `json:"chart,omitempty"`
	// Why says what an enrolment waits for, or why there is none.
	Why string `json:"why,omitempty"`
}

// Uninstall is what "helm uninstall" would do now.
type Uninstall struct {
	// Ready is false when the hook would refuse, or there is none.
	Ready bool `json:"ready"`
	// Why says it in words, a reason each; Do what to do about it, a command
	// where there is one.
	Why    []string `json:"why"`
	Do     []string `json:"do"`
	Phases []Phase  `json:"phases"`
	// Kept counts what would be left alone.
	Kept int `json:"kept"`
	// Leaves are objects of the release that Helm 4.3 and later do not delete: they lack
	// its marks, or whoever asks may not read them.
	Leaves []Object `json:"leaves"`
}

// Phase is a phase of the hook's plan, and with how many objects.
type Phase struct {
	Name  plan.PhaseName `json:"name"`
	Steps int            `json:"steps"`
}

// ScaleSet is an AutoscalingRunnerSet in the cluster.
type ScaleSet struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	// Release and ReleaseNamespace are empty for one that Helm did not install, and for
	// one that names a release of which no record that was read has it.
	Release          string `json:"release,omitempty"`
	ReleaseNamespace string `json:"releaseNamespace,omitempty"`
	Runners          int64  `json:"runners"`
	Busy             int64  `json:"busy"`
	Deleting         bool   `json:"deleting"`
}

// Object is something that hangs, or that nobody looks after any more.
type Object struct {
	Resource  string     `json:"resource"`
	Namespace string     `json:"namespace,omitempty"`
	Name      string     `json:"name"`
	Why       string     `json:"why"`
	Since     *time.Time `json:"since,omitempty"`
}
