package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/arc-cleanup/arc-cleanup/internal/cleanup"
)

// A cluster that cannot be reached is one message, which names the server, the context, the kubeconfig and the
// error. Nothing listens on port 1; each command ends with its context here, and after reachTime without one.
func TestAClusterThatIsNotThere(t *testing.T) {
	t.Parallel()
	there := kubeconfigOf(t, "http://127.0.0.1:1")
	want := `could not reach the API server http://127.0.0.1:1 (context "test" of ` + there + `): dial tcp 127.0.0.1:1: connect: connection refused` + "\n"
	for name, args := range map[string][]string{
		"plan":    {"plan", "--release", "arc", "--release-namespace", "systems"},
		"status":  {"status"},
		"restore": {"restore", "--from", "backup"},
		"unenrol": {"unenrol", "arc", "--namespace", "systems"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			got := command(ctx, nil, append(args, "--kubeconfig", there)...)
			if got.code != exitFailed || got.stdout != "" || got.stderr != "arc-cleanup: "+want {
				t.Errorf("exit code %d:\n%s%s", got.code, got.stdout, got.stderr)
			}
		})
	}
}

// A person gets the answer after reachTime; a hook goes on to ask as long as its budget lasts, because an API
// server may restart.
func TestRunWaitsForTheAPIServer(t *testing.T) {
	t.Parallel()
	there := kubeconfigOf(t, "http://127.0.0.1:1")
	for name, test := range map[string]struct {
		args   []string
		within [2]time.Duration
		lines  []string
	}{
		"by hand": {
			[]string{"--release", "arc", "--release-namespace", "systems", "--yes", "--budget", "1h"},
			[2]time.Duration{reachTime, reachTime + 5*time.Second},
			[]string{"warning: waiting for the API server: could not reach", "error: could not reach", "failed: nothing was written"},
		},
		"a hook": {
			[]string{"--job", "job", "--release-namespace", "systems", "--budget", "4s"},
			[2]time.Duration{4 * time.Second, 9 * time.Second},
			[]string{"warning: waiting for the API server: could not reach", "error: could not reach", "error: " + cleanup.ErrUnreached.Error(), "failed: nothing was written"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			start := time.Now()
			got := command(t.Context(), nil, append([]string{"run", "--log-format", "console", "--kubeconfig", there}, test.args...)...)
			if took := time.Since(start); took < test.within[0] || took > test.within[1] {
				t.Errorf("took %s", took)
			}
			lines := strings.Split(strings.TrimSpace(got.stderr), "\n")
			if got.code != exitFailed || len(lines) != len(test.lines) {
				t.Fatalf("exit code %d:\n%s", got.code, got.stderr)
			}
			for i, want := range test.lines {
				if !strings.HasPrefix(lines[i], want) {
					t.Errorf("line %d is %q, want %q", i, lines[i], want)
				}
			}
		})
	}
}

func TestAKubeconfigThatIsNotThere(t *testing.T) {
	t.Parallel()
	there := kubeconfigOf(t, "http://127.0.0.1:1")
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for want, args := range map[string][]string{
		"reading the kubeconfig " + there + "x: stat " + there + "x: no such file or directory":    {there + "x"},
		"no kubeconfig with a cluster at " + empty + ": give --kubeconfig FILE, or set KUBECONFIG": {empty},
		"the kubeconfig " + there + ` has no context "x": give one of test`:                        {there, "--context", "x"},
	} {
		for _, name := range [][]string{{"plan", "--release", "arc", "--release-namespace", "x"}, {"run", "--yes", "--release", "arc", "--release-namespace", "x", "--log-format", "console"}, {"status"}} {
			if got := command(t.Context(), nil, append(append(name, "--kubeconfig"), args...)...); got.code != exitFailed || !strings.Contains(got.stderr, want) {
				t.Errorf("%s: exit code %d: %s, want %s", name, got.code, got.stderr, want)
			}
		}
	}
}
