package cleanup

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

// Forums advise to strip the finalizers. A scale set without them goes without a step that frees it, and stays registered.
func TestASetWithoutFinalizersIsRegistered(t *testing.T) {
	t.Parallel()
	items := kubetest.Whole(kubetest.Object("ars runners/set", kubetest.Finalizers()))
	items[0].Annotations[arc.AnnotationRunnerScaleSetID] = "7"
	_, c := kubetest.New(t, append(kubetest.Whole(kubetest.CRDs()...), items...)...)
	o := plantest.ByHand
	o.ScaleSets = plan.DeleteScaleSets
	if p := Preview(t.Context(), c, o, nil); p.LeftAtGitHub != 1 {
		t.Errorf("the plan leaves %d scale sets at GitHub", p.LeftAtGitHub)
	}
	r := Run(t.Context(), c, graced(o, ample), quiet, Person{})
	if len(r.Registered) != 1 || r.Verdict != plan.Done || !strings.Contains(r.Text(10), "still registered at GitHub: scale set set (id 7)") {
		t.Errorf("%v\n%s", r.Registered, r.Text(10))
	}
}

// What a round has freed, and a finalizer that is not ARC's holds, has no finalizers of ARC in the next round.
func TestARegistrationIsNotedOnce(t *testing.T) {
	t.Parallel()
	set := kubetest.Object("ars runners/set")
	s := &plan.Survey{Custom: []*object.Object{set}, Sets: map[types.UID]plan.ScaleSetInfo{set.UID: {ID: "7"}}}
	r := &run{report: &Report{}}
	for range 2 {
		r.noteBare(s.Custom, s)
	}
	if len(r.report.Registered) != 1 {
		t.Error(r.report.Registered)
	}
}
