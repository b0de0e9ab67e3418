package e2e

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/test/cluster/github"
	"github.com/arc-cleanup/arc-cleanup/test/harness"
)

var (
	ephemeralRunners = harness.EphemeralRunners
	listeners        = schema.GroupVersionResource{Group: "actions.github.com", Version: "v1alpha1", Resource: "autoscalinglisteners"}
)

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

// stillRuns fails unless a Pod is the one it was, and nobody has asked it to end.
func (l *lab) stillRuns(pod *corev1.Pod, after string) {
	l.Helper()
	now, err := l.client.CoreV1().Pods(pod.Namespace).Get(l.ctx, pod.Name, metav1.GetOptions{})
	if err != nil || now.UID != pod.UID || now.DeletionTimestamp != nil || now.Status.Phase != corev1.PodRunning {
		l.Fatalf("after %s the Pod %s is not what it was: %v", after, pod.Name, err)
	}
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

	begun := time.Now()
	out := l.mustHelm(4, "uninstall", "runners", "--namespace", runnerNamespace)
	if took := time.Since(begun); took > harness.Patience(30*time.Second) {
		t.Errorf("it waited for the job: %s", took)
	}
	if !strings.Contains(out, "busy with job") || !strings.Contains(out, "acme/rocket") {
		t.Errorf("the terminal does not name the job:\n%s", out)
	}
	l.stillRuns(pod, "the set's uninstall")

	out, err = l.helm(4, "uninstall", "arc", "--namespace", controllerNamespace)
	if err == nil {
		t.Error("the controller went while a job ran")
	}
	for _, want := range []string{runner.GetName(), "acme/rocket", "launch.yml", "refused"} {
		if !strings.Contains(out, want) {
			t.Errorf("the terminal does not say %q:\n%s", want, out)
		}
	}
	l.stillRuns(pod, "the controller's uninstall")

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

// TestBusyPolicies: refuse ends at once, leave leaves all that the job and the
// controller need, and only force kills a job.
func TestBusyPolicies(t *testing.T) {
	l := newLab(t)
	l.installController(append(viaPostRenderer, "--post-renderer-args", "--set", "--post-renderer-args", "policy.busyRunners=refuse")...)
	l.installScaleSet(4)
	runner := l.giveJob()
	pod, err := l.client.CoreV1().Pods(runnerNamespace).Get(l.ctx, runner.GetName(), metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	l.mustHelm(4, "uninstall", "runners", "--namespace", runnerNamespace)
	l.eventually("the controller has removed the listener", func() bool {
		left, err := l.dynamic.Resource(listeners).List(l.ctx, metav1.ListOptions{})
		return err == nil && len(left.Items) == 0
	})

	before := l.everything()
	out, err := l.helm(4, "uninstall", "arc", "--namespace", controllerNamespace)
	if err == nil || !strings.Contains(out, "refused") || !strings.Contains(out, "acme/rocket") {
		t.Errorf("refuse: %v\n%s", err, out)
	}
	l.stillRuns(pod, "refuse")

	byHand := func(policy string) (string, int) {
		t.Helper()
		return l.hookjob("run", "--yes", "--release", "arc", "--release-namespace", controllerNamespace, "--grace", "3s", "--busy-runners", policy)
	}
	if out, code := byHand("leave"); code != 0 || !strings.Contains(lastLine(out), `"verdict":"done"`) {
		t.Errorf("leave: exit code %d", code)
	}
	l.stillRuns(pod, "leave")
	after := l.everything()
	for o := range before {
		// The garbage collector is at the listener's.
		if !after[o] && o.Namespace != controllerNamespace {
			t.Errorf("%s is gone, though nobody was to touch a busy runner's", o)
		}
	}

	if out, code := byHand("force"); code != 0 || !strings.Contains(lastLine(out), `"verdict":"done"`) {
		t.Errorf("force: exit code %d", code)
	}
	if _, err := l.client.CoreV1().Pods(runnerNamespace).Get(l.ctx, pod.Name, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("after force the Pod is still there: %v", err)
	}
	l.mustHelm(4, "uninstall", "arc", "--namespace", controllerNamespace)
	l.nothingLeft()
}
