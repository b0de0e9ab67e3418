package plan

// PlanVersion is the version of the JSON document of a plan. Fields may be added
// within a version; none is removed or changes its meaning.
const PlanVersion = "arc-cleanup/plan/v1"

// PlanDocument is a plan as JSON.
type PlanDocument struct {
	Version string `json:"version"`
	// Digest is what `run --confirm` takes; of a plan that refuses or does nothing there
	// is none.
	Digest   string            `json:"digest,omitempty"`
	Refusals []RefusalDocument `json:"refusals"`
	Phases   []PhaseDocument   `json:"phases"`
	Kept     []StepDocument    `json:"kept"`
	Notes    []string          `json:"notes"`
	// Obstacles are of others, and likely to be in the way.
	Obstacles []StepDocument `json:"obstacles"`
	// Remains is what there is of ARC beside, and stays.
	Remains []RemainDocument `json:"remains"`
}

// RemainDocument is a Remain as JSON.
type RemainDocument struct {
	What string   `json:"what"`
	Do   []string `json:"do"`
}

func RemainDocuments(remains []Remain) []RemainDocument {
	out := []RemainDocument{}
	for _, r := range remains {
		out = append(out, RemainDocument{r.What, append([]string{}, r.Do...)})
	}
	return out
}

// RefusalDocument is a Refusal as JSON.
type RefusalDocument struct {
	Verdict Verdict  `json:"verdict"`
	Message string   `json:"message"`
	Do      []string `json:"do"`
}

// PhaseDocument is a Phase as JSON.
type PhaseDocument struct {
	Name  PhaseName      `json:"name"`
	Steps []StepDocument `json:"steps"`
}

// StepDocument is a Step, or something kept, as JSON.
type StepDocument struct {
	Action    Action `json:"action,omitempty"`
	Group     string `json:"group"`
	Resource  string `json:"resource"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
	UID       string `json:"uid"`
	Why       string `json:"why,omitempty"`
}

// Document is the plan as it is printed by `plan --output json`.
func (p *Plan) Document() PlanDocument {
	d := PlanDocument{Version: PlanVersion, Digest: p.Digest(), Refusals: []RefusalDocument{}, Phases: []PhaseDocument{}, Kept: []StepDocument{}, Notes: append([]string{}, p.Notes...), Obstacles: []StepDocument{}, Remains: RemainDocuments(p.Remains)}
	for _, r := range p.Refusals {
		d.Refusals = append(d.Refusals, RefusalDocument(r))
	}
	for _, phase := range p.Phases {
		steps := []StepDocument{}
		for _, s := range phase.Steps() {
			steps = append(steps, NewStepDocument(s))
		}
		d.Phases = append(d.Phases, PhaseDocument{phase.Name, steps})
	}
	for _, k := range p.Kept {
		d.Kept = append(d.Kept, NewStepDocument(Step{"", k.Object, k.Why}))
	}
	for _, x := range p.Obstacles {
		d.Obstacles = append(d.Obstacles, NewStepDocument(Step{"", x.Object, x.Why}))
	}
	return d
}

func NewStepDocument(s Step) StepDocument {
	o := s.Object
	return StepDocument{s.Action, o.Resource.Group, o.Resource.Resource, o.Namespace, o.Name, string(o.UID), s.Why}
}
