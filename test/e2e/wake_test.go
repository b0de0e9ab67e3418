package e2e

import (
	"os"
	"strings"
	"testing"

	"github.com/arc-cleanup/arc-cleanup/test/cluster/github"
)

// TestWake: GitHub is in a running controller's way until its grace is over, and is well
// then. The controller would try again only later; woken, it de-registers everything,
// and nothing is skipped.
func TestWake(t *testing.T) {
	l := newLab(t)
	l.installController()
	for name, test := range map[string]struct {
		mode  github.Mode
		grace string
	}{
		"no valid credentials for a minute": {github.Unauthorized, "1m"},
		"a job that still ran":              {github.JobStillRunning, "20s"},
		"GitHub was away":                   {github.Down, "20s"},
	} {
		t.Run(name, func(t *testing.T) {
			l := &lab{T: t, Cluster: l.Cluster, ctx: t.Context(), client: l.client, dynamic: l.dynamic, metadata: l.metadata, before: l.before}
			l.installScaleSet(4)
			l.GitHub().SetMode(test.mode)
			phases := map[string]bool{}
			last, code := l.follow(func(_ *os.Process, e entry) {
				phases[e.Phase] = true
				if e.Phase == "drain" && e.Message == "the controller makes no progress" {
					l.GitHub().SetMode(github.OK)
				}
			}, "--grace", test.grace, "--scope", "scale-set", "--release", "runners", "--release-namespace", runnerNamespace, "--controller-namespace", controllerNamespace)
			if code != 0 || last.Verdict != "done" || !strings.Contains(last.Message, "had the controller try again for ") {
				t.Errorf("exit code %d, %+v", code, last)
			}
			if !phases["wake"] || phases["nudge"] || phases["free"] || !l.GitHub().Deregistered() {
				t.Errorf("the controller was not left to finish: phases %v, at GitHub %v, %v", phases, l.GitHub().ScaleSets(), l.GitHub().Runners())
			}
			l.GitHub().SetMode(github.OK)
			l.mustHelm(4, "uninstall", "runners", "--namespace", runnerNamespace)
			if left := l.left(); len(left) > 0 {
				t.Errorf("left:\n%s", lines(left))
			}
			l.GitHub().Reset()
		})
	}
	l.mustHelm(4, "uninstall", "arc", "--namespace", controllerNamespace)
	l.controllerGone()
	if _, code := l.hookjob("run", "--all-namespaces", "--yes"); code != 0 {
		t.Errorf("the rest: exit code %d", code)
	}
	l.nothingLeft()
}
