package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/arc-cleanup/arc-cleanup/test/cluster/github"
)

// TestDeregisterTellsNothing: at the most talkative, on every output, whatever GitHub answers.
func TestDeregisterTellsNothing(t *testing.T) {
	t.Parallel()
	for name, mode := range map[string]func(*github.StandIn){
		"it works": func(*github.StandIn) {},
		"GitHub fails": func(g *github.StandIn) {
			g.Fail(github.Rule{Request: github.GetScaleSet, Status: 400, Body: `{"message": "` + github.BodyMarker + `"}`})
		},
		"it is denied": func(g *github.StandIn) { g.RequireToken("another") },
	} {
		t.Run(name, func(t *testing.T) {
			l := stranded(t)
			mode(l.GitHub())
			plan, err := built.ByHand(l.ctx, l.Kubeconfig(), "plan", "--all-namespaces", "--github", "deregister", "--output", "json").Output()
			if !json.Valid(plan) {
				t.Fatal(err)
			}
			termination := filepath.Join(t.TempDir(), "termination")
			run := built.ByHand(l.ctx, l.Kubeconfig(), "run", "--all-namespaces", "--yes", "--github", "deregister", "--output", "json",
				"--log-level", "debug", "--log-format", "json", "--termination-log", termination)
			out, err := run.CombinedOutput()
			if _, isExit := err.(*exec.ExitError); err != nil && !isExit { //nolint:errorlint // as os/exec returns it
				t.Fatal(err)
			}
			said, err := os.ReadFile(termination)
			if err != nil {
				t.Fatal(err)
			}
			l.tellsNoSecret(string(plan) + string(out) + string(said))
			if !strings.Contains(string(out), `"registered"`) {
				t.Errorf("%s", out)
			}
			l.nothingLeft()
		})
	}
}
