package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What deregister lacks, or what its file does not say, is wrong usage, and names the flag.
func TestDeregisterSaysWhatItLacks(t *testing.T) {
	t.Setenv(tokenVariable, "ghp_x")
	file := func(name, content string) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	dir := t.TempDir()
	for want, args := range map[string][]string{
		"--from " + dir + ": read ": {"--from", dir},
		"say what to remove: --from REPORT.json, or --url URL with --scale-set NAME": nil,
		"--url needs --scale-set NAME, or --from FILE":                               {"--url", "https://github.com/acme"},
		"--scale-set needs --url URL":                                                {"--scale-set", "s"},
		"no such file or directory":                                                  {"--from", filepath.Join(t.TempDir(), "none")},
		"empty: the file is empty":                                                   {"--from", file("empty", "")},
		"plan.txt: it is not JSON":                                                   {"--from", file("plan.txt", "PHASE ACTION")},
		"cut.json: it is not JSON":                                                   {"--from", file("cut.json", `{"version":`)},
		"status.json: it is neither a report nor a plan":                             {"--from", file("status.json", `{"version": "arc-cleanup/status/v1"}`)},
	} {
		got := command(t.Context(), nil, append([]string{"deregister"}, args...)...)
		if got.code != exitUsage || !strings.Contains(got.stderr, want) || !strings.Contains(got.stderr, "deregister --help") {
			t.Errorf("%v: exit code %d, want %q\n%s", args, got.code, want, got.stderr)
		}
	}
}
