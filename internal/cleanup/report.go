package cleanup

import (
	"fmt"
	"strings"

	"github.com/arc-cleanup/arc-cleanup/internal/github"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
	"github.com/arc-cleanup/arc-cleanup/internal/shell"
)

// remains joins the parts of ARC that stay into one line.
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

// Registration is a scale set or a runner that lost its finalizers without its controller, which
// therefore did not de-register it at GitHub.
type Registration struct {
	plan.Registration
	// Result says what the run did about it.
	github.Result
	// recorded is how to reach GitHub for what an earlier run has freed; nil for what this run has freed. It is not in run.access:
	// whoever wrote the record chose the UID in it, which may be that of another scale set.
	recorded *access
}

func (r Registration) String() string {
	if !r.IsSet() {
		return "runner " + r.Object.Name
	}
	return shell.Visible(r.Planned())
}

// Stays reports whether it is still registered.
func (r Registration) Stays() bool { return r.Outcome != github.Removed && r.Outcome != github.Gone }

// Took is how long a phase lasted.
type Took struct {
	Phase   plan.PhaseName `json:"name"`
	Seconds float64        `json:"seconds"`
}

// Report says what a run did, and what is left.
type Report struct {
	Scope    plan.Scope              `json:"scope"`
	Verdict  plan.Verdict            `json:"verdict"`
	Refusals plan.List[plan.Refusal] `json:"refusals"`
	// Done lists the writes, without reasons.
	Done plan.List[plan.Step]    `json:"done"`
	Kept plan.List[plan.Finding] `json:"kept"`
	// Left lists what should be gone and is not.
	Left plan.List[plan.Finding] `json:"left"`
	// Obstacles lists the likely reasons why something is left.
	Obstacles plan.List[plan.Finding] `json:"obstacles"`
	// Remains lists, after a success, the parts of ARC that this uninstall does not cover.
	Remains plan.List[plan.Remain] `json:"remains"`
	// Registered lists what no controller has removed at GitHub, and what the run did about it. GitHub
	// removes a scale set after seven days without a connection, and a runner after about one.
	Registered plan.List[Registration] `json:"registered"`
	// Records are the Secrets that name these for the next run.
	Records []*object.Object `json:"-"`
	Phases  plan.List[Took]  `json:"phases"`
	Errs    []error          `json:"-"`
	// Revoked is the API server's answer that shows that Helm removed the hook's rights during the
	// run; nil if Helm did not.
	Revoked error `json:"-"`
}
