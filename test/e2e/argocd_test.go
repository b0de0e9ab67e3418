package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/test/cluster"
	"github.com/arc-cleanup/arc-cleanup/test/harness"
)

const argoNamespace = "argocd"

var applications = schema.GroupVersionResource{Group: "argoproj.io", Version: "v1alpha1", Resource: "applications"}

// argoManifests are what Argo CD's programs find in the cluster when they start.
const argoManifests = `
apiVersion: v1
kind: ConfigMap
metadata: {name: argocd-cm, namespace: argocd, labels: {app.kubernetes.io/name: argocd-cm, app.kubernetes.io/part-of: argocd}}
---
apiVersion: v1
kind: Secret
metadata: {name: argocd-secret, namespace: argocd, labels: {app.kubernetes.io/name: argocd-secret, app.kubernetes.io/part-of: argocd}}
---
apiVersion: argoproj.io/v1alpha1
kind: AppProject
metadata: {name: default, namespace: argocd}
spec:
  sourceRepos: ["*"]
  destinations: [{namespace: "*", server: "*"}]
  clusterResourceWhitelist: [{group: "*", kind: "*"}]
`

// An argo is a lab with Argo CD beside it: its repo server and its application controller.
type argo struct {
	deployer
	repository string // of the examples, by URL
	log        string // a file
}

// newArgo is what a test begins with that Argo CD is in. Its own objects are there before, as far as nothingLeft is
// concerned, and go with the test.
func newArgo(t *testing.T) *argo {
	t.Helper()
	program, err := cluster.Binary(t.Context(), "argocd", os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	crds, err := cluster.ArgoCDCRDs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	a := &argo{deployer: deployer{newLab(t), applications, argoNamespace}, log: filepath.Join(t.TempDir(), "argocd.log")}
	empty := a.before
	t.Cleanup(func() { a.before = empty })
	if err := a.createNamespace(argoNamespace); err != nil {
		t.Fatal(err)
	}
	// It stays for the next test, since a namespace takes long to go.
	empty[harness.Object{Resource: "namespaces", Name: argoNamespace}] = true
	a.createAll(append(crds, documents([]byte(argoManifests))...))
	a.before = a.everything()
	a.repository = a.commitExamples()
	a.start(program)
	return a
}

// commitExamples puts the examples' charts into a Git repository.
func (a *argo) commitExamples() string {
	a.Helper()
	root := a.exampleCharts()
	for _, args := range [][]string{
		{"init", "--quiet", "--initial-branch=main"},
		{"add", "."},
		{"-c", "user.name=test", "-c", "user.email=test@example.com", "commit", "--quiet", "--message=Examples"},
	} {
		git := exec.CommandContext(a.ctx, "git", args...)
		git.Dir = root
		git.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL="+os.DevNull, "GIT_CONFIG_NOSYSTEM=1")
		if out, err := git.CombinedOutput(); err != nil {
			a.Fatalf("git %s: %v\n%s", args[0], err, out)
		}
	}
	return "file://" + root
}

// start runs Argo CD until the test ends, with Helm 3 and a script that its own image has.
func (a *argo) start(program string) {
	a.Helper()
	dir := a.TempDir()
	if err := os.Symlink(a.helmCommand(3).Path, filepath.Join(dir, "helm")); err != nil {
		a.Fatal(err)
	}
	const script = "git-verify-wrapper.sh"
	files, err := cluster.ArgoCDFiles(a.ctx, "hack/"+script)
	if err != nil {
		a.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, script), files[0], 0o700); err != nil {
		a.Fatal(err)
	}
	log, err := os.Create(a.log)
	if err != nil {
		a.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(a.ctx))
	argocd := exec.CommandContext(ctx, program, "-namespace", argoNamespace)
	argocd.Cancel = func() error { return argocd.Process.Signal(os.Interrupt) }
	argocd.WaitDelay = 10 * time.Second
	argocd.Dir, argocd.Stdout, argocd.Stderr = dir, log, log
	argocd.Env = []string{
		"PATH=" + dir + string(filepath.ListSeparator) + os.Getenv("PATH"), "HOME=" + dir, "TMPDIR=" + dir,
		// The cluster that Argo CD is in is the one of the kubeconfig: a flag for its developers.
		"KUBECONFIG=" + a.Kubeconfig(), "ARGOCD_FAKE_IN_CLUSTER=true",
		"ARGOCD_GPG_ENABLED=false", "ARGOCD_ASK_PASS_SOCK=" + filepath.Join(dir, "ask"),
		// Argo CD takes a hook for done if it turns to the Application again before its cache has the hook
		// (argo-cd#29100). This is the time between two looks, in nanoseconds; the cache is late by 0.1 s or more.
		"WORKQUEUE_BASE_DELAY_NS=2000000000",
		// It misses changes while it learns of new CRDs. This is when it looks again, which is two minutes otherwise.
		"ARGOCD_RECONCILIATION_TIMEOUT=5s", "ARGOCD_RECONCILIATION_JITTER=0s",
	}
	if err := argocd.Start(); err != nil {
		a.Fatal(err)
	}
	a.Cleanup(func() {
		stop()
		_ = argocd.Wait() // it was interrupted
		_ = log.Close()
		if text, err := os.ReadFile(a.log); a.Failed() && err == nil {
			a.Logf("Argo CD:\n%s", text)
		}
	})
}

// example creates Applications of the example, as they are but for the repository, and what ARC needs here.
func (a *argo) example(names ...string) {
	a.Helper()
	for _, text := range documents(readExample(a.T, "argocd", "arc.yaml")) {
		o := &unstructured.Unstructured{}
		unmarshal(a.T, text, &o.Object)
		if !slices.Contains(names, o.GetName()) {
			continue
		}
		if o.GetNamespace() != argoNamespace {
			a.Fatalf("the example has an Application in %s", o.GetNamespace())
		}
		set := func(value any, fields ...string) {
			if err := unstructured.SetNestedField(o.Object, value, append([]string{"spec", "source"}, fields...)...); err != nil {
				a.Fatal(err)
			}
		}
		set(a.repository, "repoURL")
		if o.GetName() == "arc-runner-set" {
			var parameters []any
			for _, flag := range a.scaleSetValues("gha-runner-scale-set.") {
				if name, value, ok := strings.Cut(flag, "="); ok {
					parameters = append(parameters, map[string]any{"name": name, "value": value})
				}
			}
			set(parameters, "helm", "parameters")
		}
		a.create(o)
	}
}

func (a *argo) awaitHealthy(name string) *unstructured.Unstructured {
	a.Helper()
	var o *unstructured.Unstructured
	a.eventually("the Application "+name+" is synced and healthy", func() bool {
		o = a.object(name)
		sync, _, _ := unstructured.NestedString(o.Object, "status", "sync", "status")
		health, _, _ := unstructured.NestedString(o.Object, "status", "health", "status")
		return sync == "Synced" && health == "Healthy"
	})
	return o
}

// deletionError is what Argo CD says about a deletion that fails.
func (a *argo) deletionError(name string) string {
	a.Helper()
	conditions, _, _ := unstructured.NestedSlice(a.object(name).Object, "status", "conditions")
	for _, c := range conditions {
		if c := c.(map[string]any); c["type"] == "DeletionError" {
			return fmt.Sprint(c["message"])
		}
	}
	return ""
}

// TestArgoCD has Argo CD itself install the example, and delete it: first the controller, which has to wait, then the
// scale set.
func TestArgoCD(t *testing.T) {
	a := newArgo(t)
	runs := a.hookRuns()
	names := []string{"arc", "arc-runner-set"}
	a.example(names...)
	for _, name := range names {
		o := a.awaitHealthy(name)
		// By these Argo CD says that it has found PreDelete hooks.
		for _, want := range []string{"pre-delete-finalizer.argocd.argoproj.io", "pre-delete-finalizer.argocd.argoproj.io/cleanup"} {
			if !slices.Contains(o.GetFinalizers(), want) {
				t.Errorf("Application %s: no finalizer %s among %v", name, want, o.GetFinalizers())
			}
		}
		// And these are what it found besides.
		resources, _, _ := unstructured.NestedSlice(o.Object, "status", "resources")
		synced, _, _ := unstructured.NestedSlice(o.Object, "status", "operationState", "syncResult", "resources")
		if len(resources) == 0 || len(synced) == 0 {
			t.Errorf("Application %s: %d resources, %d of them synced", name, len(resources), len(synced))
		}
		for _, r := range slices.Concat(resources, synced) {
			if strings.Contains(fmt.Sprint(r.(map[string]any)["name"]), "arc-cleanup") {
				t.Errorf("Application %s: the hook is a resource like any other: %v", name, r)
			}
		}
	}
	a.awaitRunner(runnerNamespace)
	a.nothingOfTheHook()

	resources := a.resources("arc") // later, the hook is among them
	a.delete("arc")
	message := ""
	a.eventually("the controller's hook refuses", func() bool {
		message = a.deletionError("arc")
		return message != ""
	})
	if want := "PreDelete hook(s) failed: " + controllerNamespace + "/arc-arc-cleanup"; !strings.Contains(message, want) {
		t.Errorf("Argo CD says %q, want %q", message, want)
	}
	if said := a.verdicts(); !strings.Contains(said, "scale set arc-runner-set in namespace "+runnerNamespace+" is still installed") {
		t.Errorf("the hook says %q", said)
	}
	for _, o := range resources {
		if live, err := a.resourceOf(o).Get(a.ctx, o.GetName(), metav1.GetOptions{}); err != nil || live.GetDeletionTimestamp() != nil {
			t.Errorf("%s %s is being deleted, although the hook refuses: %v", o.GetKind(), o.GetName(), err)
		}
	}
	a.delete("arc-runner-set")
	a.awaitGone("arc-runner-set")
	a.awaitGone("arc")
	if got := runs(); got["arc-runner-set-arc-cleanup-scale-set"] < 1 || got["arc-arc-cleanup"] < 2 {
		t.Errorf("hooks ran that often: %v", got)
	}
	if !a.GitHub().Deregistered() {
		t.Error("still registered at GitHub")
	}
	a.nothingLeft()
}

// TestArgoCDWithoutCascade: Argo CD runs the hook even if the deletion is to keep everything else (argo-cd#27278). The off
// switch keeps the hook from doing anything.
func TestArgoCDWithoutCascade(t *testing.T) {
	a := newArgo(t)
	off := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "ConfigMap"}}
	off.SetNamespace(controllerNamespace)
	off.SetName("arc-cleanup-off")
	for _, switchedOff := range []bool{true, false} {
		if switchedOff {
			a.create(off)
		} else if err := a.resourceOf(off).Delete(a.ctx, off.GetName(), metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		runs := a.hookRuns()
		a.example("arc")
		o := a.awaitHealthy("arc")
		resources := a.resources("arc")
		o.SetFinalizers(slices.DeleteFunc(o.GetFinalizers(), func(f string) bool { return f == "resources-finalizer.argocd.argoproj.io" }))
		patch := fmt.Sprintf(`{"metadata":{"finalizers":%s}}`, asJSON(t, o.GetFinalizers()))
		_, err := a.dynamic.Resource(applications).Namespace(argoNamespace).Patch(a.ctx, "arc", types.MergePatchType, []byte(patch), metav1.PatchOptions{})
		if err != nil {
			t.Fatal(err)
		}
		a.delete("arc")
		a.awaitGone("arc")
		if got := runs(); got["arc-arc-cleanup"] < 1 {
			t.Errorf("off: %t: hooks ran that often: %v", switchedOff, got)
		}
		a.nothingOfTheHook()
		for _, o := range resources {
			live, err := a.resourceOf(o).Get(a.ctx, o.GetName(), metav1.GetOptions{})
			crd := o.GetKind() == "CustomResourceDefinition"
			if gone := apierrors.IsNotFound(err); gone != (crd && !switchedOff) || !gone && live.GetDeletionTimestamp() != nil {
				t.Errorf("off: %t: %s %s: %v", switchedOff, o.GetKind(), o.GetName(), err)
			}
		}
	}
}

// verdicts are what the controller's hook says in Events: Argo CD deletes a Job that failed, and its log with it.
func (a *argo) verdicts() string {
	a.Helper()
	events, err := a.client.CoreV1().Events(controllerNamespace).List(a.ctx, metav1.ListOptions{})
	if err != nil {
		a.Fatal(err)
	}
	var out strings.Builder
	for _, e := range events.Items {
		if e.Source.Component == "arc-cleanup" {
			fmt.Fprintln(&out, e.Message)
		}
	}
	return out.String()
}

// nothingOfTheHook waits until no object of the hook is there. Those that are there to stay fail it.
func (a *argo) nothingOfTheHook() {
	a.Helper()
	a.eventually("nothing of the hook is there", func() bool {
		return !slices.ContainsFunc(a.added(), func(o harness.Object) bool {
			return strings.Contains(o.Name, "arc-cleanup") && o.Name != "arc-cleanup-off"
		})
	})
}

// resources are what an Application has, as they are in the cluster.
func (a *argo) resources(name string) []*unstructured.Unstructured {
	a.Helper()
	list, _, _ := unstructured.NestedSlice(a.object(name).Object, "status", "resources")
	if len(list) == 0 {
		a.Fatalf("the Application %s has no resources", name)
	}
	var out []*unstructured.Unstructured
	for _, r := range list {
		r := r.(map[string]any)
		o := &unstructured.Unstructured{}
		group, _ := r["group"].(string)
		o.SetGroupVersionKind(schema.GroupVersionKind{Group: group, Version: r["version"].(string), Kind: r["kind"].(string)})
		namespace, _ := r["namespace"].(string)
		o.SetNamespace(namespace)
		live, err := a.resourceOf(o).Get(a.ctx, r["name"].(string), metav1.GetOptions{})
		if err != nil {
			a.Fatalf("%s %s is no longer there: %v", r["kind"], r["name"], err)
		}
		out = append(out, live)
	}
	return out
}
