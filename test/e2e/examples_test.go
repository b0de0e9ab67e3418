package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/arc-cleanup/arc-cleanup/test/cluster"
)

// example is a file under examples.
func example(parts ...string) string {
	return filepath.Join(append([]string{built.Root, "examples"}, parts...)...)
}

// A desk is where a user runs an example: a folder, and programs on PATH.
type desk struct {
	*lab
	dir string
	env []string
}

// newDesk has the Helm of a major version and our two programs on PATH, ARC's
// charts of here, and values for a scale set.
func (l *lab) newDesk(major int) *desk {
	l.Helper()
	d := &desk{lab: l, dir: l.TempDir()}
	bin := filepath.Join(d.dir, "bin")
	if err := os.Mkdir(bin, 0o700); err != nil {
		l.Fatal(err)
	}
	helm := built.Helm(l.ctx, major, l.Kubeconfig())
	wrapper := fmt.Sprintf("#!/bin/sh\nexec '%s' \"$@\"\n", helm.Path)
	if major == 4 {
		// See installScaleSet: that is a matter of this version of ARC's chart.
		wrapper = fmt.Sprintf("#!/bin/sh\n[ \"$1\" != upgrade ] || set -- \"$@\" --server-side=false\nexec '%s' \"$@\"\n", helm.Path)
	}
	d.write("bin/helm", wrapper, 0o700)
	for name, path := range map[string]string{"arc-postrender": built.Postrender, "arc-cleanup": built.Hookjob} {
		if err := os.Symlink(path, filepath.Join(bin, name)); err != nil {
			l.Fatal(err)
		}
	}
	d.write("values.yaml", fmt.Sprintf("githubConfigUrl: %s\ngithubConfigSecret: {github_token: not-a-token}\nminRunners: 1\n", l.GitHub().ConfigURL()), 0o600)
	d.env = slices.Concat(helm.Env, []string{
		"PATH=" + bin + ":" + os.Getenv("PATH"), "TMPDIR=" + d.dir,
		"CHARTS=" + filepath.Dir(built.ARCChart("x")), "ARC_VERSION=0.6.1",
	})
	return d
}

func (d *desk) write(name, text string, mode os.FileMode) {
	d.Helper()
	if err := os.WriteFile(filepath.Join(d.dir, name), []byte(text), mode); err != nil {
		d.Fatal(err)
	}
}

// run runs a program at the desk and returns what it says and its exit code.
func (d *desk) run(name string, args ...string) (string, int) {
	d.Helper()
	cmd := exec.CommandContext(d.ctx, name, args...)
	cmd.Dir, cmd.Env = d.dir, d.env
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		d.Fatalf("%s: %v", name, err)
	}
	d.Logf("%s %s: exit code %d\n%s", filepath.Base(name), strings.Join(args, " "), cmd.ProcessState.ExitCode(), out)
	return string(out), cmd.ProcessState.ExitCode()
}

func (d *desk) must(name string, args ...string) {
	d.Helper()
	if out, code := d.run(name, args...); code != 0 {
		d.Fatalf("%s %s: exit code %d\n%s", filepath.Base(name), strings.Join(args, " "), code, out)
	}
}

// TestExampleShell runs the script for a shell, on both Helms.
func TestExampleShell(t *testing.T) {
	t.Parallel()
	for _, major := range []int{3, 4} {
		t.Run(fmt.Sprintf("helm%d", major), func(t *testing.T) {
			l := newLab(t)
			d, script, runs := l.newDesk(major), example("shell", "arc.sh"), l.hookRuns()
			if out, code := d.run(script); code != 2 || !strings.Contains(out, "arc.sh install|uninstall") {
				t.Errorf("without a word: exit code %d\n%s", code, out)
			}
			bad := []string{"install", "--post-renderer-args", "--set", "--post-renderer-args", "polcy=1"}
			if out, code := d.run(script, bad...); code != 1 || !strings.Contains(out, `it has no value "polcy"`) {
				t.Errorf("a post-renderer that fails: exit code %d, and not why:\n%s", code, out)
			}
			d.must(script, "install")
			d.lives(major)

			controller, _ := nextCharts(t)
			d.env = append(d.env, "CHARTS="+filepath.Dir(controller), "ARC_VERSION="+nextVersion)
			d.must(script, "upgrade")
			d.awaitRunner(runnerNamespace)
			for release, namespace := range map[string]string{"arc": controllerNamespace, "arc-runner-set": runnerNamespace} {
				if out := l.mustHelm(major, "list", "--namespace", namespace); !strings.Contains(out, "-"+nextVersion) {
					t.Errorf("%s is not of the next version:\n%s", release, out)
				}
			}
			d.must(script, "uninstall")
			if got := runs(); got["arc-arc-cleanup"] != 1 || got["arc-runner-set-arc-cleanup-scale-set"] != 1 {
				t.Errorf("hooks ran that often: %v", got)
			}
			if !l.GitHub().Deregistered() {
				t.Error("still registered at GitHub")
			}
			l.nothingLeft()
			d.must(script, "uninstall") // what is gone is no error
		})
	}
}

// lives waits until the scale set of an example has a runner, and the releases
// have their hooks.
func (d *desk) lives(major int) {
	d.Helper()
	d.awaitRunner(runnerNamespace)
	if major == 3 {
		d.awaitEnrolled("arc", controllerNamespace)
		d.awaitEnrolled("arc-runner-set", runnerNamespace)
	}
}

// workflow is what is read of a workflow of GitHub Actions.
type workflow struct {
	Jobs map[string]struct {
		Env   map[string]string
		Steps []struct {
			Name, Uses, If, Run string
			Env                 map[string]string
			With                map[string]any
		}
	}
}

// TestExampleGitHubActions has the workflow checked by actionlint, and runs its
// steps as a runner does: one after the other, with what each has put into
// GITHUB_ENV and GITHUB_PATH. Actions that it uses are not run; what they fetch is
// there.
func TestExampleGitHubActions(t *testing.T) {
	l := newLab(t)
	file := example("github-actions", "arc.yaml")
	linter, err := cluster.Binary(l.ctx, "actionlint", os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(l.ctx, linter, "-shellcheck=", "-pyflakes=", file).CombinedOutput(); err != nil {
		t.Errorf("actionlint: %v\n%s", err, out)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var w workflow
	if err := yaml.Unmarshal(text, &w); err != nil {
		t.Fatal(err)
	}
	kubeconfig, err := os.ReadFile(l.Kubeconfig())
	if err != nil {
		t.Fatal(err)
	}
	d := l.newDesk(4)
	if err := os.Symlink(built.Root, filepath.Join(d.dir, "arc-cleanup")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"arc-postrender", "arc-cleanup"} { // it builds its own
		if err := os.Remove(filepath.Join(d.dir, "bin", name)); err != nil {
			t.Fatal(err)
		}
	}
	d.env = append(d.env, "GITHUB_WORKSPACE="+d.dir, "RUNNER_TEMP="+d.dir, "KUBECONFIG=",
		"HELM_DATA_HOME="+filepath.Join(d.dir, "helm"), "GOFLAGS="+os.Getenv("GOFLAGS"))
	first := len(d.env)
	runs := l.hookRuns()
	for _, action := range []string{"install", "uninstall"} {
		d.env = d.env[:first]
		if err := os.RemoveAll(filepath.Join(d.dir, "helm")); err != nil { // a runner is new each time
			t.Fatal(err)
		}
		d.job(w, map[string]string{
			"${{ inputs.version }}": "0.6.1", "${{ inputs.action }}": action,
			"${{ github.workspace }}": d.dir, "${{ secrets.KUBECONFIG }}": string(kubeconfig),
		})
		if action == "install" {
			d.lives(4)
		}
	}
	if got := runs(); got["arc-arc-cleanup"] != 1 || got["arc-runner-set-arc-cleanup-scale-set"] != 1 {
		t.Errorf("hooks ran that often: %v", got)
	}
	l.nothingLeft()
}

// job runs the steps of the workflow's only job.
func (d *desk) job(w workflow, expressions map[string]string) {
	d.Helper()
	job := w.Jobs["arc"]
	if len(job.Steps) == 0 {
		d.Fatal("the workflow has no job arc")
	}
	evaluate := func(env map[string]string) (out []string) {
		for name, value := range env {
			for expression, is := range expressions {
				value = strings.ReplaceAll(value, expression, is)
			}
			if strings.Contains(value, "${{") {
				d.Fatalf("the test does not know the expression %s", value)
			}
			out = append(out, name+"="+value)
		}
		return out
	}
	d.env = append(d.env, evaluate(job.Env)...)
	for _, step := range job.Steps {
		if strings.HasPrefix(step.Uses, "azure/setup-helm") {
			if out, _ := d.run(filepath.Join(d.dir, "bin", "helm"), "version", "--short"); !strings.HasPrefix(out, fmt.Sprint(step.With["version"])) {
				d.Errorf("the workflow asks for Helm %v, and this is %s", step.With["version"], out)
			}
		}
		if step.Run == "" {
			continue
		}
		if strings.Contains(step.Run, "${{") {
			d.Errorf("step %q has an expression in its script", step.Name)
		}
		common := d.env
		d.env = append(slices.Clone(common), evaluate(step.Env)...)
		d.env = append(d.env, "GITHUB_ENV="+filepath.Join(d.dir, "env"), "GITHUB_PATH="+filepath.Join(d.dir, "path"))
		d.write("env", "", 0o600)
		d.write("path", "", 0o600)
		d.write("step.sh", step.Run, 0o600)
		d.must("bash", "--noprofile", "--norc", "-eo", "pipefail", "step.sh")
		d.env = common
		for line := range strings.Lines(d.read("env")) {
			d.env = append(d.env, strings.TrimSpace(line))
		}
		for line := range strings.Lines(d.read("path")) {
			d.env = append(d.env, "PATH="+strings.TrimSpace(line)+":"+d.path())
		}
	}
}

func (d *desk) read(name string) string {
	d.Helper()
	text, err := os.ReadFile(filepath.Join(d.dir, name))
	if err != nil {
		d.Fatal(err)
	}
	return string(text)
}

// path is PATH at the desk.
func (d *desk) path() (path string) {
	for _, v := range d.env {
		if p, ok := strings.CutPrefix(v, "PATH="); ok {
			path = p
		}
	}
	return path
}

// documents splits YAML.
func documents(text []byte) (out [][]byte) {
	for d := range bytes.SplitSeq(append([]byte("\n"), text...), []byte("\n---\n")) {
		if len(bytes.TrimSpace(d)) > 0 {
			out = append(out, d)
		}
	}
	return out
}
