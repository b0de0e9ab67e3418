package cleanup

import (
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/arc-cleanup/arc-cleanup/internal/kube/kubetest"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
	"github.com/arc-cleanup/arc-cleanup/internal/plan/plantest"
)

// If the API server cannot be asked, nothing is written.
func TestARightThatCannotBeAskedFor(t *testing.T) {
	t.Parallel()
	a, c := kubetest.New(t, kubetest.Stuck()...)
	a.Fault = kubetest.On(http.StatusBadRequest, kubetest.Always, "REVIEW delete customresourcedefinitions")
	r := Run(t.Context(), c, graced(plantest.OfRelease, ample), quiet, Person{})
	if r.Verdict != plan.Failed || len(r.Refusals) != 4 || len(a.Writes) > 0 {
		t.Errorf("%v\n%s", a.Writes, r.Text(10))
	}
}

// A refused plan is not tried, so webhooks and audit logs do not see its writes. The rights are
// checked all the same.
func TestARefusedPlanIsNotTried(t *testing.T) {
	t.Parallel()
	a, c := kubetest.New(t, append(kubetest.Whole(kubetest.Object("ars runners/live")), kubetest.Stuck()...)...)
	var mu sync.Mutex
	dry := 0
	a.Fault = func(request string) int {
		mu.Lock()
		defer mu.Unlock()
		if strings.HasPrefix(request, "DRY ") {
			dry++
		}
		return 0
	}
	a.DeniedRights = map[string]bool{"delete customresourcedefinitions": true}
	r := Run(t.Context(), c, graced(plantest.OfRelease, ample), quiet, Person{})
	if text := r.Text(10); dry > 0 || !strings.Contains(text, "live") || !strings.Contains(text, "not permitted to delete") {
		t.Errorf("%d dry runs:\n%s", dry, text)
	}
}
