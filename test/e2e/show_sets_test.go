package e2e

import (
	"fmt"
	"regexp"
	"testing"

	"github.com/arc-cleanup/arc-cleanup/test/harness"
)

// TestWhatHelmShowsOfScaleSets holds all that a terminal has of a refusal, with a live
// scale set in the way, and of that scale set's own uninstall.
func TestWhatHelmShowsOfScaleSets(t *testing.T) {
	t.Parallel()
	const (
		refused = `refused, nothing was written: scale set runners in namespace arc-runners is still installed \(runners: \d+, busy: 0\), by Helm release runners`
		command = `    helm uninstall runners --namespace arc-runners`
		proved  = `Helm is uninstalling release runners in namespace arc-runners \(revision 1\): found 1 controller, 4 custom resources, \d+ objects with ARC's finalizers`
		done    = `done: nothing of this release's scale sets is left: deleted 1 autoscalingrunnerset(?:, \d+ [a-z]+)*`
		gone    = `release "runners" uninstalled`
	)
	for major, want := range map[int]struct{ refusal, good string }{
		3: {
			`(?m)^` + refused + "\n" + command + "\nError: 1 error occurred:\n\t\\* job arc-arc-cleanup failed: PodFailurePolicy\n\n\n\\z",
			`(?m)^` + proved + "\n" + done + "\n" + gone + "\n\\z",
		},
		4: {
			`^level=INFO msg="` + refused + `\\n` + command + "\"\nError: resource Job/arc-systems/arc-arc-cleanup not ready\\. status: Failed, message: Job Failed\\. failed: 1/1\n$",
			`^level=INFO msg="` + proved + `\\n` + done + "\"\n" + gone + "\n$",
		},
	} {
		t.Run(fmt.Sprintf("helm%d", major), func(t *testing.T) {
			l := newLab(t)
			l.mustHelm(major, "install", "arc", built.ARCChart(harness.ControllerChart), "--namespace", controllerNamespace, "--wait", "--timeout", "1m")
			l.hookjob("enrol", "arc", "--namespace", controllerNamespace)
			l.installScaleSet(major)
			l.hookjob("enrol", "runners", "--namespace", runnerNamespace)

			out, err := l.helm(major, "uninstall", "arc", "--namespace", controllerNamespace)
			if err == nil || !regexp.MustCompile(want.refusal).MatchString(out) {
				t.Errorf("%v, want %s:\n%s", err, want.refusal, out)
			}
			if out := l.mustHelm(major, "uninstall", "runners", "--namespace", runnerNamespace); !regexp.MustCompile(want.good).MatchString(out) {
				t.Errorf("want %s:\n%s", want.good, out)
			}
			l.mustHelm(major, "uninstall", "arc", "--namespace", controllerNamespace)
			l.nothingLeft()
		})
	}
}
