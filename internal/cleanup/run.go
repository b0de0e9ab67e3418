package cleanup

import (
	"context"
	"errors"
	"fmt"
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
	"github.com/arc-cleanup/arc-cleanup/internal/kube"
)

const (
	// workers is how many writes are in flight at once. More does not help: the
	// API server gives a client of no special priority about this many seats.
	workers = 64
	// rounds is how often survey, plan and execution are repeated while there is
	// still something to do: the drain, the work itself, and what a controller
	// or a garbage collector brought up meanwhile.
	rounds = 5
	// collectPatience is how long the garbage collector may show no progress
	// before its work is done for it.
	collectPatience = 10 * time.Second
	// progressEvery is the least time between two lines about the same wait.
	progressEvery = 3 * time.Second
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
	return NewPlan(survey(ctx, c, o), o, false)
}

// Run does what NewPlan decides: survey, plan, execute, until a plan is empty,
// which is the proof that nothing is left. It can be stopped and run again at
// any point.
func Run(ctx context.Context, c *kube.Client, o Options, log zerolog.Logger) *Report {
	r := &run{client: c, options: o, log: log, report: &Report{Scope: o.Scope}}
	r.report.Verdict = r.loop(ctx)
	return r.report
}

type run struct {
	client  *kube.Client
	options Options
	log     zerolog.Logger

	mu     sync.Mutex
	report *Report
}

func (r *run) loop(ctx context.Context) Verdict {
	drained := false
	for round := 0; ; round++ {
		s := survey(ctx, r.client, r.options)
		if ctx.Err() != nil {
			return r.stopped(ctx)
		}
		// A scale set of the release stays one when it is gone: what is left of it
		// is found by its name.
		r.options.ScaleSetNames = scaleSets(s, r.options)
		p := NewPlan(s, r.options, drained)
		r.report.Kept = p.Kept
		if len(p.Refusals) > 0 {
			r.report.Refusals = p.Refusals
			return p.Verdict()
		}
		if round == 0 {
			r.log.Info().Int("controllers", len(s.Controllers)).Int("customResources", len(s.Custom)).
				Int("protected", len(s.Protected)).Int("crds", len(s.CRDs)).Msg("surveyed")
		}
		if len(p.Phases) == 0 {
			r.report.Errs = nil
			return Done
		}
		if round == rounds || r.permanent() {
			r.report.Left = leftovers(p)
			return r.failure()
		}
		// What failed may work out when it is planned anew.
		r.report.Errs = nil
		for _, phase := range p.Phases {
			err := r.execute(ctx, phase, s)
			r.failed(ctx, err)
			if ctx.Err() != nil {
				return r.stopped(ctx)
			}
			if err != nil {
				r.log.Warn().Str("phase", string(phase.Name)).Err(err).Msg("goes on with a new survey")
				break
			}
			if phase.Name == Drain {
				drained = true
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
	case errors.As(err, &errs):
	case err == nil, ctx.Err() != nil, errors.Is(err, errChanged):
	default:
		errs = writeErrors{err}
	}
	for _, err := range errs {
		cut := ctx.Err() != nil && (errors.Is(err, ctx.Err()) || errors.Is(err, context.Cause(ctx)))
		// What was tried again until then is worth a line.
		if !cut || kube.Transient(err) {
			r.report.Errs = append(r.report.Errs, err)
		}
	}
}

// permanent reports whether the last round met an error that trying again will
// not change.
func (r *run) permanent() bool {
	for _, err := range r.report.Errs {
		if apierrors.IsForbidden(err) || errors.Is(err, kube.ErrStagnant) {
			return true
		}
	}
	return false
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
// and after SIGTERM for that.
func (r *run) stopped(ctx context.Context) Verdict {
	look, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastLook)
	defer cancel()
	p := NewPlan(survey(look, r.client, r.options), r.options, true)
	if len(p.Refusals) == 0 {
		if len(p.Phases) == 0 {
			return Done
		}
		r.report.Left = leftovers(p)
	}
	if errors.Is(context.Cause(ctx), ErrBudget) {
		return OutOfTime
	}
	return Interrupted
}

func (r *run) execute(ctx context.Context, phase Phase, s *Survey) error {
	start := time.Now()
	steps := phase.Steps()
	l := r.log.With().Str("phase", string(phase.Name)).Logger()
	l.Info().Int("objects", len(steps)).Msg(begin[phase.Name])
	defer func() {
		took := time.Since(start)
		r.report.Phases = append(r.report.Phases, Took{phase.Name, took})
	}()

	if phase.Name == CRDs {
		if err := r.unchanged(ctx, s); err != nil {
			return err
		}
	}
	for _, rank := range phase.Ranks {
		if err := r.write(ctx, rank); err != nil {
			return err
		}
	}
	switch phase.Name {
	case Drain:
		err := r.await(ctx, l, steps, r.options.Grace)
		if errors.Is(err, kube.ErrStagnant) {
			l.Warn().Err(err).Msg("the controller does not finish; going on without it")
			return nil
		}
		return err
	case Collect:
		err := r.await(ctx, l, steps, collectPatience)
		if errors.Is(err, kube.ErrStagnant) {
			l.Warn().Err(err).Msg("the garbage collector does not know of it; deleting what has no owner any more")
			return nil
		}
		return err
	case CRDs:
		return r.await(ctx, l, steps, r.options.Grace)
	default:
		return nil
	}
}

var begin = map[PhaseName]string{
	Drain:     "waiting for ARC's controller to stop runners and de-register at GitHub",
	Free:      "removing ARC's finalizers",
	Listeners: "deleting listeners' Roles and RoleBindings",
	CRDs:      "deleting the CRDs and waiting until they are gone",
	Collect:   "waiting until Pods, Secrets and ServiceAccounts of runners and listeners are gone",
}

// unchanged makes sure, right before the CRDs go, that no scale set came up
// since the survey.
func (r *run) unchanged(ctx context.Context, s *Survey) error {
	known := map[types.UID]bool{}
	for _, o := range s.Custom {
		known[o.UID] = true
	}
	sets := arc.Resource(arc.AutoscalingRunnerSets)
	err := r.client.Each(ctx, sets, "", metav1.ListOptions{}, func(m *metav1.PartialObjectMetadata) error {
		if !known[m.UID] {
			return fmt.Errorf("%w: scale set %s/%s is new", errChanged, m.Namespace, m.Name)
		}
		return nil
	})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// write carries out the steps of one rank concurrently. An error does not stop
// the others; all of them are returned.
func (r *run) write(ctx context.Context, steps []Step) error {
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
			var err error
			if s.Action == Delete {
				err = r.client.Delete(ctx, s.Object.Target)
			} else {
				err = r.client.RemoveFinalizers(ctx, s.Object.Target, arc.IsFinalizer)
			}
			r.mu.Lock()
			defer r.mu.Unlock()
			if err != nil {
				errs = append(errs, err)
			} else {
				r.report.Done = append(r.report.Done, Outcome{s.Action, s.Object})
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
func (r *run) await(ctx context.Context, log zerolog.Logger, steps []Step, patience time.Duration) error {
	type place struct {
		gvr       schema.GroupVersionResource
		namespace string
		field     string
	}
	uids := map[types.UID]bool{}
	sets := map[types.NamespacedName]bool{}
	places := map[place]bool{}
	for _, s := range steps {
		uids[s.Object.UID] = true
		p := place{gvr: s.Object.Resource, namespace: s.Object.Namespace}
		if p.gvr == crdResource {
			// The right to watch CRDs is given by name.
			p.field = "metadata.name=" + s.Object.Name
		}
		places[p] = true
		if p.gvr == arc.Resource(arc.AutoscalingRunnerSets) {
			sets[s.Object.ScaleSet] = true
			places[place{gvr: arc.Resource(arc.EphemeralRunnerSets), namespace: p.namespace}] = true
			places[place{gvr: arc.Resource(arc.EphemeralRunners), namespace: p.namespace}] = true
		}
	}
	var selections []kube.Selection
	for p := range places {
		selections = append(selections, kube.Selection{
			Resource: p.gvr, Namespace: p.namespace, Fields: p.field,
			Match: func(m *metav1.PartialObjectMetadata) bool {
				return uids[m.UID] || sets[object(p.gvr, m).ScaleSet]
			},
		})
	}
	var last time.Time
	return r.client.WaitGone(ctx, selections, patience, func(left int, examples []string) {
		// The log is read in one piece, in the terminal of whoever uninstalls.
		if left == 0 || time.Since(last) < progressEvery {
			return
		}
		last = time.Now()
		if more := left - len(examples); more > 0 {
			examples = append(examples, fmt.Sprintf("%d more", more))
		}
		e := log.Info()
		if deadline, ok := ctx.Deadline(); ok {
			e = e.Stringer("budget", time.Until(deadline).Round(time.Second))
		}
		e.Msgf("waiting for %s", strings.Join(examples, ", "))
	})
}
