package plan

import (
	"fmt"
	"slices"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/english"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
)

// backUp plans a backup, as the first phase, of the objects that people wrote and that this
// uninstall removes: the AutoscalingRunnerSets or, for legacy ARC, every object without an owner.
// The other kinds are not backed up: the controller creates them, and the status of an
// EphemeralRunner has held credentials. The legacy hook makes no backup because it has no right to
// write a Secret.
func (p *planner) backUp() {
	if p.o.Backup.Name == "" || !p.o.RemovesCRDs() || p.o.Scope == ScopeLegacy && p.o.Job != "" || len(p.plan.Phases) == 0 {
		return
	}
	for _, o := range p.inScope(p.s.Custom) {
		if isWritten(o) && !p.history.BackedUp[o.UID] && !p.isHandedOver(o) {
			p.plan.Backup = append(p.plan.Backup, o)
		}
	}
	if n := len(p.plan.Backup); n > 0 {
		if _, terminating := p.s.Terminating[p.o.Backup.Namespace]; terminating {
			p.plan.Refusals = append(p.plan.Refusals, Refusal{
				Verdict: Refused,
				Message: fmt.Sprintf("the backup of %s would be in namespace %s, which is being deleted", p.o.backedUp(n), p.o.Backup.Namespace),
				Do:      []string{"save them yourself: kubectl get autoscalingrunnersets --all-namespaces --output yaml; then run without a backup: --backup=false"},
			})
		}
		secret := &object.Object{Resource: object.Secrets, Namespace: p.o.Backup.Namespace, Name: p.o.Backup.Name}
		step := Step{Create, secret, fmt.Sprintf("holds %s, see `arc-cleanup restore`", p.o.backedUp(n))}
		p.plan.Phases = slices.Insert(p.plan.Phases, 0, Phase{Name: PhaseBackUp, Ranks: [][]Step{{step}}})
	}
}

// isWritten reports whether people, not the controller, wrote the object.
func isWritten(o *object.Object) bool {
	return o.Resource.Resource == arc.AutoscalingRunnerSets || o.Resource.Group == arc.LegacyGroup && o.Owner == ""
}

// backedUp counts the objects in a backup.
func (o Options) backedUp(n int) string {
	if o.Scope == ScopeLegacy {
		return english.Count(n, "object") + " of " + arc.LegacyGroup
	}
	return english.Count(n, "AutoscalingRunnerSet")
}
