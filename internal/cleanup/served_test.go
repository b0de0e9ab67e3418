package cleanup

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/kube/kubetest"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
	"github.com/arc-cleanup/arc-cleanup/internal/plan/plantest"
)

// The API server finds neither a CRD nor its objects, but claims to serve them. They do not count
// as gone.
func TestWhatIsServedIsNotGone(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		options plan.Options
		served  string
		items   []kubetest.Item
	}{
		"after a run":        {plantest.OfRelease, arc.EphemeralRunners, kubetest.Stuck()},
		"with nothing to do": {plantest.ByHand, arc.EphemeralRunners, nil},
		"of legacy ARC":      {plantest.LegacyByHand, arc.Runners, nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, c := kubetest.New(t, test.items...)
			a.ClaimServed(test.served)
			r := Run(t.Context(), c, graced(test.options, ample), quiet, Person{})
			text := r.Text(20)
			if r.Verdict != plan.Failed || !strings.Contains(text, "could not read "+test.served+".actions.") || !strings.Contains(text, "says that it serves it in the versions v1alpha1") {
				t.Errorf("%s", text)
			}
			p := Preview(t.Context(), c, graced(test.options, ample), nil)
			if p.Verdict() != plan.Failed || len(p.Refusals) != 1 || !strings.Contains(p.Refusals[0].Message, "says that it serves it") {
				t.Errorf("plan: %v", p.Refusals)
			}
		})
	}
}

// Discovery drops a CRD a moment after it is gone.
func TestDiscoveryMayForgetLate(t *testing.T) {
	t.Parallel()
	a, c := kubetest.New(t, kubetest.Stuck()...)
	a.ClaimServed(arc.EphemeralRunners)
	asked := false
	a.Fault = func(request string) int {
		if request == "DISCOVER "+arc.Group+"/v1alpha1" && !asked {
			asked = true
			time.AfterFunc(50*time.Millisecond, func() { a.ClaimServed() })
		}
		return 0
	}
	if r := Run(t.Context(), c, graced(plantest.OfRelease, ample), quiet, Person{}); r.Verdict != plan.Done || len(r.Remains) > 0 {
		t.Error(r.Text(20))
	}
}

// Discovery does not name a CRD of which no version is served.
func TestACRDThatIsNotServedIsNamed(t *testing.T) {
	t.Parallel()
	for group, crds := range map[string][]kubetest.Item{
		arc.LegacyGroup: kubetest.Whole(kubetest.LegacyCRDs()...),
		arc.Group:       kubetest.Whole(kubetest.Object("crd runnerpools." + arc.Group)),
	} {
		t.Run(group, func(t *testing.T) {
			t.Parallel()
			a, c := kubetest.New(t, crds...)
			a.Fault = kubetest.On(http.StatusNotFound, kubetest.Always, "DISCOVER "+group)
			r := Run(t.Context(), c, graced(plantest.ByHand, ample), quiet, Person{})
			want := map[string]string{
				arc.LegacyGroup: "also there: legacy ARC, with 5 CRDs of actions.summerwind.dev",
				arc.Group:       "also there: the CRD runnerpools.actions.github.com, which",
			}[group]
			if r.Verdict != plan.Done || !strings.Contains(r.Summary(), want) {
				t.Errorf("want %q\n%s", want, r.Text(20))
			}
		})
	}
}

// If CRDs may not be listed, the report says so.
func TestCRDsThatMayNotBeListed(t *testing.T) {
	t.Parallel()
	a, c := kubetest.New(t)
	a.Fault = kubetest.On(http.StatusForbidden, kubetest.Always, "LIST crd")
	if r := Run(t.Context(), c, graced(plantest.ByHand, ample), quiet, Person{}); !strings.Contains(r.Summary(), "perhaps more, since this could not be read: listing customresourcedefinitions") {
		t.Error(r.Text(20))
	}
}
