package plan_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/arc-cleanup/arc-cleanup/internal/kube/kubetest"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
)

func TestEveryKindOfWriteIsAskedFor(t *testing.T) {
	t.Parallel()
	p := &plan.Plan{Phases: []plan.Phase{
		{Name: plan.PhaseBackUp, Ranks: [][]plan.Step{{{Action: plan.Create, Object: kubetest.Object("secret systems/backup"), Why: ""}}}},
		{Name: plan.PhaseStop, Ranks: [][]plan.Step{{{Action: plan.Stop, Object: kubetest.Object("rd ci/d"), Why: ""}}}},
		{Name: plan.PhaseWake, Ranks: [][]plan.Step{{{Action: plan.Wake, Object: kubetest.Object("al systems/l"), Why: ""}}}},
		{Name: plan.PhaseNudge, Ranks: [][]plan.Step{{{Action: plan.Nudge, Object: kubetest.Object("ars runners/set"), Why: ""}}}},
		{Name: plan.PhaseDrain, Ranks: [][]plan.Step{{{Action: plan.Await, Object: kubetest.Object("er runners/a"), Why: ""}, {Action: plan.Delete, Object: kubetest.Object("er runners/b"), Why: ""}, {Action: plan.Delete, Object: kubetest.Object("er runners/c"), Why: ""}}}},
		{Name: plan.PhaseFree, Ranks: [][]plan.Step{{{Action: plan.Free, Object: kubetest.Object("er runners/b"), Why: ""}}, {{Action: plan.Free, Object: kubetest.Object("er other/b"), Why: ""}}}},
		{Name: plan.PhaseCRDs, Ranks: [][]plan.Step{{{Action: plan.Delete, Object: kubetest.Object("crd a"), Why: ""}, {Action: plan.Delete, Object: kubetest.Object("crd b"), Why: ""}}}},
	}}
	var got []string
	for _, r := range plan.Rights(p) {
		got = append(got, r.String())
	}
	want := []string{
		"create secrets in namespace systems",
		"patch runnerdeployments.actions.summerwind.dev in namespace ci",
		"patch autoscalinglisteners.actions.github.com in namespace systems",
		"patch autoscalingrunnersets.actions.github.com in namespace runners",
		"delete ephemeralrunners.actions.github.com in namespace runners",
		"patch ephemeralrunners.actions.github.com in namespace runners",
		"patch ephemeralrunners.actions.github.com in namespace other",
		"delete customresourcedefinitions.apiextensions.k8s.io a",
		"delete customresourcedefinitions.apiextensions.k8s.io b",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rights (-want +got):\n%s", diff)
	}
}
