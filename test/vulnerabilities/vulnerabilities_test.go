// Package vulnerabilities tries `make vulnerabilities` with databases of its own.
package vulnerabilities

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/arc-cleanup/arc-cleanup/test/harness"
)

// database knows one vulnerability, in a function of a module that tools/pack calls.
func database(t *testing.T, module, function string) string {
	t.Helper()
	dir := t.TempDir()
	for file, text := range map[string]string{
		"index/db.json":      `{"modified": "2026-01-01T00:00:00Z"}`,
		"index/modules.json": `[{"path": "` + module + `", "vulns": [{"id": "GO-2026-0001", "modified": "2026-01-01T00:00:00Z"}]}]`,
		"index/vulns.json":   `[{"id": "GO-2026-0001", "modified": "2026-01-01T00:00:00Z"}]`,
		"ID/GO-2026-0001.json": `{"schema_version": "1.3.1", "id": "GO-2026-0001", "modified": "2026-01-01T00:00:00Z", "summary": "A licence bites",
			"affected": [{"package": {"name": "` + module + `", "ecosystem": "Go"},
				"ranges": [{"type": "SEMVER", "events": [{"introduced": "0"}]}],
				"ecosystem_specific": {"imports": [{"path": "` + module + `", "symbols": ["` + function + `"]}]}}]}`,
	} {
		path := filepath.Join(dir, file)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return "VULNDB=file://" + dir
}

func TestMakeVulnerabilities(t *testing.T) {
	const module = "github.com/google/licensecheck"
	for name, tc := range map[string]struct {
		database, want string
		fails          bool
	}{
		"called":      {database(t, module, "Scan"), "GO-2026-0001 in " + module + ": A licence bites (fixed in no version)", true},
		"not called":  {database(t, module, "Nothing"), "tools/pack/: 0 known", false},
		"tools":       {database(t, "golang.org/x/vuln", "Nothing") + " MODULES=test/cluster/modules/govulncheck/", "modules/govulncheck/: 0 known", false},
		"no code":     {database(t, module, "Nothing") + " MODULES=test/cluster/modules/cluster-api-helm/", "modules/cluster-api-helm/: 0 known", false},
		"unreachable": {"HTTPS_PROXY=http://127.0.0.1:1", "!!! NOT CHECKED: vulnerabilities of tools/pack/", false},
		"required":    {"HTTPS_PROXY=http://127.0.0.1:1 VULNDB_REQUIRED=yes", "the database of vulnerabilities cannot be reached", true},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := harness.Run(t, "make", exec.CommandContext(t.Context(), "make",
				append([]string{"-C", "../..", "vulnerabilities", "MODULES=tools/pack/"}, strings.Fields(tc.database)...)...))
			if !strings.Contains(out, tc.want) || (err != nil) != tc.fails {
				t.Errorf("error %v, want %q:\n%s", err, tc.want, out)
			}
		})
	}
}

// TestEveryModule: the tools and the programs of the tests are looked at like the product.
func TestEveryModule(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "make", "-C", "../..", "--dry-run", "vulnerabilities").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, module := range []string{"./", "test/", "tools/", "tools/pack/", "tools/goreleaser/", "test/cluster/modules/cosign/", "test/helmsdk/"} {
		if !slices.Contains(strings.Fields(string(out)), module) {
			t.Errorf("%s is not looked at:\n%s", module, out)
		}
	}
}
