package plan

import (
	"fmt"
	"slices"
	"time"
)

// PhaseName names a phase of a run, as the log, the report and the documentation write it.
type PhaseName string

// The phases of an uninstall, in order. A phase begins when the one before it is over.
const (
	PhaseBackUp             PhaseName = "backup"
	PhaseHandOver           PhaseName = "hand-over"
	PhaseWake               PhaseName = "wake"
	PhaseNudge              PhaseName = "nudge"
	PhaseStop               PhaseName = "stop"
	PhaseDrain              PhaseName = "drain"
	PhaseBusy               PhaseName = "busy"
	PhaseWebhooks           PhaseName = "webhooks"
	PhaseJobPods            PhaseName = "job-pods"
	PhaseFree               PhaseName = "free"
	PhaseListeners          PhaseName = "listeners"
	PhaseReleases           PhaseName = "releases"
	PhaseCRDs               PhaseName = "crds"
	PhaseCollect            PhaseName = "collect"
	PhaseListenerDependents PhaseName = "listener-dependents"
	PhaseNamespaces         PhaseName = "namespaces"
	PhaseDeregister         PhaseName = "deregister"
)

// PhaseRow describes a phase.
type PhaseRow struct {
	Name PhaseName
	// Doing is the log's text for the phase. The log appends what the phase waits for.
	Doing string
	// Waits says how long the phase waits for its objects to go; nil if it does not wait.
	Waits *Wait
}

// Wait says how long a phase may show no progress, and what happens after that.
type Wait struct {
	// For is the time without progress. With Grace, it is at least the grace period of the options.
	// With Budget, the phase waits until the run's time budget is used up.
	For           time.Duration
	Grace, Budget bool
	// Stalled says what happens after that time. If it is Passes, the log says StallMessage.
	Stalled      Stalled
	StallMessage string
}

// Stalled says what happens when a phase shows no progress.
type Stalled int

const (
	// Fails ends the round: the report names the objects, and the run surveys the cluster again.
	Fails Stalled = iota
	// Passes goes on to the next phase without the remaining objects. The next survey decides about
	// them.
	Passes
	// GoesOn executes the later phases, and then does the same as Fails.
	GoesOn
)

// Patience returns how long the phase may show no progress.
func (w *Wait) Patience(grace time.Duration) time.Duration {
	switch {
	case w.Budget:
		return longerThanAnyBudget
	case w.Grace:
		return max(w.For, grace)
	}
	return w.For
}

// longerThanAnyBudget makes a phase wait until the time budget ends it.
const longerThanAnyBudget = 24 * time.Hour

// WakePatience is how long a controller may show no progress after its first wake. The controller
// retries a request to GitHub for about 15 s before it gives up.
const WakePatience = 20 * time.Second

// Phases is the table of all phases, in the order of an uninstall.
var Phases = []PhaseRow{
	{PhaseBackUp, "writing the backup", nil},
	{PhaseHandOver, "deleting scale sets with busy runners; the controller finishes them later", nil},
	{PhaseWake, "making the controller try again at once, in case it is waiting before its next try", nil},
	{PhaseNudge, "the controller is blocked; making it finish without GitHub", nil},
	{PhaseStop, "scaling legacy runners to zero; the controller lets them finish", nil},
	{PhaseDrain, "waiting for ARC's controller to stop runners and de-register at GitHub", &Wait{Grace: true, Stalled: Passes, StallMessage: "the controller makes no progress"}},
	{PhaseBusy, "waiting for runners to finish their jobs", &Wait{Budget: true}},
	{PhaseWebhooks, "deleting the legacy webhooks that no server answers", nil},
	{PhaseJobPods, "deleting Pods and Secrets of runners' jobs", nil},
	{PhaseFree, "removing ARC's finalizers", nil},
	{PhaseListeners, "deleting listeners' Roles and RoleBindings", nil},
	{PhaseReleases, "deleting Helm's records of the scale sets' releases", nil},
	// Kubernetes looks at a CRD every 5 s (k8s.io/apiextensions-apiserver
	// pkg/controller/finalizer). If a finalizer of another tool holds a custom resource, its
	// dependents can still be removed: the phases that follow are executed.
	{PhaseCRDs, "deleting the CRDs and waiting until they are gone", &Wait{For: 15 * time.Second, Grace: true, Stalled: GoesOn}},
	// The garbage collector may never have discovered a kind that is gone. Then the run does the
	// collector's work.
	{PhaseCollect, "waiting until Pods, Secrets and ServiceAccounts of runners and listeners are gone", &Wait{For: 10 * time.Second, Stalled: Passes, StallMessage: "the garbage collector has not deleted them; deleting those whose owners are gone"}},
	// The garbage collector discovers ARC's kinds within a minute of their installation.
	{PhaseListenerDependents, "waiting until Kubernetes has deleted what listeners own in the controller's namespace", &Wait{For: 90 * time.Second}},
	// Kubernetes retries after some seconds, and after a failure within a minute (k8s.io/kubernetes
	// pkg/controller/namespace).
	{PhaseNamespaces, "waiting until the Terminating namespaces are gone", &Wait{For: time.Minute, Stalled: Passes, StallMessage: "something else holds the namespaces"}},
	// Only a survey that finds nothing more proves that the runners are gone: this phase comes after
	// it, once in a run.
	{PhaseDeregister, "removing what no controller removed at GitHub", nil},
}

// Row returns the phase's row of the table. It panics for an unknown name.
func (n PhaseName) Row() PhaseRow {
	for _, row := range Phases {
		if row.Name == n {
			return row
		}
	}
	panic(fmt.Sprintf("no phase is called %q", string(n)))
}

// wait returns how long a phase of this plan waits: as the table says, with three exceptions.
func (p *planner) wait(name PhaseName, ranks [][]Step) *Wait {
	row := name.Row().Waits
	if row == nil {
		return nil
	}
	w := *row
	switch {
	case name == PhaseDrain:
		w.For, w.Grace = p.patience, false
	case name == PhaseCollect && !waitsForCollector(ranks):
		// Everything is being deleted already. Pods use their grace period to end; the run has
		// nothing to do.
		w = Wait{Grace: true}
	case name == PhaseNamespaces && p.o.Scope == ScopeNamespace:
		w.Stalled = Fails // the namespace is what this run is about
	}
	return &w
}

// waitsForCollector reports whether an object is not being deleted yet and the garbage collector
// must delete it.
func waitsForCollector(ranks [][]Step) bool {
	return slices.ContainsFunc(slices.Concat(ranks...), func(s Step) bool { return s.Action == Await && !s.Object.Deleting })
}
