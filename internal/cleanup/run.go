// Package cleanup carries out what package plan decides, and reports what it did and
// what is left.
package cleanup

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/rs/zerolog"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/internal/kube"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
	"github.com/arc-cleanup/arc-cleanup/internal/shell"
	"github.com/arc-cleanup/arc-cleanup/internal/survey"
)

const (
	// rounds is how often survey, plan and execution are repeated while there is
	// still something to do: the drain, the wake, the nudge, the jobs, all again, the work
	// itself, and what a controller or a garbage collector brought up meanwhile; of a
	// release that holds scale sets, the CRDs twice.
	rounds = 10
	// wakes is how often a controller is made to look at a scale set again: more
	// often than there are protected objects of one. wakeEvery is the time for one
	// of them.
	wakes     = 10
	wakeEvery = 200 * time.Millisecond
	// lastLook bounds the survey made after a run was stopped.
	lastLook = 5 * time.Second
)

// ErrBudget and ErrInterrupted are the causes with which the context given to
// Run says why it ended.
var (
	ErrBudget      = errors.New("the time budget is used up")
	ErrInterrupted = errors.New("told to stop")
)

// errChanged says that the cluster is not what the plan was made for.
var errChanged = errors.New("the cluster changed")

// Preview surveys the cluster and returns what Run would do. It writes nothing.
func Preview(ctx context.Context, c *kube.Client, o plan.Options) *plan.Plan {
	s := survey.Read(ctx, c, o)
	p := plan.New(s, o, plan.History{})
	preflight(ctx, c, p, o)
	if len(p.Phases) == 0 && len(p.Refusals) == 0 {
		for _, u := range survey.StillServed(ctx, c, o, s) {
			p.Refusals = append(p.Refusals, plan.Refusal{Verdict: plan.Failed, Message: fmt.Sprintf("could not read %s: %v", u.What, u.Err)})
		}
	}
	p.Remains = survey.Beside(ctx, c, o, s)
	return p
}

// Run does what plan.New decides: survey, plan, execute, until a plan is empty,
// which is the proof that nothing is left. It can be stopped and run again at
// any point.
//
// Unless it is nil, progress is told how far the current phase is. It is called often,
// and has to return at once.
func Run(ctx context.Context, c *kube.Client, o plan.Options, log zerolog.Logger, progress func(Progress)) *Report {
	ctx, stop := heedOffSwitch(ctx, c, o)
	defer stop()
	r := &run{
		client: c, options: o, log: log, progress: progress, report: &Report{Scope: o.Scope}, pace: newPace(time.Now()),
		done: map[once]bool{}, planned: map[types.UID]bool{}, history: plan.NewHistory(),
	}
	for round := 0; r.report.Verdict == ""; round++ {
		r.report.Verdict = r.round(ctx, round)
	}
	r.explainEnd(ctx)
	return r.report
}

type run struct {
	client  *kube.Client
	options plan.Options
	log     zerolog.Logger

	progress func(Progress)

	mu      sync.Mutex
	report  *Report
	history plan.History
	// now is how far the current phase is, and since when.
	now   Progress
	since time.Time
	pace  pace

	// permitted says that the hook could read what it may read of itself.
	permitted bool
	// seen is what a person has confirmed.
	seen plan.Confirmed
	// changed is why the last round was cut short, if the cluster changed.
	changed error

	// done holds what was done. A later round may do it again: somebody may have
	// scaled what was stopped up again.
	done map[once]bool

	// planned holds what was in a plan.
	planned map[types.UID]bool

	// doomed holds the CRDs that the plan deletes, by name; relaxed those whose
	// schema accepts anything by now.
	doomed   map[string]*object.Object
	relaxing sync.Mutex
	relaxed  map[types.UID]bool
}

// once is what the report names but once.
type once struct {
	action plan.Action
	uid    types.UID
}

// Progress is how far a phase is: Done of Total objects.
type Progress struct {
	Phase       plan.PhaseName
	Done, Total int
}

// moved notes that so many objects of the phase are done; with the lock.
func (r *run) moved(done int) {
	r.now.Done = done
	if r.progress != nil {
		r.progress(r.now)
	}
}

// round surveys, plans and carries the plan out. Its verdict is empty as long as another
// round is needed.
func (r *run) round(ctx context.Context, round int) plan.Verdict {
	s := survey.Read(ctx, r.client, r.options)
	if ctx.Err() != nil {
		return r.stopped(ctx, s.Asked())
	}
	if !slices.ContainsFunc(s.Unknown, func(u plan.Unknown) bool { return u.What == survey.OffSwitchRead }) {
		r.permitted = true
	}
	// A scale set of the release stays one when it is gone: what is left of it
	// is found by its name.
	r.options.Sets = plan.ScaleSets(s, r.options)
	p := plan.New(s, r.options, r.history)
	if p.Off {
		return plan.Off
	}
	r.confirm(p, round)
	r.history.Stage = p.Stage
	planned := len(p.Notes)
	if round == 0 {
		preflight(ctx, r.client, p, r.options)
	}
	r.history.Saw(s)
	r.report.Kept, r.report.Obstacles = p.Kept, p.Obstacles
	if len(p.Refusals) > 0 {
		r.report.Refusals = p.Refusals
		return p.Verdict()
	}
	if round == 0 {
		r.tell(s, p, planned)
	}
	if verdict := r.over(ctx, s, p, round); verdict != "" {
		return verdict
	}
	// What failed may work out when it is planned anew.
	r.report.Errs, r.changed = nil, nil
	return r.carryOut(ctx, s, p)
}

// confirm holds a plan against the one that somebody has confirmed. A guard that refuses
// says more than that the plan is another.
func (r *run) confirm(p *plan.Plan, round int) {
	switch {
	case r.options.Confirmed == "", len(p.Refusals) > 0:
	case round == 0:
		p.Refusals = r.seen.Confirm(p, r.options.Confirmed)
	default:
		p.Refusals = r.seen.Bound(p)
	}
}

// tell says what was found, and what may be in the way. Of the notes only those are of
// use to everybody that say what could not be tried, which come after the planned ones.
func (r *run) tell(s *plan.Survey, p *plan.Plan, planned int) {
	r.log.Info().Msg(shell.Visible(found(s)))
	for i, note := range p.Notes {
		level := zerolog.DebugLevel
		if i >= planned {
			level = zerolog.WarnLevel
		}
		r.log.WithLevel(level).Msg(shell.Visible(note))
	}
	for _, x := range p.Obstacles {
		r.log.Warn().Stringer("object", x.Object).Str("why", x.Why).Msg("likely to be in the way")
	}
	if p.ObstaclesErr != nil {
		r.log.Warn().Err(p.ObstaclesErr).Msg("could not look for webhooks and APIServices that nobody answers")
	}
}

// over returns the verdict where there is nothing more to do, or no use in it.
func (r *run) over(ctx context.Context, s *plan.Survey, p *plan.Plan, round int) plan.Verdict {
	if len(p.Phases) == 0 {
		r.report.Errs, r.report.Obstacles = nil, nil
		return r.succeed(ctx, s)
	}
	if round == rounds && r.newcomers(p, s) {
		r.report.Kept, r.report.Errs = p.Kept, nil
		return r.succeed(ctx, s)
	}
	if denied := r.denied(); len(denied) > 0 {
		// Neither another round nor another Pod of the Job changes that.
		r.report.Left, r.report.Refusals = plan.Leftovers(p), denied
		return plan.Refused
	}
	if round < rounds && !r.permanent(p) {
		return ""
	}
	r.report.Left = plan.Leftovers(p)
	if len(r.report.Errs) == 0 && r.changed != nil {
		r.report.Errs = []error{r.changed}
	}
	return r.failure()
}

// carryOut does the plan's phases until one fails, or asks for a new survey.
func (r *run) carryOut(ctx context.Context, s *plan.Survey, p *plan.Plan) plan.Verdict {
	r.history.Begins(p)
	r.doomed = map[string]*object.Object{}
	for _, phase := range p.Phases {
		for _, step := range phase.Steps() {
			r.planned[step.Object.UID] = true
			if phase.Name == plan.PhaseCRDs {
				r.doomed[step.Object.Name] = step.Object
			}
		}
	}
	for _, phase := range p.Phases {
		log := r.log.With().Str("phase", string(phase.Name)).Logger()
		var err error
		if phase.Name == plan.PhaseBackUp {
			err = r.backUp(ctx, p.Backup)
		} else {
			err = r.execute(ctx, log, phase, s)
		}
		r.failed(ctx, err)
		switch {
		case ctx.Err() != nil:
			return r.stopped(ctx, nil)
		case err != nil && phase.Name == plan.PhaseBackUp:
			return r.withoutBackup(err)
		case errors.Is(err, kube.ErrStagnant) && phase.Wait != nil && phase.Wait.Stalled == plan.GoesOn:
			log.Debug().Err(err).Msg("goes on with the rest")
		case err != nil:
			log.Debug().Err(err).Msg("goes on with a new survey")
			return ""
		case r.history.Ended(p, phase.Name, r.options.Scope):
			return ""
		}
	}
	return ""
}

// withoutBackup is the verdict where no backup could be written: nothing else is begun.
func (r *run) withoutBackup(err error) plan.Verdict {
	if r.report.Refusals = r.denied(); len(r.report.Refusals) > 0 {
		return plan.Refused
	}
	if apierrors.IsForbidden(err) {
		return plan.NotPermitted
	}
	return plan.Failed
}
