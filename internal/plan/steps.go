package plan

import (
	"slices"

	"github.com/arc-cleanup/arc-cleanup/internal/object"
)

// Action says what a step does to an object.
type Action string

const (
	// Delete deletes the object.
	Delete Action = "delete"
	// Free removes ARC's finalizers from the object, and no others.
	Free Action = "free"
	// Wake has a running controller reconcile the object at once, by a change without a meaning.
	Wake Action = "wake"
	// Nudge removes what makes a running controller wait for GitHub: a scale set's ID, or a runner's
	// registration finalizer. The controller then finishes the deletion.
	Nudge Action = "nudge"
	// Await waits until ARC's controller or Kubernetes has removed the object.
	Await Action = "await"
	// Create creates the Secret of a backup.
	Create Action = "create"
	// WriteDown creates the Secret that names what is registered at GitHub.
	WriteDown Action = "write-down"
	// Relax makes a CRD's schema accept every object. No plan contains it: the run needs it only
	// after the API server has rejected a patch.
	Relax Action = "relax"
	// Unregister removes the scale set and its runners at GitHub.
	Unregister Action = "deregister"
	// Stop scales the runners of a legacy object to zero.
	Stop Action = "stop"
)

// Step is one action on one object.
type Step struct {
	Action Action
	Object *object.Object
	Why    string
}

// Phase is a list of ranks. The steps of one rank may run concurrently, and all of them are over
// before the next rank begins. Unless Wait is nil, the phase is over when its objects are gone or
// make no more progress.
type Phase struct {
	Name  PhaseName
	Ranks [][]Step
	Wait  *Wait
}

// Steps returns the phase's steps in order.
func (p Phase) Steps() []Step { return slices.Concat(p.Ranks...) }

// Refusal is a reason not to begin.
type Refusal struct {
	// Verdict is Refused or a more specific verdict.
	Verdict Verdict `json:"verdict"`
	// Message says what is wrong, and Do what to do about it: a command where possible.
	Message string       `json:"message"`
	Do      List[string] `json:"do"`
}

// Finding is an object and the reason why the report names it: it is kept, left over or in the way.
type Finding struct {
	Object *object.Object
	Why    string
}

// Verdict says how a run ended.
type Verdict string

// The verdicts. Done and Off are successes.
const (
	Done         Verdict = "done"
	Off          Verdict = "off"           // switched off on purpose
	Residue      Verdict = "residue"       // something is left
	Refused      Verdict = "refused"       // by a guard, before the first write, or by admission
	NotPermitted Verdict = "not-permitted" // a right is missing
	OutOfTime    Verdict = "out-of-time"   // the time budget is used up
	Interrupted  Verdict = "interrupted"   // stopped by a signal
	Failed       Verdict = "failed"        // the API server did not answer as expected
)
