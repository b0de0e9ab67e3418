//go:build e2enode

package e2enode

import (
	"flag"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/arc-cleanup/arc-cleanup/test/harness"
)

var (
	many = flag.Int("runners", 20_000, "how many stuck runners TestMemory has cleared")

	ephemeralRunners = harness.EphemeralRunners
)

// TestMemory has very many runners cleared within the chart's memory limit.
func TestMemory(t *testing.T) {
	l := newLab(t)
	l.installController(4, postRenderer(4)...)
	l.stopController()
	start := time.Now()
	l.stuckRunners(*many)
	t.Logf("made %d stuck runners in %.0fs", *many, time.Since(start).Seconds())

	uninstalled := make(chan error)
	start = time.Now()
	go func() {
		_, err := l.helm(4, "uninstall", "arc", "--namespace", controllerNamespace)
		uninstalled <- err
	}()
	pod := l.hookRuns()
	cgroup := cgroupOf(pod)
	limit, err := cgroup.MemoryLimit()
	if err != nil {
		t.Fatal(err)
	}
	// Its end is not known beforehand, and its numbers are gone with it.
	var peak, own int64
	for err == nil {
		time.Sleep(20 * time.Millisecond)
		var now int64
		if now, err = cgroup.MemoryPeak(); err == nil {
			peak = now
			if now, err = cgroup.MemoryOwn(); err == nil {
				own = max(own, now)
			}
		}
	}
	if err := <-uninstalled; err != nil {
		t.Errorf("helm uninstall: %v", err)
	}
	t.Logf("cleared %d runners in %.0fs; memory of the hook: at most %d MiB of its own, %d MiB with cached pages of files, limit %d MiB",
		*many, time.Since(start).Seconds(), own>>20, peak>>20, limit>>20)
	if own == 0 || own > limit*3/4 {
		t.Errorf("%d MiB of %d MiB is too close to the limit, or was not measured", own>>20, limit>>20)
	}
	if end := l.hookEnded(pod.UID); end.Reason != "Completed" || end.ExitCode != 0 {
		t.Errorf("the hook's container ended with %+v", end)
	}
	if pods := l.hookPods(); len(pods) != 1 {
		t.Errorf("the hook needed %d Pods", len(pods))
	}
	l.nothingLeft()
}

// TestDeadline has Kubernetes end the Job in the middle of its work: the hook
// stops, and says how far it came. The next uninstall goes on.
func TestDeadline(t *testing.T) {
	const n = 4000 // with 2,000 the hook was sometimes nearly done before it was asked to end
	l := newLab(t)
	l.installController(3)
	if out, code := l.hookjob("enrol", "arc", "--namespace", controllerNamespace); code != 0 {
		t.Fatalf("enrol: exit code %d\n%s", code, out)
	}
	l.stopController()
	l.stuckRunners(n)

	uninstalled := make(chan error)
	var said string
	go func() {
		out, err := l.helm(3, "uninstall", "arc", "--namespace", controllerNamespace)
		said = out
		uninstalled <- err
	}()
	pod := l.hookRuns()
	l.eventually("some runners are gone", func() bool { return l.countRunners() < n*9/10 })
	jobs := l.client.BatchV1().Jobs(controllerNamespace)
	job, err := jobs.Get(l.ctx, "arc-arc-cleanup", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	job.Spec.ActiveDeadlineSeconds = new(int64(1))
	if _, err := jobs.Update(l.ctx, job, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := <-uninstalled; err == nil || !strings.Contains(said, "DeadlineExceeded") {
		t.Errorf("helm uninstall: %v\n%s", err, said)
	}
	end := l.hookEnded(pod.UID)
	var told int
	_, after, _ := strings.Cut(end.Message, "removed ARC's finalizers from ")
	_, err = fmt.Sscanf(after, "%d ephemeralrunners", &told)
	// By itself: what is killed ends with 137.
	if end.ExitCode != 130 || !strings.Contains(end.Message, "interrupted: run it again to go on") || err != nil {
		t.Errorf("the hook's container ended with %+v", end)
	}
	// A request that was cut off may have been carried out all the same.
	if gone := n - l.countRunners(); gone == n || told == 0 || told > gone || gone-told > 100 {
		t.Errorf("%d of %d runners are gone, and the report says %d", gone, n, told)
	}

	// The Pod's log went with the Pod, before Helm could show it.
	events, err := l.client.CoreV1().Events(controllerNamespace).List(l.ctx, metav1.ListOptions{FieldSelector: "involvedObject.kind=Job"})
	if err != nil || !slices.ContainsFunc(events.Items, func(e corev1.Event) bool {
		return e.InvolvedObject.UID == job.UID && strings.Contains(e.Message, "interrupted: run it again to go on")
	}) {
		t.Errorf("no Event has the verdict: %v, %+v", err, events.Items)
	}

	l.mustHelm(3, "uninstall", "arc", "--namespace", controllerNamespace)
	l.nothingLeft()
}

// TestKilled kills the hook in the middle of its work, as a node does that has no
// memory left: the Job starts another Pod, which goes on where the first one was.
func TestKilled(t *testing.T) {
	const n = 2000
	l := newLab(t)
	l.installController(4, postRenderer(4)...)
	l.stopController()
	l.stuckRunners(n)

	uninstalled := make(chan error)
	go func() {
		_, err := l.helm(4, "uninstall", "arc", "--namespace", controllerNamespace)
		uninstalled <- err
	}()
	pod := l.hookRuns()
	pid, err := cgroupOf(pod).Process()
	if err != nil {
		t.Fatal(err)
	}
	l.eventually("some runners are gone", func() bool { return l.countRunners() < n*9/10 })
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	left := l.countRunners()
	if err := <-uninstalled; err != nil || left == 0 {
		t.Errorf("helm uninstall: %v; %d runners were left when the hook was killed", err, left)
	}
	if end := l.hookEnded(pod.UID); end.ExitCode != 128+int32(syscall.SIGKILL) {
		t.Errorf("the hook's container ended with %+v", end)
	}
	if pods := l.hookPods(); len(pods) != 2 {
		t.Errorf("%d Pods for an uninstall whose hook was killed once", len(pods))
	}
	l.nothingLeft()
}

// stuckRunners makes runners which hang in their deletion.
func (l *lab) stuckRunners(n int) {
	l.Helper()
	if err := harness.StuckRunners(l.ctx, l.dynamic, runnerNamespace, shared.GitHub().ConfigURL(), n); err != nil {
		l.Fatal(err)
	}
}

func (l *lab) countRunners() int {
	l.Helper()
	runners, err := l.metadata.Resource(ephemeralRunners).List(l.ctx, metav1.ListOptions{})
	if err != nil {
		l.Fatal(err)
	}
	return len(runners.Items)
}
