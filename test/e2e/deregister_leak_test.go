package e2e

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

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
			l.forgetRecords()
			l.nothingLeft()
		})
	}
}

// TestDeregisterIsInterrupted: GitHub does not answer, and the run is told to stop. It says what stays, and its report is enough to
// remove that later.
func TestDeregisterIsInterrupted(t *testing.T) {
	l := stranded(t)
	l.GitHub().Fail(github.Rule{Request: github.GetScaleSet, Delay: time.Hour})
	termination := filepath.Join(t.TempDir(), "termination")
	cmd := built.ByHand(l.ctx, l.Kubeconfig(), "run", "--all-namespaces", "--yes", "--github", "deregister", "--output", "json", "--termination-log", termination)
	var report, log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &report, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	l.eventually("GitHub is asked", func() bool { return len(l.GitHub().CallsOf(github.GetScaleSet)) > 0 })
	l.signal(cmd.Process, syscall.SIGINT)
	_ = cmd.Wait()
	var document struct {
		Verdict    string
		Registered []struct{ Kind, Outcome, Why string }
	}
	if err := json.Unmarshal(report.Bytes(), &document); err != nil {
		t.Fatal(err)
	}
	said, err := os.ReadFile(termination)
	if code := cmd.ProcessState.ExitCode(); code != 4 || document.Verdict != "residue" || len(document.Registered) != 1+len(l.GitHub().Runners()) || err != nil ||
		!strings.Contains(string(said), "nothing is left in the cluster, but at GitHub") {
		t.Errorf("exit code %d, %+v, %s, %v\n%s", code, document, said, err, log.String())
	}
	for _, r := range document.Registered {
		if r.Outcome != "kept" || r.Why != "the run ended before GitHub answered" {
			t.Errorf("%+v", r)
		}
	}
	l.tellsNoSecret(report.String() + log.String() + string(said))
	l.forgetRecords()
	l.nothingLeft()
	l.GitHub().Mend()
	files := map[string]string{"report": report.String(), "token": githubToken}
	for name, content := range files {
		files[name] = filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(files[name], []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out, code := l.hookjob("deregister", "--from", files["report"], "--url", l.GitHub().ConfigURL(), "--github-token-file", files["token"], "--yes")
	if code != 0 || !l.GitHub().Deregistered() {
		t.Errorf("exit code %d\n%s", code, out)
	}
}
