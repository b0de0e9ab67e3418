package cleanup

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/arc-cleanup/arc-cleanup/internal/english"
	"github.com/arc-cleanup/arc-cleanup/internal/kube"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
)

// execute executes the steps of a phase, rank by rank, and waits for its objects.
func (r *run) execute(ctx context.Context, l zerolog.Logger, phase plan.Phase, s *plan.Survey) error {
	start := time.Now()
	steps := phase.Steps()
	l.Debug().Int("objects", len(steps)).Msg(phase.Name.Row().Doing)
	defer func() {
		took := time.Since(start)
		r.report.Phases = append(r.report.Phases, Took{phase.Name, took.Seconds()})
	}()

	var err error
	switch phase.Name {
	case plan.PhaseCRDs:
		err = r.unchanged(ctx, s)
	case plan.PhaseCollect:
		err = r.ownersGone(ctx, steps)
	}
	if err != nil {
		return err
	}
	r.now, r.since, r.pace.detailed = Progress{phase.Name, 0, len(steps)}, start, start
	for _, rank := range phase.Ranks {
		if err := r.write(ctx, l, rank, s); err != nil && phase.Name != plan.PhaseWake {
			return err
		} else if err != nil {
			// A controller that was not woken gets its time all the same, and the later phases do
			// not need it.
			l.Warn().Err(err).Msg("could not wake the controller")
		}
	}
	if phase.Wait == nil {
		return nil
	}
	err = r.await(ctx, l, phase.Name, steps, phase.Wait.Patience(r.options.Grace))
	if !errors.Is(err, kube.ErrStagnant) || phase.Wait.Stalled != plan.Passes {
		return err
	}
	if phase.Name == plan.PhaseNamespaces {
		for _, s := range steps {
			r.history.Waited[s.Object.Name] = true
		}
	}
	l.Warn().Err(err).Msg(phase.Wait.StallMessage)
	return nil
}

// write executes the steps of one rank concurrently. An error does not stop the other steps; write
// returns all errors.
func (r *run) write(ctx context.Context, log zerolog.Logger, steps []plan.Step, survey *plan.Survey) error {
	var (
		g    errgroup.Group
		errs []error
	)
	g.SetLimit(kube.Workers)
	for _, s := range steps {
		if ctx.Err() != nil {
			break
		}
		if s.Action == plan.Await {
			continue
		}
		g.Go(func() error {
			err := r.step(ctx, s)
			r.mu.Lock()
			defer r.mu.Unlock()
			r.setDone(r.now.Done + 1)
			now := time.Now()
			log.WithLevel(r.pace.next(now)).Msgf("%s: %d of %s, %.0f a second", r.now.Phase.Row().Doing, r.now.Done, english.Count(r.now.Total, "object"), float64(r.now.Done)/now.Sub(r.since).Seconds())
			if err != nil {
				errs = append(errs, err)
				if !refused(err) {
					r.doubts = append(r.doubts, doubt{s, survey})
				}
			} else {
				if key := (once{s.Action, s.Object.UID}); !r.done[key] {
					r.done[key] = true
					r.report.Done = append(r.report.Done, plan.Step{Action: s.Action, Object: s.Object})
				}
				if s.Object.Resource == object.CRDs {
					r.history.Deleted[s.Object.Name] = s.Object.UID
				}
				r.noteRegistered(s, survey)
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

// noteRegistered records what is still registered at GitHub: a controller removes these finalizers
// only after it has de-registered the object.
func (r *run) noteRegistered(s plan.Step, survey *plan.Survey) {
	if s.Action == plan.Delete || s.Action == plan.Wake {
		return
	}
	if reg, is := survey.RegistrationOf(s.Object, r.sets); is {
		r.report.Registered = append(r.report.Registered, Registration{Registration: reg})
	}
}

// doubt is a step that failed, with the survey before it: an answer that got lost may have been a success.
type doubt struct {
	step   plan.Step
	before *plan.Survey
}

// refused reports whether the API server has answered that it did not write.
func refused(err error) bool {
	var status apierrors.APIStatus
	return errors.As(err, &status) && status.Status().Code < http.StatusInternalServerError
}

// noteDoubts records what steps that failed have freed all the same, by a later survey; nil means that it could not be read.
func (r *run) noteDoubts(now *plan.Survey) {
	for _, d := range r.doubts {
		still := now != nil && slices.ContainsFunc(now.Custom, func(o *object.Object) bool {
			_, is := now.RegistrationOf(o, nil)
			return o.UID == d.step.Object.UID && is
		})
		if !still {
			r.noteRegistered(d.step, d.before)
		}
	}
	r.doubts = nil
}

// noteBare records the scale sets that a plan removes without freeing them, unless an earlier round has.
func (r *run) noteBare(bare []*object.Object, survey *plan.Survey) {
	for _, o := range bare {
		if !slices.ContainsFunc(r.report.Registered, func(reg Registration) bool { return reg.Object.UID == o.UID }) {
			r.noteRegistered(plan.Step{Action: plan.Free, Object: o, Why: ""}, survey)
		}
	}
}

// writeErrors are the errors of one rank. There may be thousands, of which a log line needs only
// one.
type writeErrors []error

func (e writeErrors) Error() string {
	if len(e) == 1 {
		return e[0].Error()
	}
	return fmt.Sprintf("%v (and %s)", e[0], english.Count(len(e)-1, "more error"))
}

func (e writeErrors) Unwrap() []error { return e }
