package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"sigs.k8s.io/yaml"

	"github.com/arc-cleanup/arc-cleanup/internal/cli"
)

// commands are all that a user sees, by their path.
func commands() map[string]*cobra.Command {
	out := map[string]*cobra.Command{}
	var add func(*cobra.Command)
	add = func(cmd *cobra.Command) {
		if !cmd.Hidden {
			out[cmd.CommandPath()] = cmd
		}
		for _, sub := range cmd.Commands() {
			add(sub)
		}
	}
	add(newRoot())
	return out
}

// TestGeneratedReference holds docs/arc-cleanup.md against the commands.
func TestGeneratedReference(t *testing.T) {
	golden(t, filepath.Join("..", "..", "..", "docs", "arc-cleanup.md"), cli.Reference(newRoot(), environment))
}

// completion is how Helm wants to be told of a plugin's commands (helm.sh/helm/v3
// cmd/helm/load_plugins.go, pluginCommand).
type completion struct {
	Name      string       `json:"name"`
	ValidArgs []string     `json:"validArgs,omitempty"`
	Flags     []string     `json:"flags,omitempty"`
	Commands  []completion `json:"commands,omitempty"`
}

// completionOf leaves one-letter flags out: one that is Helm's, too, makes Helm panic.
func completionOf(cmd *cobra.Command) completion {
	out := completion{Name: cmd.Name(), ValidArgs: cmd.ValidArgs}
	cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			out.Flags = append(out.Flags, f.Name)
		}
	})
	for _, sub := range cmd.Commands() {
		if !sub.Hidden {
			out.Commands = append(out.Commands, completionOf(sub))
		}
	}
	return out
}

// TestGeneratedCompletion holds what Helm completes after "helm arc-cleanup" against
// the commands.
func TestGeneratedCompletion(t *testing.T) {
	root := completionOf(newRoot())
	root.Name = "arc-cleanup"
	data, err := yaml.Marshal(root)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, filepath.Join("..", "..", "..", "plugin", "arc-cleanup", "completion.yaml"), "# Written by make docs.\n"+string(data))
}

// Every command explains itself, and what it shows as an example is right.
func TestEveryCommandHasExamples(t *testing.T) {
	for path, cmd := range commands() {
		if cmd.Runnable() && path != "arc-cleanup version" && (cmd.Example == "" || cmd.Long == "" || !strings.Contains(cmd.Long, "Exit codes:")) {
			t.Errorf("%s has no example, no long help, or no exit codes", path)
		}
		for line := range strings.Lines(strings.ReplaceAll(cmd.Example, "\\\n", " ")) {
			line, _, _ = strings.Cut(strings.TrimSpace(line), " | ")
			words := strings.Fields(line)
			if len(words) == 0 || words[0] != "arc-cleanup" {
				continue
			}
			root := newRoot()
			of, rest, err := root.Find(words[1:])
			if err != nil || of.CommandPath() != path {
				t.Errorf("%s: example %q is of %s, %v", path, line, of.CommandPath(), err)
				continue
			}
			if err := of.ParseFlags(rest); err != nil {
				t.Errorf("%s: example %q: %v", path, line, err)
			} else if err := of.ValidateArgs(of.Flags().Args()); err != nil {
				t.Errorf("%s: example %q: %v", path, line, err)
			}
		}
	}
}

// One flag is one thing: wherever its name is used it has the same shorthand and
// takes the same sort of value, and one letter is always the same flag.
func TestFlagsAreConsistent(t *testing.T) {
	type flag struct{ shorthand, kind string }
	flags, letters := map[string]flag{}, map[string]string{}
	for path, cmd := range commands() {
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			got := flag{f.Shorthand, f.Value.Type()}
			if f.Name == "output" || f.Name == "busy-runners" {
				got.kind = "" // the words differ: what there is besides json, and upgrade leaves no runners
			}
			if want, ok := flags[f.Name]; ok && want != got {
				t.Errorf("%s: --%s is %+v, elsewhere %+v", path, f.Name, got, want)
			}
			flags[f.Name] = got
			if name, ok := letters[f.Shorthand]; ok && name != f.Name && f.Shorthand != "" {
				t.Errorf("%s: -%s is --%s, elsewhere --%s", path, f.Shorthand, f.Name, name)
			}
			letters[f.Shorthand] = f.Name
			if !regexp.MustCompile(`^[a-z]|^[A-Z][a-zA-Z]* `).MatchString(f.Usage) || strings.HasSuffix(f.Usage, ".") {
				t.Errorf("%s: --%s: the others' usage begins small and ends without a full stop: %q", path, f.Name, f.Usage)
			}
		})
	}
}

func TestCompletionOfWords(t *testing.T) {
	for path, cmd := range commands() {
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			choice, ok := f.Value.(interface{ Words() []string })
			if !ok {
				return
			}
			got := command(t.Context(), nil, slices.Concat([]string{cobra.ShellCompRequestCmd}, strings.Fields(path)[1:], []string{"--" + f.Name, ""})...)
			want := strings.Join(choice.Words(), "\n") + "\n:4\n"
			if diff := cmp.Diff(want, got.stdout); diff != "" || got.code != exitDone {
				t.Errorf("%s --%s: exit code %d\n%s", path, f.Name, got.code, diff)
			}
		})
	}
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		if got := command(t.Context(), nil, "completion", shell); got.code != exitDone || !strings.Contains(got.stdout, "arc-cleanup") {
			t.Errorf("completion %s: exit code %d, stderr %q", shell, got.code, got.stderr)
		}
	}
}

// The page says what to do about every exit code, and knows no other.
func TestTroubleshootingHasTheExitCodes(t *testing.T) {
	codes := func(text, pattern string) []string {
		var out []string
		for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
			out = append(out, m[1])
		}
		return out
	}
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "troubleshooting.md"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(codes(exitHelp, `(?m)^  (\d+) `), codes(string(page), `(?m)^\| (\d+) \|`)); diff != "" {
		t.Errorf("exit codes of the help (-) and of docs/troubleshooting.md (+):\n%s", diff)
	}
}

// What a text shows for run or plan can be typed: it says what to clean.
func TestTextsSayWhatToClean(t *testing.T) {
	shown := regexp.MustCompile("(?m)(?:^ *|[`\"/(]|helm )arc-cleanup (?:run|plan)\\b([^`\"|#\n]*)")
	what := regexp.MustCompile(` (-A|--all-namespaces|--namespace|--release|--job|--scale-set)\b|^ \[flags\]`)
	found := 0
	for _, folder := range []string{"README.md", "CONTRIBUTING.md", "SECURITY.md", "cmd", "internal", "docs", "charts", "examples", "plugin"} {
		err := filepath.WalkDir(filepath.Join("..", "..", folder), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || strings.HasSuffix(path, "_test.go") || strings.Contains(path, "testdata") || filepath.Base(path) == "performance.md" {
				return err // performance.md has figures, and nothing to type
			}
			text, err := os.ReadFile(path)
			for _, m := range shown.FindAllStringSubmatch(string(text), -1) {
				found++
				if !what.MatchString(m[1]) {
					t.Errorf("%s: %q", path, m[0])
				}
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if found < 30 {
		t.Errorf("found %d commands: the test does not look where they are", found)
	}
}
