package upgrade

import (
	"context"
	"fmt"
	"regexp"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/arc-cleanup/arc-cleanup/internal/cleanup"
	"github.com/arc-cleanup/arc-cleanup/internal/detect"
	"github.com/arc-cleanup/arc-cleanup/internal/helm"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
	"github.com/arc-cleanup/arc-cleanup/internal/shell"
	"github.com/arc-cleanup/arc-cleanup/internal/survey"
)

// renders is how many charts Helm renders at the same time.
const renders = 4

// check tries all of a plan that can be tried before the first write: that Helm sees the same releases,
// that the new charts render with the present values, and that the cleanup would not refuse. It adds to
// the plan why it is refused, what the cleanup will do, and what the old charts do not explain.
func (u *Upgrade) check(ctx context.Context, s Situation, p *Plan) error {
	controller := p.State.Releases[0]
	running := false
	for _, f := range s.Found {
		if p.State.release(f.key()) == nil || !f.Controller && (!p.State.Way.inPlace() || p.State.forward()) {
			continue
		}
		if f.Controller {
			running = f.Status == helm.Deployed
		}
		if err := u.Helm.sees(ctx, f.Release, f.Revision); err != nil {
			return err
		}
	}
	switch {
	case p.State.Way.inPlace():
		return u.checkInPlace(ctx, s, p)
	case !p.Has(Clean):
		return nil
	}
	within, cancel := context.WithTimeout(ctx, writeTime)
	defer cancel()
	p.Cleanup = cleanup.Preview(within, u.Client, u.clean(controller), nil)
	notYet := fmt.Sprintf("release %s is %s: Helm is not uninstalling it", controller, helm.Deployed) // a later step does
	p.Cleanup.Notes = slices.DeleteFunc(p.Cleanup.Notes, func(note string) bool { return note == notYet })
	releases := u.renderable(s, p, running)
	refusals := judge(p.State.Target, releases, u.render(ctx, p.State.Target, releases))
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	u.explain(ctx, s, p)
	p.noteLosses()
	p.Refusals = append(p.Refusals, refusals...)
	p.refuseCleanup(controller)
	if len(p.Refusals) > 0 {
		p.Steps = nil
	}
	return nil
}

// renderable returns those releases whose new chart can be rendered now; running says whether the
// controller's release is deployed.
func (u *Upgrade) renderable(s Situation, p *Plan, running bool) []Release {
	served := slices.ContainsFunc(p.Cleanup.Phases, func(p plan.Phase) bool { return p.Name == plan.PhaseCRDs })
	switch {
	case s.Saved != nil && s.Saved.Target.same(s.Target):
		return nil // they have rendered before
	case !running || !served:
		// The chart of a scale set looks the controller up, and Helm 4 also looks the CRD up.
		return p.State.Releases[:1]
	}
	return p.State.Releases
}

// noteLosses says what the cleanup would uninstall and the upgrade would not bring back, and what there
// is of ARC that the upgrade does not change.
func (p *Plan) noteLosses() {
	for _, of := range p.lost() {
		p.note("release %s does not come back: none of the scale sets in its record exists", of)
	}
	for _, r := range p.Cleanup.Remains {
		if !r.Lease {
			p.note("of ARC this does not upgrade %s", r.What)
		}
	}
}

// lost names the releases that the cleanup uninstalls and that do not come back: they have a record and
// no scale set.
func (p *Plan) lost() (out []string) {
	for _, phase := range p.Cleanup.Phases {
		for _, s := range phase.Steps() {
			m := helmRecordName.FindStringSubmatch(s.Object.Name)
			if m == nil || s.Action != plan.Delete {
				continue
			}
			comesBack := slices.ContainsFunc(p.State.Releases, func(r Release) bool {
				return r.Name == m[1] && r.Namespace == s.Object.Namespace
			})
			if of := m[1] + " in namespace " + s.Object.Namespace; !comesBack && !slices.Contains(out, of) {
				out = append(out, of)
			}
		}
	}
	return out
}

// helmRecordName matches Helm's name for a record of a release.
var helmRecordName = regexp.MustCompile(`^sh\.helm\.release\.v1\.(.+)\.v[0-9]+$`)

// refuseCleanup refuses if the cleanup would not run to its end.
func (p *Plan) refuseCleanup(controller Release) {
	p.Refusals = append(p.Refusals, p.Cleanup.Refusals...)
	for _, k := range inTheWay(p.Cleanup.Kept) {
		p.refuse(fmt.Sprintf("%s has to be deleted, and would be kept: %s", k.Object, k.Why))
	}
	if p.Cleanup.Off {
		p.refuse("the cleanup is switched off by the ConfigMap "+survey.OffSwitch,
			shell.Command("kubectl", "delete", "configmap", survey.OffSwitch, "--namespace", controller.Namespace))
	}
}

// result is the result of rendering a release.
type result struct {
	rendered
	err error
}

// render renders releases from the charts of a target.
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
	_ = g.Wait() // each result has its own error
	return results
}

// judge refuses the releases whose rendered manifests would not work.
func judge(t Target, releases []Release, results []result) []plan.Refusal {
	var p Plan
	for i, r := range releases {
		chart := t.of(r)
		want, what := detect.ScaleSet, "a scale set"
		if r.Controller {
			want, what = detect.Controller, "ARC's controller"
		}
		switch got := results[i]; {
		case got.err != nil:
			p.refuse(fmt.Sprintf("release %s does not render from the chart %s with its values: %v", r, chart.Ref, got.err))
		case got.scope != want:
			p.refuse(fmt.Sprintf("the chart %s does not install %s, as release %s does", chart.Ref, what, r))
		case got.strays != "":
			p.refuse(fmt.Sprintf("release %s %s", r, got.strays))
		case got.version != results[0].version && results[0].err == nil:
			p.refuse(fmt.Sprintf("the controller would be ARC %s, which deletes scale sets of another version, and release %s would be %s",
				results[0].version, r, got.version))
		}
	}
	return p.Refusals
}
