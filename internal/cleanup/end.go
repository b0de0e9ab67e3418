package cleanup

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/arc-cleanup/arc-cleanup/internal/kube"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
	"github.com/arc-cleanup/arc-cleanup/internal/survey"
)

// recordErrors adds the errors of a phase to the report, one by one. It leaves out that the context
// ended, because the verdict says so.
func (r *run) recordErrors(ctx context.Context, err error) {
	var errs writeErrors
	switch {
	case err == nil:
	case errors.Is(err, errChanged):
		r.changedErr = err
	case errors.As(err, &errs):
	default:
		errs = writeErrors{err}
	}
	cuts := 0
	for _, err := range errs {
		if ctx.Err() != nil && (errors.Is(err, ctx.Err()) || errors.Is(err, context.Cause(ctx))) && !kube.Transient(err) {
			// A request that takes until the end of the time budget may be the reason why the
			// budget was too short. A few of the interrupted requests are enough, and the bare
			// cause of the end adds nothing.
			if cuts++; !outOfTime(ctx) || cuts > fewCuts || err == context.Cause(ctx) { //nolint:errorlint // see above
				continue
			}
		}
		r.report.Errs = append(r.report.Errs, err)
	}
}

// fewCuts limits how many requests the report names that the end of the context interrupted.
const fewCuts = 3

// outOfTime reports whether the time budget ended a context.
func outOfTime(ctx context.Context) bool { return errors.Is(context.Cause(ctx), ErrBudget) }

// permanent reports whether the last round met an error that another round will not change: a
// missing right, or no progress while nothing is left to write.
func (r *run) permanent(p *plan.Plan) bool {
	for _, err := range r.report.Errs {
		if apierrors.IsForbidden(err) || errors.Is(err, kube.ErrStagnant) && len(plan.Rights(p)) == 0 {
			return true
		}
	}
	return false
}

// onlyNewcomersLeft reports whether everything that is left appeared after the last round, and only
// its own labels or owner references link it to ARC. It adds these objects to the plan's kept ones.
// Otherwise, anyone who keeps creating such objects could fail every uninstall.
func (r *run) onlyNewcomersLeft(p *plan.Plan, s *plan.Survey) bool {
	var kept []plan.Finding
	for _, phase := range p.Phases {
		for _, step := range phase.Steps() {
			o := step.Object
			_, known := r.history.Sets[o.ScaleSet]
			if slices.Contains(r.options.Kinds(), o.Resource) || o.Resource == object.CRDs || o.Resource == object.Namespaces || known || r.planned[o.UID] {
				return false
			}
			kept = append(kept, plan.Finding{Object: o, Why: "it appeared during the run, as similar objects did in every round"})
		}
	}
	for _, crd := range s.CRDs {
		if !slices.ContainsFunc(p.Kept, func(k plan.Finding) bool { return k.Object == crd }) {
			return false // the CRDs of a release with scale sets are deleted last
		}
	}
	p.Kept = append(p.Kept, kept...)
	return true
}

// takeDenials moves admission's denials of the last round from the errors to refusals. Each reason
// appears once, with the first write that it denied.
func (r *run) takeDenials() []plan.Refusal {
	var out []plan.Refusal
	seen := map[kube.Denial]bool{}
	r.report.Errs = slices.DeleteFunc(r.report.Errs, func(err error) bool {
		if !kube.Refused(err) {
			return false
		}
		if d, _ := kube.Denied(err); !seen[d] {
			seen[d] = true
			doing, _, _ := strings.Cut(err.Error(), ": ")
			out = append(out, DenialOf(doing, d))
		}
		return true
	})
	return out
}

// succeed ends a run that has nothing left to do.
func (r *run) succeed(ctx context.Context, s *plan.Survey) plan.Verdict {
	if served := survey.StillServed(ctx, r.client, r.options, s); len(served) > 0 {
		r.reportUnread(served, nil)
		return plan.Failed
	}
	r.report.Remains = survey.Beside(ctx, r.client, r.options, s)
	return plan.Done
}

func (r *run) failure() plan.Verdict {
	for _, err := range r.report.Errs {
		if apierrors.IsForbidden(err) {
			return plan.NotPermitted
		}
	}
	return plan.Residue
}

// stopped reads once more what is left, and returns the verdict of a run whose context ended.
// lastLook allows a little time after the budget or SIGTERM. unread holds the reads of the survey
// that the end interrupted: they may be what took the time.
func (r *run) stopped(ctx context.Context, unread []plan.Unknown) plan.Verdict {
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, errOff):
		r.noteDoubts(nil)
		return plan.Off
	case errors.Is(cause, errRevoked):
		r.noteDoubts(nil)
		r.report.Errs = append(r.report.Errs, cause)
		return plan.NotPermitted // without rights it can read nothing more
	}
	look, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastLook)
	defer cancel()
	r.history.Stage = plan.Over
	s := survey.Read(look, r.client, r.options)
	r.noteDoubts(s)
	if !outOfTime(ctx) {
		unread = slices.DeleteFunc(unread, func(u plan.Unknown) bool { return !kube.Transient(u.Err) })
	}
	r.reportUnread(unread, s.Asked())
	p := plan.New(s, r.options, r.history)
	if len(p.Refusals) == 0 {
		if p.Over() {
			r.noteRecorded(p.Recorded)
			return r.succeed(look, s)
		}
		if len(p.Jobs) > 0 && outOfTime(ctx) {
			r.report.Refusals = p.Jobs
			return plan.Refused
		}
		r.report.Left = plan.Leftovers(p)
	}
	for _, refusal := range p.Refusals {
		if refusal.Verdict == plan.Refused { // failed reads are in the report already
			r.report.Refusals = append(r.report.Refusals, refusal)
		}
	}
	switch {
	case !outOfTime(ctx):
		return plan.Interrupted
	case len(s.Unknown) > 0 && len(r.report.Done) == 0:
		// More time would not have helped.
		return plan.Failed
	}
	return plan.OutOfTime
}

// reportUnread reports every failed read once: those before the end, and those after it.
func (r *run) reportUnread(before, after []plan.Unknown) {
	all := before
	for _, u := range after {
		if !slices.ContainsFunc(all, func(o plan.Unknown) bool { return o.What == u.What }) {
			all = append(all, u)
		}
	}
	for _, u := range plan.MergeUnknown(all) {
		r.report.Errs = append(r.report.Errs, fmt.Errorf("could not read %s: %w", u.What, u.Err))
	}
	if len(r.planned) == 0 { // else it has answered earlier in this run, and the time ended these reads
		r.report.Errs = append(r.report.Errs, unreached(r.options, all)...)
	}
}
