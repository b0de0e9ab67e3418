package main

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"

	"github.com/arc-cleanup/arc-cleanup/internal/cli"
)

var update = flag.Bool("update", false, "write docs/arc-postrender.md")

// TestGeneratedReference compares docs/arc-postrender.md with the command.
func TestGeneratedReference(t *testing.T) {
	file := filepath.Join("..", "..", "docs", "arc-postrender.md")
	got := cli.Reference(newCommand(new(string)), "")
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s is stale, run make docs (-want +got):\n%s", file, diff)
	}
}

func TestCompletion(t *testing.T) {
	tests := map[string]struct {
		args []string
		want string
	}{
		"words of --helm":    {[]string{cobra.ShellCompRequestCmd, "--helm", ""}, "3\n4\n:4\n"},
		"files for --values": {[]string{cobra.ShellCompRequestCmd, "--values", ""}, ":0\n"},
		"nothing else":       {[]string{cobra.ShellCompRequestCmd, "--release", ""}, ":4\n"},
		"bash":               {[]string{"completion", "bash"}, "complete -o default -F __start_arc-postrender arc-postrender"},
		"zsh":                {[]string{"completion", "zsh"}, "#compdef arc-postrender"},
		"fish":               {[]string{"completion", "fish"}, "complete -c arc-postrender"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			if code := run(test.args, strings.NewReader(""), &stdout, &stderr); code != 0 || !strings.Contains(stdout.String(), test.want) {
				t.Errorf("exit code %d, stderr %q, stdout without %q:\n%s", code, stderr.String(), test.want, stdout.String())
			}
		})
	}
}
