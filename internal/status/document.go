package status

import (
	"time"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/helm"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
)

// Version is the version of the JSON document. A version may get new fields; no field is removed or changes
// its meaning.
const Version = "arc-cleanup/status/v1"

// Document is the state of a cluster as JSON.
type Document struct {
	Version     string       `json:"version"`
	Releases    []Release    `json:"releases"`
	Controllers []Controller `json:"controllers"`
	ScaleSets   []ScaleSet   `json:"scaleSets"`
	Stuck       []Object     `json:"stuck"`
	// Remains lists what else of ARC exists and would be left by an uninstall.
	Remains []plan.Remain `json:"remains"`
	Unknown []string      `json:"unknown"`
}

// Release is a Helm release that installs ARC's controller or a scale set.
type Release struct {
	Name      string `json:"name"`
	Namespace string `json:"namespace"`
	// Storage is the namespace of Helm's record, if it is not Namespace.
	Storage   string     `json:"storageNamespace,omitempty"`
	Revision  int        `json:"revision"`
	State     string     `json:"state"`
	Chart     helm.Chart `json:"chart"`
	Installs  string     `json:"installs"` // controller or scale-set
	Hook      HookReport `json:"hook"`
	Uninstall Uninstall  `json:"uninstall"`
	// Rollbacks are earlier revisions with another version of ARC. After a rollback to one of them, the
	// controller would delete scale sets.
	Rollbacks []Revision `json:"rollbacks,omitempty"`
	// CRDs are the CRDs in the cluster that are not those of the controller's chart.
	CRDs []arc.LackingCRD `json:"crds,omitempty"`
}

// Revision is an earlier revision of a release.
type Revision struct {
	Revision int    `json:"revision"`
	Version  string `json:"version"` // of ARC
}

// HookState says whether helm uninstall will run the hook.
type HookState string

// The states of a hook.
const (
	Present   HookState = "present"
	Absent    HookState = "absent"
	Enrolling HookState = "enrolling" // Helm 3's post-renderer has added an enroller
)

// HookReport is the hook of a release.
type HookReport struct {
	State HookState `json:"state"`
	// Chart is the hook's own chart, with its version.
	Chart string `json:"chart,omitempty"`
	// Why says what the enroller waits for, or why there is no hook.
	Why string `json:"why,omitempty"`
}

// Uninstall is what "helm uninstall" would do now.
type Uninstall struct {
	// Ready is false if the hook would refuse, or if there is no hook.
	Ready bool `json:"ready"`
	// Why has the reasons. Do says what to do about them: a command where there is one.
	Why    []string `json:"why"`
	Do     []string `json:"do"`
	Phases []Phase  `json:"phases"`
	// Kept counts the objects that the hook would keep.
	Kept int `json:"kept"`
	// Leaves are objects of the release that Helm 4.3 and later do not delete: they lack its labels or
	// annotations, or you may not read them.
	Leaves []Object `json:"leaves"`
}

// Phase is a phase of the hook's plan, with the number of its objects.
type Phase struct {
	Name  plan.PhaseName `json:"name"`
	Steps int            `json:"steps"`
}

// Controller is the Deployment of a controller of ARC or of legacy ARC.
type Controller struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	// Group is the API group of the custom resources that it works on.
	Group string `json:"group"`
	// Watches are the namespaces that it watches; empty for all.
	Watches []string `json:"watches"`
	// Down says why it does not do its work; absent if it has a ready Pod that is not known to crash-loop.
	Down     string `json:"down,omitempty"`
	Deleting bool   `json:"deleting"`
}

// ScaleSet is an AutoscalingRunnerSet in the cluster.
type ScaleSet struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	// Release and ReleaseNamespace are empty if Helm did not install the scale set, or if the record of the
	// release that it names does not have it.
	Release          string `json:"release,omitempty"`
	ReleaseNamespace string `json:"releaseNamespace,omitempty"`
	Runners          int64  `json:"runners"`
	Busy             int64  `json:"busy"`
	Deleting         bool   `json:"deleting"`
}

// Object is an object that is stuck, or that no controller looks after.
type Object struct {
	Resource  string     `json:"resource"`
	Namespace string     `json:"namespace,omitempty"`
	Name      string     `json:"name"`
	Why       string     `json:"why"`
	Since     *time.Time `json:"since,omitempty"`
}
