package sweep

import (
	"encoding/json"
	"fmt"

	"github.com/arc-cleanup/arc-cleanup/internal/plan"
)

// DocumentVersion is the version of a sweep's JSON document; see plan.DocumentVersion.
const DocumentVersion = "arc-cleanup/sweep/v1"

// Report says what a sweep did, or would do, and what is left.
type Report struct {
	Verdict  plan.Verdict
	Refusals []plan.Refusal
	// Steps are what would be done, in a report of Plan.
	Steps []Step
	Done  []Step
	Kept  []plan.Finding
	// Left lists what should be gone and is not.
	Left []plan.Finding
	Errs []error
}

// Report returns the report of what would be done.
func (d *Decision) Report() *Report {
	r := &Report{Verdict: plan.Done, Steps: d.Steps, Kept: d.Kept}
	r.refuse(d.Refusals)
	return r
}

// refuse ends a run that may not begin, or not go on.
func (r *Report) refuse(refusals []plan.Refusal) {
	if len(refusals) > 0 {
		r.Refusals = refusals
		r.Verdict = (&plan.Plan{Refusals: refusals}).Verdict()
	}
}

// leave ends a run with steps that are not over.
func (r *Report) leave(steps []Step) {
	for _, s := range steps {
		r.Left = append(r.Left, plan.Finding{Object: s.Object, Why: s.Why})
	}
	r.Verdict = plan.Residue
	for _, err := range r.Errs {
		if v := verdictOf(err); v != plan.Residue {
			r.Verdict = v
		}
	}
}

// Summary returns the verdict and what the sweep did, in one line.
func (r *Report) Summary() string {
	switch {
	case len(r.Refusals) > 0 && len(r.Done) == 0:
		return fmt.Sprintf("%s: nothing was done", r.Verdict)
	case len(r.Refusals) > 0:
		return fmt.Sprintf("%s: nothing more was done", r.Verdict)
	}
	return fmt.Sprintf("%s: %d done, %d kept, %d left", r.Verdict, len(r.Done), len(r.Kept), len(r.Left))
}

// MarshalJSON returns the document that `sweep --output json` prints.
func (r *Report) MarshalJSON() ([]byte, error) {
	errs := plan.List[string]{}
	for _, err := range r.Errs {
		errs = append(errs, err.Error())
	}
	return json.Marshal(struct {
		Version  string                  `json:"version"`
		Verdict  plan.Verdict            `json:"verdict"`
		Summary  string                  `json:"summary"`
		Refusals plan.List[plan.Refusal] `json:"refusals"`
		Steps    plan.List[Step]         `json:"steps"`
		Done     plan.List[Step]         `json:"done"`
		Kept     plan.List[plan.Finding] `json:"kept"`
		Left     plan.List[plan.Finding] `json:"left"`
		Errors   plan.List[string]       `json:"errors"`
	}{DocumentVersion, r.Verdict, r.Summary(), r.Refusals, r.Steps, r.Done, r.Kept, r.Left, errs})
}
