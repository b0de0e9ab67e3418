// Package workflows checks what GitHub runs for this repository: .github.
package workflows

import (
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/arc-cleanup/arc-cleanup/test/cluster"
)

const root = "../.."

// A workflow, or an action of this repository, as far as the tests read it.
type workflow struct {
	On          map[string]any `json:"true"` // so YAML reads the word on
	Permissions any
	Concurrency struct{ Group string }
	Jobs        map[string]struct {
		Timeout     int `json:"timeout-minutes"`
		Permissions any
		Environment string
		Container   any
		Services    any
		Uses        string
		conditions
		Steps []step
	}
	Defaults any
	Runs     struct{ Steps []step }
}

type step struct {
	Uses, Run string
	With      map[string]any
	conditions
}

// conditions are what makes a job or a step run elsewhere, or not at all, or not count.
type conditions struct {
	If       any
	Continue any    `json:"continue-on-error"`
	Shell    string `json:"shell"`
	Folder   string `json:"working-directory"`
	Defaults any
}

func (w *workflow) steps() []step {
	out := slices.Clone(w.Runs.Steps)
	for _, job := range w.Jobs {
		out = append(out, job.Steps...)
	}
	return out
}

// all are the workflows and actions, by the name of their file.
func all(t *testing.T) map[string]*workflow {
	t.Helper()
	out := map[string]*workflow{}
	if files, err := filepath.Glob(filepath.Join(root, ".github", "*", "*.yaml")); err != nil || len(files) > 0 {
		t.Fatalf("GitHub runs what ends with .yaml, too, and the tests do not look at it: %v, %v", files, err)
	}
	for _, pattern := range []string{"workflows/*.yml", "actions/*/action.yml"} {
		files, err := filepath.Glob(filepath.Join(root, ".github", pattern))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %v, %v", pattern, files, err)
		}
		for _, file := range files {
			var w workflow
			if err := yaml.Unmarshal([]byte(read(t, file)), &w); err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			out[file] = &w
		}
	}
	return out
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestActionlint: the workflows are what GitHub takes.
func TestActionlint(t *testing.T) {
	linter, err := cluster.Binary(t.Context(), "actionlint", os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(root, ".github", "workflows", "*.yml"))
	if err != nil {
		t.Fatal(err)
	}
	lint := exec.CommandContext(t.Context(), linter, append([]string{"-shellcheck=", "-pyflakes="}, files...)...)
	if out, err := lint.CombinedOutput(); err != nil {
		t.Errorf("actionlint: %v\n%s", err, out)
	}
}

var (
	pinned  = regexp.MustCompile(`^\s*-? ?uses: [\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$`)
	command = regexp.MustCompile(`^make ([a-z0-9-]+)( [A-Z_]+=[\w./-]+)*$`)
	target  = regexp.MustCompile(`(?m)^([a-z0-9-]+):`)
)

// TestPinned: an action is a commit and says which version that is, and it is the same one everywhere.
func TestPinned(t *testing.T) {
	versions := map[string]string{}
	for file := range all(t) {
		for line := range strings.Lines(read(t, file)) {
			_, uses, found := strings.Cut(strings.TrimSpace(line), "uses: ")
			if !found || strings.HasPrefix(uses, "./") {
				continue
			}
			if !pinned.MatchString(strings.TrimRight(line, "\n")) {
				t.Errorf("%s: want ACTION@COMMIT # vX.Y.Z: %s", file, line)
			}
			action, version, _ := strings.Cut(uses, "@")
			if other, ok := versions[action]; ok && other != version {
				t.Errorf("%s: %s is %s here and %s elsewhere", file, action, version, other)
			}
			versions[action] = version
		}
	}
	// However the line is written.
	action := regexp.MustCompile(`^(\./\.github/actions/[\w-]+|[\w./-]+@[0-9a-f]{40})?$`)
	for file, w := range all(t) {
		for _, s := range w.steps() {
			if !action.MatchString(s.Uses) {
				t.Errorf("%s uses %q, which is no commit", file, s.Uses)
			}
		}
	}
}

// TestCommands: whatever a workflow runs is a target of the Makefile, so that everybody can run it, without a shell in
// between that an expression could speak to. It always runs, and its failure fails the run.
func TestCommands(t *testing.T) {
	makefile := read(t, filepath.Join(root, "Makefile"))
	var targets []string
	for _, m := range target.FindAllStringSubmatch(makefile, -1) {
		targets = append(targets, m[1])
	}
	for file, w := range all(t) {
		for name, job := range w.Jobs {
			if !reflect.ValueOf(job.conditions).IsZero() || job.Uses != "" || w.Defaults != nil {
				t.Errorf("%s: job %s may run something else, or nothing: %+v, uses %q, defaults %v", file, name, job.conditions, job.Uses, w.Defaults)
			}
		}
		for _, s := range w.steps() {
			if !reflect.ValueOf(s.conditions).IsZero() {
				t.Errorf("%s: %q may run elsewhere, or not at all, or fail: %+v", file, s.Run+s.Uses, s.conditions)
			}
			if s.Run == "" {
				continue
			}
			m := command.FindStringSubmatch(s.Run)
			if m == nil || !slices.Contains(targets, m[1]) {
				t.Errorf("%s runs %q, which is not `make TARGET`", file, s.Run)
				continue
			}
			for _, variable := range regexp.MustCompile(`[A-Z_]+=`).FindAllString(s.Run, -1) {
				if variable = strings.TrimSuffix(variable, "="); !regexp.MustCompile(`(?m)^` + variable + ` *\?=`).MatchString(makefile) {
					t.Errorf("%s runs %q, and the Makefile lets nobody set %s", file, s.Run, variable)
				}
			}
		}
	}
}

// TestCIRunsEverything: what decides here decides there.
func TestCIRunsEverything(t *testing.T) {
	there := made(t, strings.ReplaceAll(read(t, filepath.Join(root, ".github", "workflows", "ci.yml")), "run: ", ""))
	for _, target := range made(t, read(t, filepath.Join(root, ".ci", "run"))) {
		if !slices.Contains(there, target) {
			t.Errorf(".ci/run makes %s, and ci.yml does not", target)
		}
	}
}

// made are the targets that lines make; `test` stands for those that it consists of.
func made(t *testing.T, text string) []string {
	t.Helper()
	_, test, _ := strings.Cut(read(t, filepath.Join(root, "Makefile")), "\ntest: ")
	test, _, _ = strings.Cut(test, " ##")
	var out []string
	for _, m := range regexp.MustCompile(`(?m)^[^#\n]*\bmake ([a-z0-9 -]+)`).FindAllStringSubmatch(text, -1) {
		out = append(out, strings.Fields(m[1])...)
	}
	if i := slices.Index(out, "test"); i >= 0 {
		out = slices.Replace(out, i, i+1, strings.Fields(test)...)
	}
	if len(out) < 4 {
		t.Fatalf("only %q", out)
	}
	return out
}

// permitted is what publishing needs: the draft and its files, cosign's identity, and the image, the chart and the plugins.
var permitted = map[string]any{"contents": "write", "id-token": "write", "packages": "write"}

// TestPermissions: a workflow begins with the right to read, a job that needs more says so, and no step leaves the
// token where later ones find it.
func TestPermissions(t *testing.T) {
	for file, w := range all(t) {
		if len(w.Jobs) == 0 {
			continue
		}
		if p, ok := w.Permissions.(map[string]any); !ok || len(p) > 1 || len(p) == 1 && p["contents"] != "read" {
			t.Errorf("%s: permissions %v, want contents: read, or {}", file, w.Permissions)
		}
		for name, job := range w.Jobs {
			if job.Timeout == 0 {
				t.Errorf("%s: job %s has no timeout-minutes", file, name)
			}
			if job.Permissions != nil && !reflect.DeepEqual(job.Permissions, permitted) {
				t.Errorf("%s: job %s has permissions %v, and a release needs %v", file, name, job.Permissions, permitted)
			}
		}
		for _, s := range w.steps() {
			if strings.HasPrefix(s.Uses, "actions/checkout@") && s.With["persist-credentials"] != false {
				t.Errorf("%s: actions/checkout without persist-credentials: false", file)
			}
		}
	}
}

// TestEveryCommitOfMain: of a group of runs, GitHub keeps one waiting and cancels the others, whatever cancel-in-progress
// says. So each commit of a branch needs a group of its own.
func TestEveryCommitOfMain(t *testing.T) {
	for file, w := range all(t) {
		if push, _ := w.On["push"].(map[string]any); push["branches"] != nil && w.Concurrency.Group != "" && !strings.Contains(w.Concurrency.Group, "github.sha") {
			t.Errorf("%s: the group %s is the same for every commit", file, w.Concurrency.Group)
		}
	}
}

// TestWeekly: a run that nobody waits for fails if it could not look.
func TestWeekly(t *testing.T) {
	var scheduled int
	for file, w := range all(t) {
		if w.On["schedule"] == nil {
			continue
		}
		scheduled++
		if !slices.ContainsFunc(w.steps(), func(s step) bool { return s.Run == "make vulnerabilities VULNDB_REQUIRED=yes" }) {
			t.Errorf("%s does not look for vulnerabilities, or is green without a database of them", file)
		}
	}
	if scheduled != 1 {
		t.Errorf("%d workflows run by the clock", scheduled)
	}
}

// TestGoVersion: GitHub builds with the Go of the Dockerfile, or the image would be another one.
func TestGoVersion(t *testing.T) {
	m := regexp.MustCompile(`golang:(\d+\.\d+\.\d+)-`).FindStringSubmatch(read(t, filepath.Join(root, "Dockerfile")))
	if m == nil {
		t.Fatal("the Dockerfile does not say which Go")
	}
	versions := regexp.MustCompile(`go(?:-version: )?(\d+\.\d+\.\d+)`)
	var found int
	for file := range all(t) {
		for _, v := range versions.FindAllStringSubmatch(read(t, file), -1) {
			if found++; v[1] != m[1] {
				t.Errorf("%s: Go %s, and %s in the Dockerfile", file, v[1], m[1])
			}
		}
	}
	if found == 0 {
		t.Error("no workflow says which Go")
	}
}

// TestStrangersGetNothing: what a stranger can start, by a pull request, a comment or an issue, runs with the right to read
// and without secrets. Only the release has more, behind its environment and without a cache, which others can fill.
func TestStrangersGetNothing(t *testing.T) {
	harmless := []string{"pull_request", "push", "schedule", "workflow_dispatch"}
	for file, w := range all(t) {
		if len(w.Jobs) == 0 {
			continue
		}
		text := read(t, file)
		release := filepath.Base(file) == "release.yml"
		if len(w.On) == 0 {
			t.Errorf("%s: no event starts it", file)
		}
		if tags := map[string]any{"tags": []any{"v*"}}; release && !reflect.DeepEqual(w.On["push"], tags) {
			t.Errorf("%s: started by a push of %v, want %v", file, w.On["push"], tags)
		}
		for event := range w.On {
			if !slices.Contains(harmless, event) || release && event != "push" {
				t.Errorf("%s: started by %s", file, event)
			}
		}
		if release && (strings.Contains(text, "/actions/setup") || strings.Contains(text, "actions/cache") || strings.Count(text, "setup-go@") != strings.Count(text, "cache: false")) {
			t.Errorf("%s: uses a cache", file)
		}
		if !release && (strings.Contains(text, "secrets.") || strings.Contains(text, "github.token") || strings.Contains(text, "secrets:")) {
			t.Errorf("%s: uses a secret", file)
		}
		for name, job := range w.Jobs {
			if job.Container != nil || job.Services != nil {
				t.Errorf("%s: job %s runs in what TestPinned does not see", file, name)
			}
			if job.Permissions != nil && (!release || job.Environment != "release") {
				t.Errorf("%s: job %s has permissions %v without the environment", file, name, job.Permissions)
			}
			if job.Environment != "" && !slices.ContainsFunc(job.Steps, func(s step) bool { return s.Run == "make release-tag" }) {
				t.Errorf("%s: job %s does not look at the tag after it was agreed to", file, name)
			}
		}
	}
}
