//go:build tools

package tools

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/arc-cleanup/arc-cleanup/test/cluster"
	"github.com/arc-cleanup/arc-cleanup/test/harness"
)

const (
	controllerNamespace = "arc-systems"
	runnerNamespace     = "arc-runners"
	controllerJob       = "arc-arc-cleanup"
	scaleSetJob         = "arc-runner-set-arc-cleanup-scale-set"
)

var (
	built *harness.Product
	cl    *cluster.Cluster // each test leaves it empty
)

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "tools:", err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "arc-cleanup-tools-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary folder
	if built, err = harness.Build(ctx, dir, os.Stderr); err != nil {
		return 0, err
	}
	images, err := built.Images(ctx, os.Stderr)
	if err != nil {
		return 0, err
	}
	if cl, err = cluster.Start(ctx, cluster.Options{Images: images, Progress: os.Stderr}); err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, cl.Stop()) }()
	return m.Run(), nil
}

// A lab is the cluster, empty, and a folder in which a user works: programs on PATH, and the examples as in the
// repository, with ARC's charts of here.
type lab struct {
	*testing.T
	client kubernetes.Interface
	before map[harness.Object]bool
	dir    string
	env    []string
}

func newLab(t *testing.T) *lab {
	t.Helper()
	l := &lab{T: t, client: kubernetes.NewForConfigOrDie(cl.Config()), dir: t.TempDir()}
	cl.GitHub().Reset()
	l.before = l.everything()
	t.Cleanup(func() {
		if err := harness.Clear(context.WithoutCancel(t.Context()), cl.Config(), l.before); err != nil {
			t.Error(err)
		}
	})
	if err := built.ExampleCharts(l.dir); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"helmfile", "terraform"} {
		if err := os.CopyFS(filepath.Join(l.dir, "examples", name), os.DirFS(filepath.Join(built.Root, "examples", name))); err != nil {
			t.Fatal(err)
		}
	}
	helm := built.Helm(t.Context(), 3, cl.Kubeconfig())
	bin := filepath.Join(l.dir, "bin")
	l.env = slices.Concat(helm.Env, []string{
		"PATH=" + bin + ":" + os.Getenv("PATH"), "KUBE_CONFIG_PATH=" + cl.Kubeconfig(), "HELM_PLUGINS=" + filepath.Join(l.dir, "plugins"),
	})
	l.link("helm", helm.Path)
	l.link("arc-postrender", built.Postrender)
	l.link("arc-cleanup", built.Hookjob)
	return l
}

// link puts a program on PATH.
func (l *lab) link(name, path string) {
	l.Helper()
	if err := os.MkdirAll(filepath.Join(l.dir, "bin"), 0o700); err != nil {
		l.Fatal(err)
	}
	if err := os.Symlink(path, filepath.Join(l.dir, "bin", name)); err != nil {
		l.Fatal(err)
	}
}

// build puts a program that is built from a module of its own on PATH.
func (l *lab) build(name string) string {
	l.Helper()
	path, err := cluster.Binary(l.Context(), name, os.Stderr)
	if err != nil {
		l.Fatal(err)
	}
	l.link(name, path)
	return path
}

// write writes a file below the folder of the user.
func (l *lab) write(name, text string) string {
	l.Helper()
	path := filepath.Join(l.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		l.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		l.Fatal(err)
	}
	return path
}

// run runs a program of the user in a folder, and returns what it says and its exit code.
func (l *lab) run(dir, name string, args ...string) (string, int) {
	l.Helper()
	cmd := exec.CommandContext(l.Context(), filepath.Join(l.dir, "bin", name), args...)
	cmd.Dir, cmd.Env = filepath.Join(l.dir, dir), l.env
	out, err := harness.Run(l, name, cmd)
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		l.Fatalf("%s: %v", name, err)
	}
	return out, cmd.ProcessState.ExitCode()
}

func (l *lab) must(dir, name string, args ...string) string {
	l.Helper()
	out, code := l.run(dir, name, args...)
	if code != 0 {
		l.Fatalf("%s %s: exit code %d\n%s", name, strings.Join(args, " "), code, out)
	}
	return out
}

// lives waits until the scale set has a runner.
func (l *lab) lives() {
	l.Helper()
	l.eventually("a runner and the listener run", func() bool { return harness.RunnerLives(l.Context(), l.client, runnerNamespace) })
}

func (l *lab) eventually(what string, done func() bool) {
	l.Helper()
	harness.Eventually(l, 2*time.Minute, what, done, func() string { return harness.Lines(harness.Added(l.before, l.everything())) })
}

// hasHook reports whether the newest revision of a release has our hook.
func (l *lab) hasHook(release, namespace string) bool {
	l.Helper()
	return strings.Contains(l.must(".", "helm", "get", "hooks", release, "--namespace", namespace), "kind: Job")
}

// enrolled waits for Helm 3's enroller.
func (l *lab) enrolled(release, namespace string) {
	l.Helper()
	l.eventually("release "+release+" is enrolled", func() bool { return l.hasHook(release, namespace) })
	l.eventually("nothing of the enroller runs", func() bool {
		pods, err := l.client.CoreV1().Pods(namespace).List(l.Context(), metav1.ListOptions{LabelSelector: "app.kubernetes.io/component=enroller"})
		return err == nil && len(pods.Items) == 0
	})
}

// wants fails unless the release has that many revisions, and the newest is in that state.
func (l *lab) wants(release, namespace string, revision int, state string) {
	l.Helper()
	if is, status := l.revision(release, namespace); is != revision || status != state {
		l.Errorf("%s has revision %d, %s; want %d, %s", release, is, status, revision, state)
	}
}

// revision is the newest revision of a release, and its state.
func (l *lab) revision(release, namespace string) (int, string) {
	l.Helper()
	var out []struct {
		Revision int
		Status   string
	}
	if err := json.Unmarshal([]byte(l.must(".", "helm", "history", release, "--namespace", namespace, "--output", "json")), &out); err != nil || len(out) == 0 {
		l.Fatalf("the history of %s: %v", release, err)
	}
	last := out[len(out)-1]
	return last.Revision, last.Status
}

func (l *lab) everything() map[harness.Object]bool {
	l.Helper()
	found, err := harness.Inventory(context.WithoutCancel(l.Context()), cl.Config())
	if err != nil {
		l.Fatal(err)
	}
	return found
}

// gone fails unless the hooks ran in this order, and nothing of ARC is left in the cluster or at GitHub: the namespaces are
// left, and the backup of the scale set.
func (l *lab) gone(ran, want []string) {
	l.Helper()
	if !slices.Equal(ran, want) {
		l.Errorf("hooks ran: %v, want %v", ran, want)
	}
	if !cl.GitHub().Deregistered() {
		l.Error("still registered at GitHub")
	}
	backups, err := l.client.CoreV1().Secrets(runnerNamespace).List(l.Context(), metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=arc-cleanup,app.kubernetes.io/component=backup"})
	if err != nil {
		l.Fatal(err)
	}
	l.eventually("nothing is left", func() bool {
		return !slices.ContainsFunc(harness.Added(l.before, l.everything()), func(o harness.Object) bool {
			backup := o.Resource == "secrets" && slices.ContainsFunc(backups.Items, func(s corev1.Secret) bool { return s.Name == o.Name })
			return o.Resource != "namespaces" && !backup
		})
	})
}
