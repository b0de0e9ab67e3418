package survey

import (
	"context"
	"errors"
	"strings"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/kube"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
)

// reading is a survey in progress.
type reading struct {
	ctx context.Context
	c   *kube.Client
	o   plan.Options
	s   *plan.Survey

	mu      sync.Mutex
	readers sync.WaitGroup
	// placed holds, for scaleSets=uninstall, the objects that a release may have installed.
	placed inPlace
	// absent names the resources and CRDs that the API server does not know.
	absent map[string]bool
}

func newReading(ctx context.Context, c *kube.Client, o plan.Options) *reading {
	s := &plan.Survey{Terminating: map[string]plan.Terminating{}, Sets: map[types.UID]plan.ScaleSetInfo{}, Busy: map[types.UID]plan.Job{}}
	return &reading{ctx: ctx, c: c, o: o, s: s, placed: inPlace{}, absent: map[string]bool{}}
}

// read starts one read. The read calls add for every change of the survey.
func (r *reading) read(what string, do func(add func(func())) error) {
	r.readers.Go(func() {
		if r.ctx.Err() != nil {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.s.Unknown = append(r.s.Unknown, plan.Unknown{What: what, Err: plan.ErrNotAsked})
			return
		}
		err := do(func(add func()) {
			r.mu.Lock()
			defer r.mu.Unlock()
			add()
		})
		r.mu.Lock()
		defer r.mu.Unlock()
		switch {
		case apierrors.IsNotFound(err) && (strings.HasSuffix(what, "."+arc.Group) || strings.HasSuffix(what, "."+arc.LegacyGroup)):
			r.absent[what] = true
		case err != nil:
			r.s.Unknown = append(r.s.Unknown, plan.Unknown{What: what, Err: err})
		}
	})
}

// wait waits for the reads that are running.
func (r *reading) wait() { r.readers.Wait() }

// end waits for all reads, and checks what they did not find.
func (r *reading) end(groups ...string) {
	r.wait()
	for _, group := range groups {
		r.checkNotFound(group)
	}
	for _, crd := range r.s.CRDs {
		if r.absent[crd.Name] && !crd.Deleting {
			r.s.Unknown = append(r.s.Unknown, plan.Unknown{What: crd.Name, Err: errors.New("the CRD exists, but the API server does not serve it")})
		}
	}
	order(r.s)
}

// crdPrefix distinguishes the read of a CRD from the read of its objects.
const crdPrefix = "crd "
