package e2e

import (
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/arc-cleanup/arc-cleanup/test/harness"
)

// TestTwoSingleNamespaceControllers: two controllers share a namespace and the
// four CRDs. Whoever goes first takes nothing away from the other.
func TestTwoSingleNamespaceControllers(t *testing.T) {
	l := newLab(t)
	l.installPair("theirs", "their-runners")
	theirs := l.everything()
	pod := l.runnerPod("their-runners")
	l.installPair("ours", "our-runners")

	l.uninstallPair("ours", "our-runners", "the controller arc-systems/theirs-gha-rs-controller uses them")
	after := l.everything()
	for o := range theirs {
		if !after[o] {
			t.Errorf("%s is gone with the other controller", o)
		}
	}
	for o := range after {
		if !theirs[o] && o.Namespace == "our-runners" {
			t.Errorf("%s is left", o)
		}
	}
	l.stillRuns(pod, "the other controller's uninstall")
	// Their controller still does its work: it replaces a runner.
	if err := l.KillPod(pod.Namespace, pod.Name, "runner"); err != nil {
		t.Fatal(err)
	}
	l.eventually("another runner runs", func() bool {
		pods, err := l.client.CoreV1().Pods(pod.Namespace).List(l.ctx, metav1.ListOptions{})
		return err == nil && slices.ContainsFunc(pods.Items, func(p corev1.Pod) bool {
			return p.UID != pod.UID && p.Status.Phase == corev1.PodRunning
		})
	})

	l.uninstallPair("theirs", "their-runners", "done: nothing of ARC is left")
	l.nothingLeft()
}

// installPair installs a controller that watches one namespace, and a scale set
// there, both with the hook.
func (l *lab) installPair(release, namespace string) {
	l.Helper()
	// The controller's Role is in it.
	if err := l.createNamespace(namespace); err != nil {
		l.Fatal(err)
	}
	l.mustHelm(4, append([]string{
		"install", release, built.ARCChart(harness.ControllerChart), "--namespace", controllerNamespace,
		"--set", "flags.watchSingleNamespace=" + namespace,
	}, viaPostRenderer...)...)
	l.mustHelm(4, slices.Concat([]string{
		"install", "runners", built.ARCChart(harness.ScaleSetChart), "--namespace", namespace, "--server-side=false",
	}, l.scaleSetValues(""), []string{
		"--set", "controllerServiceAccount.name=" + release + "-gha-rs-controller",
		// At GitHub its name is its identity.
		"--set", "runnerScaleSetName=" + namespace,
	}, viaPostRenderer)...)
	l.awaitRunner(namespace)
}

func (l *lab) uninstallPair(release, namespace, says string) {
	l.Helper()
	l.mustHelm(4, "uninstall", "runners", "--namespace", namespace)
	if out := l.mustHelm(4, "uninstall", release, "--namespace", controllerNamespace); !strings.Contains(out, says) {
		l.Errorf("the terminal does not say %q:\n%s", says, out)
	}
}

// runnerPod is the one runner's Pod in a namespace.
func (l *lab) runnerPod(namespace string) *corev1.Pod {
	l.Helper()
	pods, err := l.client.CoreV1().Pods(namespace).List(l.ctx, metav1.ListOptions{})
	if err != nil || len(pods.Items) != 1 {
		l.Fatalf("%d Pods in %s, %v", len(pods.Items), namespace, err)
	}
	return &pods.Items[0]
}
