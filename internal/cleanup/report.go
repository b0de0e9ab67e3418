package cleanup

import (
	"fmt"
	"strings"
	"time"

	"github.com/arc-cleanup/arc-cleanup/internal/object"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
	"github.com/arc-cleanup/arc-cleanup/internal/shell"
)

// remains are the words for what there is beside, for a line.
func remains(beside []plan.Remain) string {
	const most = 3
	var what []string
	for _, r := range clip(beside, most) {
		what = append(what, r.What)
	}
	if more := len(beside) - most; more > 0 {
		what = append(what, fmt.Sprintf("%d more", more))
	}
	return strings.Join(what, "; ")
}

// Registration is a scale set or a runner that was freed without its controller,
// so that nobody has told GitHub.
type Registration struct {
	Object *object.Object
	// Set is empty for a runner.
	Set plan.ScaleSetInfo
}

func (r Registration) String() string {
	if r.Set.ID == "" {
		return "runner " + r.Object.Name
	}
	return shell.Visible(fmt.Sprintf("scale set %s (id %s) of %s", r.Set.Name, r.Set.ID, r.Set.URL))
}

// Took is how long a phase lasted.
type Took struct {
	Phase    plan.PhaseName
	Duration time.Duration
}

// Report is what a run did, and what is left.
type Report struct {
	Scope    plan.Scope
	Verdict  plan.Verdict
	Refusals []plan.Refusal
	// Done is what was written, without a reason.
	Done []plan.Step
	Kept []plan.Finding
	// Left is what should be gone and is not.
	Left []plan.Finding
	// Remains is, after a success, what there is of ARC that this uninstall was not about.
	Remains []plan.Remain
	// Obstacles are, where something is left, likely to be why.
	Obstacles []plan.Finding
	// Registered is what is still registered at GitHub. GitHub removes a scale set
	// that nobody has connected to for seven days, and a runner after about one.
	Registered []Registration
	Phases     []Took
	Errs       []error
	// Revoked says that Helm took the hook's rights away while it ran, and by which
	// answer that shows; nil if it did not.
	Revoked error
}
