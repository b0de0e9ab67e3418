package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/arc-cleanup/arc-cleanup/test/harness"
)

// TestDependency uses the chart as what GitOps tools need: a dependency beside
// ARC's own chart, on both Helms.
func TestDependency(t *testing.T) {
	t.Parallel()
	for _, major := range []int{3, 4} {
		t.Run(fmt.Sprintf("helm%d", major), func(t *testing.T) {
			l := newLab(t)
			umbrella := l.umbrella()
			l.mustHelm(major, "install", "arc", umbrella, "--namespace", controllerNamespace, "--create-namespace")
			l.eventually("the controller runs", func() bool {
				d, err := l.client.AppsV1().Deployments(controllerNamespace).List(l.ctx, metav1.ListOptions{})
				return err == nil && len(d.Items) == 1 && d.Items[0].Status.ReadyReplicas == 1
			})
			l.installScaleSet(major)
			l.mustHelm(major, "uninstall", "runners", "--namespace", runnerNamespace)
			// Without a hook of its own, the set is only on its way out; the
			// controller's hook waits for it.
			out := l.mustHelm(major, "uninstall", "arc", "--namespace", controllerNamespace)
			if !strings.Contains(out, "done: nothing of ARC is left") {
				t.Errorf("the terminal does not show the hook's verdict:\n%s", out)
			}
			if !l.GitHub().Deregistered() {
				t.Error("still registered at GitHub")
			}
			l.nothingLeft()
		})
	}
}

// umbrella makes a chart which depends on ARC's controller chart and on ours.
func (l *lab) umbrella() string {
	l.Helper()
	dir := l.TempDir()
	chart := fmt.Sprintf(`apiVersion: v2
name: arc
version: 1.0.0
dependencies:
  - {name: %s, version: 0.6.1, repository: "file://%s"}
  - {name: arc-cleanup, version: ">=0.0.0-0", repository: "file://%s"}
`, harness.ControllerChart, built.ARCChart(harness.ControllerChart), hookChart())
	if err := os.WriteFile(filepath.Join(dir, "Chart.yaml"), []byte(chart), 0o600); err != nil {
		l.Fatal(err)
	}
	l.mustHelm(4, "dependency", "build", dir)
	return dir
}

// TestAlone installs the chart by itself, for an ARC that something else
// installed: uninstalled while that is there it keeps the CRDs, uninstalled after
// it they go.
func TestAlone(t *testing.T) {
	l := newLab(t)
	l.installController()
	crd := harness.Object{Resource: "customresourcedefinitions", Name: "ephemeralrunners.actions.github.com"}
	install := func() {
		t.Helper()
		l.mustHelm(4, "install", "cleanup", hookChart(), "--namespace", controllerNamespace)
	}
	install()
	out := l.mustHelm(4, "uninstall", "cleanup", "--namespace", controllerNamespace)
	if !strings.Contains(out, "the controller arc-systems/arc-gha-rs-controller uses them") {
		t.Errorf("the terminal does not say why the CRDs are kept:\n%s", out)
	}
	if !l.everything()[crd] {
		t.Fatalf("%s is gone under a controller that uses it", crd)
	}

	install()
	l.mustHelm(4, "uninstall", "arc", "--namespace", controllerNamespace)
	l.mustHelm(4, "uninstall", "cleanup", "--namespace", controllerNamespace)
	l.nothingLeft()
}

// TestHelm4DropsTheError: of a post-renderer that fails Helm 4 says no more than
// that, and with --debug its exit code. The log has the reason.
func TestHelm4DropsTheError(t *testing.T) {
	l := newLab(t)
	log := filepath.Join(t.TempDir(), "a log")
	l.helmEnv = []string{"ARC_CLEANUP_LOG_FILE=" + log}
	const reason = `it has no value "polcy"`
	out, err := l.helm(4, slices.Concat([]string{
		"install", "arc", built.ARCChart(harness.ControllerChart), "--namespace", controllerNamespace, "--create-namespace", "--debug",
	}, viaPostRenderer, []string{"--post-renderer-args", "--set", "--post-renderer-args", "polcy.grace=1m"})...)
	if err == nil || strings.Contains(out, reason) || !strings.Contains(out, "exitCode=6") {
		t.Errorf("installed, or Helm 4 shows the reason, or not the exit code: %v", err)
	}
	text, err := os.ReadFile(log)
	if err != nil || !strings.Contains(string(text), reason) || !strings.Contains(string(text), ": exit code 6\n") {
		t.Errorf("the log does not say why: %v\n%s", err, text)
	}
	// Helm creates CRDs before it renders, and then knows of no release.
	if _, code := l.hookjob("run", "--all-namespaces", "--yes"); code != 0 {
		t.Errorf("by hand: exit code %d", code)
	}
	l.nothingLeft()
}

// TestByteIdentity: what both Helms render of ARC's charts comes out of the
// post-renderer as it went in, and the hook follows it.
func TestByteIdentity(t *testing.T) {
	l := newLab(t)
	for _, major := range []int{3, 4} {
		for chart, values := range map[string][]string{harness.ControllerChart: nil, harness.ScaleSetChart: l.scaleSetValues("")} {
			args := append([]string{"template", "x", built.ARCChart(chart), "--namespace", "ns", "--kube-version", "1.37"}, values...)
			rendered, err := built.Helm(l.ctx, major, l.Kubeconfig(), args...).Output()
			if err != nil {
				t.Fatal(err)
			}
			// Without these comments, which are the marks of Helm 3.
			stream := regexp.MustCompile(`(?m)^# Source: .*\n`).ReplaceAll(rendered, nil)
			cmd := exec.CommandContext(l.ctx, built.Postrender, "--helm", "4")
			cmd.Env = append(os.Environ(), harness.NameImage)
			cmd.Stdin = bytes.NewReader(stream)
			out, err := cmd.Output()
			if err != nil {
				t.Fatalf("%s: %v", chart, err)
			}
			if !bytes.HasPrefix(out, stream) || !strings.Contains(string(out[len(stream):]), "kind: Job") {
				t.Errorf("helm %d, %s: the output is not the input and the hook", major, chart)
			}
		}
	}
}

// TestHelm3NeverRunsTheHook guards against the worst this project could do.
// Under Helm 3 a hook that a post-renderer emits is created at install, as an
// ordinary object: the Job that deletes the CRDs would run at once. Told that it
// is Helm 4, the post-renderer fails; else what it adds is no hook.
func TestHelm3NeverRunsTheHook(t *testing.T) {
	l := newLab(t)
	runs := l.hookRuns()
	install := []string{
		"install", "arc", built.ARCChart(harness.ControllerChart),
		"--namespace", controllerNamespace, "--create-namespace", "--post-renderer", built.Postrender,
	}
	out, err := l.helm(3, append(install, "--post-renderer-args", "--helm", "--post-renderer-args", "4")...)
	if err == nil || !strings.Contains(out, "Helm 3") {
		t.Errorf("told Helm 4, helm 3 installed, or does not say why not:\n%s", out)
	}
	for _, o := range l.added() {
		if strings.Contains(o.Name, "arc-cleanup") {
			t.Errorf("%s was created at install", o)
		}
	}
	l.mustHelm(3, append(install, "--wait")...)
	l.awaitEnrolled("arc", controllerNamespace)
	for o := range l.everything() {
		if strings.Contains(o.Name, "arc-cleanup") && !strings.Contains(o.Name, "arc-cleanup-enrol") {
			t.Errorf("%s was created at install", o)
		}
	}
	if got := runs(); len(got) > 0 {
		t.Errorf("the hook ran at install: %v", got)
	}
}
