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

// failed puts the errors of a phase into the report, each by itself. That the
// context ended is said by the verdict, not here.
func (r *run) failed(ctx context.Context, err error) {
	var errs writeErrors
	switch {
	case err == nil:
	case errors.Is(err, errChanged):
		r.changed = err
	case errors.As(err, &errs):
	default:
		errs = writeErrors{err}
	}
	cuts := 0
	for _, err := range errs {
		if ctx.Err() != nil && (errors.Is(err, ctx.Err()) || errors.Is(err, context.Cause(ctx))) && !kube.Transient(err) {
			// A request that lasts until the budget is used up may be why it is. Of what
			// just was under way a few tell enough, and the cause alone tells nothing.
			if cuts++; !outOfTime(ctx) || cuts > fewCuts || err == context.Cause(ctx) { //nolint:errorlint // see above
				continue
			}
		}
		r.report.Errs = append(r.report.Errs, err)
	}
}

// fewCuts is how many requests are named that the end of the context has cut off.
const fewCuts = 3

// outOfTime reports whether it is the budget that has ended a context.
func outOfTime(ctx context.Context) bool { return errors.Is(context.Cause(ctx), ErrBudget) }

// permanent reports whether the last round met an error that trying again will
// not change: a missing right, or no progress where nothing is left to write.
func (r *run) permanent(p *plan.Plan) bool {
	for _, err := range r.report.Errs {
		if apierrors.IsForbidden(err) || errors.Is(err, kube.ErrStagnant) && len(plan.Rights(p)) == 0 {
			return true
		}
	}
	return false
}

// newcomers reports whether all that is left came up since the last round, and says of
// itself alone that it is ARC's: whoever makes such objects without end would fail
// everybody's uninstall. It is kept, then.
func (r *run) newcomers(p *plan.Plan, s *plan.Survey) bool {
	var kept []plan.Finding
	for _, phase := range p.Phases {
		for _, step := range phase.Steps() {
			o := step.Object
			_, known := r.history.Sets[o.ScaleSet]
			if slices.Contains(r.options.Kinds(), o.Resource) || o.Resource == object.CRDs || o.Resource == object.Namespaces || known || r.planned[o.UID] {
				return false
			}
			kept = append(kept, plan.Finding{Object: o, Why: "it came up while the rest went, as others like it did in every round"})
		}
	}
	for _, crd := range s.CRDs {
		if !slices.ContainsFunc(p.Kept, func(k plan.Finding) bool { return k.Object == crd }) {
			return false // those of a release with scale sets go when nothing else is left
		}
	}
	p.Kept = append(p.Kept, kept...)
	return true
}

// denied is what admission has not let through in the last round, each reason once
// with the first write that it has met; no error says it again.
func (r *run) denied() []plan.Refusal {
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

// succeed ends a run after which nothing is left to do.
func (r *run) succeed(ctx context.Context, s *plan.Survey) plan.Verdict {
	if served := survey.StillServed(ctx, r.client, r.options, s); len(served) > 0 {
		r.unread(served, nil)
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

// stopped looks once more what is left; there is a little time after the budget
// and after SIGTERM for that. unread is what the survey could not read that the end has
// cut off: there the time went.
func (r *run) stopped(ctx context.Context, unread []plan.Unknown) plan.Verdict {
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, errOff):
		return plan.Off
	case errors.Is(cause, errRevoked):
		r.report.Errs = append(r.report.Errs, cause)
		return plan.NotPermitted // there is nothing that could be looked at
	}
	look, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastLook)
	defer cancel()
	r.history.Stage = plan.Over
	s := survey.Read(look, r.client, r.options)
	if !outOfTime(ctx) {
		unread = slices.DeleteFunc(unread, func(u plan.Unknown) bool { return !kube.Transient(u.Err) })
	}
	r.unread(unread, s.Asked())
	p := plan.New(s, r.options, r.history)
	if len(p.Refusals) == 0 {
		if len(p.Phases) == 0 {
			return r.succeed(look, s)
		}
		if len(p.Jobs) > 0 && outOfTime(ctx) {
			r.report.Refusals = p.Jobs
			return plan.Refused
		}
		r.report.Left = plan.Leftovers(p)
	}
	for _, refusal := range p.Refusals {
		if refusal.Verdict == plan.Refused { // what could not be read is said above
			r.report.Refusals = append(r.report.Refusals, refusal)
		}
	}
	switch {
	case !outOfTime(ctx):
		return plan.Interrupted
	case len(s.Unknown) > 0 && len(r.report.Done) == 0:
		// It is not the time that was missing.
		return plan.Failed
	}
	return plan.OutOfTime
}

// unread reports what could not be read, before the end and after, each once.
func (r *run) unread(before, after []plan.Unknown) {
	all := before
	for _, u := range after {
		if !slices.ContainsFunc(before, func(o plan.Unknown) bool { return o.What == u.What }) {
			all = append(all, u)
		}
	}
	for _, u := range all {
		r.report.Errs = append(r.report.Errs, fmt.Errorf("could not read %s: %w", u.What, u.Err))
	}
	r.report.Errs = append(r.report.Errs, unreached(r.options, all)...)
}
