package cleanup

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/kube/kubetest"
	"github.com/arc-cleanup/arc-cleanup/internal/plan/plantest"
	"github.com/arc-cleanup/arc-cleanup/internal/survey"
)

// If the API server cannot be asked what it serves, that is unknown, however long it takes.
func TestWhetherItIsServedIsNotKnown(t *testing.T) {
	t.Parallel()
	a, c := kubetest.New(t)
	a.Fault = kubetest.On(http.StatusForbidden, kubetest.Always, "DISCOVER "+arc.Group)
	o := plantest.OfSet
	o.RequireUninstalling, o.Job, o.Release = false, "", "gpu"
	if s := survey.Read(t.Context(), c, o); len(s.Unknown) != 1 || s.Unknown[0].What != "whether actions.github.com is served" || !apierrors.IsForbidden(s.Unknown[0].Err) {
		t.Errorf("unknown %v", s.Unknown)
	}
	// If the CRDs were read as absent, there is no doubt.
	if s := survey.Read(t.Context(), c, plantest.ByHand); len(s.Unknown) > 0 {
		t.Errorf("unknown %v", s.Unknown)
	}
	a, c = kubetest.New(t)
	a.Claimed = map[string]bool{arc.EphemeralRunners: true}
	ctx, cancel := context.WithCancelCause(t.Context())
	var asked atomic.Int32
	a.Fault = func(request string) int {
		if strings.HasPrefix(request, "DISCOVER ") {
			asked.Add(1)
			time.AfterFunc(50*time.Millisecond, func() { cancel(ErrInterrupted) })
		}
		return 0
	}
	s := survey.Read(ctx, c, o)
	last := s.Unknown[len(s.Unknown)-1]
	if last.What != "whether actions.github.com is served" || !errors.Is(last.Err, ErrInterrupted) {
		t.Errorf("unknown %v", s.Unknown)
	}
	if n := asked.Load(); n > 8 { // two requests every 500 ms
		t.Errorf("asked %d times", n)
	}

	// The API server may claim to serve a CRD for a moment after it is gone.
	a, c = kubetest.New(t)
	a.Claimed = map[string]bool{arc.EphemeralRunners: true}
	a.Fault = func(request string) int {
		if request == "DISCOVER "+arc.Group+"/v1alpha1" {
			time.AfterFunc(50*time.Millisecond, func() { a.ClaimServed() })
		}
		return 0
	}
	if s := survey.Read(t.Context(), c, o); len(s.Unknown) > 0 {
		t.Errorf("unknown %v", s.Unknown)
	}
}
