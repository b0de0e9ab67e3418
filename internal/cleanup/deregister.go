package cleanup

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/internal/english"
	"github.com/arc-cleanup/arc-cleanup/internal/github"
	"github.com/arc-cleanup/arc-cleanup/internal/identity"
	"github.com/arc-cleanup/arc-cleanup/internal/kube"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
	"github.com/arc-cleanup/arc-cleanup/internal/survey"
)

// Why a run that is not told to de-register, or that has no time to, keeps a registration.
const (
	keptByPolicy = "GitHub removes it after some days"
	keptLegacy   = "GitHub removes it after about a day"
	endedBefore  = "the run ended before it could ask GitHub"
)

// maxAccesses limits for how many scale sets a run keeps credentials in memory: package survey says how much each takes at most,
// and a hook has 128 MiB.
const maxAccesses = 200

var errTooMany = fmt.Errorf("one run keeps the credentials of %s", english.Count(maxAccesses, "scale set"))

// access is what a scale set uses to reach GitHub, or why that is not known. A run reads it before it frees the scale set, and
// keeps it in memory only.
type access struct {
	github.Access
	// what is the scale set at GitHub as the plan named it.
	what string
	err  error
}

// takesMemory reports whether the scale set gave this access, and not the person, whose credentials are there once.
func (a access) takesMemory(own *github.Own) bool {
	_, is := own.For(a.URL)
	return a.err == nil && !is
}

// accesses reads the access of every scale set that a plan de-registers, unless it was read before.
func accesses(ctx context.Context, c *kube.Client, p *plan.Plan, own *github.Own, known map[types.UID]access) {
	kept := 0
	for _, a := range known {
		if a.takesMemory(own) {
			kept++
		}
	}
	for _, step := range p.OwnSteps() {
		set := step.Object
		if _, is := known[set.UID]; is {
			continue
		}
		a := access{what: step.Why, err: errTooMany}
		if kept < maxAccesses || own != nil { // each read takes time, and there may be thousands of sets
			a.Access, a.err = survey.GitHubAccess(ctx, c, set, own)
		}
		switch takes := a.takesMemory(own); {
		case takes && kept == maxAccesses:
			a.Access, a.err = github.Access{}, errTooMany
		case takes:
			kept++
		}
		known[set.UID] = a
	}
}

// askForCredentials refuses a run by hand that could not de-register what it is told to. A hook goes on: what it cannot
// remove at GitHub must not keep it from the cluster.
func askForCredentials(p *plan.Plan, o plan.Options, own *github.Own, known map[types.UID]access) {
	if o.Job != "" {
		return
	}
	for _, step := range p.OwnSteps() {
		a := known[step.Object.UID]
		if own != nil && a.takesMemory(own) {
			p.Notes = append(p.Notes, fmt.Sprintf("your credentials for GitHub are not for %s: those in the cluster are used", step.Why))
		}
		if a.err != nil {
			p.Refusals = append(p.Refusals, plan.Refusal{
				Verdict: plan.Refused,
				Message: fmt.Sprintf("there are no credentials to de-register %s with: %v", step.Why, a.err),
				Do: []string{
					"give yours, with --github-url for what they are for, and --github-token-file or --github-app-id;",
					"or leave the scale set to GitHub, which removes it after seven days: --github keep",
				},
			})
		}
	}
}

// deregister removes at GitHub what this run has freed and no controller has removed, and gives every registration
// its result. It comes after the last survey s, which proves that the runners are gone and shows who else works there.
func (r *run) deregister(ctx context.Context, s *plan.Survey) {
	jobs := r.deregistrations(s)
	sets := 0
	for _, job := range jobs {
		sets += len(job)
	}
	if sets > 0 { // one line: a team may have thousands of scale sets
		r.log.Info().Msgf("%s: %s", plan.PhaseDeregister.Row().Doing, english.Count(sets, "scale set"))
	}
	var (
		g    errgroup.Group
		down sync.Map // why a server does not answer, by way
	)
	g.SetLimit(kube.Workers)
	for _, job := range jobs {
		g.Go(func() error {
			for _, d := range job {
				r.deregisterSet(ctx, d, &down)
			}
			return nil
		})
	}
	_ = g.Wait() // the results say what failed
	r.keepRegistered("this run has not removed its scale set, so it does not know where it is registered")
}

// endRegistered gives a result to what has none at the end of a run. Something that was to go and stays makes the run
// fail; but not a hook: GitHub must not keep Helm from the rest of the uninstall.
func (r *run) endRegistered() {
	switch {
	case r.options.Scope == plan.ScopeLegacy:
		r.keepRegistered(keptLegacy)
		return
	case r.options.GitHub != plan.Deregister:
		r.keepRegistered(keptByPolicy)
		return
	}
	if r.report.Verdict == plan.Done { // a run that was stopped looks once more, and then everything was gone
		r.keepRegistered(endedBefore)
	}
	r.keepRegistered("the run ended before everything in the cluster was gone")
	stays := r.unreadRecords || slices.ContainsFunc(r.report.Registered, Registration.Stays)
	if r.report.Verdict == plan.Done && r.options.Job == "" && stays {
		r.report.Verdict = plan.Residue
	}
}

// keepRegistered keeps what has no result yet.
func (r *run) keepRegistered(why string) {
	for i := range r.report.Registered {
		if reg := &r.report.Registered[i]; reg.Outcome == "" {
			reg.Result = github.Result{Outcome: github.Kept, Why: why}
		}
	}
}

// setKey identifies the scale set of a runner within a run.
type setKey struct {
	set identity.Set
	// recorded is the registration that a record names, which may be another one under the same name; empty for a runner that
	// this run has freed.
	recorded string
}

// deregistration is one scale set to remove: the indexes of its registrations in the report.
type deregistration struct {
	set     int
	runners []int
	access  github.Access
}

// deregistrations finds what can be removed, by namespace, so that a team's slow servers cost no time of another team. What
// cannot be removed gets its result here.
func (r *run) deregistrations(s *plan.Survey) map[string][]deregistration {
	runners := map[setKey][]int{}
	for i, reg := range r.report.Registered {
		if reg.IsSet() {
			continue
		}
		key := setKey{set: reg.Object.ScaleSet}
		if reg.recorded != nil {
			key.recorded = reg.Planned()
		}
		runners[key] = append(runners[key], i)
	}
	jobs := map[string][]deregistration{}
	for i := range r.report.Registered {
		reg := r.report.Registered[i]
		if !reg.IsSet() {
			continue
		}
		d := deregistration{set: i, runners: runners[setKey{reg.Object.ScaleSet, reg.Planned()}]}
		a, known := r.access[reg.Object.UID]
		if reg.recorded != nil {
			a, known = *reg.recorded, true
		} else { // a run that was killed may have freed some of its runners
			d.runners = append(slices.Clone(d.runners), runners[setKey{set: reg.Object.ScaleSet}]...)
		}
		c := s.ControllerOf(r.options, reg.Object.Namespace)
		switch {
		case c != nil:
			r.settle(d, fmt.Sprintf("the controller %s/%s works there: only it removes scale sets at GitHub", c.Namespace, c.Name))
		case !known:
			r.settle(d, "a controller was to remove it")
		case a.err != nil:
			r.settle(d, a.err.Error())
		case a.what != reg.Planned():
			r.settle(d, "its id, its name or its URL was changed during the run")
		default:
			d.access = a.Access
			jobs[reg.Object.Namespace] = append(jobs[reg.Object.Namespace], d)
		}
	}
	return jobs
}

// settle keeps a scale set and its runners.
func (r *run) settle(d deregistration, why string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, i := range append([]int{d.set}, d.runners...) {
		r.report.Registered[i].Result = github.Result{Outcome: github.Kept, Why: why}
	}
}

// deregisterSet removes one scale set, and gives it and its runners their results.
func (r *run) deregisterSet(ctx context.Context, d deregistration, down *sync.Map) {
	reg := r.report.Registered[d.set]
	runners := make([]string, len(d.runners))
	for n, i := range d.runners {
		runners[n] = r.report.Registered[i].Object.Name
	}
	r.log.Debug().Msgf("%s: %s, %s", plan.PhaseDeregister.Row().Doing, reg, english.Count(len(runners), "runner"))
	results := deregister(ctx, d.access, reg.Document(), runners, false, down)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.report.Registered[d.set].Result = results.Set
	for n, i := range d.runners {
		r.report.Registered[i].Result = results.Runners[n]
	}
}

// remember keeps what the AutoscalingRunnerSets of a survey say: their runners are named after them. A set that was made to finish
// without GitHub has lost its ID since.
func (r *run) remember(s *plan.Survey) {
	for set, info := range s.SetsByName() {
		if info.ID == "" {
			info.ID = r.sets[set].ID
		}
		r.sets[set] = info
	}
}
