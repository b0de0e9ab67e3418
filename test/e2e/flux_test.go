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
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/test/cluster"
	"github.com/arc-cleanup/arc-cleanup/test/harness"
)

const (
	fluxNamespace    = "flux-system"
	recordsNamespace = "helm-records"
	fluxImage        = "ghcr.io/fluxcd/helm-controller"
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
	deployer
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
	f := &flux{deployer{newLab(t), helmReleases, fluxNamespace}}
	f.SetImage(fluxImage, cluster.Image{Commands: map[string]cluster.Program{"": {Path: program}}})
	empty := f.before
	t.Cleanup(func() {
		f.ctx = context.WithoutCancel(f.ctx)
		if t.Failed() {
			f.Logf("Flux:\n%s", f.log())
		}
		f.before = empty
	})
	for _, namespace := range []string{fluxNamespace, recordsNamespace} {
		if err := f.createNamespace(namespace); err != nil {
			t.Fatal(err)
		}
		// It stays for the next test, since a namespace takes long to go.
		empty[harness.Object{Resource: "namespaces", Name: namespace}] = true
	}
	f.createAll(append(crds, documents([]byte(fluxManifests))...))
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

// condition is the status, reason and message of a HelmRelease's condition.
func (f *flux) condition(name, kind string) (status, reason, message string) {
	f.Helper()
	o := f.object(name)
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

func (f *flux) patch(name, patch string) {
	f.Helper()
	_, err := f.dynamic.Resource(f.kind).Namespace(f.namespace).Patch(f.ctx, name, types.MergePatchType, []byte(patch), metav1.PatchOptions{})
	if err != nil {
		f.Fatal(err)
	}
}

// look has Flux look at a HelmRelease at once, and waits until it has.
func (f *flux) look(name string) {
	f.Helper()
	token := metav1.Now().Format(time.RFC3339Nano)
	f.patch(name, fmt.Sprintf(`{"metadata":{"annotations":{"reconcile.fluxcd.io/requestedAt":%q}}}`, token))
	f.eventually("Flux has looked at "+name, func() bool {
		handled, _, _ := unstructured.NestedString(f.object(name).Object, "status", "lastHandledReconcileAt")
		status, _, _ := f.condition(name, "Ready")
		return handled == token && status == "True"
	})
}

// revision is that of the newest record Flux knows of.
func (f *flux) revision(name string) int64 {
	f.Helper()
	history, _, _ := unstructured.NestedSlice(f.object(name).Object, "status", "history")
	if len(history) == 0 {
		f.Fatalf("%s has no history", name)
	}
	return history[0].(map[string]any)["version"].(int64)
}

// TestFlux has Flux itself install the example, with drift detection on, the records in
// flux-system and in a third namespace, and uninstall it: first the controller, which
// has to wait, then the scale set.
func TestFlux(t *testing.T) {
	f := newFlux(t)
	f.example(func(name string, spec map[string]any) {
		spec["driftDetection"] = map[string]any{"mode": "enabled"}
		if name == "arc-runner-set" {
			spec["storageNamespace"] = recordsNamespace
			spec["values"].(map[string]any)["arc-cleanup"] = map[string]any{"storageNamespace": recordsNamespace}
		}
	})
	f.awaitReady("arc")
	f.awaitReady("arc-runner-set")
	f.awaitRunner(runnerNamespace)
	for namespace, name := range map[string]string{fluxNamespace: "arc", recordsNamespace: "arc-runner-set"} {
		r := f.status(name).Releases
		if len(r) != 1 || r[0].StorageNamespace != namespace || r[0].Hook.State != "present" || !r[0].Uninstall.Ready && name != "arc" {
			t.Errorf("status of %s: %+v", name, r)
		}
		// Flux does not treat ARC's changes to its objects as drift.
		f.look(name)
		if drifted, reason, message := f.condition(name, "Drifted"); f.revision(name) != 1 || drifted != "False" {
			t.Errorf("%s: revision %d, drifted: %s %s %s", name, f.revision(name), drifted, reason, message)
		}
	}

	runs := f.hookRuns()
	f.delete("arc")
	message := ""
	f.eventually("the controller's hook refuses", func() bool {
		var reason string
		_, reason, message = f.condition("arc", "Released")
		return reason == "UninstallFailed"
	})
	t.Logf("Flux says: %s", message)
	f.delete("arc-runner-set")
	f.awaitGone("arc-runner-set")
	f.awaitGone("arc")
	if got := runs(); got["arc-runner-set-arc-cleanup-scale-set"] != 1 || got["arc-arc-cleanup"] < 2 {
		t.Errorf("hooks ran that often: %v", got)
	}
	if !f.GitHub().Deregistered() {
		t.Error("still registered at GitHub")
	}
	f.nothingLeft()
}

// TestFluxKeepsItsRecord: a release of Flux is not enrolled, since of a record that
// was edited Flux makes a revision without the edit.
func TestFluxKeepsItsRecord(t *testing.T) {
	f := newFlux(t)
	f.example(func(name string, spec map[string]any) {
		// The one case where the record is not elsewhere.
		spec["storageNamespace"] = spec["targetNamespace"]
		spec["values"].(map[string]any)["arc-cleanup"] = map[string]any{"enabled": false}
		spec["suspend"] = name != "arc"
	})
	f.awaitReady("arc")
	out, code := f.hookjob("enrol", "arc", "--namespace", controllerNamespace)
	if code != 3 || !strings.Contains(out, `belongs to Flux's HelmRelease "arc"`) {
		t.Errorf("exit code %d\n%s", code, out)
	}
	if r := f.status("arc").Releases[0]; r.Hook.State != "absent" || r.Uninstall.Ready || !slices.Contains(r.Uninstall.Do, "make arc-cleanup a dependency of its chart") {
		t.Errorf("status: %+v", r)
	}

	f.editRecord("sh.helm.release.v1.arc.v1", func(_ *corev1.Secret, body map[string]json.RawMessage) {
		body["hooks"] = asJSON(t, []any{map[string]any{
			"name": "edit", "kind": "ConfigMap", "path": "edit.yaml", "events": []string{"pre-delete"},
			"manifest": "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: edit\n",
		}})
	})
	if out := f.mustHelm(4, "get", "hooks", "arc", "--namespace", controllerNamespace); !strings.Contains(out, "name: edit") {
		t.Fatalf("the edit is not in the record:\n%s", out)
	}
	f.look("arc")
	if n := f.revision("arc"); n != 2 {
		t.Errorf("Flux leaves an edited record alone: revision %d", n)
	}
	if out := f.mustHelm(4, "get", "hooks", "arc", "--namespace", controllerNamespace); strings.Contains(out, "name: edit") {
		t.Errorf("the edit has stayed:\n%s", out)
	}

	// The way to the hook that is left: by the chart. The value is needed here, too.
	values := fmt.Sprintf(`{"spec":{"values":{"arc-cleanup":{"enabled":true,"storageNamespace":%q}}}}`, controllerNamespace)
	f.patch("arc", values)
	f.eventually("Flux has upgraded", func() bool { return f.revision("arc") == 3 })
	f.look("arc")
	if r := f.status("arc").Releases[0]; r.Hook.State != "present" || !r.Uninstall.Ready {
		t.Errorf("status: %+v", r)
	}
	for _, name := range []string{"arc-runner-set", "arc"} {
		f.delete(name)
		f.awaitGone(name)
	}
	f.nothingLeft()
}
