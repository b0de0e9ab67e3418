// Package sweep removes what a running ARC leaves behind: stale listeners, old runner sets, Roles and
// RoleBindings of listeners that are gone, and finalizers that no controller will remove. Look reads the
// cluster, Decide is a pure function of what was read, and Run acts on it.
//
// Labels and annotations prove nothing here. What counts: owners by UID, what the objects say in their
// specs, names as ARC builds them, lists that are complete, and rights that the API server confirms.
package sweep

import (
	"cmp"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/internal/object"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
)

// Scope says what to sweep.
type Scope struct {
	// Namespaces are those of the scale sets; empty for all.
	Namespaces []string
	// ControllerNamespaces are those of the controllers, and so of the listeners; empty for all.
	ControllerNamespaces []string
	// OlderThan is how old a thing must be to go; 0 for OlderThan, the default.
	OlderThan time.Duration
}

// least is how old a thing must be.
func (s Scope) least() time.Duration { return cmp.Or(s.OlderThan, OlderThan) }

// OlderThan is the default of Scope.OlderThan. While a Deployment changes, two controllers may be at work:
// the old one for the 30 s in which Kubernetes lets a Pod end, and without a word for the 15 s of its Lease
// (controller-runtime pkg/manager, defaultLeaseDuration). This is more than twice that.
const OlderThan = 2 * time.Minute

// thing is one object, and when it was created and its deletion began.
type thing struct {
	*object.Object
	version          string // its resourceVersion
	created, deleted time.Time
	names            []string // what its spec names, if that was read
}

// scaleSet is an AutoscalingRunnerSet.
type scaleSet struct {
	thing
	group, url string
	// pending says what its controller has to change at GitHub before it makes a listener; "" if nothing.
	pending string
	// frees names what its controller frees with it; uses what its runners need.
	frees, uses []string
}

func (s scaleSet) key() types.NamespacedName {
	return types.NamespacedName{Namespace: s.Namespace, Name: s.Name}
}

// listener is an AutoscalingListener.
type listener struct {
	thing
	set              types.NamespacedName
	image, runnerSet string
	secret           string
}

// runnerSet is an EphemeralRunnerSet.
type runnerSet struct {
	thing
	uses []string
}

// runner is an EphemeralRunner.
type runner struct {
	thing
	uses []string
}

// pod is a Pod that runs, or may still run.
type pod struct {
	namespace, name string
	uses            []string
}

// rights is a Role or a RoleBinding.
type rights struct {
	thing
	// listener is the listener that its labels name.
	listener types.NamespacedName
	owned    bool
	// asListener says that a Role, or the Role that a RoleBinding binds, grants exactly what a listener
	// needs; or that the bound Role is gone.
	asListener bool
	// role and accounts are what a RoleBinding binds, if it binds a Role to ServiceAccounts only.
	role     string
	accounts []types.NamespacedName
}

// controller is a controller of ARC, proven by its rights.
type controller struct {
	plan.Controller
	version string // "" if it is not known
	image   string // of new listeners
	// late says that it makes no new listener while runners are busy.
	late bool
	// idle says why it does not work now; empty if it does.
	idle string
	// until is when it has been ready for long enough; zero if it is not that for which it is idle.
	until time.Time
}

// facts is what was read.
type facts struct {
	now         time.Time
	scope       Scope
	controllers []controller
	sets        []scaleSet
	listeners   []listener
	runnerSets  []runnerSet
	runners     []runner
	pods        []pod
	busy        map[types.UID]plan.Job
	rights      []rights // Roles and RoleBindings
	others      []thing  // ServiceAccounts and Secrets that are being deleted and have a finalizer of ARC
	absent      []string // namespaces in scope that do not exist
	unknown     []plan.Unknown
	unserved    bool // the API server serves no kind of ARC, so nothing else was read
}

// Decision says what goes and what stays, each with its evidence.
type Decision struct {
	Refusals []plan.Refusal
	Steps    []Step
	// Kept is what would go but for a reason that is named.
	Kept []plan.Finding
}

// Step is what is done to one object.
type Step struct {
	plan.Step
	// Finalizers are those that Free removes.
	Finalizers []string
	// version is the resourceVersion of what was decided about.
	version string
	// replaced is the image of the listener that must take the place of this one before the next step.
	replaced string
}
