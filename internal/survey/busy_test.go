package survey

import (
	"net/http"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/kube/kubetest"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
	"github.com/arc-cleanup/arc-cleanup/internal/plan/plantest"
)

// A runner is busy while its Pod runs and its own status names a job.
func TestSurveyFindsBusyRunners(t *testing.T) {
	t.Parallel()
	launch := map[string]any{"jobDisplayName": "launch", "jobRepositoryName": "acme/rocket"}
	replaced := kubetest.RunnerWithPod("replaced", launch)
	replaced[1].Owners[0].UID = "another"
	notARunner := kubetest.RunnerWithPod("of-another-kind", launch)
	notARunner[1].Owners[0].Kind = "EphemeralRunnerSet"
	// A Pod in another namespace, which sorts later, names the same owner.
	claims := kubetest.Whole(kubetest.Object("pod tenant/busy", kubetest.Owned("er runners/busy")))
	claims[0].Owners[0].Kind = arc.EphemeralRunner
	finished := kubetest.RunnerWithPod("finished", launch)
	finished[1].Rest = map[string]any{"phase": "Succeeded"}
	items := slices.Concat(kubetest.Whole(kubetest.CRDs()...), finished, claims, kubetest.RunnerWithPod("busy", launch), kubetest.RunnerWithPod("idle", nil),
		kubetest.RunnerWithPod("gone", launch)[1:], kubetest.RunnerWithPod("without-a-pod", launch)[:1], replaced, notARunner)
	a, c := kubetest.New(t, items...)
	pod := kubetest.Object("pod runners/busy", kubetest.Owned("er runners/busy"))
	want := map[types.UID]plan.Job{"er runners/busy": {Repository: "acme/rocket", Name: "launch", Pod: pod}}
	s := Read(t.Context(), c, plantest.ByHand)
	if diff := cmp.Diff(want, s.Busy); diff != "" || len(s.Unknown) > 0 {
		t.Errorf("unknown %v, busy (-want +got):\n%s", s.Unknown, diff)
	}

	a.Fault = kubetest.On(http.StatusForbidden, kubetest.Always, "GET er runners/busy")
	s = Read(t.Context(), c, plantest.ByHand)
	if len(s.Unknown) != 1 || s.Unknown[0].What != "jobs of runners" || !apierrors.IsForbidden(s.Unknown[0].Err) {
		t.Errorf("a runner that may not be read: unknown %v", s.Unknown)
	}
}

// Any field of a job counts, because versions of ARC set different fields first.
func TestJob(t *testing.T) {
	for field, value := range map[string]any{
		"jobRequestId": int64(7), "workflowRunId": int64(9), "jobId": "x",
		"jobRepositoryName": "acme/rocket", "jobWorkflowRef": "launch.yml", "jobDisplayName": "launch",
	} {
		runner := &unstructured.Unstructured{Object: map[string]any{"status": map[string]any{field: value}}}
		if _, busy := job(runner); !busy {
			t.Errorf("a runner with %s is not busy", field)
		}
	}
	strange := &unstructured.Unstructured{Object: map[string]any{"status": map[string]any{"workflowRunId": "nine"}}}
	if _, busy := job(strange); !busy {
		t.Error("a runner whose status is not understood is taken for idle")
	}
	idle := &unstructured.Unstructured{Object: map[string]any{"status": map[string]any{"phase": "Running", "runnerId": int64(3), "jobRequestId": int64(0)}}}
	if _, busy := job(idle); busy {
		t.Error("an idle runner is busy")
	}
}
