// Package cleanup executes what package plan decides, and reports what it did and what is left.
package cleanup

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/internal/github"
	"github.com/arc-cleanup/arc-cleanup/internal/identity"
	"github.com/arc-cleanup/arc-cleanup/internal/kube"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
	"github.com/arc-cleanup/arc-cleanup/internal/shell"
	"github.com/arc-cleanup/arc-cleanup/internal/survey"
)

const (
	// rounds limits how often survey, plan and execution are repeated while there is something to
	// do: the drain, the wake, the nudge, the jobs, each of these again, the deletions, and what a
	// controller or the garbage collector created meanwhile. A release with scale sets needs two
	// rounds for its CRDs.
	rounds = 10
	// wakes is how often a controller is made to reconcile a scale set: more often than a scale set
	// has protected objects. wakeEvery is the time between two wakes.
	wakes     = 10
	wakeEvery = 200 * time.Millisecond
	// lastLook limits the survey after a run was stopped.
	lastLook = 5 * time.Second
	// rightsEvery is the time between two looks at rights that may yet come.
	rightsEvery = 500 * time.Millisecond
)

// rightsWithin is how long a hook waits for its rights. Argo CD creates the objects of a hook in any order, the Job perhaps
// first (argoproj/argo-cd controller/hook.go, executeHooks), and an API server learns of a binding that another one stored
// after a moment. The tests set it.
var rightsWithin = 15 * time.Second

// ErrBudget and ErrInterrupted are the causes with which the caller of Run ends its context. The
// budget is counted in cmd/hookjob/run.go: from the start of the hook's Job or, by hand, from the answer.
var (
	ErrBudget      = errors.New("the time budget is used up")
	ErrInterrupted = errors.New("told to stop")
)

// errChanged says that the cluster has changed since the plan was made.
var errChanged = errors.New("the cluster changed")

// Preview surveys the cluster and returns what Run would do. It writes nothing.
//
// own are the credentials of the person for GitHub, if any.
func Preview(ctx context.Context, c *kube.Client, o plan.Options, own *github.Own) *plan.Plan {
	s := survey.Read(ctx, c, o)
	p := plan.New(s, o, plan.History{})
	known := map[types.UID]access{}
	accesses(ctx, c, p, own, known)
	askForCredentials(p, o, own, known)
	preflight(ctx, c, p, o)
	p.Registered, p.Controllers, p.Unread = plan.Registrations(s, o), s.Controllers, len(s.Unknown) > 0
	if p.Over() && len(p.Refusals) == 0 {
		for _, u := range survey.StillServed(ctx, c, o, s) {
			p.Refusals = append(p.Refusals, plan.Refusal{Verdict: plan.Failed, Message: fmt.Sprintf("could not read %s: %v", u.What, u.Err)})
		}
	}
	p.Remains = survey.Beside(ctx, c, o, s)
	return p
}

// Run repeats survey, plan and execution until a plan is empty, which proves that nothing is left.
// It can be stopped and run again at any point.
func Run(ctx context.Context, c *kube.Client, o plan.Options, log zerolog.Logger, person Person) *Report {
	r := &run{
		client: c, options: o, log: log, person: person, report: &Report{Scope: o.Scope}, pace: newPace(time.Now()),
		done: map[once]bool{}, planned: map[types.UID]bool{}, history: plan.NewHistory(),
		sets: map[identity.Set]plan.ScaleSetInfo{}, access: map[types.UID]access{},
	}
	ctx, stop := r.watchOffSwitch(ctx)
	defer stop()
	r.report.Verdict = r.firstRound(ctx)
	for round := 1; r.report.Verdict == ""; round++ {
		r.report.Verdict = r.round(ctx, round)
	}
	r.endRegistered()
	r.explainEnd(ctx)
	return r.report
}

// Person is what a person who runs it sees and gives. It is empty in a hook.
type Person struct {
	// Progress is called with the state of the current phase. Run calls it often, so it must return at once.
	Progress func(Progress)
	// GitHub holds credentials that go before those in the cluster.
	GitHub *github.Own
}

type run struct {
	client  *kube.Client
	options plan.Options
	log     zerolog.Logger

	person Person

	mu      sync.Mutex
	report  *Report
	history plan.History
	// now is the state of the current phase, which began at since.
	now   Progress
	since time.Time
	pace  pace

	// permitted says that the hook could once read the off switch, which its own rights allow.
	permitted atomic.Bool
	// unreadRecords says that records could not be read: more may be registered at GitHub than the run knows.
	unreadRecords bool
	// confirmed holds the objects of the plan that a person has confirmed.
	confirmed plan.Confirmed
	// changedErr is why the last round was cut short, if the cluster changed.
	changedErr error

	// sets is what the scale sets of all surveys say, by name. access is what those use to reach GitHub that are de-registered.
	sets   map[identity.Set]plan.ScaleSetInfo
	access map[types.UID]access

	// done holds what the report names. A later round may repeat a write, for example if a person
	// has scaled a stopped object up again.
	done map[once]bool

	// doubts are the steps of the last round that failed.
	doubts []doubt

	// planned holds the objects of all plans.
	planned map[types.UID]bool

	// deletedCRDs holds the CRDs that the plan deletes, by name. relaxed holds those whose schema
	// already accepts every object.
	deletedCRDs map[string]*object.Object
	relaxing    sync.Mutex
	relaxed     map[types.UID]bool
}

// once identifies what the report names only once.
type once struct {
	action plan.Action
	uid    types.UID
}

// Progress is the state of a phase: Done of Total objects are done.
type Progress struct {
	Phase       plan.PhaseName
	Done, Total int
}

// setDone sets how many objects of the phase are done. It needs the lock.
func (r *run) setDone(done int) {
	r.now.Done = done
	if r.person.Progress != nil {
		r.person.Progress(r.now)
	}
}

// firstRound repeats the first round of a hook that is not permitted to begin, until its rights are there or rightsWithin has
// passed. By hand, nobody is about to grant any.
func (r *run) firstRound(ctx context.Context) plan.Verdict {
	given := r.options
	verdict := r.round(ctx, 0)
	if !r.lacksRights(verdict) {
		return verdict
	}
	r.log.Info().Msg(shell.Visible(fmt.Sprintf("waiting up to %s for the rights of this hook: %s", rightsWithin, r.report.Refusals[0].Message)))
	for end := time.Now().Add(rightsWithin); r.lacksRights(verdict) && time.Now().Before(end); verdict = r.round(ctx, 0) {
		select {
		case <-ctx.Done():
			if outOfTime(ctx) {
				return verdict // it has had no other reason to wait
			}
			r.report.Refusals = nil
			return r.stopped(ctx, nil)
		case <-time.After(rightsEvery):
		}
		// What was read without the rights counts no more: a Secret that could not be read, for example.
		r.options, r.history, r.report.Refusals = given, plan.NewHistory(), nil
		clear(r.access)
		clear(r.sets)
	}
	return verdict
}

// lacksRights reports whether a hook ended its first round for nothing but rights that it does not have.
func (r *run) lacksRights(v plan.Verdict) bool {
	return r.options.Job != "" && v == plan.NotPermitted && len(r.report.Refusals) > 0
}

// round surveys the cluster, makes a plan and executes it. It returns an empty verdict if another
// round is needed.
func (r *run) round(ctx context.Context, round int) plan.Verdict {
	s := survey.Read(ctx, r.client, r.options)
	if ctx.Err() != nil {
		return r.stopped(ctx, s.Asked())
	}
	if !slices.ContainsFunc(s.Unknown, func(u plan.Unknown) bool { return u.What == survey.OffSwitchRead }) {
		r.permitted.Store(true)
	}
	r.noteDoubts(s)
	// Remember the release's scale sets even if they are gone: what is left of them is found by
	// their names.
	r.options.Sets = plan.ScaleSets(s, r.options)
	p := plan.New(s, r.options, r.history)
	if p.Off {
		return plan.Off
	}
	r.remember(s)
	accesses(ctx, r.client, p, r.person.GitHub, r.access)
	if round == 0 {
		askForCredentials(p, r.options, r.person.GitHub, r.access)
	}
	r.confirm(p, round)
	r.history.Stage = p.Stage
	planned := len(p.Notes)
	if round == 0 {
		preflight(ctx, r.client, p, r.options)
	}
	r.history.RecordSurvey(s)
	r.report.Kept, r.report.Obstacles = p.Kept, p.Obstacles
	if len(p.Refusals) > 0 {
		r.report.Refusals = p.Refusals
		return p.Verdict()
	}
	if round == 0 {
		r.logFindings(s, p, planned)
	}
	if verdict := r.verdictIfOver(ctx, s, p, round); verdict != "" {
		return verdict
	}
	// The next plan may succeed where this one failed.
	r.report.Errs, r.changedErr = nil, nil
	return r.executePlan(ctx, s, p)
}

// confirm compares a plan with the one that a person confirmed. If a guard refuses already, it says
// nothing: the guard's reason is the more useful one.
func (r *run) confirm(p *plan.Plan, round int) {
	switch {
	case r.options.Confirmed == "", len(p.Refusals) > 0:
	case round == 0:
		p.Refusals = r.confirmed.CheckFirst(p, r.options.Confirmed)
	default:
		p.Refusals = r.confirmed.CheckLater(p)
	}
}

// logFindings logs what the survey found, and what may block the run. The plan's own notes, which are
// the first planned ones, are for debugging only. The notes after them are warnings: they name the
// writes that could not be tried.
func (r *run) logFindings(s *plan.Survey, p *plan.Plan, planned int) {
	r.log.Info().Msg(shell.Visible(found(s)))
	for i, note := range p.Notes {
		level := zerolog.DebugLevel
		if i >= planned {
			level = zerolog.WarnLevel
		}
		r.log.WithLevel(level).Msg(shell.Visible(note))
	}
	for _, x := range p.Obstacles {
		r.log.Warn().Stringer("object", x.Object).Str("why", x.Why).Msg("likely in the way")
	}
	if p.ObstaclesErr != nil {
		r.log.Warn().Err(p.ObstaclesErr).Msg("could not search for webhooks and APIServices that do not answer")
	}
}

// verdictIfOver returns the verdict if there is nothing more to do, or if another round is useless.
func (r *run) verdictIfOver(ctx context.Context, s *plan.Survey, p *plan.Plan, round int) plan.Verdict {
	if p.Over() {
		r.report.Errs, r.report.Obstacles = nil, nil
		return r.finish(ctx, s, p)
	}
	if round == rounds && r.onlyNewcomersLeft(p, s) {
		r.report.Kept, r.report.Errs = p.Kept, nil
		return r.finish(ctx, s, p)
	}
	if denied := r.takeDenials(); len(denied) > 0 {
		// Neither another round nor another Pod of the Job changes admission's answer.
		r.report.Left, r.report.Refusals = plan.Leftovers(p), denied
		return plan.Refused
	}
	if round < rounds && !r.permanent(p) {
		return ""
	}
	r.report.Left = plan.Leftovers(p)
	if len(r.report.Errs) == 0 && r.changedErr != nil {
		r.report.Errs = []error{r.changedErr}
	}
	return r.failure()
}

// finish ends a run that has nothing left to do in the cluster: what is left is at GitHub.
func (r *run) finish(ctx context.Context, s *plan.Survey, p *plan.Plan) plan.Verdict {
	verdict := r.succeed(ctx, s)
	if verdict != plan.Done {
		return verdict
	}
	if s.RecordsErr != nil {
		r.log.Warn().Err(s.RecordsErr).Msg("could not read what earlier runs wrote down of GitHub: more may be registered")
	}
	r.noteRecorded(p.Recorded)
	if r.options.GitHub == plan.Deregister {
		r.deregister(ctx, s)
		r.takeAway(ctx, s)
	}
	return verdict
}

// executePlan executes the plan's phases until one fails or requires a new survey.
func (r *run) executePlan(ctx context.Context, s *plan.Survey, p *plan.Plan) plan.Verdict {
	r.history.RecordPlan(p)
	r.noteBare(p.Bare, s)
	r.deletedCRDs = map[string]*object.Object{}
	for _, phase := range p.Phases {
		for _, step := range phase.Steps() {
			r.planned[step.Object.UID] = true
			if phase.Name == plan.PhaseCRDs {
				r.deletedCRDs[step.Object.Name] = step.Object
			}
		}
	}
	for _, phase := range p.Phases {
		if phase.Name == plan.PhaseDeregister {
			continue // it comes last of all
		}
		log := r.log.With().Str("phase", string(phase.Name)).Logger()
		var err error
		if phase.Name == plan.PhaseBackUp {
			err = r.writeBefore(ctx, p)
		} else {
			err = r.execute(ctx, log, phase, s)
		}
		r.recordErrors(ctx, err)
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
		case r.history.PhaseEnded(p, phase.Name, r.options.Scope):
			return ""
		}
	}
	return ""
}

// withoutBackup returns the verdict of a run that could not write the backup. Such a run does
// nothing else.
func (r *run) withoutBackup(err error) plan.Verdict {
	if r.report.Refusals = r.takeDenials(); len(r.report.Refusals) > 0 {
		return plan.Refused
	}
	if apierrors.IsForbidden(err) {
		return plan.NotPermitted
	}
	return plan.Failed
}
