package cleanup

import (
	"testing"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/kube/kubetest"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
	"github.com/arc-cleanup/arc-cleanup/internal/plan/plantest"
)

// ofJob is an object that the container hooks create for a runner's job.
func ofJob(text, runner string, mods ...kubetest.Change) kubetest.Item {
	it := kubetest.Whole(kubetest.Object(text, mods...))[0]
	it.Labels[arc.LabelRunnerPod] = runner
	return it
}

// TestWhatJobsLeaveGoesWithTheirRunner: in kubernetes mode a job runs in a Pod without an owner,
// with a Secret. The controller deletes both by a label.
func TestWhatJobsLeaveGoesWithTheirRunner(t *testing.T) {
	t.Parallel()
	a, c := kubetest.New(t, kubetest.Stuck(
		ofJob("pod runners/r-workflow", "r"), ofJob("secret runners/r-job", "r"),
		ofJob("pod runners/forged", "no-runner"), ofJob("pod elsewhere/forged", "r"), ofJob("configmap runners/theirs", "r"),
		ofJob("pod runners/held", "r", kubetest.Deleting, kubetest.Finalizers("example.com/hold")),
	)...)
	r := Run(t.Context(), c, graced(plantest.ByHand, ample), quiet, Person{})
	expect(t, r, outcome{Verdict: plan.Done})
	kubetest.ExpectStrings(t, "left", a.Left(),
		"configmap runners/theirs", "pod elsewhere/forged", "pod runners/forged", "pod runners/held", "role runners/set-manager", "secret runners/theirs")
}
