package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/arc-cleanup/arc-cleanup/test/cluster/github"

	"github.com/arc-cleanup/arc-cleanup/test/harness"
)

// many is how many stuck runners take arc-cleanup long enough to be interrupted.
const many = 500

// TestKilledAtEveryPhase kills arc-cleanup as soon as a phase begins, a new one
// each time, until none is left that it was not killed in. Then it finishes.
func TestKilledAtEveryPhase(t *testing.T) {
	l := newLab(t)
	l.disaster()
	// Two deletions would be over before the kill.
	for i := range 50 {
		l.strayListenerRole(fmt.Sprintf("stray-%d-listener", i))
	}
	// A phase counts whether it was only announced or begun.
	killed, seen := map[string]bool{}, map[string]bool{}
	for _, phase := range l.plan().Phases {
		seen[phase.Name] = true
	}
	for {
		phase := ""
		last, code := l.follow(func(hookjob *os.Process, e entry) {
			seen[e.Phase] = true
			if phase == "" && e.Phase != "" && !killed[e.Phase] {
				phase = e.Phase
				l.signal(hookjob, syscall.SIGKILL)
			}
		}, "--all-namespaces")
		if phase == "" {
			if code != 0 || last.Verdict != "done" {
				t.Errorf("the last run: exit code %d, %+v", code, last)
			}
			break
		}
		if code != -1 {
			t.Fatalf("it ended with %d before it was killed in phase %s", code, phase)
		}
		killed[phase] = true
	}
	// Done means that the uninstall is over, not that it is still running.
	for _, o := range l.left() {
		t.Errorf("left: %s", o)
	}
	delete(seen, "")
	for phase := range seen {
		if !killed[phase] {
			t.Errorf("it was never killed in phase %s", phase)
		}
	}
	l.nothingLeft()
}

// TestStoppedAndGoesOn asks arc-cleanup to end while it removes finalizers: it
// says how far it came. The next run goes on from there, and does not give up
// when the API server is away for a while.
func TestStoppedAndGoesOn(t *testing.T) {
	l := newLab(t)
	l.stuckRunners(many)
	stopped := false
	last, code := l.follow(func(hookjob *os.Process, e entry) {
		if e.Phase == "free" && !stopped {
			stopped = true
			l.someRunnersGone()
			l.signal(hookjob, syscall.SIGTERM)
		}
	}, "--all-namespaces")
	if code != 130 || last.Verdict != "interrupted" || !strings.HasPrefix(last.Message, "interrupted: run it again to go on") {
		t.Errorf("exit code %d, last line %+v", code, last)
	}
	gone, said := many-l.countRunners(), 0
	if m := regexp.MustCompile(`(\d+) ephemeralrunners`).FindStringSubmatch(last.Message); m != nil {
		said, _ = strconv.Atoi(m[1])
	}
	// A request that was cut off may have been carried out all the same.
	if gone == many || said == 0 || said > gone || gone-said > 100 {
		t.Errorf("%d of %d runners are gone, and the report says: %s", gone, many, last.Message)
	}

	restarted, foreign := false, 0
	last, code = l.follow(func(_ *os.Process, e entry) {
		if e.Message == "" {
			foreign++
		}
		if e.Phase == "free" && !restarted {
			restarted = true
			l.someRunnersGone()
			l.restartAPIServer()
		}
	}, "--all-namespaces")
	if code != 0 || last.Verdict != "done" || !restarted {
		t.Errorf("the next run: exit code %d, %+v", code, last)
	}
	if foreign > 0 {
		t.Errorf("%d lines of the log are none of arc-cleanup's", foreign)
	}
	l.nothingLeft()
}

// TestAPIServerRestartsDuringDrain takes the API server away while a live
// controller is waited for: it is waited for again, and it finishes.
func TestAPIServerRestartsDuringDrain(t *testing.T) {
	l := newLab(t)
	l.installController()
	l.installScaleSet(4)
	l.GitHub().SetMode(github.JobStillRunning) // so that the drain takes until we let it
	restarted := false
	phases := map[string]bool{}
	last, code := l.follow(func(_ *os.Process, e entry) {
		phases[e.Phase] = true
		if e.Phase == "drain" && !restarted {
			restarted = true
			l.restartAPIServer()
			l.GitHub().SetMode(github.OK)
		}
	}, "--scope", "scale-set", "--release", "runners", "--release-namespace", runnerNamespace, "--controller-namespace", controllerNamespace)
	if code != 0 || last.Verdict != "done" || !restarted {
		t.Errorf("exit code %d, %+v", code, last)
	}
	if phases["nudge"] || phases["free"] || !l.GitHub().Deregistered() {
		t.Errorf("the controller was not left to finish: phases %v, at GitHub %v, %v", phases, l.GitHub().ScaleSets(), l.GitHub().Runners())
	}
	l.mustHelm(4, "uninstall", "runners", "--namespace", runnerNamespace)
	l.mustHelm(4, "uninstall", "arc", "--namespace", controllerNamespace)
	// The garbage collector is slow to come back.
	l.controllerGone()
	if _, code := l.hookjob("run", "--all-namespaces", "--yes"); code != 0 {
		t.Errorf("the rest: exit code %d", code)
	}
	l.nothingLeft()
}

// entry is a line of arc-cleanup's log.
type entry struct{ Phase, Verdict, Message string }

// follow runs `arc-cleanup run` by hand and shows each line of its log to see,
// which may signal the process. It returns the last line, and the exit code: -1
// when a signal ended it.
func (l *lab) follow(see func(*os.Process, entry), args ...string) (entry, int) {
	l.Helper()
	cmd := built.ByHand(l.ctx, l.Kubeconfig(), append([]string{"run", "--yes", "--log-format", "json", "--log-level", "debug"}, args...)...)
	log, err := cmd.StderrPipe()
	if err != nil {
		l.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		l.Fatal(err)
	}
	var last entry
	lines := bufio.NewScanner(log)
	for lines.Scan() {
		last = entry{}
		err := json.Unmarshal(lines.Bytes(), &last)
		// Not the hundreds of lines that name one object each.
		if err != nil || last.Phase != "" || last.Verdict != "" {
			l.Logf("arc-cleanup: %s", lines.Text())
		}
		if see != nil {
			see(cmd.Process, last)
		}
	}
	// Its error is in the exit code.
	_ = cmd.Wait()
	return last, cmd.ProcessState.ExitCode()
}

func (l *lab) signal(p *os.Process, s os.Signal) {
	l.Helper()
	if err := p.Signal(s); err != nil {
		l.Errorf("%s: %v", s, err)
	}
}

// strayListenerRole makes what an in-place upgrade leaves of a listener.
func (l *lab) strayListenerRole(name string) {
	l.Helper()
	_, err := l.client.RbacV1().Roles(runnerNamespace).Create(l.ctx, &rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{
		"auto-scaling-listener-name":             name,
		"auto-scaling-listener-namespace":        controllerNamespace,
		"actions.github.com/scale-set-name":      "gone",
		"actions.github.com/scale-set-namespace": runnerNamespace,
	}}}, metav1.CreateOptions{})
	if err != nil {
		l.Fatal(err)
	}
}

// stuckRunners makes runners which hang in their deletion, on a cluster whose
// controller is gone.
func (l *lab) stuckRunners(n int) {
	l.Helper()
	l.installController()
	l.mustHelm(4, "uninstall", "arc", "--namespace", controllerNamespace)
	if err := harness.StuckRunners(l.ctx, l.dynamic, runnerNamespace, l.GitHub().ConfigURL(), n); err != nil {
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

// someRunnersGone waits until a few are, and most are not.
func (l *lab) someRunnersGone() {
	l.Helper()
	before := l.countRunners()
	l.eventually("some runners are gone", func() bool { return l.countRunners() < before*9/10 })
}

// restartAPIServer keeps it away long enough for requests to fail.
func (l *lab) restartAPIServer() {
	l.Helper()
	l.StopAPIServer()
	time.Sleep(time.Second)
	if err := l.StartAPIServer(l.ctx); err != nil {
		l.Fatal(err)
	}
}
