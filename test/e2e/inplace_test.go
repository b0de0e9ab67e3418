package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/arc-cleanup/arc-cleanup/test/cluster"
	"github.com/arc-cleanup/arc-cleanup/test/harness"
)

var autoscalingListeners = schema.GroupVersionResource{Group: "actions.github.com", Version: "v1alpha1", Resource: "autoscalinglisteners"}

// gateImage is the controller of test/gate: the one of ARC 0.6.1, which is what this cluster has, deletes
// scale sets of every other version.
const gateImage = "arc-cleanup.test/gate"

func buildGate(ctx context.Context, dir string) (cluster.Image, error) {
	path := filepath.Join(dir, "gate")
	build := exec.CommandContext(ctx, "go", "build", "-o", path, "../gate")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return cluster.Image{}, fmt.Errorf("building %s: %w\n%s", path, err, out)
	}
	return cluster.Image{Commands: map[string]cluster.Program{"/manager": {Path: path}}}, nil
}

// gateCharts are ARC's charts with another version, the controller of test/gate, and CRDs that say their
// minor version.
func gateCharts(t *testing.T, version string) (controller, scaleSet string) {
	t.Helper()
	dir := t.TempDir()
	minor := version[:strings.LastIndex(version, ".")]
	edit := func(file, pattern, with string) {
		t.Helper()
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		changed := regexp.MustCompile("(?m)"+pattern).ReplaceAllString(string(text), with)
		if changed == string(text) {
			t.Fatalf("%s has nothing like %s", file, pattern)
		}
		if err := os.WriteFile(file, []byte(changed), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, chart := range []string{harness.ControllerChart, harness.ScaleSetChart} {
		if err := os.CopyFS(filepath.Join(dir, chart), os.DirFS(built.ARCChart(chart))); err != nil {
			t.Fatal(err)
		}
		edit(filepath.Join(dir, chart, "Chart.yaml"), `^(version|appVersion): .*$`, "$1: \""+version+"\"")
	}
	controller, scaleSet = filepath.Join(dir, harness.ControllerChart), filepath.Join(dir, harness.ScaleSetChart)
	edit(filepath.Join(controller, "values.yaml"), `repository: .*$`, "repository: "+gateImage)
	crds, err := filepath.Glob(filepath.Join(controller, "crds", "*.yaml"))
	if err != nil || len(crds) != 4 {
		t.Fatalf("%d CRDs, %v", len(crds), err)
	}
	for _, crd := range crds {
		edit(crd, `^  annotations:$`, "  annotations:\n    "+next+": \""+minor+"\"")
		edit(crd, `^( +)openAPIV3Schema:$`, "${1}openAPIV3Schema:\n${1}  description: as of "+minor)
	}
	return controller, scaleSet
}

// gated is a lab with a controller of test/gate and a scale set.
type gated struct {
	*lab
	major  int
	set    *unstructured.Unstructured
	before arcReleases
	crds   map[string]any
}

func newGated(l *lab, major int, driver, version string) *gated {
	l.Helper()
	l.helmEnv = []string{"HELM_DRIVER=" + driver}
	controller, scaleSet := gateCharts(l.T, version)
	l.mustHelm(major, "install", "arc", controller, "--namespace", controllerNamespace, "--set", "podAnnotations.number=12345678901234567890")
	l.awaitController()
	args := slices.Concat([]string{"install", "runners", scaleSet, "--namespace", runnerNamespace}, l.scaleSetValues(""))
	if major == 4 {
		args = append(args, "--server-side=false") // its chart renders empty lists as null
	}
	l.mustHelm(major, args...)
	for name, namespace := range releaseNamespaces {
		if _, code := l.hookjob("enrol", name, "--namespace", namespace, "--set", "policy.grace=23s"); code != 0 {
			l.Fatalf("enrol: exit code %d", code)
		}
	}
	g := &gated{lab: l, major: major}
	l.eventually("the scale set has a runner and a listener", func() bool {
		pods, err := l.client.CoreV1().Pods(runnerNamespace).List(l.ctx, metav1.ListOptions{FieldSelector: "status.phase=Running"})
		return err == nil && len(pods.Items) == 1 && len(g.listeners()) == 1
	})
	g.set, g.before, g.crds = g.scaleSet(), l.arcReleases(major), g.crdsNow()
	return g
}

func (g *gated) scaleSet() *unstructured.Unstructured {
	g.Helper()
	sets, err := g.dynamic.Resource(autoscalingRunnerSets).Namespace(runnerNamespace).List(g.ctx, metav1.ListOptions{})
	if err != nil || len(sets.Items) != 1 {
		g.Fatalf("%d scale sets, %v", len(sets.Items), err)
	}
	return &sets.Items[0]
}

// listeners are the names and images of all listeners.
func (g *gated) listeners() (out []string) {
	g.Helper()
	all, err := g.dynamic.Resource(autoscalingListeners).List(g.ctx, metav1.ListOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		g.Fatal(err)
	}
	if err == nil {
		for _, l := range all.Items {
			image, _, _ := unstructured.NestedString(l.Object, "spec", "image")
			out = append(out, image)
		}
	}
	return out
}

// crdsNow is what the CRDs say, without what the API server adds.
func (g *gated) crdsNow() map[string]any {
	g.Helper()
	all, err := g.dynamic.Resource(customResourceDefinitions).List(g.ctx, metav1.ListOptions{})
	if err != nil {
		g.Fatal(err)
	}
	out := map[string]any{}
	for _, crd := range all.Items {
		if strings.HasSuffix(crd.GetName(), ".actions.github.com") {
			out[crd.GetName()] = []any{crd.GetLabels(), crd.GetAnnotations(), crd.Object["spec"]}
		}
	}
	return out
}

func (g *gated) deployment() *appsv1.Deployment {
	g.Helper()
	d, err := g.client.AppsV1().Deployments(controllerNamespace).Get(g.ctx, "arc-gha-rs-controller", metav1.GetOptions{})
	if err != nil {
		g.Fatal(err)
	}
	return d
}

// busyPod gives the runner a job and returns its Pod.
func (g *gated) busyPod() *corev1.Pod {
	g.Helper()
	pod, err := g.client.CoreV1().Pods(runnerNamespace).Get(g.ctx, g.giveJob().GetName(), metav1.GetOptions{})
	if err != nil {
		g.Fatal(err)
	}
	return pod
}

// is fails unless ARC has a version, in place: the same scale set with its id, the same values and hooks.
func (g *gated) is(version string) {
	g.Helper()
	set := g.scaleSet()
	const id = "runner-scale-set-id"
	if set.GetUID() != g.set.GetUID() || set.GetDeletionTimestamp() != nil || set.GetAnnotations()[id] != g.set.GetAnnotations()[id] {
		g.Errorf("the scale set is not the one it was: %v, %v", set.GetUID(), set.GetAnnotations())
	}
	if is := set.GetLabels()["app.kubernetes.io/version"]; is != version {
		g.Errorf("the scale set has the version %s", is)
	}
	now := g.arcReleases(g.major)
	for name, chart := range map[string]string{"arc": harness.ControllerChart, "runners": harness.ScaleSetChart} {
		if want := chart + "-" + version + " deployed"; now.charts[name] != want {
			g.Errorf("release %s is of %s, want %s", name, now.charts[name], want)
		}
	}
	if diff := cmp.Diff(g.before.values, now.values); diff != "" {
		g.Errorf("values (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(g.before.hooks, now.hooks); diff != "" {
		g.Errorf("hooks (-want +got):\n%s", diff)
	}
	g.awaitController()
	if diff := cmp.Diff([]string{gateImage + ":" + version}, g.listeners()); diff != "" {
		g.Errorf("listeners (-want +got):\n%s", diff)
	}
	if s := g.upgradeSecrets(); len(s) > 0 {
		g.Errorf("the state of the upgrade is left: %s", s[0].Name)
	}
}

// TestSwap goes over a minor version, killed in every step: with Helm 3 as soon as it is begun, with Helm 4 a
// moment later where Helm upgrades the controller, in the middle of it. A runner has a job all the time.
func TestSwap(t *testing.T) {
	t.Parallel()
	c := takeCluster(t)
	for _, test := range []struct {
		major        int
		driver, from string
		delay        time.Duration
	}{{3, "configmap", "0.12.1", 0}, {4, "secret", "0.13.1", 700 * time.Millisecond}} {
		t.Run(fmt.Sprintf("helm%d", test.major), func(t *testing.T) {
			g := newGated(newLabOn(t, c), test.major, test.driver, test.from)
			controller, scaleSet := gateCharts(t, "0.14.2")
			args := []string{"--chart", controller, "--scale-set-chart", scaleSet}
			pod := g.busyPod()

			out, code := g.upgraded(test.major, nil, append(args, "--dry-run")...)
			for _, want := range []string{
				"Way: freeze-and-swap, because from " + test.from[:4] + " to 0.14 this was seen to work", "busy ones run to the end of their job",
				"freeze ", "crds ", "upgrade ", "enrol ", "forward ", "listeners ", "forget ",
			} {
				if code != 7 || !strings.Contains(out, "\n"+want) && !strings.Contains(out, want) {
					t.Errorf("the plan (exit code %d) does not say %q", code, want)
				}
			}
			if diff := cmp.Diff(g.crds, g.crdsNow()); diff != "" || len(g.upgradeSecrets()) > 0 {
				t.Errorf("the dry run wrote: %s", diff)
			}

			killed, all := map[string]bool{}, map[string]bool{}
			for range 25 {
				step := ""
				out, code = g.upgraded(test.major, func(p *os.Process, s string) {
					all[s] = true
					if step == "" && !killed[s] {
						step = s
						if s == "upgrade "+controllerNamespace+"/arc" { // which takes longer than that
							time.Sleep(test.delay)
						}
						g.signal(p, syscall.SIGKILL)
					}
				}, append(args, "--yes")...)
				g.stillRuns(pod, "a kill in step "+step)
				if strings.Contains(out, "not-a-token") {
					t.Error("a secret is printed")
				}
				if step == "" || code != -1 {
					break
				}
				killed[step] = true
			}
			if code != 0 {
				t.Fatalf("the last run: exit code %d", code)
			}
			for step := range all {
				// The last one is over before it is killed.
				if !killed[step] && !strings.HasPrefix(step, "forget") {
					t.Errorf("it was never killed in step %s", step)
				}
			}
			g.is("0.14.2")
			g.stillRuns(pod, "the upgrade")
			for name, of := range g.crdsNow() {
				if text := fmt.Sprint(of); !strings.Contains(text, "as of 0.14") || strings.Contains(text, "as of "+test.from[:4]) {
					t.Errorf("the CRD %s is not the new one", name)
				}
			}
			if out, code = g.upgraded(test.major, nil, append(args, "--yes")...); code != 0 || !strings.Contains(out, "Nothing to do") {
				t.Errorf("once more: exit code %d", code)
			}
		})
	}
}

// TestSwapRefuses: a scale set that the new controller would delete stops the swap, before the first write or,
// if it is created after the plan, before the new controller starts. The way back leads to where it began.
func TestSwapRefuses(t *testing.T) {
	g := newGated(newLab(t), 4, "secret", "0.13.1")
	controller, scaleSet := gateCharts(t, "0.14.2")
	args := []string{"--yes", "--chart", controller, "--scale-set-chart", scaleSet}
	loose := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "actions.github.com/v1alpha1", "kind": "AutoscalingRunnerSet",
		"metadata": map[string]any{
			"name": "loose", "namespace": controllerNamespace, "labels": map[string]any{"app.kubernetes.io/version": "0.13.1"},
		},
		"spec": map[string]any{"template": map[string]any{"spec": map[string]any{"containers": []any{}}}},
	}}
	sets := g.dynamic.Resource(autoscalingRunnerSets)
	create := func() {
		if _, err := sets.Namespace(controllerNamespace).Create(g.ctx, loose, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	remove := func() {
		if err := sets.Namespace(controllerNamespace).Delete(g.ctx, "loose", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		g.eventually("the loose set is gone", func() bool {
			_, err := sets.Namespace(controllerNamespace).Get(g.ctx, "loose", metav1.GetOptions{})
			return apierrors.IsNotFound(err)
		})
	}
	create()
	out, code := g.upgraded(4, nil, args...)
	if code != 3 || !strings.Contains(out, "scale set loose in namespace arc-systems is of no release that is upgraded: the new controller would delete it") ||
		len(g.upgradeSecrets()) > 0 || *g.deployment().Spec.Replicas != 1 {
		t.Errorf("a loose set: exit code %d", code)
	}
	remove()

	out, code = g.upgraded(4, func(_ *os.Process, step string) {
		if strings.HasPrefix(step, "freeze") {
			create()
		}
	}, args...)
	if code != 1 || !strings.Contains(out, "scale set loose in namespace arc-systems was created after the upgrade was planned") || !strings.Contains(out, "--abort") {
		t.Errorf("a set after the plan: exit code %d", code)
	}
	if *g.deployment().Spec.Replicas != 0 {
		t.Error("and it started the controller")
	}
	if out, code = g.upgraded(4, nil, append(args, "--strategy", "reinstall")...); code != 3 || !strings.Contains(out, "has begun, and the controller is stopped") {
		t.Errorf("another strategy: exit code %d", code)
	}
	if _, code = g.upgraded(4, nil, "--abort", "--yes"); code != 0 {
		t.Errorf("abort: exit code %d", code)
	}
	kept, err := sets.Namespace(controllerNamespace).Get(g.ctx, "loose", metav1.GetOptions{})
	if err != nil || kept.GetDeletionTimestamp() != nil {
		t.Errorf("the loose set: %v", err)
	}
	remove() // the controller that runs again may have made a listener for it
	g.is("0.13.1")
	if out, code = g.upgraded(4, nil, "--abort", "--yes"); code != 3 || !strings.Contains(out, "no upgrade is under way") {
		t.Errorf("abort of nothing: exit code %d", code)
	}
}

// TestSwapAborts: wherever a swap stops before the new controller starts, --abort takes everything back, and
// the next try succeeds.
func TestSwapAborts(t *testing.T) {
	t.Parallel()
	c := takeCluster(t)
	for _, major := range []int{3, 4} {
		t.Run(fmt.Sprintf("helm%d", major), func(t *testing.T) {
			g := newGated(newLabOn(t, c), major, "secret", "0.13.1")
			controller, scaleSet := gateCharts(t, "0.14.2")
			args := []string{"--yes", "--chart", controller, "--scale-set-chart", scaleSet}
			pod := g.busyPod()
			for _, at := range []string{"crds", "upgrade", "enrol", "forward"} {
				stop := func(p *os.Process, step string) {
					if strings.HasPrefix(step, at+" ") {
						if at == "upgrade" {
							time.Sleep(200 * time.Millisecond) // Helm is in the middle of it
						}
						g.signal(p, syscall.SIGKILL)
					}
				}
				if _, code := g.upgraded(major, stop, args...); code != -1 {
					t.Fatalf("it was to be killed in step %s: exit code %d", at, code)
				}
				// The way back is killed, too.
				_, _ = g.upgraded(major, func(p *os.Process, step string) {
					if strings.HasPrefix(step, "restore-crds ") {
						g.signal(p, syscall.SIGKILL)
					}
				}, "--abort", "--yes")
				if _, code := g.upgraded(major, nil, "--abort", "--yes"); code != 0 {
					t.Fatalf("abort after step %s: exit code %d", at, code)
				}
				g.is("0.13.1")
				g.stillRuns(pod, "the abort after step "+at)
				if diff := cmp.Diff(g.crds, g.crdsNow()); diff != "" {
					t.Errorf("after step %s the CRDs are not what they were (-want +got):\n%s", at, diff)
				}
			}
			if _, code := g.upgraded(major, nil, args...); code != 0 {
				t.Fatalf("the upgrade after all that: exit code %d", code)
			}
			g.is("0.14.2")
			g.stillRuns(pod, "the upgrade")
		})
	}
}

// TestSwapOfABrokenController: a controller that does not come up deletes no scale set; the output
// says what helps, and there is no way back. With its cause removed, the upgrade goes on.
func TestSwapOfABrokenController(t *testing.T) {
	g := newGated(newLab(t), 4, "secret", "0.13.1")
	controller, scaleSet := gateCharts(t, "0.14.2")
	args := []string{"--yes", "--timeout", "10s", "--chart", controller, "--scale-set-chart", scaleSet}
	file := filepath.Join(controller, "templates", "deployment.yaml")
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(strings.Replace(string(good), `"/manager"`, `"/broken"`, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	out, code := g.upgraded(4, nil, args...)
	for _, want := range []string{
		"No scale set is deleted", "kubectl logs deployment/arc-gha-rs-controller --namespace arc-systems", "Do not run `helm rollback`",
	} {
		if code != 1 || !strings.Contains(out, want) {
			t.Errorf("exit code %d, want the words %q", code, want)
		}
	}
	if set := g.scaleSet(); set.GetUID() != g.set.GetUID() || set.GetDeletionTimestamp() != nil {
		t.Error("the scale set is not the one it was")
	}
	if out, code = g.upgraded(4, nil, "--abort", "--yes"); code != 3 || !strings.Contains(out, "the new controller may have started") {
		t.Errorf("abort: exit code %d", code)
	}
	if err := os.WriteFile(file, good, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, code = g.upgraded(4, nil, args...); code != 0 {
		t.Errorf("with a good chart: exit code %d", code)
	}
	g.is("0.14.2")
}

// TestUpgradeWithinAMinor: nothing is drained and nothing is made anew but the listener, which ARC would keep
// with its old image.
func TestUpgradeWithinAMinor(t *testing.T) {
	t.Parallel()
	c := takeCluster(t)
	for _, major := range []int{3, 4} {
		t.Run(fmt.Sprintf("helm%d", major), func(t *testing.T) {
			g := newGated(newLabOn(t, c), major, "secret", "0.14.1")
			controller, scaleSet := gateCharts(t, "0.14.2")
			args := []string{"--yes", "--chart", controller, "--scale-set-chart", scaleSet}
			pods, err := g.client.CoreV1().Pods(runnerNamespace).List(g.ctx, metav1.ListOptions{})
			if err != nil {
				t.Fatal(err)
			}
			_, code := g.upgraded(major, func(p *os.Process, step string) {
				if step == "enrol "+runnerNamespace+"/runners" {
					g.signal(p, syscall.SIGKILL)
				}
			}, args...)
			if code != -1 {
				t.Fatalf("it was to be killed: exit code %d", code)
			}
			out, code := g.upgraded(major, nil, args...)
			if code != 0 || !strings.Contains(out, `"way":"helm-upgrade"`) {
				t.Fatalf("exit code %d", code)
			}
			g.is("0.14.2")
			for i := range pods.Items {
				g.stillRuns(&pods.Items[i], "the upgrade")
			}
			if diff := cmp.Diff(g.crds, g.crdsNow()); diff != "" {
				t.Errorf("the CRDs (-want +got):\n%s", diff)
			}
		})
	}
}
