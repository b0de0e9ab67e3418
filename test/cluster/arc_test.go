package cluster_test

import (
	"context"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/arc-cleanup/arc-cleanup/test/cluster"
	"github.com/arc-cleanup/arc-cleanup/test/cluster/github"
)

// TestRealARC installs ARC as its users do, and takes it away again.
func TestRealARC(t *testing.T) {
	tt := newTester(t)
	helm, err := cluster.Binary(t.Context(), "helm4", os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	charts, err := cluster.ARCCharts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	run := func(args ...string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), helm, args...)
		cmd.Env = append(os.Environ(), "KUBECONFIG="+shared.Kubeconfig(),
			"HELM_CACHE_HOME="+home, "HELM_CONFIG_HOME="+home, "HELM_DATA_HOME="+home)
		if output, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("helm %v: %v\n%s", args, err, output)
		}
	}
	systems, runners := tt.namespace+"-systems", tt.namespace+"-runners"
	runnerPods := func(ctx context.Context, namespace, labels string) (bool, error) {
		pods, err := tt.client.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: labels})
		if err != nil {
			return false, err
		}
		return slices.ContainsFunc(pods.Items, func(p corev1.Pod) bool { return p.Status.Phase == corev1.PodRunning }), nil
	}

	started := time.Now()
	run("install", "arc", filepath.Join(charts, "gha-runner-scale-set-controller"),
		"--namespace", systems, "--create-namespace", "--wait")
	t.Logf("controller installed after %s", time.Since(started))
	run("install", "arc-runner-set", filepath.Join(charts, "gha-runner-scale-set"),
		"--namespace", runners, "--create-namespace",
		"--set", "githubConfigUrl="+shared.GitHub().ConfigURL(), "--set", "githubConfigSecret.github_token=token",
		"--set", "minRunners=1",
		// This chart renders empty lists as null, which server-side apply refuses.
		"--server-side=false")
	tt.eventually("a runner runs", func(ctx context.Context) (bool, error) {
		return runnerPods(ctx, runners, "actions.github.com/scale-set-name=arc-runner-set")
	})
	t.Logf("a runner runs after %s", time.Since(started))
	tt.eventually("the listener runs", func(ctx context.Context) (bool, error) {
		return runnerPods(ctx, systems, "app.kubernetes.io/component=runner-scale-set-listener")
	})
	t.Logf("the listener runs after %s", time.Since(started))
	if got := shared.GitHub().ScaleSets(); !slices.Equal(got, []string{"arc-runner-set"}) {
		t.Errorf("scale sets at GitHub: %v", got)
	}
	// Not whether the runner is registered now: the controller asks again where
	// it does not see its own status yet, and removes what it meets of that name.
	if got := shared.GitHub().Calls(); !slices.ContainsFunc(got, func(c github.Call) bool {
		return strings.HasSuffix(c.Path, "/generatejitconfig") && c.Status == http.StatusOK
	}) {
		t.Errorf("no runner was registered at GitHub: %v", got)
	}

	started = time.Now()
	run("uninstall", "arc-runner-set", "--namespace", runners, "--wait=legacy", "--timeout", "40s")
	tt.eventually("GitHub knows nothing any more", func(context.Context) (bool, error) {
		return shared.GitHub().Deregistered(), nil
	})
	t.Logf("de-registered after %s", time.Since(started))
	run("uninstall", "arc", "--namespace", systems)
}
