//go:build release

package release

import (
	"encoding/base64"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/arc-cleanup/arc-cleanup/test/harness"
)

// A stage is a PATH with a stand-in for a program, which notes how it is called.
func stage(t *testing.T, program, script string) (dir string, run func(env []string, args ...string) (string, error)) {
	t.Helper()
	dir = t.TempDir()
	script = "#!/bin/sh\necho \"$*\" >> " + filepath.Join(dir, "calls") + "\n" + script
	if err := os.WriteFile(filepath.Join(dir, program), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	return dir, func(env []string, args ...string) (string, error) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "make", append([]string{"-C", root, "--no-print-directory"}, args...)...)
		cmd.Env = append(os.Environ(), append(env, "PATH="+dir+":"+os.Getenv("PATH"))...)
		return harness.Run(t, "make", cmd)
	}
}

func calls(t *testing.T, dir string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "calls"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestPublish: the draft becomes public, and then the tap gets the cask, in the place of the one before.
func TestPublish(t *testing.T) {
	cask := filepath.Join(t.TempDir(), "cask.rb")
	if err := os.WriteFile(cask, []byte("cask"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct{ gh, token, want string }{
		"first":   {`case "$*" in *sha*) echo '{"message":"Not Found"}'; exit 1;; esac`, "x", "--raw-field content=Y2Fzaw==\n"},
		"next":    {`case "$*" in *--jq*) echo abc;; esac`, "x", "--raw-field content=Y2Fzaw== --raw-field sha=abc\n"},
		"no tap":  {"", "", "--draft=false\n"},
		"refused": {"exit 1", "x", "--draft=false\n"},
	} {
		t.Run(name, func(t *testing.T) {
			dir, run := stage(t, "gh", tc.gh)
			out, err := run([]string{"HOMEBREW_TAP_TOKEN=" + tc.token}, "release-publish", "CASK="+cask)
			if (err != nil) != (name == "refused") || strings.Contains(out, "NOT DONE: the Homebrew cask") != (name == "no tap") {
				t.Errorf("%v\n%s", err, out)
			}
			if got := calls(t, dir); !strings.HasPrefix(got, "release edit v"+version(t)+" ") || !strings.HasSuffix(got, tc.want) {
				t.Errorf("gh is called as\n%s", got)
			}
		})
	}
}

// TestKeys: the key is where release-oci looks for it, for its owner alone.
func TestKeys(t *testing.T) {
	dir, run := stage(t, "cosign", "cat > "+filepath.Join(t.TempDir(), "password"))
	env := []string{"RUNNER_TEMP=" + dir, "HELM_SIGNING_KEY=" + base64.StdEncoding.EncodeToString([]byte("secret")), "REGISTRY_USER=me", "REGISTRY_PASSWORD=pass"}
	out, err := run(env, "release-keys", "REGISTRY=registry.example/folder", "COSIGN=cosign")
	if err != nil || strings.Contains(out, "pass") {
		t.Fatalf("%v\n%s", err, out)
	}
	if got := calls(t, dir); got != "login registry.example --username me --password-stdin\n" {
		t.Errorf("cosign is called as %q", got)
	}
	ring := filepath.Join(dir, "release-keys", "secring.gpg")
	info, err := os.Stat(ring)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v", info, err)
	}
	if content, err := os.ReadFile(ring); err != nil || string(content) != "secret" {
		t.Errorf("%q, %v", content, err)
	}
	if out, err := run(env[:1], "release-keys", "COSIGN=cosign"); err == nil || !strings.Contains(out, "HELM_SIGNING_KEY is not set") {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestTag: a tag that is not the chart's version, or has no notes, releases nothing.
func TestTag(t *testing.T) {
	_, run := stage(t, "unused", "")
	for want, args := range map[string][]string{
		"the tag is v99.0.0, and the chart says v" + version(t): {"TAG=v99.0.0"},
		"CHANGELOG.md has no section 99.0.0":                    {"TAG=v99.0.0", "VERSION=99.0.0"},
	} {
		if out, err := run(nil, append(args, "release-tag")...); err == nil || !strings.Contains(out, want) {
			t.Errorf("%v, want %q\n%s", err, want, out)
		}
	}
}
