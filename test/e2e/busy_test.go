package e2e

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/test/cluster/github"
)

var ephemeralRunners = schema.GroupVersionResource{Group: "actions.github.com", Version: "v1alpha1", Resource: "ephemeralrunners"}

// giveJob makes the one runner busy, as a listener does when GitHub assigns a
// job (cmd/githubrunnerscalesetlistener, UpdateEphemeralRunnerWithJobInfo), and
// GitHub refuse to let it go.
func (l *lab) giveJob() *unstructured.Unstructured {
	l.Helper()
	runners, err := l.dynamic.Resource(ephemeralRunners).Namespace(runnerNamespace).List(l.ctx, metav1.ListOptions{})
	if err != nil || len(runners.Items) != 1 {
		l.Fatalf("%d runners, %v", len(runners.Items), err)
	}
	status := `{"status":{"jobRequestId":7,"jobRepositoryName":"acme/rocket","jobWorkflowRef":"acme/rocket/.github/workflows/launch.yml@main","workflowRunId":9,"jobDisplayName":"launch"}}`
	runner, err := l.dynamic.Resource(ephemeralRunners).Namespace(runnerNamespace).
		Patch(l.ctx, runners.Items[0].GetName(), types.MergePatchType, []byte(status), metav1.PatchOptions{}, "status")
	if err != nil {
		l.Fatal(err)
	}
	l.GitHub().SetMode(github.JobStillRunning)
	return runner
}

// TestBusyRunner: a job is not killed by anybody's uninstall. The set's own leaves
// it to the controller; the controller's waits, and then refuses.
func TestBusyRunner(t *testing.T) {
	l := newLab(t)
	l.installController(append(viaPostRenderer,
		"--post-renderer-args", "--set", "--post-renderer-args", "policy.budget=15s",
		"--post-renderer-args", "--set", "--post-renderer-args", "policy.grace=5s")...)
	l.installScaleSet(4, viaPostRenderer...)
	runner := l.giveJob()
	pod, err := l.client.CoreV1().Pods(runnerNamespace).Get(l.ctx, runner.GetName(), metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	stillRuns := func(after string) {
		t.Helper()
		now, err := l.client.CoreV1().Pods(runnerNamespace).Get(l.ctx, pod.Name, metav1.GetOptions{})
		if err != nil || now.UID != pod.UID || now.DeletionTimestamp != nil {
			t.Fatalf("after %s the job's Pod is not what it was: %v", after, err)
		}
	}

	begun := time.Now()
	out := l.mustHelm(4, "uninstall", "runners", "--namespace", runnerNamespace)
	if took := time.Since(begun); took > 30*time.Second {
		t.Errorf("it waited for the job: %s", took)
	}
	if !strings.Contains(out, "busy with job") || !strings.Contains(out, "acme/rocket") {
		t.Errorf("the terminal does not name the job:\n%s", out)
	}
	stillRuns("the set's uninstall")

	out, err = l.helm(4, "uninstall", "arc", "--namespace", controllerNamespace)
	if err == nil {
		t.Error("the controller went while a job ran")
	}
	for _, want := range []string{runner.GetName(), "acme/rocket", "launch.yml", "refused"} {
		if !strings.Contains(out, want) {
			t.Errorf("the terminal does not say %q:\n%s", want, out)
		}
	}
	stillRuns("the controller's uninstall")

	// The job ends.
	l.GitHub().SetMode(github.OK)
	if err := l.KillPod(runnerNamespace, pod.Name, "runner"); err != nil {
		t.Fatal(err)
	}
	l.mustHelm(4, "uninstall", "arc", "--namespace", controllerNamespace)
	if len(l.GitHub().ScaleSets()) > 0 {
		t.Errorf("still registered at GitHub: %v", l.GitHub().ScaleSets())
	}
	l.nothingLeft()
}
