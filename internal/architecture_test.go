// Package internal holds no code, only the test of how its packages depend on
// each other.
package internal

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const module = "github.com/arc-cleanup/arc-cleanup/"

// deps returns which packages of this module a package is built of, other than
// itself.
func deps(t *testing.T, pkg string) []string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", module+pkg).CombinedOutput()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, out)
	}
	var own []string
	for dep := range strings.Lines(string(out)) {
		if p, ok := strings.CutPrefix(strings.TrimSpace(dep), module); ok && p != pkg {
			own = append(own, p)
		}
	}
	slices.Sort(own)
	return own
}

// TestDependenciesPointOneWay names, for every package, exactly what it is built
// of. What renders the hook and what cleans up meet in internal/arc, and above both in
// enrol, status and upgrade.
func TestDependenciesPointOneWay(t *testing.T) {
	t.Parallel()
	tests := map[string][]string{
		"charts":           nil,
		"internal/arc":     nil,
		"internal/gzip":    nil,
		"internal/english": nil,
		"internal/kube":    {"internal/english", "internal/object"},
		"internal/version": nil,
		"internal/github":  {"internal/english", "internal/version"},
		"internal/cli":     nil,
		"internal/shell":   nil,

		"internal/object":   nil,
		"internal/identity": {"internal/arc"},
		"internal/plan":     {"internal/english", "internal/arc", "internal/gzip", "internal/helm", "internal/identity", "internal/object", "internal/shell"},

		"internal/helm":       {"internal/gzip", "internal/object"},
		"internal/manifest":   nil,
		"internal/chart":      {"charts", "internal/gzip", "internal/helm", "internal/object"},
		"internal/detect":     {"charts", "internal/gzip", "internal/helm", "internal/object", "internal/arc", "internal/chart", "internal/manifest"},
		"internal/postrender": {"charts", "internal/gzip", "internal/helm", "internal/object", "internal/detect", "internal/arc", "internal/chart", "internal/manifest"},
		"cmd/postrender":      {"charts", "internal/gzip", "internal/helm", "internal/object", "internal/detect", "internal/arc", "internal/cli", "internal/chart", "internal/manifest", "internal/postrender", "internal/version"},

		"internal/release": {"internal/english", "internal/gzip", "internal/helm", "internal/kube", "internal/object", "internal/shell"},
		"internal/enrol":   {"internal/english", "internal/gzip", "internal/helm", "charts", "internal/detect", "internal/arc", "internal/chart", "internal/kube", "internal/manifest", "internal/object", "internal/release", "internal/shell"},
		"internal/survey":  {"internal/english", "internal/gzip", "internal/helm", "internal/github", "internal/version", "internal/arc", "internal/identity", "internal/kube", "internal/object", "internal/plan", "internal/release", "internal/shell"},
		"internal/cleanup": {"internal/english", "internal/gzip", "internal/helm", "internal/github", "internal/version", "internal/arc", "internal/identity", "internal/kube", "internal/object", "internal/plan", "internal/release", "internal/shell", "internal/survey"},
		"internal/sweep":   {"internal/english", "internal/gzip", "internal/helm", "internal/github", "internal/version", "internal/arc", "internal/identity", "internal/kube", "internal/object", "internal/plan", "internal/release", "internal/shell", "internal/survey"},

		// Only tests use these.
		"internal/kube/kubetest": {"internal/english", "internal/arc", "internal/kube", "internal/object"},
		"internal/plan/plantest": {"internal/english", "internal/arc", "internal/gzip", "internal/helm", "internal/identity", "internal/kube", "internal/kube/kubetest", "internal/object", "internal/plan", "internal/shell"},
		"internal/status": {
			"internal/english", "internal/gzip", "internal/helm", "internal/github", "internal/version", "charts", "internal/detect", "internal/arc", "internal/cleanup", "internal/enrol", "internal/chart", "internal/identity",
			"internal/kube", "internal/manifest", "internal/object", "internal/plan", "internal/release", "internal/shell", "internal/survey",
		},
		"internal/upgrade": {
			"internal/english", "internal/gzip", "internal/helm", "internal/github", "internal/version", "charts", "internal/detect", "internal/arc", "internal/cleanup", "internal/enrol", "internal/chart", "internal/identity",
			"internal/kube", "internal/manifest", "internal/object", "internal/plan", "internal/release", "internal/shell", "internal/survey",
		},
		"cmd/hookjob": {
			"internal/english", "internal/gzip", "internal/helm", "internal/github", "charts", "internal/detect", "internal/arc", "internal/cleanup", "internal/cli", "internal/enrol", "internal/chart", "internal/identity",
			"internal/kube", "internal/manifest", "internal/object", "internal/plan", "internal/release", "internal/shell", "internal/status", "internal/survey", "internal/sweep", "internal/upgrade", "internal/version",
		},
	}
	for pkg, allowed := range tests {
		t.Run(pkg, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(sorted(allowed), deps(t, pkg)); diff != "" {
				t.Errorf("what %s depends on (-allowed +is):\n%s", pkg, diff)
			}
		})
	}
	t.Run("docs/architecture.md", func(t *testing.T) {
		t.Parallel()
		checkDiagram(t, tests)
	})

	t.Run("every package is in the table", func(t *testing.T) {
		t.Parallel()
		out, err := exec.CommandContext(t.Context(), "go", "list", module+"internal/...", module+"cmd/...").CombinedOutput()
		if err != nil {
			t.Fatalf("go list: %v\n%s", err, out)
		}
		var missing []string
		for p := range strings.Lines(string(out)) {
			p = strings.TrimPrefix(strings.TrimSpace(p), module)
			if _, ok := tests[p]; !ok && p != "internal" {
				missing = append(missing, p)
			}
		}
		if diff := cmp.Diff([]string(nil), missing); diff != "" {
			t.Errorf("not in the table:\n%s", diff)
		}
	})
}

// TestBinariesAreSmall keeps out of both programs client-go's typed clients and Helm's engine, which link every
// Kubernetes API and would be most of the binary. It keeps out of the post-renderer, whose start is part of
// every helm install, what talks to a cluster, the API machinery, and kyaml's OpenAPI schema.
func TestBinariesAreSmall(t *testing.T) {
	t.Parallel()
	tests := map[string][]string{
		"cmd/postrender": {
			"k8s.io/client-go/metadata", "k8s.io/client-go/tools/cache", "k8s.io/apimachinery/pkg/runtime",
			"sigs.k8s.io/kustomize/kyaml/kio", "sigs.k8s.io/kustomize/kyaml/openapi",
		},
		"cmd/hookjob": {"k8s.io/api/core/v1", "k8s.io/client-go/kubernetes", "k8s.io/client-go/informers"},
	}
	for pkg, unwanted := range tests {
		unwanted = append(unwanted, "k8s.io/client-go/kubernetes/scheme", "k8s.io/client-go/discovery", "helm.sh/helm/v3/pkg/action", "helm.sh/helm/v3/pkg/engine")
		t.Run(pkg, func(t *testing.T) {
			t.Parallel()
			out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", module+pkg).Output()
			if err != nil {
				t.Fatal(err)
			}
			for dep := range strings.Lines(string(out)) {
				if dep = strings.TrimSpace(dep); slices.Contains(unwanted, dep) {
					t.Errorf("%s depends on %s", pkg, dep)
				}
			}
		})
	}
}

// TestPure holds what makes a plan a function of a survey, and an edit one of a record: these packages
// have no client, no context, no clock and no goroutine.
func TestPure(t *testing.T) {
	t.Parallel()
	for _, pkg := range []string{"plan", "helm"} {
		out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", module+"internal/"+pkg).Output()
		if err != nil {
			t.Fatal(err)
		}
		for dep := range strings.Lines(string(out)) {
			if dep = strings.TrimSpace(dep); strings.HasPrefix(dep, "k8s.io/client-go") || strings.HasPrefix(dep, "helm.sh/") {
				t.Errorf("internal/%s depends on %s", pkg, dep)
			}
		}
		files, err := filepath.Glob(pkg + "/*.go")
		if err != nil || len(files) == 0 {
			t.Fatal(files, err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if found := impurities(t, string(text)); len(found) > 0 {
				t.Errorf("%s has %s", file, strings.Join(found, ", "))
			}
		}
	}
}

var (
	impureImport = regexp.MustCompile(`^(context|os|net|sync|io|syscall|runtime|math/rand|crypto/rand)(/.*)?$`)
	clock        = regexp.MustCompile(`^(Now|Since|Until|After|AfterFunc|Sleep|Tick|New.+)$`)
)

// impurities names what a Go file has of a context, a clock, a goroutine, or the world outside.
func impurities(t *testing.T, source string) (found []string) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "", source, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range file.Imports {
		path := strings.Trim(i.Path.Value, `"`)
		if i.Name != nil && path == "time" || impureImport.MatchString(path) && path != "net/url" {
			found = append(found, i.Path.Value)
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			found = append(found, "a goroutine")
		case *ast.SelectorExpr:
			if of, is := n.X.(*ast.Ident); is && of.Name == "time" && clock.MatchString(n.Sel.Name) {
				found = append(found, "time."+n.Sel.Name)
			}
		}
		return true
	})
	return found
}

// A check of purity that finds nothing would not be noticed.
func TestImpuritiesAreFound(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		`import "context"`:                         `"context"`,
		`import "sync/atomic"`:                     `"sync/atomic"`,
		`import "math/rand/v2"`:                    `"math/rand/v2"`,
		`import "os/exec"`:                         `"os/exec"`,
		`import "net/http"`:                        `"net/http"`,
		`import t "time"`:                          `"time"`,
		"func f() { go f() }":                      "a goroutine",
		"func f() { go func() {}() }":              "a goroutine",
		"import \"time\"\nvar now = time.Now":      "time.Now",
		"import \"time\"\nvar f = time.AfterFunc":  "time.AfterFunc",
		"import \"time\"\nvar f = time.Time.After": "",
		"import \"net/url\"\nvar e url.Error":      "",
	} {
		if got := strings.Join(impurities(t, "package p\n"+body), ", "); got != want {
			t.Errorf("%s: found %q, want %q", body, got, want)
		}
	}
}

// TestOnlyTestsUseTestPackages keeps them out of the product.
func TestOnlyTestsUseTestPackages(t *testing.T) {
	t.Parallel()
	for _, pkg := range []string{"cmd/hookjob", "cmd/postrender"} {
		for _, dep := range deps(t, pkg) {
			if strings.HasSuffix(dep, "test") {
				t.Errorf("%s depends on %s", pkg, dep)
			}
		}
	}
}
