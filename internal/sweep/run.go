package sweep

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/internal/kube"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
)

const (
	// patience is how long nothing may change before what is left counts as left. A controller whose
	// GitHub does not answer needs half a minute for the end of a listener.
	patience = time.Minute
	// every is how often Run looks again.
	every = time.Second
)

// Run sweeps: it decides, acts, and waits for the controller, until nothing is to be done or nothing
// changes any more.
func Run(ctx context.Context, c *kube.Client, scope Scope) *Report {
	return run(ctx, c, scope, patience)
}

func run(ctx context.Context, c *kube.Client, scope Scope, patience time.Duration) *Report {
	r := &sweeping{c: c, scope: scope, patience: patience, report: &Report{}, tried: map[string]bool{}}
	r.run(ctx)
	return r.report
}

// sweeping is a run in progress.
type sweeping struct {
	c        *kube.Client
	scope    Scope
	patience time.Duration
	report   *Report
	// tried holds what was written, to which version of which object: no write is tried twice.
	tried map[string]bool
}

func (r *sweeping) run(ctx context.Context) {
	var before map[types.UID]int
	for changed := time.Now(); ; {
		d := Plan(ctx, r.c, r.scope)
		r.report.Kept = d.Kept
		switch {
		case ctx.Err() != nil:
			r.interrupted(d)
			return
		case len(d.Refusals) > 0:
			r.report.refuse(d.Refusals)
			return
		case len(d.Steps) == 0 && len(r.report.Errs) == 0:
			r.report.Verdict = plan.Done
			return
		}
		now := distance(d.Steps)
		if !maps.Equal(before, now) {
			before, changed = now, time.Now()
		}
		done := len(r.report.Done)
		if len(d.Steps) == 0 || time.Since(changed) > r.patience || !r.act(ctx, d.Steps) || done == len(r.report.Done) && r.failed(d.Steps) {
			r.report.leave(d.Steps)
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(every):
		}
	}
}

// failed reports whether a write failed and there is nothing to wait for.
func (r *sweeping) failed(steps []Step) bool {
	return len(r.report.Errs) > 0 && !slices.ContainsFunc(steps, func(s Step) bool { return s.Action == plan.Await })
}

// interrupted ends a run that was stopped.
func (r *sweeping) interrupted(d *Decision) {
	r.report.leave(d.Steps)
	r.report.Verdict = plan.Interrupted
}

// distance says how far each object is from its end: what must change as long as there is progress.
func distance(steps []Step) map[types.UID]int {
	out := map[types.UID]int{}
	for _, s := range steps {
		out[s.Object.UID] = 1 + len(s.Object.Finalizers)
		if !s.Object.Deleting {
			out[s.Object.UID]++
		}
	}
	return out
}

// act carries out steps. It reports false if a listener that was deleted does not come back: then the
// others stay as they are. One listener is replaced at a time, after everything else.
func (r *sweeping) act(ctx context.Context, steps []Step) bool {
	for _, s := range steps {
		if s.replaced == "" {
			r.step(ctx, s)
		}
	}
	for _, s := range steps {
		if s.replaced != "" && s.Action == plan.Delete && r.step(ctx, s) {
			return r.awaitReplacement(ctx, s)
		}
	}
	return true
}

// step writes to one object. It reports whether the API server took the write.
func (r *sweeping) step(ctx context.Context, s Step) (done bool) {
	key := fmt.Sprintf("%s %s %s", s.Action, s.Object.UID, s.version)
	if r.tried[key] || s.Action == plan.Await || ctx.Err() != nil {
		return false
	}
	var err error
	switch s.Action {
	case plan.Delete:
		done, err = r.c.DeleteUnchanged(ctx, *s.Object, s.version)
	case plan.Free:
		err = r.c.RemoveFinalizers(ctx, *s.Object, func(f string) bool { return slices.Contains(s.Finalizers, f) })
		done = err == nil
	default:
		err = fmt.Errorf("no step of a sweep is called %q", s.Action)
	}
	r.tried[key] = done || err != nil // an object that has changed is decided about again
	if err != nil {
		r.report.Errs = append(r.report.Errs, err)
	}
	if done {
		r.report.Done = append(r.report.Done, s)
	}
	return done
}

// awaitReplacement waits until the controller has made a listener again, with the image of its own.
func (r *sweeping) awaitReplacement(ctx context.Context, s Step) bool {
	end := time.Now().Add(r.patience)
	for {
		u, err := r.c.Get(ctx, s.Object.Resource, s.Object.Namespace, s.Object.Name)
		if err == nil && u.GetUID() != s.Object.UID {
			image, _, _ := unstructured.NestedString(u.Object, "spec", "image")
			if image == s.replaced {
				return true
			}
		}
		switch {
		case err != nil && !apierrors.IsNotFound(err):
			r.report.Errs = append(r.report.Errs, err)
			return false
		case time.Now().After(end):
			r.report.Errs = append(r.report.Errs, fmt.Errorf("%s: the controller has not created it again within %s; no other listener is replaced", s.Object, r.patience))
			return false
		}
		select {
		case <-ctx.Done():
			return true
		case <-time.After(every):
		}
	}
}

// verdictOf returns the verdict of an error of a write.
func verdictOf(err error) plan.Verdict {
	switch {
	case apierrors.IsForbidden(err):
		return plan.NotPermitted
	case errors.Is(err, context.Canceled):
		return plan.Interrupted
	}
	return plan.Residue
}
