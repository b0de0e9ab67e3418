package cleanup

import (
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
)

// ReportVersion is the version of the JSON document of a report; see PlanVersion.
const ReportVersion = "arc-cleanup/report/v1"

// ReportDocument is a report as JSON.
type ReportDocument struct {
	Version  string                 `json:"version"`
	Scope    plan.Scope             `json:"scope"`
	Verdict  plan.Verdict           `json:"verdict"`
	Summary  string                 `json:"summary"`
	Refusals []plan.RefusalDocument `json:"refusals"`
	// Done is what was deleted, released, woken and nudged, without a reason.
	Done []plan.StepDocument `json:"done"`
	Kept []plan.StepDocument `json:"kept"`
	Left []plan.StepDocument `json:"left"`
	// Obstacles are of others, and likely to be why something is left.
	Obstacles []plan.StepDocument `json:"obstacles"`
	// Remains is, after a success, what there is of ARC that this was not about.
	Remains []plan.RemainDocument `json:"remains"`
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
	Name    plan.PhaseName `json:"name"`
	Seconds float64        `json:"seconds"`
}

// Document is the report as it is printed by `run --output json`.
func (r *Report) Document() ReportDocument {
	d := ReportDocument{
		Version: ReportVersion, Scope: r.Scope, Verdict: r.Verdict, Summary: r.Summary(),
		Refusals: []plan.RefusalDocument{}, Done: []plan.StepDocument{}, Kept: []plan.StepDocument{}, Left: []plan.StepDocument{},
		Obstacles: []plan.StepDocument{}, Registered: []RegistrationDocument{}, Phases: []TookDocument{}, Errors: []string{},
		Remains: plan.RemainDocuments(r.Remains),
	}
	for _, x := range r.Refusals {
		d.Refusals = append(d.Refusals, plan.RefusalDocument(x))
	}
	for _, x := range r.Done {
		d.Done = append(d.Done, plan.NewStepDocument(plan.Step{Action: x.Action, Object: x.Object, Why: ""}))
	}
	for _, x := range r.Kept {
		d.Kept = append(d.Kept, plan.NewStepDocument(plan.Step{Action: "", Object: x.Object, Why: x.Why}))
	}
	for _, x := range r.Left {
		d.Left = append(d.Left, plan.NewStepDocument(plan.Step{Action: "", Object: x.Object, Why: x.Why}))
	}
	for _, x := range r.Obstacles {
		d.Obstacles = append(d.Obstacles, plan.NewStepDocument(plan.Step{Action: "", Object: x.Object, Why: x.Why}))
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
