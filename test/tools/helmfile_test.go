//go:build tools

package tools

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/arc-cleanup/arc-cleanup/test/harness"
)

// newHelmfile is a lab with helmfile, and with helm-diff as a plugin of Helm 3.
func newHelmfile(t *testing.T) *lab {
	t.Helper()
	l := newLab(t)
	l.env = append(l.env, "HELMFILE_CACHE_HOME="+filepath.Join(l.dir, "cache"), "TMPDIR="+l.TempDir())
	l.build("helmfile")
	l.write("plugins/helm-diff/plugin.yaml", fmt.Sprintf("name: diff\nversion: 3.9.11\nusage: diff\ndescription: diff\ncommand: %q\n", l.build("helm-diff")))
	return l
}

// values are arguments of helmfile with the values of the example's scale set.
func values(more ...string) []string {
	args := harness.ScaleSetValues("gha-runner-scale-set.", cl.GitHub().ConfigURL(), controllerNamespace)
	for _, v := range more {
		args = append(args, "--set", v)
	}
	return args
}

// TestHelmfile installs the example, changes it, and destroys it. The controller alone cannot be destroyed.
func TestHelmfile(t *testing.T) {
	l := newHelmfile(t)
	const dir = "examples/helmfile"
	runs := harness.HookRuns(t.Context(), t, l.client)
	l.must(dir, "helmfile", append([]string{"apply"}, values()...)...)
	l.lives()
	// The hook is no difference that helm-diff would find each time.
	l.must(dir, "helmfile", append([]string{"diff", "--detailed-exitcode"}, values()...)...)

	l.must(dir, "helmfile", append([]string{"apply"}, values("gha-runner-scale-set.maxRunners=3")...)...)
	l.wants("arc", controllerNamespace, 1, "deployed")
	l.wants("arc-runner-set", runnerNamespace, 2, "deployed")
	l.must(dir, "helmfile", append([]string{"sync"}, values("gha-runner-scale-set.maxRunners=3")...)...)
	l.wants("arc", controllerNamespace, 2, "deployed")
	for release, namespace := range map[string]string{"arc": controllerNamespace, "arc-runner-set": runnerNamespace} {
		if !l.hasHook(release, namespace) {
			t.Errorf("%s has no hook after the upgrade", release)
		}
	}
	l.lives()

	if out, code := l.run(dir, "helmfile", "destroy", "--selector", "name=arc"); code == 0 || !strings.Contains(out, "scale set arc-runner-set in namespace arc-runners is still installed") {
		t.Errorf("the controller was destroyed before its scale set, or helmfile does not say why not: exit code %d\n%s", code, out)
	}
	l.wants("arc", controllerNamespace, 2, "uninstalling")
	l.lives()
	// helm-diff finds no difference; Helm 3 upgrades no release that is uninstalling.
	l.must(dir, "helmfile", append([]string{"apply", "--selector", "name=arc"}, values("gha-runner-scale-set.maxRunners=3")...)...)
	sync := append([]string{"sync", "--selector", "name=arc"}, values("gha-runner-scale-set.maxRunners=3")...)
	if out, code := l.run(dir, "helmfile", sync...); code == 0 || !strings.Contains(out, "has no deployed releases") {
		t.Errorf("sync after a destroy that was refused: exit code %d\n%s", code, out)
	}
	l.wants("arc", controllerNamespace, 2, "uninstalling")
	l.must(dir, "helmfile", "destroy")
	l.gone(runs(), []string{controllerJob, scaleSetJob, controllerJob})
}

// arcCharts is a helmfile of ARC's own charts.
func (l *lab) arcCharts(lines ...string) string {
	more := ""
	for _, line := range lines {
		more += "    " + line + "\n"
	}
	l.write("arc/helmfile.yaml", fmt.Sprintf(`releases:
  - name: arc
    namespace: %s
    chart: %s
%s
  - name: arc-runner-set
    namespace: %s
    chart: %s
    needs: [%[1]s/arc]
    disableValidationOnInstall: true
%[3]s`, controllerNamespace, built.ARCChart(harness.ControllerChart), more, runnerNamespace, built.ARCChart(harness.ScaleSetChart)))
	return "arc"
}

// TestHelmfilePostRenderer: with Helm 3, each revision is enrolled. helmfile takes the hook for a difference each time.
func TestHelmfilePostRenderer(t *testing.T) {
	l := newHelmfile(t)
	dir := l.arcCharts("postRenderer: arc-postrender")
	args := harness.ScaleSetValues("", cl.GitHub().ConfigURL(), controllerNamespace)
	runs := harness.HookRuns(t.Context(), t, l.client)
	for range 2 {
		l.must(dir, "helmfile", append([]string{"apply"}, args...)...)
		l.enrolled("arc", controllerNamespace)
		l.enrolled("arc-runner-set", runnerNamespace)
		l.lives()
	}
	l.wants("arc", controllerNamespace, 2, "deployed")
	l.wants("arc-runner-set", runnerNamespace, 2, "deployed")
	l.must(dir, "helmfile", "destroy")
	l.gone(runs(), []string{scaleSetJob, controllerJob})
}

// TestHelmfileAfterEnrol: helmfile takes the hook of arc-cleanup enrol for a difference, and makes a revision without it.
func TestHelmfileAfterEnrol(t *testing.T) {
	l := newHelmfile(t)
	dir := l.arcCharts()
	apply := []string{"apply", "--selector", "name=arc"}
	l.must(dir, "helmfile", apply...)
	l.must(dir, "helmfile", apply...)
	l.wants("arc", controllerNamespace, 1, "deployed")
	l.must(".", "arc-cleanup", "enrol", "arc", "--namespace", controllerNamespace)
	if !l.hasHook("arc", controllerNamespace) {
		t.Fatal("arc was not enrolled")
	}
	if out := l.must(dir, "helmfile", apply...); !strings.Contains(out, "arc-cleanup") {
		t.Errorf("helmfile does not show that the hook would go:\n%s", out)
	}
	l.wants("arc", controllerNamespace, 2, "deployed")
	if l.hasHook("arc", controllerNamespace) {
		t.Error("the hook is still there")
	}
}
