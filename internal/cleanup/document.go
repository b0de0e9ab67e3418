package cleanup

import (
	"encoding/json"

	"github.com/arc-cleanup/arc-cleanup/internal/plan"
)

// DocumentVersion is the version of a report's JSON document; see plan.DocumentVersion.
const DocumentVersion = "arc-cleanup/report/v1"

// MarshalJSON returns the document that `run --output json` prints.
func (r *Report) MarshalJSON() ([]byte, error) {
	errs := plan.List[string]{}
	for _, err := range r.Errs {
		errs = append(errs, err.Error())
	}
	return json.Marshal(struct {
		Version    string                  `json:"version"`
		Scope      plan.Scope              `json:"scope"`
		Verdict    plan.Verdict            `json:"verdict"`
		Summary    string                  `json:"summary"`
		Refusals   plan.List[plan.Refusal] `json:"refusals"`
		Done       plan.List[plan.Step]    `json:"done"`
		Kept       plan.List[plan.Finding] `json:"kept"`
		Left       plan.List[plan.Finding] `json:"left"`
		Obstacles  plan.List[plan.Finding] `json:"obstacles"`
		Remains    plan.List[plan.Remain]  `json:"remains"`
		Registered plan.List[Registration] `json:"registered"`
		Phases     plan.List[Took]         `json:"phases"`
		Errors     plan.List[string]       `json:"errors"`
	}{DocumentVersion, r.Scope, r.Verdict, r.Summary(), r.Refusals, r.Done, r.Kept, r.Left, r.Obstacles, r.Remains, r.Registered, r.Phases, errs})
}

// MarshalJSON implements json.Marshaler. GitHub knows a runner by its name; a scale set also has an
// ID and a URL there.
func (r Registration) MarshalJSON() ([]byte, error) {
	d := struct {
		Kind      string `json:"kind"` // scale-set or runner
		Namespace string `json:"namespace"`
		Name      string `json:"name"` // at GitHub
		ID        string `json:"id,omitempty"`
		URL       string `json:"url,omitempty"`
	}{"runner", r.Object.Namespace, r.Object.Name, "", ""}
	if r.Set.ID != "" {
		d.Kind, d.Name, d.ID, d.URL = "scale-set", r.Set.Name, r.Set.ID, r.Set.URL
	}
	return json.Marshal(d)
}

// MarshalJSON implements json.Marshaler.
func (t Took) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Name    plan.PhaseName `json:"name"`
		Seconds float64        `json:"seconds"`
	}{t.Phase, t.Duration.Seconds()})
}
