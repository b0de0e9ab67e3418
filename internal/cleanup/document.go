package cleanup

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

func remainDocuments(remains []Remain) []RemainDocument {
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

// ReportVersion is the version of the JSON document of a report; see PlanVersion.
const ReportVersion = "arc-cleanup/report/v1"

// ReportDocument is a report as JSON.
type ReportDocument struct {
	Version  string            `json:"version"`
	Scope    Scope             `json:"scope"`
	Verdict  Verdict           `json:"verdict"`
	Summary  string            `json:"summary"`
	Refusals []RefusalDocument `json:"refusals"`
	// Done is what was deleted, released, woken and nudged, without a reason.
	Done []StepDocument `json:"done"`
	Kept []StepDocument `json:"kept"`
	Left []StepDocument `json:"left"`
	// Obstacles are of others, and likely to be why something is left.
	Obstacles []StepDocument `json:"obstacles"`
	// Remains is, after a success, what there is of ARC that this was not about.
	Remains []RemainDocument `json:"remains"`
	// Registered is what GitHub has not been told of.
	Registered []RegistrationDocument `json:"registered"`
	Phases     []TookDocument         `json:"phases"`
	Errors     []string               `json:"errors"`
}

// RegistrationDocument is a Registration as JSON. Of a runner, which GitHub knows
// by its name, ID and URL are empty.
type RegistrationDocument struct {
	Kind      string `json:"kind"` // scale-set or runner
	Namespace string `json:"namespace"`
	Name      string `json:"name"` // at GitHub
	ID        string `json:"id,omitempty"`
	URL       string `json:"url,omitempty"`
}

// TookDocument is how long a phase took, as JSON.
type TookDocument struct {
	Name    PhaseName `json:"name"`
	Seconds float64   `json:"seconds"`
}

// Document is the report as it is printed by `run --output json`.
func (r *Report) Document() ReportDocument {
	d := ReportDocument{
		Version: ReportVersion, Scope: r.Scope, Verdict: r.Verdict, Summary: r.Summary(),
		Refusals: []RefusalDocument{}, Done: []StepDocument{}, Kept: []StepDocument{}, Left: []StepDocument{},
		Obstacles: []StepDocument{}, Registered: []RegistrationDocument{}, Phases: []TookDocument{}, Errors: []string{},
		Remains: remainDocuments(r.Remains),
	}
	for _, x := range r.Refusals {
		d.Refusals = append(d.Refusals, RefusalDocument(x))
	}
	for _, x := range r.Done {
		d.Done = append(d.Done, stepDocument(Step{x.Action, x.Object, ""}))
	}
	for _, x := range r.Kept {
		d.Kept = append(d.Kept, stepDocument(Step{"", x.Object, x.Why}))
	}
	for _, x := range r.Left {
		d.Left = append(d.Left, stepDocument(Step{"", x.Object, x.Why}))
	}
	for _, x := range r.Obstacles {
		d.Obstacles = append(d.Obstacles, stepDocument(Step{"", x.Object, x.Why}))
	}
	for _, x := range r.Registered {
		registration := RegistrationDocument{Kind: "runner", Namespace: x.Object.Namespace, Name: x.Object.Name}
		if x.Set.ID != "" {
			registration = RegistrationDocument{"scale-set", x.Object.Namespace, x.Set.Name, x.Set.ID, x.Set.URL}
		}
		d.Registered = append(d.Registered, registration)
	}
	for _, x := range r.Phases {
		d.Phases = append(d.Phases, TookDocument{x.Phase, x.Duration.Seconds()})
	}
	for _, err := range r.Errs {
		d.Errors = append(d.Errors, err.Error())
	}
	return d
}

// Document is the plan as it is printed by `plan --output json`.
func (p *Plan) Document() PlanDocument {
	d := PlanDocument{Version: PlanVersion, Digest: p.Digest(), Refusals: []RefusalDocument{}, Phases: []PhaseDocument{}, Kept: []StepDocument{}, Notes: append([]string{}, p.Notes...), Obstacles: []StepDocument{}, Remains: remainDocuments(p.Remains)}
	for _, r := range p.Refusals {
		d.Refusals = append(d.Refusals, RefusalDocument(r))
	}
	for _, phase := range p.Phases {
		steps := []StepDocument{}
		for _, s := range phase.Steps() {
			steps = append(steps, stepDocument(s))
		}
		d.Phases = append(d.Phases, PhaseDocument{phase.Name, steps})
	}
	for _, k := range p.Kept {
		d.Kept = append(d.Kept, stepDocument(Step{"", k.Object, k.Why}))
	}
	for _, x := range p.Obstacles {
		d.Obstacles = append(d.Obstacles, stepDocument(Step{"", x.Object, x.Why}))
	}
	return d
}

func stepDocument(s Step) StepDocument {
	o := s.Object
	return StepDocument{s.Action, o.Resource.Group, o.Resource.Resource, o.Namespace, o.Name, string(o.UID), s.Why}
}
