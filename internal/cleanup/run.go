package cleanup

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/identity"
	"github.com/arc-cleanup/arc-cleanup/internal/kube"
	"github.com/arc-cleanup/arc-cleanup/internal/release"
	"github.com/arc-cleanup/arc-cleanup/internal/shell"
)

const (
	// workers is how many writes are in flight at once. More does not help: the
	// API server gives a client of no special priority about this many seats.
	workers = 64
	// rounds is how often survey, plan and execution are repeated while there is
	// still something to do: the drain, the wake, the nudge, the jobs, all again, the work
	// itself, and what a controller or a garbage collector brought up meanwhile; of a
	// release that holds scale sets, the CRDs twice.
	rounds = 10
	// collectPatience is how long the garbage collector may show no progress
	// before its work is done for it.
	collectPatience = 10 * time.Second
	// belongingsPatience is how long the garbage collector may take for what listeners
	// own. Of ARC's kinds it learns within a minute of their installation.
	belongingsPatience = 90 * time.Second
	// crdPatience is the least time for CRDs to go: Kubernetes looks at one every 5 s
	// (k8s.io/apiextensions-apiserver pkg/controller/finalizer).
	crdPatience = 15 * time.Second
	// namespacePatience is how long a namespace may take to go when nothing of ARC
	// is in it any more. Kubernetes looks again after some seconds, and after a
	// failure up to a minute (k8s.io/kubernetes pkg/controller/namespace).
	namespacePatience = time.Minute
	// wakes is how often a controller is made to look at a scale set again: more
	// often than there are protected objects of one. wakeEvery is the time for one
	// of them.
	wakes     = 10
	wakeEvery = 200 * time.Millisecond
	// wakePatience is how long a controller may show no progress after it was woken first:
	// it tries a request to GitHub again for some 15 s before that counts as failed.
	wakePatience = 20 * time.Second
	// forever is longer than any budget.
	forever = 24 * time.Hour
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
func Preview(ctx context.Context, c *kube.Client, o Options) *Plan {
	s := survey(ctx, c, o)
	p := NewPlan(s, o, History{})
	preflight(ctx, c, p, o)
	p.Remains = lookBeside(ctx, c, o, s)
	return p
}

// Run does what NewPlan decides: survey, plan, execute, until a plan is empty,
// which is the proof that nothing is left. It can be stopped and run again at
// any point.
func Run(ctx context.Context, c *kube.Client, o Options, log zerolog.Logger) *Report {
	ctx, stop := heedOffSwitch(ctx, c, o)
	defer stop()
	r := &run{
		client: c, options: o, log: log, report: &Report{Scope: o.Scope}, pace: newPace(time.Now()), done: map[once]bool{}, planned: map[types.UID]bool{},
		history: History{Deleted: map[string]types.UID{}, Held: map[string]bool{}, Waited: map[string]bool{}, BackedUp: map[types.UID]bool{}, Ours: map[types.UID]bool{}, Sets: map[identity.Set]identity.Name{}, Runners: map[types.NamespacedName]*Object{}, Jobs: map[types.UID]bool{}},
	}
	r.report.Verdict = r.loop(ctx)
	r.explainEnd(ctx)
	return r.report
}

type run struct {
	client  *kube.Client
	options Options
	log     zerolog.Logger

	mu      sync.Mutex
	report  *Report
	history History
	// now is how far the current phase is, and since when.
	now   Progress
	since time.Time
	pace  pace

	// permitted says that the hook could read what it may read of itself.
	permitted bool
	// seen is what a person has confirmed.
	seen confirmed
	// changed is why the last round was cut short, if the cluster changed.
	changed error

	// done holds what was done. A later round may do it again: somebody may have
	// scaled what was stopped up again.
	done map[once]bool

	// planned holds what was in a plan.
	planned map[types.UID]bool

	// patience is the current plan's.
	patience time.Duration

	// doomed holds the CRDs that the plan deletes, by name; relaxed those whose
	// schema accepts anything by now.
	doomed   map[string]*Object
	relaxing sync.Mutex
	relaxed  map[types.UID]bool
}

// once is what the report names but once.
type once struct {
	action Action
	uid    types.UID
}

// Progress is how far a phase is: Done of Total objects.
type Progress struct {
	Phase       PhaseName
	Done, Total int
}

// moved notes that so many objects of the phase are done; with the lock.
func (r *run) moved(done int) {
	r.now.Done = done
	if r.options.Progress != nil {
		r.options.Progress(r.now)
	}
}

func (r *run) loop(ctx context.Context) Verdict {
	for round := 0; ; round++ {
		s := survey(ctx, r.client, r.options)
		if ctx.Err() != nil {
			return r.stopped(ctx, s.asked())
		}
		if !slices.ContainsFunc(s.Unknown, func(u Unknown) bool { return u.What == theOffSwitch }) {
			r.permitted = true
		}
		// A scale set of the release stays one when it is gone: what is left of it
		// is found by its name.
		r.options.Sets = scaleSets(s, r.options)
		p := NewPlan(s, r.options, r.history)
		if p.Off {
			return Off
		}
		if r.options.Confirmed != "" {
			// A guard that refuses says more than that the plan is another.
			switch {
			case len(p.Refusals) > 0:
			case round == 0:
				p.Refusals = r.seen.confirm(p, r.options.Confirmed)
			default:
				p.Refusals = r.seen.bound(p)
			}
		}
		r.history.Stage, r.patience = p.stage, p.patience
		known := len(p.Notes)
		if round == 0 {
			preflight(ctx, r.client, p, r.options)
		}
		for _, o := range s.Custom {
			switch o.Resource.Resource {
			case arc.AutoscalingRunnerSets:
				r.history.Sets[o.ScaleSet] = o.Release
			case arc.EphemeralRunners:
				r.history.Runners[types.NamespacedName{Namespace: o.Namespace, Name: o.Name}] = o
			}
		}
		r.report.Kept, r.report.Obstacles = p.Kept, p.Obstacles
		if len(p.Refusals) > 0 {
			r.report.Refusals = p.Refusals
			return p.Verdict()
		}
		if round == 0 {
			r.log.Info().Msg(shell.Visible(found(s)))
			for i, note := range p.Notes {
				level := zerolog.DebugLevel
				if i >= known { // what could not be tried
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
			r.report.Left, r.report.Refusals = leftovers(p), denied
			return Refused
		}
		if round == rounds || r.permanent(p) {
			r.report.Left = leftovers(p)
			if len(r.report.Errs) == 0 && r.changed != nil {
				r.report.Errs = []error{r.changed}
			}
			return r.failure()
		}
		// What failed may work out when it is planned anew.
		r.report.Errs, r.changed = nil, nil
		for _, step := range p.steps(Namespaces) {
			r.history.Held[step.Object.Name] = true
		}
		for _, step := range p.steps(Linked) {
			r.history.Jobs[step.Object.UID] = true
		}
		for _, o := range p.owned {
			r.history.Ours[o.UID] = true
		}
		for _, phase := range p.Phases {
			for _, step := range phase.Steps() {
				r.planned[step.Object.UID] = true
			}
		}
		r.doomed = map[string]*Object{}
		for _, step := range p.steps(CRDs) {
			r.doomed[step.Object.Name] = step.Object
		}
		for _, phase := range p.Phases {
			var err error
			if phase.Name == BackUp {
				err = r.backUp(ctx, p.backup)
			} else {
				err = r.execute(ctx, phase, s)
			}
			r.failed(ctx, err)
			if ctx.Err() != nil {
				return r.stopped(ctx, nil)
			}
			if phase.Name == BackUp && err != nil {
				// Without it nothing else is begun.
				if r.report.Refusals = r.denied(); len(r.report.Refusals) > 0 {
					return Refused
				}
				if apierrors.IsForbidden(err) {
					return NotPermitted
				}
				return Failed
			}
			if phase.Name == CRDs && errors.Is(err, kube.ErrStagnant) {
				// Something of others holds an object. What its kind owned can go all the same.
				r.log.Debug().Str("phase", string(phase.Name)).Err(err).Msg("goes on with the rest")
				continue
			}
			if err != nil {
				r.log.Debug().Str("phase", string(phase.Name)).Err(err).Msg("goes on with a new survey")
				break
			}
			// What the controller and the jobs leave can only be seen anew; and when
			// the jobs are over, the controller has its chance again.
			if phase.Name == Drain {
				r.history.Stage, r.history.ToGo = p.stage.afterDrain(r.options.Scope), p.toGo
				break
			}
			if phase.Name == Busy {
				r.history.Stage, r.history.ToGo = Fresh, 0
				break
			}
		}
	}
}

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
func (r *run) permanent(p *Plan) bool {
	for _, err := range r.report.Errs {
		if apierrors.IsForbidden(err) || errors.Is(err, kube.ErrStagnant) && len(rights(p)) == 0 {
			return true
		}
	}
	return false
}

// newcomers reports whether all that is left came up since the last round, and says of
// itself alone that it is ARC's: whoever makes such objects without end would fail
// everybody's uninstall. It is kept, then.
func (r *run) newcomers(p *Plan, s *Survey) bool {
	var kept []Kept
	for _, phase := range p.Phases {
		for _, step := range phase.Steps() {
			o := step.Object
			_, known := r.history.Sets[o.ScaleSet]
			if slices.Contains(r.options.kinds(), o.Resource) || o.Resource == crdResource || o.Resource == namespaceResource || known || r.planned[o.UID] {
				return false
			}
			kept = append(kept, Kept{o, "it came up while the rest went, as others like it did in every round"})
		}
	}
	for _, crd := range s.CRDs {
		if !slices.ContainsFunc(p.Kept, func(k Kept) bool { return k.Object == crd }) {
			return false // those of a release with scale sets go when nothing else is left
		}
	}
	p.Kept = append(p.Kept, kept...)
	return true
}

// denied is what admission has not let through in the last round, each reason once
// with the first write that it has met; no error says it again.
func (r *run) denied() []Refusal {
	var out []Refusal
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
func (r *run) succeed(ctx context.Context, s *Survey) Verdict {
	r.report.Remains = lookBeside(ctx, r.client, r.options, s)
	return Done
}

func (r *run) failure() Verdict {
	for _, err := range r.report.Errs {
		if apierrors.IsForbidden(err) {
			return NotPermitted
		}
	}
	return Residue
}

// stopped looks once more what is left; there is a little time after the budget
// and after SIGTERM for that. unread is what the survey could not read that the end has
// cut off: there the time went.
func (r *run) stopped(ctx context.Context, unread []Unknown) Verdict {
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, errOff):
		return Off
	case errors.Is(cause, errRevoked):
		r.report.Errs = append(r.report.Errs, cause)
		return NotPermitted // there is nothing that could be looked at
	}
	look, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastLook)
	defer cancel()
	r.history.Stage = Over
	s := survey(look, r.client, r.options)
	if !outOfTime(ctx) {
		unread = slices.DeleteFunc(unread, func(u Unknown) bool { return !kube.Transient(u.Err) })
	}
	for _, u := range s.asked() {
		if !slices.ContainsFunc(unread, func(o Unknown) bool { return o.What == u.What }) {
			unread = append(unread, u)
		}
	}
	for _, u := range unread {
		r.report.Errs = append(r.report.Errs, fmt.Errorf("could not read %s: %w", u.What, u.Err))
	}
	r.report.Errs = append(r.report.Errs, r.options.unreached(unread)...)
	p := NewPlan(s, r.options, r.history)
	if len(p.Refusals) == 0 {
		if len(p.Phases) == 0 {
			return r.succeed(look, s)
		}
		if len(p.jobs) > 0 && outOfTime(ctx) {
			r.report.Refusals = p.jobs
			return Refused
		}
		r.report.Left = leftovers(p)
	}
	for _, refusal := range p.Refusals {
		if refusal.Verdict == Refused { // what could not be read is said above
			r.report.Refusals = append(r.report.Refusals, refusal)
		}
	}
	switch {
	case !outOfTime(ctx):
		return Interrupted
	case len(s.Unknown) > 0 && len(r.report.Done) == 0:
		// It is not the time that was missing.
		return Failed
	}
	return OutOfTime
}

func (r *run) execute(ctx context.Context, phase Phase, s *Survey) error {
	start := time.Now()
	steps := phase.Steps()
	l := r.log.With().Str("phase", string(phase.Name)).Logger()
	l.Debug().Int("objects", len(steps)).Msg(words[phase.Name])
	defer func() {
		took := time.Since(start)
		r.report.Phases = append(r.report.Phases, Took{phase.Name, took})
	}()

	var err error
	switch phase.Name {
	case CRDs:
		err = r.unchanged(ctx, s)
	case Collect:
		err = r.ownersGone(ctx, steps)
	}
	if err != nil {
		return err
	}
	r.now, r.since, r.pace.detailed = Progress{phase.Name, 0, len(steps)}, start, start
	for _, rank := range phase.Ranks {
		if err := r.write(ctx, l, rank, s); err != nil && phase.Name != Rouse {
			return err
		} else if err != nil {
			// Then the controller gets no more than its time; what follows does not need it.
			l.Warn().Err(err).Msg("could not wake the controller")
		}
	}
	switch phase.Name {
	case Drain:
		err := r.await(ctx, l, phase.Name, steps, r.patience)
		if errors.Is(err, kube.ErrStagnant) {
			l.Warn().Err(err).Msg("the controller does not get on")
			return nil
		}
		return err
	case Busy:
		// As long as the budget lasts.
		return r.await(ctx, l, phase.Name, steps, forever)
	case Collect:
		if !slices.ContainsFunc(steps, func(s Step) bool { return s.Action == Await && !s.Object.Deleting }) {
			// Pods take their grace period to end; there is nothing to do for them.
			return r.await(ctx, l, phase.Name, steps, r.options.Grace)
		}
		err := r.await(ctx, l, phase.Name, steps, collectPatience)
		if errors.Is(err, kube.ErrStagnant) {
			l.Warn().Err(err).Msg("the garbage collector does not know of it; deleting what has no owner any more")
			return nil
		}
		return err
	case Belongings:
		return r.await(ctx, l, phase.Name, steps, belongingsPatience)
	case CRDs:
		return r.await(ctx, l, phase.Name, steps, max(r.options.Grace, crdPatience))
	case Namespaces:
		err := r.await(ctx, l, phase.Name, steps, namespacePatience)
		if errors.Is(err, kube.ErrStagnant) && r.options.Scope != Namespace {
			for _, s := range steps {
				r.history.Waited[s.Object.Name] = true
			}
			l.Warn().Err(err).Msg("something else holds the namespaces")
			return nil
		}
		return err
	default:
		return nil
	}
}

func (r *run) backUp(ctx context.Context, sets []*Object) error {
	secret, err := backUp(ctx, r.client, r.options.Backup, sets)
	if err != nil {
		return fmt.Errorf("backing up: %w (without a backup: --backup=false, or policy.backup: false)", err)
	}
	for _, o := range sets {
		r.history.BackedUp[o.UID] = true
	}
	r.log.Debug().Str("phase", string(BackUp)).Stringer("object", secret).Int("sets", len(sets)).Msg("backed up; see arc-cleanup restore")
	r.report.Done = append(r.report.Done, Outcome{Create, secret})
	return nil
}

// unchanged makes sure, right before the CRDs go, of what the plan stands on: that no
// scale set came up since the survey, nor another controller, and that the release is
// still being uninstalled. Half a minute may have passed, or the budget.
func (r *run) unchanged(ctx context.Context, s *Survey) error {
	known := map[types.UID]bool{}
	for _, o := range s.Custom {
		known[o.UID] = true
	}
	made := []schema.GroupVersionResource{arc.Resource(arc.AutoscalingRunnerSets)}
	find := func() ([]ARC, error) { return controllers(ctx, r.client, everywhere) }
	if r.options.Scope == Legacy {
		made = arc.LegacyResources()
		find = func() ([]ARC, error) { return legacyControllers(ctx, r.client) }
	}
	for _, gvr := range made {
		err := r.client.Each(ctx, gvr, "", metav1.ListOptions{}, func(m *metav1.PartialObjectMetadata) error {
			if !known[m.UID] {
				return fmt.Errorf("%w: %s is new", errChanged, object(gvr, m))
			}
			return nil
		})
		if err != nil && !apierrors.IsNotFound(err) {
			return err
		}
	}
	for _, c := range s.Controllers {
		known[c.UID] = true
	}
	found, err := find()
	if err != nil {
		return err
	}
	for _, c := range found {
		if !known[c.UID] && !c.Deleting {
			return fmt.Errorf("%w: the controller %s is new", errChanged, c)
		}
	}
	if !r.options.RequireUninstalling {
		return nil
	}
	record, err := findRecord(ctx, r.client, r.options)
	switch {
	case err != nil:
		return err
	case record.Status != release.Uninstalling:
		return fmt.Errorf("%w: release %s in namespace %s is %s", errChanged, record.Name, record.Namespace, record.Status)
	}
	return nil
}

// ownersGone looks once more, by their UIDs, for the owners of what is to be deleted
// because they are gone.
func (r *run) ownersGone(ctx context.Context, steps []Step) error {
	orphans := map[owning]*Object{}
	for _, s := range steps {
		if s.Action == Delete {
			orphans[owning{s.Object.Namespace, s.Object.Owner}] = s.Object
		}
	}
	if len(orphans) == 0 {
		return nil
	}
	kinds, namespaces := arc.Resources(), r.options.customNamespaces
	switch r.options.Scope {
	case Legacy:
		kinds, namespaces = arc.LegacyResources(), func(string) []string { return r.options.coreNamespaces() }
	case Namespace:
		kinds = slices.Concat(arc.LegacyResources(), kinds)
	}
	for _, gvr := range kinds {
		for _, namespace := range namespaces(gvr.Resource) {
			err := r.client.Each(ctx, gvr, namespace, metav1.ListOptions{}, func(m *metav1.PartialObjectMetadata) error {
				if o := orphans[owning{m.Namespace, m.UID}]; o != nil {
					return fmt.Errorf("%w: the owner of %s is there", errChanged, o)
				}
				return nil
			})
			if err != nil && !apierrors.IsNotFound(err) {
				return err
			}
		}
	}
	return nil
}

// write carries out the steps of one rank concurrently. An error does not stop
// the others; all of them are returned.
func (r *run) write(ctx context.Context, log zerolog.Logger, steps []Step, survey *Survey) error {
	var (
		g    errgroup.Group
		errs []error
	)
	g.SetLimit(workers)
	for _, s := range steps {
		if ctx.Err() != nil {
			break
		}
		if s.Action == Await {
			continue
		}
		g.Go(func() error {
			err := r.step(ctx, s)
			r.mu.Lock()
			defer r.mu.Unlock()
			r.moved(r.now.Done + 1)
			now := time.Now()
			log.WithLevel(r.pace.next(now)).Msgf("%s: %d of %d objects, %.0f a second", words[r.now.Phase], r.now.Done, r.now.Total, float64(r.now.Done)/now.Sub(r.since).Seconds())
			if err != nil {
				errs = append(errs, err)
			} else {
				if key := (once{s.Action, s.Object.UID}); !r.done[key] {
					r.done[key] = true
					r.report.Done = append(r.report.Done, Outcome{s.Action, s.Object})
				}
				if s.Object.Resource == crdResource {
					r.history.Deleted[s.Object.Name] = s.Object.UID
				}
				r.registered(s, survey)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if len(errs) > 0 {
		return writeErrors(errs)
	}
	return nil
}

func (r *run) step(ctx context.Context, s Step) error {
	t := s.Object.Target
	switch {
	case s.Action == Delete:
		propagation := metav1.DeletePropagationBackground
		if r.options.foreground(s.Object) {
			propagation = metav1.DeletePropagationForeground
		}
		return r.client.Delete(ctx, t, propagation)
	case s.Action == Release:
		return r.free(ctx, s.Object)
	case s.Action == Stop:
		return r.client.ScaleToZero(ctx, t)
	case s.Action == Wake:
		return r.wake(ctx, t)
	case t.Resource.Resource == arc.AutoscalingRunnerSets:
		return r.nudge(ctx, t)
	default:
		return r.client.RemoveFinalizers(ctx, t, func(f string) bool { return f == arc.RunnerRegistrationFinalizer })
	}
}

// wake has the controller look at an object at once, by an annotation whose value
// changes. A scale set it has to look at more often: the controller has failed over it
// for a while, and waits twice as long before each of the steps that follow: it frees the
// protected objects one by one, and counts each of them as another failure
// (controllers/actions.github.com/autoscalingrunnerset_controller.go,
// removeFinalizersFromDependentResources).
func (r *run) wake(ctx context.Context, t kube.Target) error {
	turns := 1
	if t.Resource.Resource == arc.AutoscalingRunnerSets {
		turns = wakes
	}
	for turn := range turns {
		if turn > 0 {
			select {
			case <-ctx.Done():
				return context.Cause(ctx)
			case <-time.After(wakeEvery):
			}
		}
		value := time.Now().UTC().Format(time.RFC3339Nano)
		if err := r.client.Annotate(ctx, t, map[string]any{arc.AnnotationWake: value}); err != nil {
			return err
		}
	}
	return nil
}

// nudge takes a scale set's id away, and has the controller finish without.
func (r *run) nudge(ctx context.Context, set kube.Target) error {
	if err := r.client.Annotate(ctx, set, map[string]any{arc.AnnotationRunnerScaleSetID: nil}); err != nil {
		return err
	}
	return r.wake(ctx, set)
}

// registered notes what GitHub has not been told of: a controller removes these
// finalizers only after it has told GitHub.
func (r *run) registered(s Step, survey *Survey) {
	if s.Action == Delete || s.Action == Wake {
		return
	}
	info := survey.Sets[s.Object.UID]
	if info.ID != "" || slices.Contains(s.Object.Finalizers, arc.RunnerRegistrationFinalizer) || survey.Registered[s.Object.UID] {
		r.report.Registered = append(r.report.Registered, Registration{s.Object, info})
	}
}

// writeErrors are those of one rank. There may be thousands, of which a log line
// needs but one.
type writeErrors []error

func (e writeErrors) Error() string {
	if len(e) == 1 {
		return e[0].Error()
	}
	return fmt.Sprintf("%v (and %d more errors)", e[0], len(e)-1)
}

func (e writeErrors) Unwrap() []error { return e }

// await waits until the objects of the steps are gone. Of scale sets that are
// being drained, what their controller makes meanwhile is awaited too.
func (r *run) await(ctx context.Context, log zerolog.Logger, phase PhaseName, steps []Step, patience time.Duration) error {
	type place struct {
		gvr       schema.GroupVersionResource
		namespace string
		field     string
	}
	uids := map[types.UID]bool{}
	sets := map[types.NamespacedName]bool{}
	var places []place // children first, as in the plan
	watch := func(p place) {
		if !slices.Contains(places, p) {
			places = append(places, p)
		}
	}
	for _, s := range steps {
		uids[s.Object.UID] = true
		p := place{gvr: s.Object.Resource, namespace: s.Object.Namespace}
		switch {
		case p.gvr == crdResource, p.gvr == namespaceResource:
			// The right to watch CRDs is given by name, and of namespaces there may
			// be thousands.
			p.field = "metadata.name=" + s.Object.Name
		case phase == Busy:
			p.field = unfinished
		case p.gvr == arc.Resource(arc.AutoscalingRunnerSets):
			sets[s.Object.ScaleSet] = true
			watch(place{gvr: arc.Resource(arc.EphemeralRunners), namespace: p.namespace})
			watch(place{gvr: arc.Resource(arc.EphemeralRunnerSets), namespace: p.namespace})
		}
		watch(p)
	}
	var selections []kube.Selection
	for _, p := range places {
		selections = append(selections, kube.Selection{
			Resource: p.gvr, Namespace: p.namespace, Fields: p.field,
			Match: func(m *metav1.PartialObjectMetadata) bool {
				return uids[m.UID] || sets[object(p.gvr, m).ScaleSet]
			},
		})
	}
	return r.client.WaitGone(ctx, selections, patience, func(left int, examples []string) {
		r.moved(max(0, r.now.Total-left))
		if left == 0 {
			return
		}
		level := r.pace.next(time.Now())
		if more := left - len(examples); more > 0 {
			examples = append(examples, fmt.Sprintf("%d more", more))
		}
		e := log.WithLevel(level)
		if deadline, ok := ctx.Deadline(); ok {
			e = e.Stringer("budget", time.Until(deadline).Round(time.Second))
		}
		e.Msg(shell.Visible(words[phase] + ": " + strings.Join(examples, ", ")))
	})
}
