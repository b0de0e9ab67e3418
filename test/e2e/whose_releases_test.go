package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/test/cluster/github"
	"github.com/arc-cleanup/arc-cleanup/test/harness"
)

// TestWhoseBusyRunner: a set with a job is left to its controller, and there is none.
// Its uninstall waits, and then refuses; the job over, what the refusal says to do
// uninstalls it.
func TestWhoseBusyRunner(t *testing.T) {
	l := newLab(t)
	l.installController()
	l.installScaleSet(4, via(4, "--set", "policy.budget=8s", "--set", "policy.grace=2s")...)
	pod := l.runnerPod(runnerNamespace)
	l.giveJob()
	l.mustHelm(4, "uninstall", "arc", "--namespace", controllerNamespace)
	l.controllerEnds()
	before := l.left()

	out, err := l.helm(4, "uninstall", "runners", "--namespace", runnerNamespace)
	if err == nil || strings.Contains(out, "done:") || strings.Contains(out, "done, ") || !strings.Contains(out, "runner "+pod.Name+" in namespace arc-runners is busy with job ") || !strings.Contains(out, " of acme/rocket (") {
		t.Errorf("%v\n%s", err, out)
	}
	l.stillRuns(pod, "a refused uninstall")
	after := l.left()
	for _, o := range before {
		if !slices.Contains(after, o) {
			t.Errorf("%s is gone", o)
		}
	}

	if err := l.KillPod(runnerNamespace, pod.Name, "runner"); err != nil {
		t.Fatal(err)
	}
	l.eventually("the job is over", func() bool {
		p, err := l.client.CoreV1().Pods(runnerNamespace).Get(l.ctx, pod.Name, metav1.GetOptions{})
		return err == nil && p.Status.Phase == corev1.PodFailed
	})
	l.GitHub().SetMode(github.OK)
	told := []string{"uninstall", "runners", "--namespace", runnerNamespace}
	if out, code := l.console("run", "--all-namespaces", "--yes"); code != 3 || !strings.Contains(out, "    helm "+strings.Join(told, " ")+"\n") {
		t.Errorf("a live set: exit code %d\n%s", code, out)
	}
	// The garbage collector does not know kinds which have just been installed, for half
	// a minute or more: until then this hook's time is too short for what listeners own.
	l.eventually("what it said to do uninstalls the set", func() bool {
		_, err := l.helm(4, told...)
		return err == nil
	})
	if left := l.left(); len(left) > 0 {
		t.Errorf("left:\n%s", lines(left))
	}
	if _, code := l.console("run", "--all-namespaces", "--yes"); code != 0 {
		t.Errorf("the CRDs: exit code %d", code)
	}
	l.nothingLeft()
}

// mixed is a chart with ARC's controller, a scale set and arc-cleanup, and values that
// give it no running controller.
func (l *lab) mixed() (chart string, values []string) {
	l.Helper()
	chart = l.umbrella()
	file := filepath.Join(chart, "Chart.yaml")
	text, err := os.ReadFile(file)
	if err != nil {
		l.Fatal(err)
	}
	text = fmt.Appendf(text, "  - {name: %s, version: 0.6.1, repository: \"file://%s\"}\n", harness.ScaleSetChart, built.ARCChart(harness.ScaleSetChart))
	if err := os.WriteFile(file, text, 0o600); err != nil {
		l.Fatal(err)
	}
	l.mustHelm(4, "dependency", "update", chart)
	return chart, append(l.scaleSetValues(harness.ScaleSetChart+"."), "--set", harness.ControllerChart+".image.repository=registry.invalid/none", "--set", "arc-cleanup.policy.grace=1s", "--set", "arc-cleanup.backoffLimit=0")
}

// TestWhoseMixedRelease: a release that holds the controller and a scale set ends in
// no state which Helm cannot uninstall. Each of Helm's processes knows nothing of the
// one before: what it remembers of kinds, it would not know the next day.
func TestWhoseMixedRelease(t *testing.T) {
	t.Parallel()
	for _, major := range []int{3, 4} {
		t.Run(fmt.Sprintf("helm%d", major), func(t *testing.T) {
			l := newLab(t)
			chart, values := l.mixed()
			fresh := func() { l.helmEnv = []string{"HOME=" + t.TempDir()} }
			uninstall := []string{"uninstall", "arc", "--namespace", controllerNamespace}
			install := func() {
				t.Helper()
				fresh()
				l.installAs(major, "arc", chart, controllerNamespace, values...)
			}

			// Somebody holds what belongs to the set.
			install()
			held := harness.Object{Resource: "roles", Namespace: controllerNamespace, Name: "held"}
			l.deletes(l.made(`
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: held
  namespace: ` + controllerNamespace + `
  labels: {actions.github.com/scale-set-name: arc, actions.github.com/scale-set-namespace: ` + controllerNamespace + `}
  finalizers: [actions.github.com/cleanup-protection, ` + foreignFinalizer + `]
`))
			fresh()
			out, err := l.helm(major, uninstall...)
			if err == nil || !strings.Contains(out, "left: roles.rbac.authorization.k8s.io/held in namespace arc-systems: held by finalizers which are not ARC's: "+foreignFinalizer) {
				t.Errorf("%v\n%s", err, out)
			}
			if names := l.arcCRDNames(); len(names) != 4 {
				t.Errorf("of the CRDs are left %q", names)
			}
			l.holds(held, false)
			fresh()
			l.mustHelm(major, uninstall...)
			l.nothingLeft()

			// Somebody has deleted the CRDs in the middle of it.
			install()
			l.setStatus("sh.helm.release.v1.arc.v1", "uninstalling")
			for _, name := range l.arcCRDNames() {
				if err := l.dynamic.Resource(crds).Delete(l.ctx, name, metav1.DeleteOptions{}); err != nil {
					t.Fatal(err)
				}
			}
			l.eventually("the CRDs are gone", func() bool {
				_, err := l.dynamic.Resource(crds).Get(l.ctx, "autoscalingrunnersets.actions.github.com", metav1.GetOptions{})
				return err != nil
			})
			fresh()
			if out, err = l.helm(major, uninstall...); err == nil || strings.Contains(out, "done:") {
				t.Errorf("%v\n%s", err, out)
			}
			fresh()
			l.asTold(major, out)
			l.nothingLeft()
		})
	}
}

// TestWhoseHeld: what others' finalizers hold is left, is named, and fails the run.
func TestWhoseHeld(t *testing.T) {
	l := newLab(t)
	l.installController()
	l.installScaleSet(4)
	roles, err := l.client.RbacV1().Roles(runnerNamespace).List(l.ctx, metav1.ListOptions{LabelSelector: "auto-scaling-listener-name"})
	if err != nil || len(roles.Items) != 1 {
		t.Fatalf("%d listeners' Roles, %v", len(roles.Items), err)
	}
	held := []harness.Object{
		{Resource: "roles", Namespace: runnerNamespace, Name: roles.Items[0].Name},
		{Resource: "secrets", Namespace: runnerNamespace, Name: "runners-gha-rs-github-secret"},
	}
	l.mustHelm(4, "uninstall", "arc", "--namespace", controllerNamespace)
	l.controllerEnds()
	for _, o := range held {
		l.holds(o, true)
	}
	l.mustHelm(4, "uninstall", "runners", "--namespace", runnerNamespace)

	out, code := l.console("run", "--all-namespaces", "--yes", "--grace", "2s")
	if code != 4 || strings.Contains(out, "nothing of ARC is left") {
		t.Errorf("exit code %d\n%s", code, out)
	}
	for _, o := range held {
		if !strings.Contains(out, "/"+o.Name+" in namespace "+o.Namespace+": held by finalizers which are not ARC's: "+foreignFinalizer) {
			t.Errorf("%s is not named:\n%s", o, out)
		}
		l.holds(o, false)
	}
	if _, code := l.console("run", "--all-namespaces", "--yes"); code != 0 {
		t.Errorf("held by nobody: exit code %d", code)
	}
	l.nothingLeft()
}

// TestWhoseCRDs: the CRDs stay for those who use, keep or manage them, and for nobody
// else.
func TestWhoseCRDs(t *testing.T) {
	l := newLab(t)
	l.mustHelm(4, slices.Concat([]string{"install", "arc", built.ARCChart(harness.ControllerChart), "--namespace", controllerNamespace}, via(4, "--set", "policy.crds=keep"), noImage)...)
	kept := func(what, out string, code int, says ...string) {
		t.Helper()
		if code != 0 {
			t.Errorf("%s: exit code %d\n%s", what, code, out)
		}
		for _, s := range says {
			if !strings.Contains(out, s) {
				t.Errorf("%s: not %q in\n%s", what, s, out)
			}
		}
		if names := l.arcCRDNames(); len(names) != 4 {
			t.Fatalf("%s: of the CRDs are left %q", what, names)
		}
	}

	// A release that there is not, where another one is.
	mistyped := []string{"--release", "acr", "--release-namespace", controllerNamespace}
	out, code := l.hookjob(append([]string{"plan"}, mistyped...)...)
	kept("a mistyped release", out, code, "Note: Helm has no record of release acr in namespace arc-systems.\n", "the controller arc-systems/arc-gha-rs-controller uses them")
	out, code = l.console(append([]string{"run", "--yes"}, mistyped...)...)
	kept("a mistyped release", out, code, "the controller arc-systems/arc-gha-rs-controller uses them")

	out = l.mustHelm(4, "uninstall", "arc", "--namespace", controllerNamespace)
	kept("policy.crds", out, 0, "kept autoscalinglisteners.actions.github.com, ", ": crds=keep")

	annotate := func(annotations string) {
		t.Helper()
		for _, name := range l.arcCRDNames() {
			if _, err := l.dynamic.Resource(crds).Patch(l.ctx, name, types.MergePatchType, []byte(`{"metadata":{"annotations":`+annotations+`}}`), metav1.PatchOptions{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	for annotations, says := range map[string]string{
		`{"helm.sh/resource-policy":"keep"}`:                                                   "its annotation helm.sh/resource-policy says keep",
		`{"meta.helm.sh/release-name":"arc-crds","meta.helm.sh/release-namespace":"platform"}`: "it is of the Helm release arc-crds in namespace platform",
	} {
		annotate(annotations)
		out, code := l.console("run", "--yes", "--release", "arc", "--release-namespace", controllerNamespace)
		kept(annotations, out, code, says)
		annotate(`{"helm.sh/resource-policy":null,"meta.helm.sh/release-name":null,"meta.helm.sh/release-namespace":null}`)
	}

	// Anybody who administers a namespace can make what looks like a controller.
	remove := l.lookalike()
	weaken := l.empower()
	out, code = l.console("run", "--all-namespaces", "--yes")
	kept("a controller", out, code, "the controller arc-runners/lookalike uses them")
	weaken()

	// A set that nobody's release has, and that no controller finishes.
	l.made(aScaleSet("loose", ""))
	out, code = l.console("run", "--all-namespaces", "--yes")
	if code != 3 {
		t.Errorf("a live set: exit code %d\n%s", code, out)
	}
	l.asTold(4, out)
	if out, code := l.console("run", "--all-namespaces", "--yes"); code != 0 || len(l.arcCRDNames()) > 0 {
		t.Errorf("what only looks like a controller: exit code %d\n%s", code, out)
	}
	remove()
	l.nothingLeft()
}

// TestWhoseSetsReleases: with policy.scaleSets=uninstall goes what belongs to scale
// sets, ARC's own ConfigMap too, and no history that was to be kept.
func TestWhoseSetsReleases(t *testing.T) {
	l := newLab(t)
	l.installController(via(4, "--set", "policy.scaleSets=uninstall")...)
	l.installScaleSet(3)
	l.mustHelm(3, "uninstall", "runners", "--namespace", runnerNamespace, "--keep-history")

	chart := t.TempDir()
	for file, text := range map[string]string{
		"Chart.yaml": fmt.Sprintf("apiVersion: v2\nname: kube\nversion: 1.0.0\ndependencies:\n  - {name: %s, version: 0.6.1, repository: \"file://%s\"}\n", harness.ScaleSetChart, built.ARCChart(harness.ScaleSetChart)),
		"templates/hook_extension.yaml": "apiVersion: v1\nkind: ConfigMap\n" +
			"metadata: {name: kube-hook-extension, labels: {actions.github.com/scale-set-name: kube, actions.github.com/scale-set-namespace: {{ .Release.Namespace }}}}\n",
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(chart, file)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(chart, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	l.mustHelm(3, "dependency", "update", chart)
	l.installAs(3, "kube", chart, runnerNamespace, l.scaleSetValues(harness.ScaleSetChart+".")...)

	if out := l.mustHelm(4, "uninstall", "arc", "--namespace", controllerNamespace); !strings.Contains(out, "1 configmap") {
		t.Errorf("the ConfigMap is not named:\n%s", out)
	}
	l.nothingLeft(harness.Object{Resource: "secrets", Namespace: runnerNamespace, Name: "sh.helm.release.v1.runners.v1"})
}

// TestWhoseHookIsElsewhere: the objects of the release are not in its namespace, and
// its hook is with them. What the refusal says uninstalls it.
func TestWhoseHookIsElsewhere(t *testing.T) {
	l := newLab(t)
	controller, _ := l.laterCharts()
	l.mustHelm(4, slices.Concat([]string{"install", "arc", controller, "--namespace", runnerNamespace, "--set", "namespaceOverride=" + controllerNamespace}, noImage)...)
	out, code := l.console("run", "--job", "arc-arc-cleanup", "--release-namespace", controllerNamespace)
	if code != 3 || !strings.Contains(out, "give the post-renderer --namespace=arc-runners") {
		t.Errorf("exit code %d\n%s", code, out)
	}
	if names := l.arcCRDNames(); len(names) != 4 {
		t.Errorf("of the CRDs are left %q", names)
	}
	l.asTold(4, out)
	l.nothingLeft()
}
