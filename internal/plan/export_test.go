package plan

import "time"

// What only the tests of this package look at.
const (
	StandIn          = standIn
	FinalizersRemain = finalizersRemain
)

var Held = held

// Wait is how long a phase of the plan may show no progress, without a grace.
func (p *Plan) Wait(name PhaseName) time.Duration {
	for _, phase := range p.Phases {
		if phase.Name == name {
			return phase.Wait.Patience(0)
		}
	}
	return 0
}
