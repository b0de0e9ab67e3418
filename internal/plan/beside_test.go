package plan_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/arc-cleanup/arc-cleanup/internal/kube/kubetest"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
	"github.com/arc-cleanup/arc-cleanup/internal/plan/plantest"
)

// TestRescueLeavesToEachControllerItsOwn: a controller of one group does nothing for the other
// group.
func TestRescueLeavesToEachControllerItsOwn(t *testing.T) {
	custom := func() []*object.Object {
		return []*object.Object{kubetest.Object("run ci/x", kubetest.Deleting), kubetest.Object("er ci/e", kubetest.Deleting)}
	}
	rescue := plan.Options{Scope: plan.ScopeNamespace, Namespace: "ci"}
	for name, test := range map[string]struct {
		controller plan.Controller
		want       []string
	}{
		"of scale sets": {plantest.Ctrl("systems/arc", ""), []string{"drain: await er ci/e", "free: free run ci/x", "free: free er ci/e"}},
		"legacy":        {plantest.LegacyCtrl("systems/arc"), []string{"drain: await run ci/x", "free: free run ci/x", "free: free er ci/e"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := &plan.Survey{Custom: custom(), Controllers: []plan.Controller{test.controller}}
			if diff := cmp.Diff(test.want, plantest.Lines(plan.New(s, rescue, plan.History{}))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
