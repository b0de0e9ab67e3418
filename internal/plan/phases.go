package plan

import (
	"fmt"
	"slices"
	"time"
)

// Phase names a phase of a run, as the log, the report and the documentation have it.
type PhaseName string

// The phases, in the order of an uninstall. One begins when the one before it is over.
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
)

// PhaseRow is what there is to know of a phase.
type PhaseRow struct {
	Name PhaseName
	// Doing is what the log says that the phase does, before what it waits for.
	Doing string
	// Waits is how long the phase waits for its objects to go; nil if it does not.
	Waits *Wait
}

// Wait is how long a phase may show no progress, and what follows then.
type Wait struct {
	// For is that time. Where Grace is set, it is the grace of the options, if that is
	// longer, or 0. Where Budget is set, the phase waits as long as the run lasts.
	For           time.Duration
	Grace, Budget bool
	// Stalled says what follows, and Says what the log then says, where it passes.
	Stalled Stalled
	Says    string
}

// Stalled is what follows when a phase shows no progress.
type Stalled int

const (
	// Fails ends the round: the objects are named, and the cluster is surveyed again.
	Fails Stalled = iota
	// Passes takes the next step without what did not go: the next survey decides.
	Passes
	// GoesOn does the phases that follow all the same, and then as Fails.
	GoesOn
)

// Patience is how long the phase may show no progress.
func (w *Wait) Patience(grace time.Duration) time.Duration {
	switch {
	case w.Budget:
		return longerThanAnyBudget
	case w.Grace:
		return max(w.For, grace)
	}
	return w.For
}

// longerThanAnyBudget is how long a phase waits that only the budget ends.
const longerThanAnyBudget = 24 * time.Hour

// WakePatience is how long a controller may show no progress after it was woken first:
// it tries a request to GitHub again for some 15 s before that counts as failed.
const WakePatience = 20 * time.Second

// Phases is the table of all phases, in the order of an uninstall.
var Phases = []PhaseRow{
	{PhaseBackUp, "writing the backup", nil},
	{PhaseHandOver, "deleting scale sets with busy runners; the controller finishes them later", nil},
	{PhaseWake, "having the controller try at once, in case it is waiting until it tries again", nil},
	{PhaseNudge, "something is in the controller's way; having it finish without", nil},
	{PhaseStop, "scaling legacy runners to zero; the controller lets them finish", nil},
	{PhaseDrain, "waiting for ARC's controller to stop runners and de-register at GitHub", &Wait{Grace: true, Stalled: Passes, Says: "the controller makes no progress"}},
	{PhaseBusy, "waiting for runners to finish their jobs", &Wait{Budget: true}},
	{PhaseWebhooks, "deleting the legacy webhooks, which nobody answers", nil},
	{PhaseJobPods, "deleting Pods and Secrets of runners' jobs", nil},
	{PhaseFree, "removing ARC's finalizers", nil},
	{PhaseListeners, "deleting listeners' Roles and RoleBindings", nil},
	{PhaseReleases, "deleting Helm's records of the scale sets' releases", nil},
	// Kubernetes looks at a CRD every 5 s (k8s.io/apiextensions-apiserver
	// pkg/controller/finalizer). Where something of others holds an object, what its
	// kind owned can go all the same.
	{PhaseCRDs, "deleting the CRDs and waiting until they are gone", &Wait{For: 15 * time.Second, Grace: true, Stalled: GoesOn}},
	// The garbage collector may never have learned of a kind that has gone; then its
	// work is done for it.
	{PhaseCollect, "waiting until Pods, Secrets and ServiceAccounts of runners and listeners are gone", &Wait{For: 10 * time.Second, Stalled: Passes, Says: "the garbage collector does not know of it; deleting what has lost its owner"}},
	// Of ARC's kinds the garbage collector learns within a minute of their installation.
	{PhaseListenerDependents, "waiting until Kubernetes has deleted what listeners own beside the controller", &Wait{For: 90 * time.Second}},
	// Kubernetes looks again after some seconds, and after a failure up to a minute
	// (k8s.io/kubernetes pkg/controller/namespace).
	{PhaseNamespaces, "waiting until the Terminating namespaces are gone", &Wait{For: time.Minute, Stalled: Passes, Says: "something else holds the namespaces"}},
}

// Row is the phase's row of the table. It panics for a name that is no phase's.
func (n PhaseName) Row() PhaseRow {
	for _, row := range Phases {
		if row.Name == n {
			return row
		}
	}
	panic(fmt.Sprintf("no phase is called %q", string(n)))
}

// wait is how long a phase of this plan waits: as the table says, but for three.
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
		// Pods take their grace period to end; there is nothing to do for them.
		w = Wait{Grace: true}
	case name == PhaseNamespaces && p.o.Scope == ScopeNamespace:
		w.Stalled = Fails // it is what this is about
	}
	return &w
}

// waitsForCollector reports whether something has not begun to go, and only the garbage
// collector has it go.
func waitsForCollector(ranks [][]Step) bool {
	return slices.ContainsFunc(slices.Concat(ranks...), func(s Step) bool { return s.Action == Await && !s.Object.Deleting })
}
