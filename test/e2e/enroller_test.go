package e2e

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/arc-cleanup/arc-cleanup/test/harness"
)

// TestHelm3UninstallAtOnce uninstalls a release which may not be enrolled yet:
// then it is an uninstall as Helm alone does it, nothing of the enroller stays,
// and what ARC leaves can be removed by hand.
func TestHelm3UninstallAtOnce(t *testing.T) {
	l := newLab(t)
	runs := l.hookRuns()
	l.mustHelm(3, slices.Concat([]string{"install", "arc", whole, "--namespace", controllerNamespace, "--create-namespace"}, viaHelm3())...)
	l.mustHelm(3, "uninstall", "arc", "--namespace", controllerNamespace)
	l.enrollerGone()
	if got := runs(); got["arc-arc-cleanup"] > 1 {
		t.Errorf("hooks ran that often: %v", got)
	}
	if _, code := l.hookjob("run", "--all-namespaces", "--yes"); code != 0 {
		t.Errorf("by hand: exit code %d", code)
	}
	l.nothingLeft()
}

// TestHelm3UpgradeAtOnce upgrades a release while it is being enrolled. With the
// post-renderer the newest revision gets the hook; without, it never does.
func TestHelm3UpgradeAtOnce(t *testing.T) {
	l := newLab(t)
	arguments := []string{"arc", built.ARCChart(harness.ControllerChart), "--namespace", controllerNamespace, "--create-namespace"}
	l.mustHelm(3, slices.Concat([]string{"install"}, arguments, viaHelm3())...)
	upgrade := slices.Concat([]string{"upgrade", "--install"}, arguments)
	for range 5 {
		l.mustHelm(3, append(upgrade, viaHelm3()...)...)
	}
	l.awaitEnrolled("arc", controllerNamespace)

	l.mustHelm(3, append(upgrade, viaHelm3()...)...)
	l.mustHelm(3, upgrade...)
	l.enrollerGone()
	time.Sleep(2 * time.Second) // a Pod that was told to end may still write
	if l.enrolled(3, "arc", controllerNamespace) {
		t.Error("a revision without the post-renderer has the hook")
	}
}

// enrollerGone waits until nothing of arc-cleanup is in the controller's namespace.
func (l *lab) enrollerGone() {
	l.Helper()
	l.eventually("the enroller is gone", func() bool {
		return !slices.ContainsFunc(l.added(), func(o harness.Object) bool {
			return o.Namespace == controllerNamespace && strings.Contains(o.Name, "arc-cleanup")
		})
	})
}

// TestHelm3NoImage installs where the hook's image cannot be pulled: the release
// installs, whatever is waited for; status explains; by hand it is enrolled all
// the same.
func TestHelm3NoImage(t *testing.T) {
	l := newLab(t)
	noImage := append(viaHelm3(), "--post-renderer-args", "--set", "--post-renderer-args", "image.repository=registry.invalid/none", "--atomic", "--timeout", "60s")
	l.install(3, noImage...)
	l.eventually("status explains why the release is not enrolled", func() bool {
		out, code := l.hookjob("status")
		return code == 0 && strings.Contains(out, "no hook: its enroller cannot run: Pod "+enroller) &&
			strings.Contains(out, `"registry.invalid/none:0.1.0"`)
	})
	if _, code := l.hookjob("enrol", "arc", "--namespace", controllerNamespace); code != 0 {
		t.Errorf("enrol: exit code %d", code)
	}
	l.mustHelm(3, "uninstall", "arc", "--namespace", controllerNamespace)
	l.nothingLeft()
}

// TestHelm3Overridden has ARC's objects in another namespace than the release, as
// namespaceOverride of the charts 0.11 and later does. Nothing tells a post-renderer
// of Helm 3 where the release is. With its --namespace the release is enrolled;
// without, the enroller ends and says which flag it is, and status says the same.
func TestHelm3Overridden(t *testing.T) {
	t.Parallel()
	overridden := func(l *lab) []string {
		return []string{l.overridable(harness.ControllerChart), "--namespace", controllerNamespace, "--set", "namespaceOverride=" + runnerNamespace}
	}
	t.Run("told", func(t *testing.T) {
		l := newLab(t)
		l.mustHelm(3, slices.Concat([]string{"install", "arc"}, overridden(l), viaHelm3(), []string{"--post-renderer-args=--namespace", "--post-renderer-args=" + controllerNamespace})...)
		l.awaitEnrolled("arc", controllerNamespace)
		if u := l.status("arc").Releases[0].Uninstall; !u.Ready {
			t.Errorf("status: %+v", u)
		}
		l.uninstallsOnce(3)
	})
	t.Run("not told", func(t *testing.T) {
		l := newLab(t)
		l.mustHelm(3, slices.Concat([]string{"install", "arc"}, overridden(l), viaHelm3())...)
		l.eventually("the enroller has ended", func() bool {
			d, err := l.client.AppsV1().Deployments(runnerNamespace).Get(l.ctx, enroller, metav1.GetOptions{})
			return err == nil && *d.Spec.Replicas == 0 && d.Status.Replicas == 0
		})
		r := l.status("arc").Releases[0]
		if want := "release arc is in namespace arc-systems, and its enroller in arc-runners (namespaceOverride), where the record is not; add --post-renderer-args=--namespace --post-renderer-args=arc-systems"; r.Hook.State != "absent" || !strings.HasPrefix(r.Hook.Why, want) {
			t.Errorf("status: %+v", r.Hook)
		}
		if r.Uninstall.Ready || len(r.Uninstall.Do) != 1 {
			t.Fatalf("status: %+v", r.Uninstall)
		}
		l.asPrinted(3, r.Uninstall.Do[0])
		if u := l.status("arc").Releases[0].Uninstall; !u.Ready {
			t.Errorf("status: %+v", u)
		}
		l.uninstallsOnce(3)
	})
}

// overridable is a copy of one of ARC's charts that has namespaceOverride, as later
// ones do: all that is namespaced is in that namespace.
func (l *lab) overridable(chart string) string {
	l.Helper()
	dir := filepath.Join(l.TempDir(), chart)
	if err := os.CopyFS(dir, os.DirFS(built.ARCChart(chart))); err != nil {
		l.Fatal(err)
	}
	templates, err := filepath.Glob(filepath.Join(dir, "templates", "*"))
	if err != nil {
		l.Fatal(err)
	}
	for _, file := range templates {
		text, err := os.ReadFile(file) //nolint:gosec // a file of this test's own
		if err != nil {
			l.Fatal(err)
		}
		text = bytes.ReplaceAll(text, []byte(".Release.Namespace"), []byte("(.Values.namespaceOverride | default .Release.Namespace)"))
		if err := os.WriteFile(file, text, 0o600); err != nil {
			l.Fatal(err)
		}
	}
	return dir
}

// TestHelm3AppliedByHand applies the enroller's manifests from helm template. There is no release, so the
// enroller enrols nothing, runs no hook, and ends.
func TestHelm3AppliedByHand(t *testing.T) {
	l := newLab(t)
	runs := l.hookRuns()
	rendered, err := built.Helm(l.ctx, 3, l.Kubeconfig(), "template", "arc", built.ARCChart(harness.ControllerChart), "--namespace", controllerNamespace).Output()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(l.ctx, built.Postrender)
	cmd.Env = append(os.Environ(), harness.NameImage)
	cmd.Stdin = bytes.NewReader(rendered)
	out, err := cmd.Output()
	if err != nil || !bytes.HasPrefix(out, rendered) {
		t.Fatalf("the output does not begin with the input: %v", err)
	}
	for document := range strings.SplitSeq(string(out[len(rendered):]), "---\n") {
		o := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(document), &o.Object); err != nil {
			t.Fatalf("%v\n%s", err, document)
		}
		if len(o.Object) == 0 {
			continue
		}
		gvr := l.resource(strings.ToLower(o.GetKind()) + "s")
		if _, err := l.dynamic.Resource(gvr).Namespace(controllerNamespace).Create(l.ctx, o, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	l.eventually("the enroller has scaled itself to zero", func() bool {
		d, err := l.client.AppsV1().Deployments(controllerNamespace).Get(l.ctx, enroller, metav1.GetOptions{})
		return err == nil && *d.Spec.Replicas == 0 && d.Status.Replicas == 0
	})
	if got := runs(); len(got) > 0 {
		t.Errorf("hooks ran: %v", got)
	}
}
