package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func provenance(t *testing.T, env map[string]string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "provenance.json")
	opts, err := parseArgs([]string{"--output", file, "--version", "1.2.3", "--revision", "abc"}, "")
	if err != nil {
		t.Fatal(err)
	}
	opts.Env = func(name string) string { return env[name] }
	if err := run(nil, opts); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, content); err != nil {
		t.Fatal(err)
	}
	return compact.String()
}

func TestOnGitHub(t *testing.T) {
	got := provenance(t, map[string]string{
		"GITHUB_SERVER_URL": "https://github.com", "GITHUB_REPOSITORY": "o/r", "GITHUB_RUN_ID": "7", "GITHUB_RUN_ATTEMPT": "2",
		"GITHUB_WORKFLOW_REF": "o/r/.github/workflows/release.yml@refs/tags/v1.2.3",
	})
	want := `{"buildDefinition":{"buildType":"https://actions.github.io/buildtypes/workflow/v1","externalParameters":{"workflow":` +
		`{"path":".github/workflows/release.yml","ref":"refs/tags/v1.2.3","repository":"https://github.com/o/r"}},` +
		`"resolvedDependencies":[{"uri":"git+https://github.com/o/r@refs/tags/v1.2.3","digest":{"gitCommit":"abc"}}]},` +
		`"runDetails":{"builder":{"id":"https://github.com/o/r/.github/workflows/release.yml@refs/tags/v1.2.3"},` +
		`"metadata":{"invocationId":"https://github.com/o/r/actions/runs/7/attempts/2"}}}`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestByHand: it does not claim to come from GitHub.
func TestByHand(t *testing.T) {
	want := `{"buildDefinition":{"buildType":"` + byHand + `","externalParameters":{"version":"1.2.3"},` +
		`"resolvedDependencies":[{"uri":"git+` + repository + `@refs/tags/v1.2.3","digest":{"gitCommit":"abc"}}]},` +
		`"runDetails":{"builder":{"id":"` + byHand + `"}}}`
	if diff := cmp.Diff(want, provenance(t, nil)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestParseArgs(t *testing.T) {
	for _, args := range [][]string{nil, {"--output", "o", "--version", "1"}, {"--output", "o", "--version", "1", "--revision", "r", "more"}} {
		if _, err := parseArgs(args, ""); err == nil {
			t.Errorf("%q: no error", args)
		}
	}
}
