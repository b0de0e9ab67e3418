package e2e

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/arc-cleanup/arc-cleanup/test/cluster/github"
)

// TestMainJob is the promise: install through the post-renderer, uninstall the
// set and then the controller, nothing is left and GitHub knows.
func TestMainJob(t *testing.T) {
	l := newLab(t)
	l.installControllerFrom(whole, viaPostRenderer...)
	l.installScaleSet(4, viaPostRenderer...)
	for release, namespace := range map[string]string{"arc": controllerNamespace, "runners": runnerNamespace} {
		hooks := l.mustHelm(4, "get", "hooks", release, "--namespace", namespace)
		if !strings.Contains(hooks, "kind: Job") || !strings.Contains(hooks, "helm.sh/hook: pre-delete") {
			t.Errorf("helm get hooks %s shows no hook:\n%s", release, hooks)
		}
	}
	for o := range l.everything() {
		if strings.Contains(o.Name, "arc-cleanup") {
			t.Errorf("outside an uninstall there must be nothing of the hook, but there is %s", o)
		}
	}

	l.mustHelm(4, "uninstall", "runners", "--namespace", runnerNamespace)
	if !l.GitHub().Deregistered() {
		t.Errorf("still registered at GitHub: scale sets %v, runners %v", l.GitHub().ScaleSets(), l.GitHub().Runners())
	}
	out := l.mustHelm(4, "uninstall", "arc", "--namespace", controllerNamespace)
	if !strings.Contains(out, "done: nothing of ARC is left") {
		t.Errorf("the terminal does not show the hook's verdict:\n%s", out)
	}
	l.nothingLeft()
	l.deleteNamespaces()
}

// TestRefusedWhileLive uninstalls the controller under a live scale set: nothing
// happens, the terminal says why and what to do, and doing it helps.
func TestRefusedWhileLive(t *testing.T) {
	l := newLab(t)
	l.installController(viaPostRenderer...)
	l.installScaleSet(4, viaPostRenderer...)
	before := l.everything()

	out, err := l.helm(4, "uninstall", "arc", "--namespace", controllerNamespace)
	if err == nil {
		t.Fatal("helm uninstall succeeded under a live scale set")
	}
	for _, want := range []string{
		"scale set runners in namespace arc-runners is still installed",
		"helm uninstall runners --namespace arc-runners",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("the terminal does not say %q:\n%s", want, out)
		}
	}
	pods, err := l.client.CoreV1().Pods(controllerNamespace).List(l.ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=arc-cleanup"})
	if err != nil || len(pods.Items) != 1 {
		t.Fatalf("a refusal is not retried, but there are %d Pods of the hook, %v", len(pods.Items), err)
	}
	if ended := pods.Items[0].Status.ContainerStatuses[0].State.Terminated; ended == nil || ended.ExitCode != 3 || !strings.Contains(ended.Message, "refused") {
		t.Errorf("the hook's Pod ended with %+v", ended)
	}
	after := l.everything()
	for o := range before {
		if !after[o] {
			t.Errorf("%s is gone", o)
		}
	}
	if len(l.GitHub().ScaleSets()) == 0 {
		t.Error("the scale set was de-registered")
	}

	l.mustHelm(4, "uninstall", "runners", "--namespace", runnerNamespace)
	l.mustHelm(4, "uninstall", "arc", "--namespace", controllerNamespace)
	// Helm keeps the Job of a failed hook, for its log; the next uninstall
	// replaces it, and hook-succeeded removes it.
	l.nothingLeft()
}

// TestDisaster is the cluster people have today: the controller went first, no
// hook anywhere, namespaces hang. One command by hand frees it.
func TestDisaster(t *testing.T) {
	l := newLab(t)
	l.disaster()
	for _, ns := range []string{controllerNamespace, runnerNamespace} {
		if err := l.client.CoreV1().Namespaces().Delete(l.ctx, ns, metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(5 * time.Second)
	if l.namespaceGone(runnerNamespace) {
		t.Fatal("the disaster did not happen: the namespace is gone by itself")
	}

	out, code := l.hookjob("plan", "--all-namespaces")
	if code != 7 {
		t.Errorf("plan: exit code %d, want 7 (there is something to do)", code)
	}
	for _, want := range []string{"autoscalingrunnersets/runners", "roles/runners-gha-rs-manager", "customresourcedefinitions/"} {
		if !strings.Contains(out, want) {
			t.Errorf("the plan does not name %s:\n%s", want, out)
		}
	}
	if out, code := l.hookjob("run", "--all-namespaces"); code != 2 || !strings.Contains(out, "--yes") {
		t.Errorf("run without a terminal and without --yes: exit code %d:\n%s", code, out)
	}
	out, code = l.hookjob("run", "--all-namespaces", "--yes")
	if code != 0 || !strings.Contains(lastLine(out), `"verdict":"done"`) {
		t.Errorf("run: exit code %d, last line: %s", code, lastLine(out))
	}
	if want := "scale set runners (id 1) of " + l.GitHub().ConfigURL(); !strings.Contains(out, want) {
		t.Errorf("the report does not say that %s is still registered at GitHub", want)
	}
	// The scale set was never de-registered, and that is said.
	if sets := l.GitHub().ScaleSets(); len(sets) != 1 {
		t.Errorf("registered at GitHub: %v", sets)
	}
	if out, code := l.hookjob("plan", "--all-namespaces"); code != 0 || !strings.Contains(out, "Nothing to do.") {
		t.Errorf("plan afterwards: exit code %d:\n%s", code, out)
	}
	if out, code := l.hookjob("run", "--all-namespaces", "--yes"); code != 0 || !strings.Contains(out, "there was nothing to do") {
		t.Errorf("run again: exit code %d:\n%s", code, out)
	}
	l.nothingLeft()
}

// TestTerminatingNamespace: nobody can create the hook's Pod in a namespace that
// is being deleted, so the hook cannot run. This is the documented way out.
func TestTerminatingNamespace(t *testing.T) {
	l := newLab(t)
	l.installController(viaPostRenderer...)
	l.installScaleSet(4, viaPostRenderer...)
	l.hold(controllerNamespace)
	if err := l.client.CoreV1().Namespaces().Delete(l.ctx, controllerNamespace, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	l.mustHelm(4, "uninstall", "runners", "--namespace", runnerNamespace, "--no-hooks")
	l.controllerGone()
	if out, err := l.helm(4, "uninstall", "arc", "--namespace", controllerNamespace); err == nil {
		t.Errorf("helm uninstall worked in a Terminating namespace:\n%s", out)
	}

	// In the namespace only the held objects are left, so the release cannot be uninstalled any more.
	l.eventually("Helm's record goes with the namespace", func() bool {
		_, err := l.client.CoreV1().Secrets(controllerNamespace).Get(l.ctx, "sh.helm.release.v1.arc.v1", metav1.GetOptions{})
		return apierrors.IsNotFound(err)
	})
	if out, code := l.hookjob("run", "--all-namespaces", "--yes"); code != 0 {
		t.Fatalf("run: exit code %d:\n%s", code, out)
	}
	l.shell(4, "kubectl delete clusterrole,clusterrolebinding arc-gha-rs-controller")
	l.letGo(controllerNamespace)
	l.nothingLeft()
}

// TestKilledHalfway kills the hook's process in the middle of its drain; the
// Job's next Pod goes on.
func TestKilledHalfway(t *testing.T) {
	l := newLab(t)
	l.installController(viaPostRenderer...)
	l.installScaleSet(4, append(viaPostRenderer, logsAll...)...)
	l.GitHub().SetMode(github.Down) // so that the drain takes until we let it

	done := make(chan error, 1)
	go func() {
		_, err := l.helm(4, "uninstall", "runners", "--namespace", runnerNamespace)
		done <- err
	}()
	first := l.hookDrains()
	if err := l.KillPod(runnerNamespace, first, "cleanup"); err != nil {
		t.Fatal(err)
	}
	l.GitHub().SetMode(github.OK)
	if err := <-done; err != nil {
		t.Errorf("helm uninstall: %v", err)
	}
	if !l.GitHub().Deregistered() {
		t.Error("still registered at GitHub")
	}
	l.mustHelm(4, "uninstall", "arc", "--namespace", controllerNamespace)
	l.nothingLeft()
}

// logsAll has the hook say at once what it waits for.
var logsAll = []string{"--post-renderer-args", "--set", "--post-renderer-args", "logLevel=debug"}

// hookDrains waits until the scale set's hook waits for the controller, and
// returns its Pod's name. The hook logs all.
func (l *lab) hookDrains() string {
	l.Helper()
	var pod string
	l.eventually("the hook drains", func() bool {
		pods, err := l.client.CoreV1().Pods(runnerNamespace).List(l.ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=arc-cleanup"})
		if err != nil || len(pods.Items) == 0 {
			return false
		}
		pod = pods.Items[0].Name
		log, err := l.client.CoreV1().Pods(runnerNamespace).GetLogs(pod, &corev1.PodLogOptions{}).DoRaw(l.ctx)
		return err == nil && strings.Contains(string(log), "de-register at GitHub: ")
	})
	return pod
}

func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return lines[len(lines)-1]
}
