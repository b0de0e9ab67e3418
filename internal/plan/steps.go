package plan

import (
	"slices"

	"github.com/arc-cleanup/arc-cleanup/internal/object"
)

// Action is what a step does to an object.
type Action string

const (
	// Delete asks for the object's deletion.
	Delete Action = "delete"
	// Release removes ARC's finalizers from the object, and no others.
	Free Action = "free"
	// Wake has a live controller look at the object at once, by a change that means
	// nothing.
	Wake Action = "wake"
	// Nudge takes away what makes a live controller wait for GitHub: a scale set's
	// id, or a runner's registration finalizer. The controller does the rest.
	Nudge Action = "nudge"
	// Await waits until somebody else has removed the object: ARC's controller,
	// or Kubernetes' garbage collector.
	Await Action = "await"
	// Create makes the Secret of a backup.
	Create Action = "create"
	// Relax makes a CRD's schema accept every object. It is not planned: that it is
	// needed shows when a patch is refused.
	Relax Action = "relax"
	// Stop scales the runners of a legacy object to zero.
	Stop Action = "stop"
)

// Step is one action on one object.
type Step struct {
	Action Action
	Object *object.Object
	Why    string
}

// Phase is a set of steps that may run concurrently, in ranks: all steps of one
// rank are over before the next begins. Unless Wait is nil, the phase is over when its
// objects are gone, or make no progress.
type Phase struct {
	Name  PhaseName
	Ranks [][]Step
	Wait  *Wait
}

// Steps returns the phase's steps in order.
func (p Phase) Steps() []Step { return slices.Concat(p.Ranks...) }

// Refusal is a reason not to begin.
type Refusal struct {
	// Verdict is Refused, or a more exact one.
	Verdict Verdict `json:"verdict"`
	// Message says what is wrong; Do what to do about it, a command where there
	// is one.
	Message string       `json:"message"`
	Do      List[string] `json:"do"`
}

// Finding is an object, and why it stands where it is named: kept, left, or in the way.
type Finding struct {
	Object *object.Object
	Why    string
}

// Verdict is how a run ended.
type Verdict string

// The verdicts. Done and Off are successes.
const (
	Done         Verdict = "done"
	Off          Verdict = "off"           // switched off, on purpose
	Residue      Verdict = "residue"       // something is left
	Refused      Verdict = "refused"       // by a guard, before anything was begun, or by admission
	NotPermitted Verdict = "not-permitted" // a right is missing
	OutOfTime    Verdict = "out-of-time"   // the budget is used up
	Interrupted  Verdict = "interrupted"   // told to stop
	Failed       Verdict = "failed"        // the API server could not be used
)
