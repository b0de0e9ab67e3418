package plan_test

import (
	"testing"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/kube/kubetest"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
)

func TestHeldSaysByWhat(t *testing.T) {
	tests := map[string]struct {
		object *object.Object
		want   string
	}{
		"another tool's finalizer":        {kubetest.Object("er a/b", kubetest.Finalizers("x/y", arc.EphemeralRunnerFinalizer, "z"), kubetest.Deleting), "held by finalizers which are not ARC's: x/y, z"},
		"ARC's finalizer":                 {kubetest.Object("er a/b", kubetest.Deleting), "still has ARC's finalizers"},
		"nothing but time":                {kubetest.Object("pod a/b", kubetest.Deleting), "is being deleted, and not gone yet"},
		"nothing":                         {kubetest.Object("pod a/b"), "still there"},
		"a CRD's own, going":              {kubetest.Object("crd c", kubetest.Finalizers("customresourcecleanup.apiextensions.k8s.io"), kubetest.Deleting), "is being deleted, and waits for its objects"},
		"a CRD that is not being deleted": {kubetest.Object("crd c"), "still there"},
	}
	for name, test := range tests {
		if got := plan.Held(test.object); got != test.want {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}

func TestLeftoversNameEachObjectOnce(t *testing.T) {
	a, b := kubetest.Object("er a/b"), kubetest.Object("crd c")
	p := &plan.Plan{Phases: []plan.Phase{{Name: plan.PhaseDrain, Ranks: [][]plan.Step{{{Action: plan.Delete, Object: a, Why: ""}}}}, {Name: plan.PhaseFree, Ranks: [][]plan.Step{{{Action: plan.Delete, Object: a, Why: ""}}, {{Action: plan.Free, Object: a, Why: ""}}}}, {Name: plan.PhaseCRDs, Ranks: [][]plan.Step{{{Action: plan.Delete, Object: b, Why: ""}}}}}}
	var got []string
	for _, l := range plan.Leftovers(p) {
		got = append(got, kubetest.Ref(l.Object))
	}
	kubetest.ExpectStrings(t, "left", got, "er a/b", "crd c")
}
