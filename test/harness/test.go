package harness

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
)

// Run runs a command and logs it, under the name that the reader knows, with its output.
func Run(t testing.TB, name string, cmd *exec.Cmd) (string, error) {
	t.Helper()
	start := time.Now()
	out, err := cmd.CombinedOutput()
	t.Logf("%s %s (%.1fs): exit %d\n%s", name, strings.Join(cmd.Args[1:], " "), time.Since(start).Seconds(), cmd.ProcessState.ExitCode(), out)
	return string(out), err
}

// RunByHand runs arc-cleanup by hand and returns its output and exit code.
func (p *Product) RunByHand(ctx context.Context, t testing.TB, kubeconfig string, args ...string) (string, int) {
	t.Helper()
	cmd := p.ByHand(ctx, kubeconfig, args...)
	out, err := Run(t, "arc-cleanup", cmd)
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("arc-cleanup: %v", err)
	}
	return out, cmd.ProcessState.ExitCode()
}

// Eventually waits until it is done, and otherwise fails the test with the state. It has the time that this may take on an idle
// machine.
func Eventually(t testing.TB, idle time.Duration, what string, done func() bool, state func() string) {
	t.Helper()
	for begun := time.Now(); !done(); time.Sleep(50 * time.Millisecond) {
		if took := time.Since(begun); took > idle && took > Patience(idle) {
			t.Fatalf("not within %s: %s\n%s", took.Round(time.Second), what, state())
		}
	}
}

// EphemeralRunners is the kind of ARC's runners.
var EphemeralRunners = schema.GroupVersionResource{Group: "actions.github.com", Version: "v1alpha1", Resource: "ephemeralrunners"}

// StuckRunners creates n runners and deletes them. They stay, since no controller removes their finalizers.
func StuckRunners(ctx context.Context, client dynamic.Interface, namespace, configURL string, n int) error {
	runners := client.Resource(EphemeralRunners).Namespace(namespace)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(64)
	for i := range n {
		g.Go(func() error {
			name := fmt.Sprintf("stuck-runner-%d", i)
			if _, err := runners.Create(ctx, stuckRunner(name, configURL), metav1.CreateOptions{}); err != nil {
				return fmt.Errorf("creating %s: %w", name, err)
			}
			return runners.Delete(ctx, name, metav1.DeleteOptions{})
		})
	}
	return g.Wait()
}

func stuckRunner(name, configURL string) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "actions.github.com/v1alpha1", "kind": "EphemeralRunner",
		"metadata": map[string]any{
			"name":       name,
			"finalizers": []any{"ephemeralrunner.actions.github.com/finalizer", "ephemeralrunner.actions.github.com/runner-registration-finalizer"},
		},
		"spec": map[string]any{
			"githubConfigUrl": configURL, "githubConfigSecret": "s", "runnerScaleSetId": int64(1),
			"spec": map[string]any{"containers": []any{map[string]any{"name": "runner", "image": "runner"}}},
		},
	}}
}
