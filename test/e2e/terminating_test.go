package e2e

import (
	"encoding/json"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/test/cluster"
)

// podsFirst is what Kubernetes does with a namespace, and does not say.
const podsFirst = "still Terminating: Kubernetes deletes nothing else before its Pods are gone: "

// holdPod adds a finalizer of another tool to a Pod, or removes it.
func (l *lab) holdPod(namespace, name string, hold bool) {
	l.Helper()
	finalizers := []string{}
	if hold {
		finalizers = []string{foreignFinalizer}
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"finalizers": finalizers}})
	if err != nil {
		l.Fatal(err)
	}
	if _, err := l.client.CoreV1().Pods(namespace).Patch(l.ctx, name, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
		l.Fatal(err)
	}
}

// isHeld fails unless the Pod exists with that finalizer.
func (l *lab) isHeld(namespace, name string) {
	l.Helper()
	pod, err := l.client.CoreV1().Pods(namespace).Get(l.ctx, name, metav1.GetOptions{})
	if err != nil || len(pod.Finalizers) != 1 || pod.Finalizers[0] != foreignFinalizer {
		l.Errorf("the Pod %s is not held any more: %v", name, err)
	}
}

// deletedInOrder deletes the runner namespace, of which a Pod stays for a while, and
// waits until Kubernetes has come as far as it does: nothing but Pods is being deleted,
// and of these it says nothing.
func (l *lab) deletedInOrder() {
	l.Helper()
	if err := l.client.CoreV1().Namespaces().Delete(l.ctx, runnerNamespace, metav1.DeleteOptions{}); err != nil {
		l.Fatal(err)
	}
	l.eventually("Kubernetes begins with the namespace", func() bool {
		ns, err := l.client.CoreV1().Namespaces().Get(l.ctx, runnerNamespace, metav1.GetOptions{})
		if err != nil {
			l.Fatal(err)
		}
		for _, c := range ns.Status.Conditions {
			if c.Status != "False" {
				l.Fatalf("Kubernetes says more about a namespace that waits for its Pods than it did: %s", c.Message)
			}
		}
		return len(ns.Status.Conditions) > 0
	})
	set, err := l.dynamic.Resource(l.resource("autoscalingrunnersets")).Namespace(runnerNamespace).Get(l.ctx, "runners", metav1.GetOptions{})
	if err != nil || set.GetDeletionTimestamp() != nil {
		l.Fatalf("the scale set does not wait for the namespace's Pods: %v", err)
	}
}

// TestNamespaceHeldByAPod: the controller lives, and a finalizer of somebody else's holds
// a runner's Pod. The controller's uninstall does not take the set for one that is still
// installed, has it de-registered all the same, and says what is left, and why.
func TestNamespaceHeldByAPod(t *testing.T) {
	l := newLab(t)
	l.installController(viaPostRenderer...)
	l.installScaleSet(4, viaPostRenderer...)
	pod := l.runnerPod(runnerNamespace).Name
	l.holdPod(runnerNamespace, pod, true)
	l.deletedInOrder()

	const why = "its namespace is being deleted"
	args := []string{"--release", "arc", "--release-namespace", controllerNamespace}
	if out, code := l.hookjob(append([]string{"plan"}, args...)...); code != 7 || !strings.Contains(out, why) {
		t.Errorf("plan: exit code %d, and not %q", code, why)
	}
	out, code := l.hookjob(append([]string{"run", "--yes", "--log-level", "debug", "--grace", "4s"}, args...)...)
	if code != 4 || !strings.Contains(out, podsFirst+pod+" held by finalizers which are not ARC's: "+foreignFinalizer) {
		t.Errorf("run: exit code %d, or the Pod is not named as what holds the namespace", code)
	}
	l.isHeld(runnerNamespace, pod)
	if !l.GitHub().Deregistered() {
		t.Error("still registered at GitHub, which answers")
	}

	l.holdPod(runnerNamespace, pod, false)
	l.eventually("the namespace goes by itself", func() bool { return l.namespaceGone(runnerNamespace) })
	l.mustHelm(4, "uninstall", "arc", "--namespace", controllerNamespace)
	l.nothingLeft()
}

// TestNamespaceHeldByAPodWithoutController is the same where the controller went first:
// one namespace is rescued. All of ARC's is freed, though Kubernetes has come to none of it.
func TestNamespaceHeldByAPodWithoutController(t *testing.T) {
	l := newLab(t)
	l.installController()
	l.installScaleSet(4)
	pod := l.runnerPod(runnerNamespace).Name
	l.holdPod(runnerNamespace, pod, true)
	l.mustHelm(4, "uninstall", "arc", "--namespace", controllerNamespace)
	l.controllerEnds()
	l.deletedInOrder()

	const why = "is Terminating, and has 3 custom resources of ARC, which Kubernetes deletes after the namespace's Pods"
	if out, code := l.hookjob("status"); code != 0 || !strings.Contains(out, why) {
		t.Errorf("status: exit code %d, and not %q", code, why)
	}
	out, code := l.hookjob("run", "--yes", "--log-level", "debug", "--namespace", runnerNamespace, "--grace", "2s", "--budget", "20s")
	if code != 6 || !strings.Contains(out, podsFirst+pod+" held by finalizers which are not ARC's: "+foreignFinalizer) {
		t.Errorf("run: exit code %d, or the Pod is not named as what holds the namespace", code)
	}
	l.isHeld(runnerNamespace, pod)

	l.holdPod(runnerNamespace, pod, false)
	if _, code := l.hookjob("run", "--yes", "--namespace", runnerNamespace); code != 0 || !l.namespaceGone(runnerNamespace) {
		t.Errorf("held by nobody: exit code %d", code)
	}
	l.hookjob("run", "--all-namespaces", "--yes")
	l.nothingLeft()
}

// TestControllerNamespaceHeldByAPod: the controller's own namespace is on its way out. Its
// Deployment and Helm's record are there as long as a Pod is, and help nobody.
func TestControllerNamespaceHeldByAPod(t *testing.T) {
	l := newLab(t)
	l.installController(viaPostRenderer...)
	pod := l.runnerPod(controllerNamespace).Name
	l.installScaleSet(4, viaPostRenderer...)
	l.holdPod(controllerNamespace, pod, true)
	if err := l.client.CoreV1().Namespaces().Delete(l.ctx, controllerNamespace, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	l.eventually("nothing but the controller's Pod is being deleted", func() bool {
		pods, err := l.client.CoreV1().Pods(controllerNamespace).List(l.ctx, metav1.ListOptions{})
		return err == nil && len(pods.Items) == 1 && pods.Items[0].DeletionTimestamp != nil
	})

	args := []string{"--release", "arc", "--release-namespace", controllerNamespace}
	// Of the set's hook a Role would be in the controller's namespace.
	const command = "helm uninstall runners --namespace arc-runners --no-hooks"
	if out, code := l.hookjob(append([]string{"plan"}, args...)...); code != 3 || !strings.Contains(out, command+"\n") {
		t.Errorf("a scale set in a namespace that nobody deletes: exit code %d", code)
	}
	l.shell(4, command)
	// Its Secret would be in the controller's namespace, too.
	if out, code := l.hookjob(append([]string{"plan"}, args...)...); code != 3 || !strings.Contains(out, "--backup=false") {
		t.Errorf("a backup that nobody can make: exit code %d", code)
	}
	if _, code := l.hookjob(append([]string{"run", "--yes", "--grace", "4s", "--backup=false"}, args...)...); code != 0 {
		t.Errorf("run: exit code %d", code)
	}
	l.isHeld(controllerNamespace, pod)
	l.mustHelm(4, "uninstall", "arc", "--namespace", controllerNamespace, "--no-hooks")
	l.holdPod(controllerNamespace, pod, false)
	l.nothingLeft()
}

// TestNamespaceWithASlowRunner: a runner takes longer to end than the controller is given
// to show progress. It is not killed, and GitHub, which is well, is told of everything.
func TestNamespaceWithASlowRunner(t *testing.T) {
	l := newLab(t)
	const image = "ghcr.io/actions/actions-runner"
	images, err := cluster.ARCImages(l.ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	l.SetImage(image, cluster.Image{Commands: map[string]cluster.Program{
		"/home/runner/run.sh": {Path: "/bin/sh", Args: []string{"-c", "trap '' TERM; while :; do sleep 1; done"}},
	}})
	t.Cleanup(func() { l.SetImage(image, images[image]) })
	l.installController(viaPostRenderer...)
	l.installScaleSet(4, append(viaPostRenderer, "--set", "template.spec.terminationGracePeriodSeconds=23")...)
	l.deletedInOrder()

	out, code := l.hookjob("run", "--yes", "--log-level", "debug", "--namespace", runnerNamespace, "--grace", "8s")
	if code != 0 || !l.namespaceGone(runnerNamespace) {
		t.Errorf("exit code %d", code)
	}
	if !strings.Contains(out, `"phase":"nudge"`) {
		t.Error("the runner was not slow")
	}
	if !l.GitHub().Deregistered() || strings.Contains(out, "still registered") {
		t.Error("still registered at GitHub, which answers")
	}
	l.mustHelm(4, "uninstall", "arc", "--namespace", controllerNamespace)
	l.nothingLeft()
}
