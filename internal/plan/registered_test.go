package plan_test

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/kube/kubetest"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
	"github.com/arc-cleanup/arc-cleanup/internal/plan/plantest"
)

// working is an ARC that works: its controller, a scale set, and a runner.
func working() *plan.Survey {
	set := kubetest.Object("ars runners/set", kubetest.By("runners/set"))
	runner := kubetest.Object("er runners/r", kubetest.Of("runners/set"), kubetest.Finalizers(arc.RunnerRegistrationFinalizer))
	return &plan.Survey{
		Custom:      []*object.Object{set, runner},
		Sets:        map[types.UID]plan.ScaleSetInfo{set.UID: {ID: "7", Name: "set", URL: "https://github.com/acme"}},
		Controllers: []plan.Controller{plantest.Ctrl("systems/arc-gha-rs-controller", "", kubetest.By("systems/arc"))},
	}
}

// Who is about to delete a cluster saves what is registered: also of an ARC that works, of which the plan touches nothing.
func TestRegistrationsOfTheWholeCluster(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		options plan.Options
		want    int
	}{
		"the whole cluster":  {plan.Options{Scope: plan.ScopeController, ScaleSets: plan.RefuseScaleSets}, 2},
		"of another release": {plan.Options{Scope: plan.ScopeScaleSet, Release: "other", ReleaseNamespace: "runners"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := plan.Registrations(working(), test.options)
			if len(got) != test.want {
				t.Fatalf("%v", got)
			}
			for _, r := range got {
				if d := r.Document(); d.ID != "7" || d.URL != "https://github.com/acme" {
					t.Errorf("%+v", d)
				}
			}
		})
	}
}

// Nothing to do is not the same as nothing there.
func TestAPlanNamesTheControllerThatWorks(t *testing.T) {
	t.Parallel()
	p := plan.New(working(), plan.Options{Scope: plan.ScopeController, ScaleSets: plan.RefuseScaleSets}, plan.History{})
	const want = "the controller systems/arc-gha-rs-controller is installed, so everything that belongs to it is left alone; " +
		"to see what its uninstall would do: arc-cleanup plan --release arc --release-namespace systems"
	if len(p.Phases) > 0 || !strings.Contains(strings.Join(p.Notes, "\n"), want) {
		t.Errorf("%q, %v", p.Notes, p.Phases)
	}
}
