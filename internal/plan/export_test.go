package plan

import "time"

// These names are exported for the tests of this package only.
const (
	StandIn          = standIn
	FinalizersRemain = finalizersRemain
)

var Held = held

// Wait returns how long a phase of the plan may show no progress, without a grace period.
func (p *Plan) Wait(name PhaseName) time.Duration {
	for _, phase := range p.Phases {
		if phase.Name == name {
			return phase.Wait.Patience(0)
		}
	}
	return 0
}
