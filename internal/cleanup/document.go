package cleanup

import (
	"encoding/json"

	"github.com/arc-cleanup/arc-cleanup/internal/github"
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
	type fields Report
	return json.Marshal(struct {
		Version string       `json:"version"`
		Scope   plan.Scope   `json:"scope"`
		Verdict plan.Verdict `json:"verdict"`
		Summary string       `json:"summary"`
		*fields
		Errors plan.List[string] `json:"errors"`
	}{DocumentVersion, r.Scope, r.Verdict, r.Summary(), (*fields)(r), errs})
}

// MarshalJSON implements json.Marshaler.
func (r Registration) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		plan.RegistrationDocument
		github.Result
	}{r.Document(), r.Result})
}
