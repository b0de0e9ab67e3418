package e2e

import (
	"regexp"
	"testing"

	"github.com/arc-cleanup/arc-cleanup/test/harness"
)

// TestWhatHelmShows holds what a terminal has of a good uninstall: what is proved, and
// how it ended. Helm 4 prints it as one line.
func TestWhatHelmShows(t *testing.T) {
	const (
		proved = `Helm is uninstalling release arc in namespace arc-systems \(revision 1\): found 1 controller, 4 CRDs`
		// After ten seconds a hook says what it waits for.
		waits = `(deleting the CRDs and waiting until they are gone: [^\n]* phase=crds`
		done  = `done: nothing of ARC is left: deleted 4 customresourcedefinitions`
	)
	l := newLab(t)
	for major, want := range map[int]string{
		3: `(?m)^` + proved + "\n" + waits + "\n)?" + done + "\n" + `release "arc" uninstalled` + "\n$",
		4: `^level=INFO msg="` + proved + `\\n` + waits + `\\n)?` + done + `"` + "\n" + `release "arc" uninstalled` + "\n$",
	} {
		l.mustHelm(major, "install", "arc", built.ARCChart(harness.ControllerChart), "--namespace", controllerNamespace, "--wait", "--timeout", "1m")
		l.hookjob("enrol", "arc", "--namespace", controllerNamespace)
		if out := l.mustHelm(major, "uninstall", "arc", "--namespace", controllerNamespace); !regexp.MustCompile(want).MatchString(out) {
			t.Errorf("Helm %d, want %s:\n%s", major, want, out)
		}
		l.nothingLeft()
	}
}
