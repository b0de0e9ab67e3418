package e2e

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/arc-cleanup/arc-cleanup/test/product"
)

// TestEnrolByHand gives the hook to releases that were installed without it, by
// either Helm and in either storage: Helm shows it, runs it once, and nothing is
// left.
func TestEnrolByHand(t *testing.T) {
	// TestMatrix has each Helm with the other storage.
	for major, driver := range map[int]string{3: "configmap", 4: "secret"} {
		t.Run(fmt.Sprintf("helm%d %s", major, driver), func(t *testing.T) {
			l := newLab(t)
			l.helmEnv = []string{"HELM_DRIVER=" + driver}
			l.install(major)
			l.installScaleSet(major)
			for release, namespace := range map[string]string{"arc": controllerNamespace, "runners": runnerNamespace} {
				l.enrol(major, release, namespace)
			}
			runs := l.hookRuns()
			l.mustHelm(major, "uninstall", "runners", "--namespace", runnerNamespace)
			if !l.GitHub().Deregistered() {
				t.Error("still registered at GitHub")
			}
			l.mustHelm(major, "uninstall", "arc", "--namespace", controllerNamespace)
			if got := runs(); got["arc-arc-cleanup"] != 1 || got["runners-arc-cleanup"] != 1 {
				t.Errorf("hooks ran that often: %v", got)
			}
			l.nothingLeft()
		})
	}
}

// install installs ARC's controller with either Helm, and waits until it runs.
func (l *lab) install(major int, args ...string) {
	l.Helper()
	l.mustHelm(major, slices.Concat([]string{
		"install", "arc", built.ARCChart(product.ControllerChart),
		"--namespace", controllerNamespace, "--create-namespace",
	}, args)...)
	l.awaitController()
}

func (l *lab) awaitController() {
	l.Helper()
	l.eventually("the controller runs", func() bool {
		d, err := l.client.AppsV1().Deployments(controllerNamespace).Get(l.ctx, "arc-gha-rs-controller", metav1.GetOptions{})
		return err == nil && d.Status.ReadyReplicas == 1
	})
}

// enrol enrols a release by hand: first only in words, then once, then in vain;
// out again, and in.
func (l *lab) enrol(major int, release, namespace string) {
	l.Helper()
	steps := []struct {
		args []string
		say  string
		in   bool // the hook is in the record
	}{
		{[]string{"enrol", "--dry-run"}, "enrolled (dry run: nothing was written)", false},
		{[]string{"enrol"}, ": enrolled\n", true},
		{[]string{"enrol"}, "already enrolled, unchanged", true},
		{[]string{"enrol", "--set", "policy.grace=20s"}, "enrolled again, the hook was another one", true},
		{[]string{"unenrol", "--dry-run"}, "unenrolled (dry run: nothing was written)", true},
		{[]string{"unenrol"}, ": unenrolled\n", false},
		{[]string{"unenrol"}, "not enrolled, unchanged", false},
		{[]string{"enrol"}, ": enrolled\n", true},
	}
	for _, step := range steps {
		out, code := l.hookjob(append(step.args, release, "--namespace", namespace)...)
		if code != 0 || !strings.Contains(out, step.say) {
			l.Errorf("exit code %d, and the terminal does not say %q:\n%s", code, step.say, out)
		}
		if in := l.enrolled(major, release, namespace); in != step.in {
			l.Fatalf("after %v: the hook in the record: %t, want %t", step.args, in, step.in)
		}
	}
}

// enrolled reports whether Helm itself sees the hook in the newest revision.
func (l *lab) enrolled(major int, release, namespace string) bool {
	l.Helper()
	hooks := l.mustHelm(major, "get", "hooks", release, "--namespace", namespace)
	return strings.Contains(hooks, "kind: Job") && strings.Contains(hooks, "helm.sh/hook: pre-delete")
}

// hookRuns counts, from now on, the hook's Jobs that are created, by name.
func (l *lab) hookRuns() func() map[string]int {
	l.Helper()
	w, err := l.client.BatchV1().Jobs("").Watch(l.ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=arc-cleanup"})
	if err != nil {
		l.Fatal(err)
	}
	var counting sync.WaitGroup
	runs, seen := map[string]int{}, map[types.UID]bool{}
	counting.Go(func() {
		for e := range w.ResultChan() {
			if j, ok := e.Object.(*batchv1.Job); ok && e.Type == watch.Added && !seen[j.UID] {
				seen[j.UID] = true
				runs[j.Name]++
			}
		}
	})
	return func() map[string]int {
		w.Stop()
		counting.Wait()
		return runs
	}
}

// viaHelm3 are the arguments which put the hook into a release of Helm 3.
func viaHelm3() []string { return []string{"--post-renderer", built.Postrender} }

const enroller = "arc-arc-cleanup-enrol"

// awaitEnrolled waits until Helm sees the hook and nothing of the enroller runs
// any more.
func (l *lab) awaitEnrolled(release, namespace string) {
	l.Helper()
	l.eventually("release "+release+" is enrolled", func() bool {
		out, err := l.helmCommand(3, "get", "hooks", release, "--namespace", namespace).Output()
		return err == nil && strings.Contains(string(out), "kind: Job")
	})
	l.eventually("nothing of the enroller runs", func() bool {
		pods, err := l.client.CoreV1().Pods(namespace).List(l.ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/component=enroller"})
		return err == nil && len(pods.Items) == 0
	})
}

// TestHelm3 is the promise under Helm 3: the same command line, and one uninstall
// of each release runs its hook once. TestMatrix has what lies between.
func TestHelm3(t *testing.T) {
	l := newLab(t)
	runs := l.hookRuns()
	l.install(3, viaHelm3()...)
	l.awaitEnrolled("arc", controllerNamespace)
	l.installScaleSet(3, viaHelm3()...)
	l.awaitEnrolled("runners", runnerNamespace)

	l.mustHelm(3, "uninstall", "runners", "--namespace", runnerNamespace)
	l.mustHelm(3, "uninstall", "arc", "--namespace", controllerNamespace)
	if got := runs(); got["arc-arc-cleanup"] != 1 || got["runners-arc-cleanup"] != 1 || len(got) != 2 {
		t.Errorf("hooks ran that often: %v", got)
	}
	if !l.GitHub().Deregistered() {
		t.Error("still registered at GitHub")
	}
	l.nothingLeft()
}
