package e2e

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/arc-cleanup/arc-cleanup/test/cluster/github"
	"github.com/arc-cleanup/arc-cleanup/test/harness"
)

// The shapes in which releases of ARC are found in the field: each is installed and
// uninstalled, and nothing is left.

// laterCharts are ARC's charts with what later versions brought: namespaceOverride
// (0.11) and underscores in the names of scale sets, which objects have as dashes and
// labels keep (0.13).
func (l *lab) laterCharts() (controller, scaleSet string) {
	l.Helper()
	dir := l.TempDir()
	for _, chart := range []string{harness.ControllerChart, harness.ScaleSetChart} {
		source := os.DirFS(built.ARCChart(chart))
		err := fs.WalkDir(source, ".", func(path string, e fs.DirEntry, err error) error {
			to := filepath.Join(dir, chart, path)
			if err != nil || e.IsDir() {
				return os.MkdirAll(to, 0o700)
			}
			text, err := fs.ReadFile(source, path)
			if err != nil {
				return err
			}
			later := string(text)
			if strings.HasPrefix(path, "templates/") {
				later = strings.NewReplacer(
					".Release.Namespace", "(.Values.namespaceOverride | default .Release.Namespace)",
					`(include "gha-runner-scale-set.scale-set-name" .) $name |`, `(include "gha-runner-scale-set.scale-set-name" . | replace "_" "-") $name |`,
					"  name: {{ include \"gha-runner-scale-set.scale-set-name\" . }}\n", "  name: {{ include \"gha-runner-scale-set.scale-set-name\" . | replace \"_\" \"-\" }}\n",
				).Replace(later)
			}
			return os.WriteFile(to, []byte(later), 0o600)
		})
		if err != nil {
			l.Fatal(err)
		}
	}
	return filepath.Join(dir, harness.ControllerChart), filepath.Join(dir, harness.ScaleSetChart)
}

// via are the arguments which put the hook into a release, with arguments of the
// post-renderer.
func via(major int, args ...string) []string {
	out := viaPostRenderer
	if major == 3 {
		out = viaHelm3()
	}
	for _, a := range args {
		out = append(slices.Clone(out), "--post-renderer-args", a)
	}
	return out
}

// installAs installs a chart with the hook, and waits until a Helm 3's is in the
// record.
func (l *lab) installAs(major int, release, chart, namespace string, args ...string) {
	l.Helper()
	if major == 4 {
		args = append(args, "--server-side=false") // see installScaleSet
	}
	l.mustHelm(major, slices.Concat([]string{"install", release, chart, "--namespace", namespace, "--create-namespace"}, args)...)
	if major == 3 && slices.Contains(args, "--post-renderer") {
		l.awaitEnrolled(release, namespace)
	}
}

// TestNamespaceOverride: objects elsewhere than the release. Whoever says where the
// release is has a hook that works; where what is known differs, it has to be said.
func TestNamespaceOverride(t *testing.T) {
	t.Parallel()
	const platform = "platform"
	for _, major := range []int{3, 4} {
		t.Run(fmt.Sprintf("helm%d", major), func(t *testing.T) {
			l := newLab(t)
			controller, scaleSet := l.laterCharts()
			l.helmEnv = []string{"HELM_NAMESPACE=" + platform}
			log := filepath.Join(t.TempDir(), "log")
			l.helmEnv = append(l.helmEnv, "ARC_CLEANUP_LOG_FILE="+log)
			install := slices.Concat([]string{"install", "arc", controller, "--create-namespace", "--set", "namespaceOverride=" + controllerNamespace}, via(major))
			if _, err := l.helm(major, install...); err == nil {
				t.Error("installed, though nobody knows where the release is")
			}
			if text, err := os.ReadFile(log); err != nil || !strings.Contains(string(text), "name arc-systems, platform, as with namespaceOverride; give --namespace") {
				t.Errorf("the post-renderer does not say why: %v\n%s", err, text)
			}
			l.helmEnv = nil

			runs := l.hookRuns()
			l.installAs(major, "arc", controller, platform, append(via(major, "--namespace", platform), "--set", "namespaceOverride="+controllerNamespace)...)
			l.awaitController()
			l.installAs(major, "runners", scaleSet, platform, slices.Concat(l.scaleSetValues(""), via(major, "--namespace", platform), []string{"--set", "namespaceOverride=" + runnerNamespace})...)
			l.awaitRunner(runnerNamespace)

			// The set is live, and in another namespace than its release.
			if out, err := l.helm(major, "uninstall", "arc", "--namespace", platform); err == nil || !strings.Contains(out, "scale set runners in namespace arc-runners") {
				t.Errorf("a live set is not in the way: %v", err)
			}
			l.mustHelm(major, "uninstall", "runners", "--namespace", platform)
			if !l.GitHub().Deregistered() {
				t.Error("still registered at GitHub")
			}
			l.mustHelm(major, "uninstall", "arc", "--namespace", platform)
			if got := runs(); got["arc-arc-cleanup"] != 2 || got["runners-arc-cleanup-scale-set"] != 1 {
				t.Errorf("hooks ran that often: %v", got)
			}
			l.nothingLeft()
		})
	}
}

// TestNamespaceOverrideWithoutController: a set elsewhere than its release, that no
// controller helps, does not end in "nothing is left".
func TestNamespaceOverrideWithoutController(t *testing.T) {
	l := newLab(t)
	_, scaleSet := l.laterCharts()
	l.installController()
	l.installAs(4, "runners", scaleSet, "platform", slices.Concat(l.scaleSetValues(""), via(4, "--namespace", "platform"), []string{"--set", "namespaceOverride=" + runnerNamespace})...)
	l.awaitRunner(runnerNamespace)
	l.mustHelm(4, "uninstall", "arc", "--namespace", controllerNamespace)
	l.eventually("the controller is gone", func() bool { // its listener runs on
		pods, err := l.client.CoreV1().Pods(controllerNamespace).List(l.ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/part-of=gha-rs-controller"})
		return err == nil && len(pods.Items) == 0
	})
	l.mustHelm(4, "uninstall", "runners", "--namespace", "platform")
	l.eventually("nothing is left where the set was", func() bool {
		return !slices.ContainsFunc(l.added(), func(o harness.Object) bool { return o.Namespace == runnerNamespace })
	})
	if _, code := l.hookjob("run", "--all-namespaces", "--yes"); code != 0 {
		t.Errorf("by hand: exit code %d", code)
	}
	l.nothingLeft()
}

// TestSeveralControllers: one release with two controllers, each of which watches one
// namespace. Scale sets of both are in the way, and what hangs of both is freed.
func TestSeveralControllers(t *testing.T) {
	l := newLab(t)
	umbrella := l.TempDir()
	chart := fmt.Sprintf(`apiVersion: v2
name: arc
version: 1.0.0
dependencies:
  - {name: %[1]s, alias: a, version: 0.6.1, repository: "file://%[2]s"}
  - {name: %[1]s, alias: b, version: 0.6.1, repository: "file://%[2]s"}
`, harness.ControllerChart, built.ARCChart(harness.ControllerChart))
	if err := os.WriteFile(filepath.Join(umbrella, "Chart.yaml"), []byte(chart), 0o600); err != nil {
		t.Fatal(err)
	}
	l.mustHelm(4, "dependency", "build", umbrella)
	args := append(via(4, "--set", "policy.grace=5s"), "--set", "a.fullnameOverride=for-a,a.flags.watchSingleNamespace=team-a,b.fullnameOverride=for-b,b.flags.watchSingleNamespace=team-b")
	for _, team := range []string{"team-a", "team-b"} {
		if err := l.createNamespace(team); err != nil {
			t.Fatal(err)
		}
	}
	l.installAs(4, "arc", umbrella, controllerNamespace, args...)
	for team, controller := range map[string]string{"team-a": "for-a", "team-b": "for-b"} {
		l.installAs(4, "runners", built.ARCChart(harness.ScaleSetChart), team, append(l.scaleSetValues(""),
			"--set", "controllerServiceAccount.name="+controller, "--set", "runnerScaleSetName="+team)...)
		l.awaitRunner(team)
	}

	out, err := l.helm(4, "uninstall", "arc", "--namespace", controllerNamespace)
	for _, team := range []string{"team-a", "team-b"} {
		if err == nil || !strings.Contains(out, "scale set "+team+" in namespace "+team) {
			t.Errorf("the live set of %s is not in the way: %v", team, err)
		}
	}
	l.GitHub().SetMode(github.Down)
	for _, team := range []string{"team-a", "team-b"} {
		l.mustHelm(4, "uninstall", "runners", "--namespace", team)
	}
	l.mustHelm(4, "uninstall", "arc", "--namespace", controllerNamespace)
	l.nothingLeft()
}

// TestStoredElsewhere: Helm's record is in another namespace than the release, where
// Flux keeps it.
func TestStoredElsewhere(t *testing.T) {
	const storage = "flux-system"
	l := newLab(t)
	if err := l.createNamespace(storage); err != nil {
		t.Fatal(err)
	}
	umbrella := l.umbrella()
	l.mustHelm(3, "install", "arc", umbrella, "--namespace", controllerNamespace, "--set", "arc-cleanup.storageNamespace="+storage)
	l.awaitController()
	l.installScaleSet(3)

	// As Flux has it from the beginning.
	records := l.client.CoreV1().Secrets(controllerNamespace)
	record, err := records.Get(l.ctx, "sh.helm.release.v1.arc.v1", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := records.Delete(l.ctx, record.Name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	record.ObjectMeta = metav1.ObjectMeta{Name: record.Name, Labels: record.Labels}
	if _, err := l.client.CoreV1().Secrets(storage).Create(l.ctx, record, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}

	if _, err := l.helm(3, "uninstall", "arc", "--namespace", storage); err == nil {
		t.Error("a live set is not in the way")
	}
	if verdicts := l.verdicts(); !strings.Contains(verdicts, "scale set runners in namespace arc-runners") {
		t.Errorf("no Event names the live set:\n%s", verdicts)
	}
	l.mustHelm(3, "uninstall", "runners", "--namespace", runnerNamespace)
	l.mustHelm(3, "uninstall", "arc", "--namespace", storage)
	// Without hook-output-log-policy, over which Flux panics, Helm prints no verdict.
	if verdicts := l.verdicts(); !strings.Contains(verdicts, "done: nothing of ARC is left") {
		t.Errorf("no Event has the hook's verdict:\n%s", verdicts)
	}
	l.nothingLeft()
}

// verdicts are the Events that hooks have left in the controller's namespace.
func (l *lab) verdicts() string {
	l.Helper()
	events, err := l.client.CoreV1().Events(controllerNamespace).List(l.ctx, metav1.ListOptions{})
	if err != nil {
		l.Fatal(err)
	}
	var found strings.Builder
	for _, e := range events.Items {
		if strings.HasPrefix(e.Reason, "Cleanup") {
			fmt.Fprintln(&found, e.Message)
		}
	}
	return found.String()
}

// TestUnderscore: a set's objects have its name with dashes, and their labels with
// underscores. What a busy runner needs stays until its job is over.
func TestUnderscore(t *testing.T) {
	l := newLab(t)
	_, scaleSet := l.laterCharts()
	l.installController(viaPostRenderer...)
	l.installAs(4, "linux", scaleSet, runnerNamespace, slices.Concat(l.scaleSetValues(""), via(4), []string{"--set", "runnerScaleSetName=linux_x64"})...)
	l.awaitRunner(runnerNamespace)
	runner := l.giveJob()
	needed := func() (names []string) {
		for o := range l.everything() {
			if o.Namespace == runnerNamespace && strings.HasPrefix(o.Name, "linux-x64-gha-rs-") {
				names = append(names, o.String())
			}
		}
		slices.Sort(names)
		return names
	}
	before := needed()
	if len(before) != 4 {
		t.Fatalf("the chart made %v", before)
	}

	if out := l.mustHelm(4, "uninstall", "linux", "--namespace", runnerNamespace); !strings.Contains(out, "busy with job") {
		t.Errorf("the terminal does not name the job:\n%s", out)
	}
	if after := needed(); !slices.Equal(before, after) {
		t.Errorf("under the job went %v and stayed %v", before, after)
	}
	l.GitHub().SetMode(github.OK)
	if err := l.KillPod(runnerNamespace, runner.GetName(), "runner"); err != nil {
		t.Fatal(err)
	}
	l.eventually("the controller finishes the set", func() bool { return len(needed()) == 0 })
	l.mustHelm(4, "uninstall", "arc", "--namespace", controllerNamespace)
	l.nothingLeft()
}

// TestForeignLabels: the usual labels of ARC name other software. arc-cleanup recognises the controller all the
// same, in the stream and in the cluster.
func TestForeignLabels(t *testing.T) {
	t.Parallel()
	for _, major := range []int{3, 4} {
		t.Run(fmt.Sprintf("helm%d", major), func(t *testing.T) {
			l := newLab(t)
			labels := []string{"--set", `labels.app\.kubernetes\.io/part-of=build-platform`}
			l.installAs(major, "arc", built.ARCChart(harness.ControllerChart), controllerNamespace, append(via(major), labels...)...)
			l.awaitController()
			l.installAs(major, "runners", built.ARCChart(harness.ScaleSetChart), runnerNamespace, append(l.scaleSetValues(""), via(major)...)...)
			l.awaitRunner(runnerNamespace)
			if out := l.mustHelm(major, "uninstall", "runners", "--namespace", runnerNamespace); strings.Contains(out, "still registered") || !l.GitHub().Deregistered() {
				t.Errorf("a running controller was taken for absent:\n%s", out)
			}
			if out := l.mustHelm(major, "uninstall", "arc", "--namespace", controllerNamespace); !strings.Contains(out, "done: nothing of ARC is left") {
				t.Errorf("no hook, or not all of it:\n%s", out)
			}
			l.nothingLeft()
		})
	}
}

// TestReleaseNames: what Helm takes for a release's name gives hooks with valid names,
// and no two of a namespace the same.
func TestReleaseNames(t *testing.T) {
	t.Parallel()
	const dots = "ci-runners-eu-west-1-production-blue-build-platfor.a1"
	for _, major := range []int{3, 4} {
		t.Run(fmt.Sprintf("helm%d", major), func(t *testing.T) {
			l := newLab(t)
			runs := l.hookRuns()
			l.installAs(major, dots, built.ARCChart(harness.ControllerChart), controllerNamespace, append(via(major), "--set", "fullnameOverride=arc-gha-rs-controller")...)
			l.awaitController()
			// A scale set with the name that the controller's release has to the hook.
			l.installAs(major, "ci", built.ARCChart(harness.ScaleSetChart), controllerNamespace, slices.Concat(l.scaleSetValues(""), via(major), []string{"--set", "runnerScaleSetName=ci-runners"})...)
			l.awaitRunner(controllerNamespace)
			l.mustHelm(major, "uninstall", "ci", "--namespace", controllerNamespace)
			l.mustHelm(major, "uninstall", dots, "--namespace", controllerNamespace)
			if got := runs(); len(got) != 2 || got["ci-runners-arc-cleanup-scale-set"] != 1 {
				t.Errorf("hooks ran that often: %v", got)
			}
			l.nothingLeft()
		})
	}
}
