package e2e

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/syntax"
	"sigs.k8s.io/yaml"

	"github.com/arc-cleanup/arc-cleanup/test/cluster"
	"github.com/arc-cleanup/arc-cleanup/test/harness"
)

// A block is a fenced block of a Markdown file.
type block struct {
	file, heading string
	n             int // under this heading, from 1
	line          int
	language      string
	text          string
}

// name is how the tables call a block: file#heading, and from the second of the
// same sort under a heading on, its number.
func (b block) name() string {
	name := b.file + "#" + b.heading
	if b.n > 1 {
		name += fmt.Sprintf("/%d", b.n)
	}
	return name
}

// A reader does what the documentation says, with a copy of the repository, an empty home, and
// programs on PATH.
type reader struct {
	*lab
	blocks   []block
	clone    string
	kubectl  string
	registry string // where ARC's charts, and ours, are
}

func newReader(t *testing.T) *reader {
	t.Helper()
	r := &reader{lab: newLab(t)}
	var err error
	if r.kubectl, err = cluster.Binary(r.ctx, "kubectl", os.Stderr); err != nil {
		t.Fatal(err)
	}
	// The last part is the name that examples have for it.
	r.clone = filepath.Join(t.TempDir(), "arc-cleanup")
	r.copyRepository()
	for _, file := range r.pages() {
		text, err := os.ReadFile(filepath.Join(r.clone, file))
		if err != nil {
			t.Fatal(err)
		}
		r.blocks = append(r.blocks, blocks(file, string(text))...)
	}
	if len(r.blocks) < 10 {
		t.Fatalf("found only %d blocks", len(r.blocks))
	}
	r.checkTables()

	host := r.lab.registry()
	r.registry = "oci://" + host
	for _, chart := range []string{harness.ControllerChart, harness.ScaleSetChart} {
		r.pushChart(4, built.ARCChart(chart), r.registry+"/arc")
	}
	r.pushChart(4, hookChart(), r.registry+"/charts")
	return r
}

// copyRepository copies what a clone has, and what will be committed.
func (r *reader) copyRepository() {
	r.Helper()
	list := exec.CommandContext(r.ctx, "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	list.Dir = built.Root
	out, err := list.Output()
	if err != nil {
		r.Fatalf("git ls-files: %v", err)
	}
	for file := range strings.SplitSeq(strings.TrimSuffix(string(out), "\x00"), "\x00") {
		data, err := os.ReadFile(filepath.Join(built.Root, file))
		if os.IsNotExist(err) {
			continue // deleted, and not committed yet
		}
		to := filepath.Join(r.clone, file)
		if err == nil {
			err = os.MkdirAll(filepath.Dir(to), 0o755)
		}
		if err == nil {
			err = os.WriteFile(to, data, 0o755)
		}
		if err != nil {
			r.Fatal(err)
		}
	}
}

// pages are the Markdown files, README first.
func (r *reader) pages() []string {
	r.Helper()
	var out []string
	err := filepath.WalkDir(r.clone, func(path string, _ fs.DirEntry, err error) error {
		if err == nil && filepath.Ext(path) == ".md" {
			name, _ := filepath.Rel(r.clone, path)
			out = append(out, filepath.ToSlash(name))
		}
		return err
	})
	if err != nil {
		r.Fatal(err)
	}
	return out
}

// blocks are the fenced blocks of a page.
func blocks(file, text string) []block {
	var (
		out     []block
		heading string
		count   map[string]int
		open    *block
		fence   string
	)
	for i, line := range strings.Split(text, "\n") {
		trimmed := strings.TrimLeft(line, " ")
		switch {
		case open != nil && strings.TrimSpace(line) == fence:
			out = append(out, *open)
			open = nil
		case open != nil:
			open.text += line + "\n"
		case strings.HasPrefix(trimmed, "```"):
			language := strings.TrimLeft(trimmed, "`")
			fence = trimmed[:len(trimmed)-len(language)]
			count[language]++
			open = &block{file: file, heading: heading, n: count[language], line: i + 1, language: strings.TrimSpace(language)}
		case strings.HasPrefix(line, "#"):
			heading, count = strings.TrimSpace(strings.TrimLeft(line, "#")), map[string]int{}
		}
		if count == nil {
			count = map[string]int{}
		}
	}
	return out
}

// adapted is a text with the addresses that can be reached here, and the version
// of ARC's charts that is at hand.
func (r *reader) adapted(text string) string {
	return strings.NewReplacer(
		"oci://ghcr.io/actions/actions-runner-controller-charts", r.registry+"/arc",
		"oci://registry.example/charts", r.registry+"/charts",
		"version: 0.12.1", "version: 0.6.1",
	).Replace(text)
}

// execute runs a block in the copy. It reports whether that went as expected.
func (r *reader) execute(b block, e execution, major int) bool {
	return r.Run(fmt.Sprintf("%s, helm %d", e.block, major), func(t *testing.T) {
		outer := r.T
		r.T = t
		defer func() { r.T = outer }()

		bin := filepath.Join(t.TempDir(), "bin")
		home := t.TempDir()
		r.programs(bin, major)
		if e.before != nil {
			e.before()
		}
		values, err := yaml.Marshal(map[string]any{
			"githubConfigUrl": r.GitHub().ConfigURL(), "githubConfigSecret": map[string]any{"github_token": "not-a-token"},
			"minRunners": 1, "controllerServiceAccount": map[string]any{"name": "arc-gha-rs-controller", "namespace": controllerNamespace},
		})
		if err == nil {
			err = os.WriteFile(filepath.Join(r.clone, "values.yaml"), values, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}

		text := r.adapted(b.text)
		if major == 3 {
			// The README says to do this instead.
			text = regexp.MustCompile(`(?m)^(make plugin|helm plugin).*\n`).ReplaceAllString(text, "")
			text = "make install PREFIX=" + home + "/local\nPATH=" + home + "/local/bin:$PATH\n" + text
		}
		failures := filepath.Join(home, "failures")
		script := fmt.Sprintf("trap 'code=$?; echo \"$code $BASH_COMMAND\" >> %s' ERR\n%s", failures, text)
		cmd := exec.CommandContext(r.ctx, "bash", "-c", script)
		cmd.Dir = r.clone
		cmd.Env = append(r.cleanEnvironment(home), "PATH="+bin+":"+os.Getenv("PATH"), "KUBECONFIG="+r.Kubeconfig(),
			"ARC_CLEANUP_YES=true", // there is nobody to ask
			harness.NameImage)      // README.md#Install
		out, err := cmd.CombinedOutput()
		t.Logf("%s\n%s", text, out)
		failed, readErr := os.ReadFile(failures)
		if readErr != nil && !os.IsNotExist(readErr) {
			t.Fatal(readErr)
		}
		if err != nil && len(failed) == 0 {
			t.Fatal(err)
		}
		var want strings.Builder
		for command, code := range e.exits {
			fmt.Fprintf(&want, "%d %s\n", code, command)
		}
		if string(failed) != want.String() {
			t.Fatalf("these commands ended with a code other than 0:\n%swant:\n%s", failed, want.String())
		}
		if e.after != nil {
			e.after()
		}
		// The first of two blocks only installs.
		if b.name() != "README.md#With a post-renderer" {
			r.nothingLeft()
		}
	})
}

// cleanEnvironment returns the environment of a user with an empty home. Only Go's caches are
// shared.
func (r *reader) cleanEnvironment(home string) []string {
	r.Helper()
	out, err := exec.CommandContext(r.ctx, "go", "env", "GOPATH", "GOMODCACHE", "GOCACHE", "GOPROXY").Output()
	if err != nil {
		r.Fatal(err)
	}
	env := slices.DeleteFunc(os.Environ(), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return strings.HasPrefix(name, "HELM_") || strings.HasPrefix(name, "ARC_CLEANUP_") || strings.HasPrefix(name, "KUBE") ||
			strings.HasPrefix(name, "XDG_") || name == "HOME" || name == "PATH" || name == "MAKEFLAGS"
	})
	values := strings.Split(strings.TrimSpace(string(out)), "\n")
	for i, name := range []string{"GOPATH", "GOMODCACHE", "GOCACHE", "GOPROXY"} {
		env = append(env, name+"="+values[i])
	}
	return append(env, "HOME="+home)
}

// programs puts on PATH what a user has. The registry here speaks no TLS; and what
// chart 0.6.1 renders for empty lists, a server-side apply of Helm 4 refuses.
func (r *reader) programs(bin string, major int) {
	r.Helper()
	helm := built.Helm(r.ctx, major, "")
	script := fmt.Sprintf(`#!/bin/sh
set -- "$@"
case " $* " in
*" oci://localhost:"*|*" dependency "*) set -- "$@" --plain-http ;;
esac
case "%d $*" in
"4 install "*"/gha-runner-scale-set "*) set -- "$@" --server-side=false ;;
esac
exec %s "$@"
`, major, helm.Path)
	if err := os.MkdirAll(bin, 0o755); err != nil {
		r.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(bin, "helm"), []byte(script), 0o755); err != nil {
		r.Fatal(err)
	}
	for name, program := range map[string]string{"kubectl": r.kubectl, "arc-cleanup": built.Hookjob} {
		if err := os.Symlink(program, filepath.Join(bin, name)); err != nil {
			r.Fatal(err)
		}
	}
}

// unchecked are programs of others, whose flags nobody here can try.
var unchecked = []string{"base64", "cat", "cd", "checked", "cosign", "curl", "echo", "export", "git", "gunzip", "jq", "mkdir", "sha256sum", "signed", "tar"}

// checkCommands parses a block, and asks each of our commands, and Helm, kubectl
// and make, whether it understands what it is given, without doing it.
func (r *reader) checkCommands(b block) {
	r.Helper()
	file, err := syntax.NewParser(syntax.Variant(syntax.LangPOSIX)).Parse(strings.NewReader(b.text), b.file)
	if err != nil {
		r.Errorf("%s:%d: %v", b.file, b.line, err)
		return
	}
	variables := map[string]string{}
	config := &expand.Config{Env: expand.FuncEnviron(func(name string) string { return variables[name] })}
	syntax.Walk(file, func(n syntax.Node) bool {
		call, ok := n.(*syntax.CallExpr)
		if !ok {
			return true
		}
		for _, a := range call.Assigns {
			// Text that only its execution would show stays empty.
			variables[a.Name.Value], _ = expand.Literal(config, a.Value)
		}
		if len(call.Args) == 0 {
			return true
		}
		words, err := expand.Fields(config, call.Args...)
		if err != nil {
			r.Errorf("%s:%d: %v", b.file, b.line, err)
			return true
		}
		for _, cmd := range r.asking(words) {
			if out, err := cmd.CombinedOutput(); err != nil {
				r.Errorf("%s:%d: %s: %v\n%s", b.file, b.line, strings.Join(words, " "), err, out)
			}
		}
		if len(r.asking(words)) == 0 && !slices.Contains(unchecked, words[0]) {
			r.Errorf("%s:%d: nobody knows whether %q understands its arguments: teach `asking` of test/e2e/docs_reader_test.go, or add it to `unchecked`", b.file, b.line, words[0])
		}
		return true
	})
}

// asking are command lines that fail if the flags of another are wrong.
func (r *reader) asking(words []string) []*exec.Cmd {
	args := append(slices.Clone(words[1:]), "--help")
	switch filepath.Base(words[0]) {
	case "arc-cleanup":
		return []*exec.Cmd{built.ByHand(r.ctx, "", args...)}
	case "arc-postrender":
		return []*exec.Cmd{exec.CommandContext(r.ctx, built.Postrender, args...)}
	case "kubectl":
		return []*exec.Cmd{exec.CommandContext(r.ctx, r.kubectl, args...)}
	case "helm":
		helm3, helm4 := built.Helm(r.ctx, 3, "", args...), built.Helm(r.ctx, 4, "", args...)
		if words[1] == "plugin" {
			return []*exec.Cmd{helm4}
		}
		// To Helm 3 a post-renderer is a program on PATH.
		bin := r.TempDir()
		if err := os.Symlink(built.Postrender, filepath.Join(bin, "arc-postrender")); err != nil {
			r.Fatal(err)
		}
		helm3.Env = append(helm3.Env, "PATH="+bin+":"+os.Getenv("PATH"))
		return []*exec.Cmd{helm3, helm4}
	case "make":
		cmd := exec.CommandContext(r.ctx, "make", append([]string{"--dry-run"}, words[1:]...)...)
		cmd.Dir = r.clone
		return []*exec.Cmd{cmd}
	}
	return nil
}

// checkYAML parses a block, and renders it if it is a chart with dependencies.
func (r *reader) checkYAML(b block) {
	r.Helper()
	for _, text := range regexp.MustCompile(`(?m)^---$`).Split(b.text, -1) {
		var document map[string]any
		if err := yaml.UnmarshalStrict([]byte(text), &document); err != nil {
			r.Errorf("%s:%d: %v", b.file, b.line, err)
			continue
		}
		if _, ok := document["dependencies"]; ok {
			r.checkChart(b, text, document)
		}
	}
}

func (r *reader) checkChart(b block, text string, document map[string]any) {
	r.Helper()
	if document["apiVersion"] == nil { // a part of one
		text = "apiVersion: v2\nname: arc\nversion: 1.0.0\n" + text
	}
	// Beside the repository, as examples with file:// have it.
	dir := filepath.Join(filepath.Dir(r.clone), fmt.Sprintf("chart-%d", b.line))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		r.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "Chart.yaml"), []byte(r.adapted(text)), 0o600); err != nil {
		r.Fatal(err)
	}
	for _, major := range []int{3, 4} {
		if out, err := r.helm(major, "dependency", "build", dir, "--plain-http"); err != nil {
			r.Errorf("%s:%d: %v\n%s", b.file, b.line, err, out)
			return
		}
		out, err := built.Helm(r.ctx, major, "", "template", "arc", dir, "--namespace", controllerNamespace, "--kube-version", "1.37",
			"--set", "arc-cleanup.image.repository="+harness.HookImage).Output()
		if err != nil || !bytes.Contains(out, []byte("kind: Job")) || !bytes.Contains(out, []byte("kind: Deployment")) {
			r.Errorf("%s:%d: helm %d does not render ARC and the hook: %v", b.file, b.line, major, err)
		}
	}
}
