package upgrade

import (
	"context"
	"fmt"
	"regexp"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/arc-cleanup/arc-cleanup/internal/anchor"
	"github.com/arc-cleanup/arc-cleanup/internal/cleanup"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
	"github.com/arc-cleanup/arc-cleanup/internal/release"
	"github.com/arc-cleanup/arc-cleanup/internal/shell"
	"github.com/arc-cleanup/arc-cleanup/internal/survey"
)

// renders is how many charts Helm renders at the same time.
const renders = 4

// Check tries, before anything is written, all of a plan that can be tried: that
// Helm sees what we see, that the new charts render with the values of before, and
// that the engine would not refuse. It returns what stands in the way, and what the
// engine will do; what the old charts do not explain it adds to the plan.
func (u *Upgrade) Check(ctx context.Context, s Situation, p *Plan) ([]plan.Refusal, *plan.Plan, error) {
	controller := p.State.Releases[0]
	running := false
	for _, f := range s.Found {
		if f.key() == controller.key() {
			running = f.Status == release.Deployed
			if err := u.Helm.Sees(ctx, controller, f.Revision); err != nil {
				return nil, nil, err
			}
		}
	}
	if !p.Has(Clean) {
		return nil, nil, nil
	}
	within, cancel := context.WithTimeout(ctx, writeTime)
	defer cancel()
	engine := cleanup.Preview(within, u.Client, u.clean(controller))
	releases := p.State.Releases
	switch served := slices.ContainsFunc(engine.Phases, func(p plan.Phase) bool { return p.Name == plan.PhaseCRDs }); {
	case s.Saved != nil && s.Saved.Target.same(s.Target):
		releases = nil // they have rendered before
	case !running || !served:
		// A scale set is rendered for a controller that is there, and Helm 4 asks for
		// its CRD as well.
		releases = releases[:1]
	}
	refusals := judge(p.State.Target, releases, u.render(ctx, p.State.Target, releases))
	if ctx.Err() != nil {
		return nil, nil, context.Cause(ctx)
	}
	u.explain(ctx, s, p)
	p.Notes = append(p.Notes, lost(p, engine)...)
	for _, r := range engine.Remains {
		if !r.Lease {
			p.Notes = append(p.Notes, "of ARC this does not upgrade "+r.What)
		}
	}
	refusals = append(refusals, engine.Refusals...)
	for _, k := range inTheWay(engine.Kept) {
		refusals = append(refusals, plan.Refusal{Verdict: plan.Refused, Message: fmt.Sprintf("%s would have to go, and would be kept: %s", k.Object, k.Why)})
	}
	if engine.Off {
		refusals = append(refusals, plan.Refusal{
			Verdict: plan.Refused, Message: "the cleanup is switched off by the ConfigMap " + survey.OffSwitch,
			Do: []string{shell.Command("kubectl", "delete", "configmap", survey.OffSwitch, "--namespace", controller.Namespace)},
		})
	}
	return refusals, engine, nil
}

// lost names the releases that the engine uninstalls and that do not come back: those
// of which there is a record, and no scale set.
func lost(p *Plan, engine *plan.Plan) (out []string) {
	seen := map[string]bool{}
	for _, phase := range engine.Phases {
		for _, s := range phase.Steps() {
			m := helmRecordName.FindStringSubmatch(s.Object.Name)
			if m == nil || s.Action != plan.Delete || slices.ContainsFunc(p.State.Releases, func(r Release) bool { return r.Name == m[1] && r.Namespace == s.Object.Namespace }) {
				continue
			}
			if of := m[1] + " in namespace " + s.Object.Namespace; !seen[of] {
				seen[of] = true
				out = append(out, fmt.Sprintf("release %s does not come back: none of the scale sets in its record exists", of))
			}
		}
	}
	return out
}

// helmRecordName is what Helm calls its record of a release.
var helmRecordName = regexp.MustCompile(`^sh\.helm\.release\.v1\.(.+)\.v[0-9]+$`)

// result is how the rendering of a release went.
type result struct {
	rendered
	err error
}

func (u *Upgrade) render(ctx context.Context, t Target, releases []Release) []result {
	results := make([]result, len(releases))
	var g errgroup.Group
	g.SetLimit(renders)
	for i, r := range releases {
		g.Go(func() error {
			results[i].rendered, results[i].err = u.Helm.render(ctx, r, t.of(r))
			return nil
		})
	}
	_ = g.Wait() // each has its own error
	return results
}

// judge says what of that which was rendered would not work.
func judge(t Target, releases []Release, results []result) []plan.Refusal {
	var out []plan.Refusal
	refuse := func(format string, args ...any) {
		out = append(out, plan.Refusal{Verdict: plan.Refused, Message: fmt.Sprintf(format, args...)})
	}
	for i, r := range releases {
		chart := t.of(r)
		want, what := anchor.ScaleSet, "a scale set"
		if r.Controller {
			want, what = anchor.Controller, "ARC's controller"
		}
		switch got := results[i]; {
		case got.err != nil:
			refuse("release %s does not render from the chart %s with its values: %v", r, chart.Ref, got.err)
		case got.scope != want:
			refuse("the chart %s does not install %s, which release %s is of", chart.Ref, what, r)
		case got.strays != "":
			refuse("release %s %s", r, got.strays)
		case got.version != results[0].version && results[0].err == nil:
			refuse("the controller would be ARC %s, which deletes scale sets of another version, and release %s would be %s", results[0].version, r, got.version)
		}
	}
	return out
}
