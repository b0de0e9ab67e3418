package e2e

import (
	"strings"
	"testing"

	"github.com/arc-cleanup/arc-cleanup/test/cluster/github"
)

// TestFluxTimeout: spec.uninstall.timeout passes while the hook waits for a controller
// that cannot reach GitHub. Flux deletes the hook's rights under it and tries again; once
// GitHub is well, nothing is left. Before, a refusal names the HelmRelease.
func TestFluxTimeout(t *testing.T) {
	f := newFlux(t)
	f.example(func(name string, spec map[string]any) {
		if name == "arc-runner-set" {
			spec["uninstall"] = map[string]any{"timeout": "15s"}
		}
	})
	f.awaitReady("arc")
	f.awaitReady("arc-runner-set")
	f.awaitRunner(runnerNamespace)
	out, code := f.hookjob("plan", "--release", "arc", "--release-namespace", controllerNamespace, "--storage-namespace", fluxNamespace)
	if code != 3 || !strings.Contains(out, "by Flux's HelmRelease arc-runner-set in namespace flux-system\n") ||
		!strings.Contains(out, "\n    kubectl delete helmreleases.helm.toolkit.fluxcd.io arc-runner-set --namespace flux-system\n") {
		t.Errorf("plan: exit code %d\n%s", code, out)
	}

	runs := f.hookRuns()
	f.GitHub().SetMode(github.Down)
	f.delete("arc-runner-set")
	message := ""
	f.eventually("the time is over", func() bool {
		_, reason, text := f.condition("arc-runner-set", "Released")
		message = text
		return reason == "UninstallFailed"
	})
	t.Logf("Flux says: %s", message)
	// The message of Flux depends on when its time ends: between two reads of the Job, or within one.
	if !strings.Contains(message, "timeout waiting for: [Job/arc-runners/arc-runner-set-arc-cleanup-scale-set") && !strings.Contains(message, "context deadline") {
		t.Errorf("the uninstall did not fail for its time: %s", message)
	}
	f.GitHub().SetMode(github.OK)
	f.awaitGone("arc-runner-set")
	if got := runs()["arc-runner-set-arc-cleanup-scale-set"]; got < 2 {
		t.Errorf("the hook ran %d times", got)
	}
	if !f.GitHub().Deregistered() {
		t.Error("still registered at GitHub")
	}
	f.delete("arc")
	f.awaitGone("arc")
	f.nothingLeft()
}
