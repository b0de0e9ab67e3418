package e2e

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/test/cluster"
)

const (
	fluxNamespace = "flux-system"
	fluxImage     = "ghcr.io/fluxcd/helm-controller"
)

var (
	helmReleases = schema.GroupVersionResource{Group: "helm.toolkit.fluxcd.io", Version: "v2", Resource: "helmreleases"}
	helmCharts   = schema.GroupVersionResource{Group: "source.toolkit.fluxcd.io", Version: "v1", Resource: "helmcharts"}
)

// fluxManifests run Flux's helm-controller as Flux does, but for the ports, which
// would be those of this machine, and for its patience with what is not ready yet.
const fluxManifests = `
apiVersion: v1
kind: ServiceAccount
metadata: {name: helm-controller, namespace: flux-system}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: cluster-reconciler-flux-system}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}
subjects: [{kind: ServiceAccount, name: helm-controller, namespace: flux-system}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: helm-controller, namespace: flux-system}
spec:
  selector: {matchLabels: {app: helm-controller}}
  template:
    metadata: {labels: {app: helm-controller}}
    spec:
      serviceAccountName: helm-controller
      containers:
        - name: manager
          image: ghcr.io/fluxcd/helm-controller
          args:
            - --watch-all-namespaces
            - --log-level=info
            - --log-encoding=json
            - --metrics-addr=127.0.0.1:0
            - --health-addr=127.0.0.1:0
            - --requeue-dependency=1s
`

// A flux is a lab with Flux in it: the real helm-controller, and a stand-in for
// source-controller that has the charts of the examples.
type flux struct {
	*lab
}

// newFlux is what a test begins with that Flux is in. Flux is there before, as far as
// nothingLeft is concerned, and goes with the test.
func newFlux(t *testing.T) *flux {
	t.Helper()
	program, err := cluster.Binary(t.Context(), "helm-controller", os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	crds, err := cluster.FluxCRDs(t.Context(), os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	f := &flux{newLab(t)}
	f.SetImage(fluxImage, cluster.Image{Commands: map[string]cluster.Program{"": {Path: program}}})
	empty := f.before
	t.Cleanup(func() {
		if t.Failed() {
			f.Logf("Flux:\n%s", f.log())
		}
		f.before = empty
	})
	if err := f.createNamespace(fluxNamespace); err != nil {
		t.Fatal(err)
	}
	for _, text := range append(crds, documents([]byte(fluxManifests))...) {
		o := &unstructured.Unstructured{}
		unmarshal(t, text, &o.Object)
		f.create(o)
	}
	f.serveCharts()
	f.eventually("helm-controller runs", func() bool {
		d, err := f.client.AppsV1().Deployments(fluxNamespace).Get(f.ctx, "helm-controller", metav1.GetOptions{})
		return err == nil && d.Status.ReadyReplicas == 1
	})
	f.before = f.everything()
	return f
}

// log is what helm-controller said, and what it has on its objects.
func (f *flux) log() string {
	var out strings.Builder
	list, err := f.dynamic.Resource(helmReleases).List(f.ctx, metav1.ListOptions{})
	if err == nil {
		for _, r := range list.Items {
			status, _ := json.MarshalIndent(r.Object["status"], "", " ")
			fmt.Fprintf(&out, "%s: %s\n", r.GetName(), status)
		}
	}
	pods, err := f.client.CoreV1().Pods(fluxNamespace).List(f.ctx, metav1.ListOptions{LabelSelector: "app=helm-controller"})
	if err != nil {
		return err.Error()
	}
	for _, p := range pods.Items {
		log, err := f.client.CoreV1().Pods(fluxNamespace).GetLogs(p.Name, &corev1.PodLogOptions{}).DoRaw(f.ctx)
		fmt.Fprintf(&out, "%s (error: %v)\n", log, err)
	}
	return out.String()
}

// serveCharts does source-controller's part until the test ends: every HelmChart gets
// the archive of the chart that it names.
func (f *flux) serveCharts() {
	f.Helper()
	root, archives := f.exampleCharts(), f.TempDir()
	for _, name := range []string{"arc", "arc-runner-set"} {
		f.mustHelm(4, "package", filepath.Join(root, "examples", "charts", name), "--destination", archives)
	}
	server := httptest.NewServer(http.FileServer(http.Dir(archives)))
	ctx, cancel := context.WithCancel(context.WithoutCancel(f.ctx))
	var serving sync.WaitGroup
	serving.Go(func() {
		for ctx.Err() == nil {
			f.fetchCharts(ctx, archives, server.URL)
			time.Sleep(100 * time.Millisecond)
		}
	})
	f.Cleanup(func() {
		cancel()
		serving.Wait()
		server.Close()
	})
}

// fetchCharts tries only: what fails is tried again.
func (f *flux) fetchCharts(ctx context.Context, archives, url string) {
	charts, err := f.dynamic.Resource(helmCharts).List(ctx, metav1.ListOptions{})
	if err != nil {
		return
	}
	for _, chart := range charts.Items {
		observed, _, _ := unstructured.NestedInt64(chart.Object, "status", "observedGeneration")
		if observed == chart.GetGeneration() {
			continue
		}
		path, _, _ := unstructured.NestedString(chart.Object, "spec", "chart")
		file := filepath.Base(path) + "-1.0.0.tgz"
		archive, err := os.ReadFile(filepath.Join(archives, file))
		if err != nil {
			continue
		}
		now := metav1.Now().UTC().Format(time.RFC3339)
		chart.Object["status"] = map[string]any{
			"observedGeneration": chart.GetGeneration(),
			"conditions": []any{map[string]any{
				"type": "Ready", "status": "True", "reason": "ChartPackageSucceeded", "message": "packaged", "lastTransitionTime": now,
				"observedGeneration": chart.GetGeneration(),
			}},
			"artifact": map[string]any{
				"path": file, "url": url + "/" + file, "revision": "1.0.0", "lastUpdateTime": now,
				"digest": fmt.Sprintf("sha256:%x", sha256.Sum256(archive)), "size": int64(len(archive)),
			},
		}
		_, _ = f.dynamic.Resource(helmCharts).Namespace(chart.GetNamespace()).UpdateStatus(ctx, &chart, metav1.UpdateOptions{})
	}
}

// example creates the HelmReleases of the example, as they are but for what a change
// says of each. The GitRepository is source-controller's, and nobody's here.
func (f *flux) example(change func(name string, spec map[string]any)) {
	f.Helper()
	for _, text := range documents(readExample(f.T, "flux", "arc.yaml")) {
		o := &unstructured.Unstructured{}
		unmarshal(f.T, text, &o.Object)
		if o.GetKind() != "HelmRelease" {
			continue
		}
		if o.GetNamespace() != fluxNamespace {
			f.Fatalf("the example has a HelmRelease in %s", o.GetNamespace())
		}
		spec := o.Object["spec"].(map[string]any)
		if o.GetName() == "arc-runner-set" {
			for field, value := range map[string]any{
				"githubConfigUrl":    f.GitHub().ConfigURL(),
				"githubConfigSecret": map[string]any{"github_token": "not-a-token"},
				"minRunners":         int64(1),
				// Without these, ARC's chart 0.6.1 renders empty lists as null, which a server-side
				// apply refuses; Flux installs with one, and looks for drift with one.
				"template": map[string]any{"spec": map[string]any{
					"volumes": []any{map[string]any{"name": "scratch", "emptyDir": map[string]any{}}},
					"containers": []any{map[string]any{
						"name": "runner", "image": "ghcr.io/actions/actions-runner:latest", "command": []any{"/home/runner/run.sh"},
						"env":          []any{map[string]any{"name": "OF", "value": "flux"}},
						"volumeMounts": []any{map[string]any{"name": "scratch", "mountPath": "/scratch"}},
					}},
				}},
			} {
				if err := unstructured.SetNestedField(spec, value, "values", "gha-runner-scale-set", field); err != nil {
					f.Fatal(err)
				}
			}
		}
		if change != nil {
			change(o.GetName(), spec)
		}
		f.create(o)
	}
}

// release is a HelmRelease; nil when it is gone.
func (f *flux) release(name string) *unstructured.Unstructured {
	f.Helper()
	o, err := f.dynamic.Resource(helmReleases).Namespace(fluxNamespace).Get(f.ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		f.Fatal(err)
	}
	return o
}

// condition is the status, reason and message of a HelmRelease's condition.
func (f *flux) condition(name, kind string) (status, reason, message string) {
	f.Helper()
	o := f.release(name)
	if o == nil {
		return "", "", ""
	}
	all, _, _ := unstructured.NestedSlice(o.Object, "status", "conditions")
	for _, c := range all {
		if c := c.(map[string]any); c["type"] == kind {
			return fmt.Sprint(c["status"]), fmt.Sprint(c["reason"]), fmt.Sprint(c["message"])
		}
	}
	return "", "", ""
}

func (f *flux) awaitReady(name string) {
	f.Helper()
	f.eventually("the HelmRelease "+name+" is ready", func() bool {
		status, _, _ := f.condition(name, "Ready")
		return status == "True"
	})
}

func (f *flux) delete(name string) {
	f.Helper()
	if err := f.dynamic.Resource(helmReleases).Namespace(fluxNamespace).Delete(f.ctx, name, metav1.DeleteOptions{}); err != nil {
		f.Fatal(err)
	}
}

func (f *flux) awaitGone(name string) {
	f.Helper()
	start := time.Now()
	f.eventually("the HelmRelease "+name+" is gone", func() bool { return f.release(name) == nil })
	f.Logf("the HelmRelease %s is gone after %.1fs", name, time.Since(start).Seconds())
}

// look has Flux look at a HelmRelease at once, and waits until it has.
func (f *flux) look(name string) {
	f.Helper()
	token := metav1.Now().Format(time.RFC3339Nano)
	patch := fmt.Sprintf(`{"metadata":{"annotations":{"reconcile.fluxcd.io/requestedAt":%q}}}`, token)
	if _, err := f.dynamic.Resource(helmReleases).Namespace(fluxNamespace).Patch(f.ctx, name, types.MergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
		f.Fatal(err)
	}
	f.eventually("Flux has looked at "+name, func() bool {
		handled, _, _ := unstructured.NestedString(f.release(name).Object, "status", "lastHandledReconcileAt")
		status, _, _ := f.condition(name, "Ready")
		return handled == token && status == "True"
	})
}

// revision is that of the newest record Flux knows of.
func (f *flux) revision(name string) int64 {
	f.Helper()
	history, _, _ := unstructured.NestedSlice(f.release(name).Object, "status", "history")
	if len(history) == 0 {
		f.Fatalf("%s has no history", name)
	}
	return history[0].(map[string]any)["version"].(int64)
}

// said is whether helm-controller said something in its log.
func (f *flux) said(what string) bool {
	f.Helper()
	return strings.Contains(f.log(), what)
}

// TestFlux has Flux itself install the example, with its record in flux-system and drift
// detection on, and deletes both HelmReleases at once.
func TestFlux(t *testing.T) {
	f := newFlux(t)
	f.example(func(_ string, spec map[string]any) {
		spec["driftDetection"] = map[string]any{"mode": "enabled"}
	})
	f.awaitReady("arc")
	f.awaitReady("arc-runner-set")
	f.awaitRunner(runnerNamespace)
	for _, name := range []string{"sh.helm.release.v1.arc.v1", "sh.helm.release.v1.arc-runner-set.v1"} {
		if _, err := f.client.CoreV1().Secrets(fluxNamespace).Get(f.ctx, name, metav1.GetOptions{}); err != nil {
			t.Errorf("Helm's record: %v", err)
		}
	}
	for _, r := range f.status("arc", "arc-runner-set").Releases {
		t.Logf("status: %+v", r)
	}

	// What ARC and we do to ARC's objects is no drift to Flux.
	for _, name := range []string{"arc", "arc-runner-set"} {
		f.look(name)
		if n := f.revision(name); n != 1 {
			t.Errorf("%s has revision %d", name, n)
		}
	}
	if f.said("drift") {
		t.Error("Flux sees drift")
	}

	runs := f.hookRuns()
	f.delete("arc")
	f.eventually("the controller's hook refuses", func() bool {
		_, reason, message := f.condition("arc", "Released")
		if reason == "UninstallFailed" {
			t.Log(message)
		}
		return reason == "UninstallFailed"
	})
	f.delete("arc-runner-set")
	f.awaitGone("arc-runner-set")
	f.awaitGone("arc")
	t.Logf("runs: %v", runs())
	if !f.GitHub().Deregistered() {
		t.Error("still registered at GitHub")
	}
	f.nothingLeft()
	t.Log(f.log())
}
