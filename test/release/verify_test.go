package release

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/arc-cleanup/arc-cleanup/test/harness"
)

// sections are the commands of docs/verify.md, by heading, and the headings in their order.
func sections(t *testing.T) (headings []string, commands map[string]string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "docs", "verify.md"))
	if err != nil {
		t.Fatal(err)
	}
	commands = map[string]string{}
	for _, m := range regexp.MustCompile("(?s)\n## ([^\n]+)\n(.*?)\n```sh\n(.*?)\n```\n").FindAllStringSubmatch(string(text), -1) {
		headings = append(headings, m[1])
		commands[m[1]] = m[3]
	}
	if n := strings.Count(string(text), "```sh"); n != len(headings) {
		t.Fatalf("%d blocks of commands in docs/verify.md, and under %d headings one", n, len(headings))
	}
	return headings, commands
}

const setup = "Say what you check"

// TestIdentity: docs/verify.md believes this repository's release workflow at the tag of the version, and nobody else: no
// other repository, workflow, branch or version. The tests of a release sign with a key, so they do not see that.
func TestIdentity(t *testing.T) {
	_, commands := sections(t)
	bin := t.TempDir()
	if err := os.WriteFile(filepath.Join(bin, "cosign"), []byte("#!/bin/sh\nprintf '%s\\n' \"$@\"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "bash", "-euc", commands[setup]+"\nsigned verify x\necho $VERSION $REGISTRY $RELEASE")
	cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"))
	got, err := harness.Run(t, "cosign", cmd)
	const workflow = ".github/workflows/release.yml"
	repository, v := "https://github.com/arc-cleanup/arc-cleanup/", version(t)
	want := strings.Join([]string{
		"verify", "x", "--certificate-oidc-issuer", "https://token.actions.githubusercontent.com",
		"--certificate-identity", repository + workflow + "@refs/tags/v" + v, v + " ghcr.io/arc-cleanup " + repository + "releases/download/v" + v, "",
	}, "\n")
	if err != nil || got != want {
		t.Errorf("%v\n%s\nwant\n%s", err, got, want)
	}
	if _, err := os.Stat(filepath.Join(root, workflow)); err != nil {
		t.Error(err)
	}
	for heading, text := range commands {
		if heading != setup && regexp.MustCompile(`\bcosign\b|insecure|certificate`).MatchString(text) {
			t.Errorf("docs/verify.md, %q: cosign is asked without signed, or for less:\n%s", heading, text)
		}
	}
}
