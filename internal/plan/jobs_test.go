package plan_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/internal/kube/kubetest"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
	"github.com/arc-cleanup/arc-cleanup/internal/plan/plantest"
)

func TestPlanForWhatJobsLeave(t *testing.T) {
	er := func(mods ...kubetest.Change) *object.Object {
		return kubetest.Object("er runners/r", append([]kubetest.Change{kubetest.Of("runners/set")}, mods...)...)
	}
	live := plantest.Ctrl("systems/arc", "", kubetest.By("systems/arc"))
	linked := []plan.OfJob{{Object: kubetest.Object("pod runners/r-workflow"), Runner: "r"}}
	seen := plan.History{Runners: map[types.NamespacedName]*object.Object{{Namespace: "runners", Name: "r"}: er()}}
	tests := map[string]struct {
		survey  plan.Survey
		options plan.Options
		history plan.History
		want    []string
	}{
		"before its runner is freed": {
			plan.Survey{Custom: []*object.Object{er(kubetest.Deleting)}, OfJobs: linked},
			plantest.ByHand,
			plan.History{},
			[]string{"job-pods: delete pod runners/r-workflow", "free: free er runners/r"},
		},
		"not where a controller does it": {
			plan.Survey{Custom: []*object.Object{er(kubetest.Deleting)}, OfJobs: linked, Controllers: []plan.Controller{live}},
			plantest.OfRelease,
			plan.History{},
			[]string{"drain: await er runners/r", "free: free er runners/r"},
		},
		"but where it does not get on": {
			plan.Survey{Custom: []*object.Object{er(kubetest.Deleting)}, OfJobs: linked, Controllers: []plan.Controller{live}},
			plantest.OfRelease,
			plan.History{Stage: plan.Over},
			[]string{"job-pods: delete pod runners/r-workflow", "free: free er runners/r"},
		},
		"made after its runner was seen, and seen after it was gone": {
			plan.Survey{OfJobs: linked}, plantest.ByHand, seen, []string{"job-pods: delete pod runners/r-workflow"},
		},
		"never by its label alone":        {plan.Survey{OfJobs: linked}, plantest.ByHand, plan.History{}, nil},
		"not of a set that is not ours":   {plan.Survey{Custom: []*object.Object{er()}, OfJobs: linked}, plantest.OfSet, seen, []string{"refused: no proof that anything is being uninstalled: no release is named", "  this runs as a pre-delete hook of `helm uninstall`; by hand, use `arc-cleanup run --scope scale-set --release NAME --release-namespace runners`"}},
		"not of a runner left to its job": {plan.Survey{Custom: []*object.Object{er(), kubetest.Object("ars runners/set", kubetest.Deleting)}, OfJobs: linked, Controllers: []plan.Controller{plantest.Ctrl("systems/arc", "")}, Busy: map[types.UID]plan.Job{"er runners/r": {Name: "build", Pod: kubetest.Object("pod runners/r")}}}, plan.Options{Scope: plan.ScopeNamespace, Namespace: "runners", BusyRunners: plan.LeaveBusy, Grace: time.Minute}, seen, []string{"keep: runner r is busy with job \"build\" of  (), after which the controller removes it"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, plantest.Lines(plan.New(&test.survey, test.options, test.history))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
