package e2e

import (
	"fmt"
	"net/http"
	"path"
	"strings"
	"sync"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/arc-cleanup/arc-cleanup/test/cluster"
	"github.com/arc-cleanup/arc-cleanup/test/harness"
)

// TestWhoseLastLook: right before the deletion of the CRDs, the uninstall was taken back, or another
// controller has come. The CRDs stay.
func TestWhoseLastLook(t *testing.T) {
	const recorded = "sh.helm.release.v1.arc.v1"
	l := newLab(t)
	l.mustHelm(4, append([]string{"install", "arc", built.ARCChart(harness.ControllerChart), "--namespace", controllerNamespace}, noImage...)...)
	run := func(change func()) (string, int) {
		t.Helper()
		l.setStatus(recorded, "uninstalling")
		l.deletes(l.made(aRunner("r", "")))
		var once sync.Once
		gateway := l.gateway(func(r *http.Request) {
			if r.Method == http.MethodPatch && strings.Contains(r.URL.Path, "/ephemeralrunners/") {
				once.Do(change)
			}
		})
		return l.console("run", "--yes", "--kubeconfig", gateway, "--release", "arc", "--release-namespace", controllerNamespace, "--require-uninstalling", "--grace", "5s")
	}
	for _, c := range []struct {
		name   string
		change func() (undo func())
		code   int
		says   string
	}{
		{"the uninstall is taken back", func() func() {
			l.setStatus(recorded, "deployed")
			return func() {}
		}, 3, "release arc in namespace arc-systems is deployed: Helm is not uninstalling it"},
		{"another controller", func() func() {
			weaken := l.empower()
			remove := l.lookalike()
			return func() { remove(); weaken() }
		}, 0, "the controller arc-runners/lookalike uses them"},
		{"another scale set", func() func() {
			set := l.made(strings.Replace(aScaleSet("new", ""), "finalizers: [autoscalingrunnerset.actions.github.com/finalizer]", "", 1))
			return func() { l.deletes(set) }
		}, 3, "scale set new in namespace arc-runners is still installed"},
	} {
		undo := func() { t.Errorf("%s: no runner was patched", c.name) }
		out, code := run(func() { undo = c.change() })
		if code != c.code || !strings.Contains(out, c.says) {
			t.Errorf("%s: exit code %d, want %d and %q\n%s", c.name, code, c.code, c.says, out)
		}
		if names := l.arcCRDNames(); len(names) != 4 {
			t.Fatalf("%s: of the CRDs are left %q\n%s", c.name, names, out)
		}
		undo()
	}
	if out, code := run(func() {}); code != 0 || len(l.arcCRDNames()) > 0 {
		t.Errorf("nothing changes: exit code %d\n%s", code, out)
	}
	l.mustHelm(4, "uninstall", "arc", "--namespace", controllerNamespace)
	l.nothingLeft()
}

// TestWhoseOrphan: a runner that starts while the survey is taken has a Pod and a
// Secret. Neither is deleted as long as it is there.
func TestWhoseOrphan(t *testing.T) {
	l := newLab(t)
	l.arcCRDs(func(*unstructured.Unstructured) {})
	l.made(aScaleSet("set", `, annotations: {meta.helm.sh/release-name: gpu, meta.helm.sh/release-namespace: `+runnerNamespace+`}`))
	const labels = `, labels: {actions.github.com/scale-set-name: set, actions.github.com/scale-set-namespace: ` + runnerNamespace + `}`
	start := func() {
		runner := l.made(aRunner("new", labels))
		owned := fmt.Sprintf(`metadata: {name: new, namespace: %s, ownerReferences: [{apiVersion: actions.github.com/v1alpha1, kind: EphemeralRunner, name: new, uid: %s, controller: true, blockOwnerDeletion: true}]%s}`,
			runnerNamespace, runner.GetUID(), labels)
		l.made("apiVersion: v1\nkind: Secret\n" + owned)
		l.made("apiVersion: v1\nkind: Pod\n" + owned + "\nspec: {terminationGracePeriodSeconds: 0, containers: [{name: runner, image: ghcr.io/actions/actions-runner, command: [/home/runner/run.sh]}]}")
	}
	var (
		once       sync.Once
		listedOnce sync.Once
		listed     = make(chan bool)
		started    bool
	)
	gateway := l.gateway(func(r *http.Request) {
		switch dir, name := path.Split(r.URL.Path); {
		case r.Method == http.MethodGet && name == "ephemeralrunners":
			listedOnce.Do(func() { close(listed) })
		case r.Method == http.MethodGet && (name == "pods" || name == "secrets") && strings.Contains(dir, runnerNamespace):
			once.Do(func() {
				// They are late: what owns them is listed, if it is listed before or beside them.
				select {
				case <-listed:
				case <-time.After(time.Second):
				}
				time.Sleep(100 * time.Millisecond) // until the API server has answered
				start()
				started = true
			})
		case r.Method == http.MethodDelete && name == "new" && strings.Contains(dir, "/api/v1/"):
			if _, err := l.dynamic.Resource(ephemeralRunners).Namespace(runnerNamespace).Get(l.ctx, "new", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
				t.Errorf("%s while its owner is there: %v", r.URL.Path, err)
			}
		}
	})
	if out, code := l.console("run", "--yes", "--kubeconfig", gateway, "--scope", "scale-set", "--release", "gpu", "--release-namespace", runnerNamespace); code != 0 || !started {
		t.Errorf("exit code %d\n%s", code, out)
	}
	if out, code := l.console("run", "--all-namespaces", "--yes"); code != 0 {
		t.Errorf("what is left: exit code %d\n%s", code, out)
	}
	l.nothingLeft()
}

// TestWhoseOtherVersion: a kind that is served, though in another version only, is not
// absent, and what it owns is not without an owner.
func TestWhoseOtherVersion(t *testing.T) {
	l := newLab(t)
	l.arcCRDs(func(crd *unstructured.Unstructured) {
		if crd.GetName() != ephemeralCRD {
			return
		}
		versions, _, err := unstructured.NestedSlice(crd.Object, "spec", "versions")
		if err != nil || len(versions) != 1 {
			t.Fatalf("%d versions, %v", len(versions), err)
		}
		versions[0].(map[string]any)["name"] = "v1beta1"
		if err := unstructured.SetNestedSlice(crd.Object, versions, "spec", "versions"); err != nil {
			t.Fatal(err)
		}
	})
	runner := l.made(strings.Replace(aRunner("r", ""), "v1alpha1", "v1beta1", 1))
	const labels = `labels: {actions.github.com/scale-set-name: set, actions.github.com/scale-set-namespace: ` + runnerNamespace + `}`
	l.made(fmt.Sprintf("apiVersion: v1\nkind: Secret\nmetadata: {name: r, namespace: %s, %s, ownerReferences: [{apiVersion: actions.github.com/v1alpha1, kind: EphemeralRunner, name: r, uid: %s}]}", runnerNamespace, labels, runner.GetUID()))
	l.deletes(l.made(aScaleSet("set", "")))
	before := l.everything()

	out, code := l.console("run", "--yes", "--scope", "scale-set", "--release-namespace", runnerNamespace, "--scale-set", "set")
	if code != 1 || !strings.Contains(out, "ephemeralrunners.actions.github.com: not found, though the API server says that it serves it in the versions v1beta1") {
		t.Errorf("exit code %d\n%s", code, out)
	}
	after := l.everything()
	for o := range before {
		if !after[o] {
			t.Errorf("%s is gone", o)
		}
	}
}

// TestWhoseAddress: an API server that cannot be reached is said, and is no lack of time.
func TestWhoseAddress(t *testing.T) {
	l := newLab(t)
	port, err := cluster.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	nobody := l.kubeconfigOf("http://127.0.0.1:" + port)
	var runs sync.WaitGroup
	for _, args := range [][]string{{"--all-namespaces", "--yes"}, {"--job", "arc-arc-cleanup", "--release-namespace", controllerNamespace}} {
		runs.Go(func() {
			out, code := l.hookjob(append([]string{"run", "--kubeconfig", nobody, "--budget", "3s"}, args...)...)
			if code != 1 || !strings.Contains(lastLine(out), `"verdict":"failed"`) || !strings.Contains(out, `"message":"could not reach the API server http://127.0.0.1:`+port) || !strings.Contains(out, "connection refused") {
				t.Errorf("%v: exit code %d\n%s", args, code, out)
			}
		})
	}
	runs.Wait()
}
