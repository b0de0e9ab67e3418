// Package internal holds no code, only the test of how its packages depend on
// each other.
package internal

import (
	"os/exec"
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

// TestDependenciesPointOneWay names, for every package, all that it may be built
// of: the two sides, rendering and cleaning up, meet in internal/arc only.
func TestDependenciesPointOneWay(t *testing.T) {
	t.Parallel()
	tests := map[string][]string{
		"charts":           nil,
		"internal/arc":     nil,
		"internal/gzip":    nil,
		"internal/kube":    nil,
		"internal/version": nil,
		"internal/cli":     nil,
		"internal/shell":   nil,

		"internal/identity": {"internal/arc"},

		"internal/manifest":   nil,
		"internal/hook":       {"charts", "internal/arc", "internal/version"},
		"internal/anchor":     {"charts", "internal/arc", "internal/hook", "internal/manifest", "internal/version"},
		"internal/postrender": {"charts", "internal/anchor", "internal/arc", "internal/hook", "internal/manifest", "internal/version"},
		"cmd/postrender":      {"charts", "internal/anchor", "internal/arc", "internal/cli", "internal/hook", "internal/manifest", "internal/postrender", "internal/version"},

		"internal/release": {"internal/gzip", "internal/kube", "internal/shell"},
		"internal/enrol":   {"charts", "internal/anchor", "internal/arc", "internal/gzip", "internal/hook", "internal/kube", "internal/manifest", "internal/release", "internal/shell", "internal/version"},
		"internal/cleanup": {"internal/arc", "internal/gzip", "internal/identity", "internal/kube", "internal/release", "internal/shell"},
		"internal/status": {
			"charts", "internal/anchor", "internal/arc", "internal/cleanup", "internal/enrol", "internal/gzip", "internal/hook", "internal/identity",
			"internal/kube", "internal/manifest", "internal/release", "internal/shell", "internal/version",
		},
		"internal/upgrade": {
			"charts", "internal/anchor", "internal/arc", "internal/cleanup", "internal/enrol", "internal/gzip", "internal/hook", "internal/identity",
			"internal/kube", "internal/manifest", "internal/release", "internal/shell", "internal/version",
		},
		"cmd/hookjob": {
			"charts", "internal/anchor", "internal/arc", "internal/cleanup", "internal/cli", "internal/enrol", "internal/gzip", "internal/hook", "internal/identity",
			"internal/kube", "internal/manifest", "internal/release", "internal/shell", "internal/status", "internal/upgrade", "internal/version",
		},
	}
	for pkg, allowed := range tests {
		t.Run(pkg, func(t *testing.T) {
			t.Parallel()
			for _, dep := range deps(t, pkg) {
				if !slices.Contains(allowed, dep) {
					t.Errorf("%s depends on %s", pkg, dep)
				}
			}
		})
	}

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

// TestBinariesAreSmall keeps what talks to a cluster, and what brings the machinery
// of an API along (its start is part of every helm install), out of the post-renderer,
// client-go's typed clients and Helm's engine, with the scheme of every API of
// Kubernetes, most of what a binary would be, out of both.
func TestBinariesAreSmall(t *testing.T) {
	t.Parallel()
	tests := map[string][]string{
		"cmd/postrender": {"k8s.io/client-go/metadata", "k8s.io/client-go/tools/cache", "k8s.io/apimachinery/pkg/runtime", "sigs.k8s.io/kustomize/kyaml/yaml"},
		"cmd/hookjob":    {"k8s.io/client-go/kubernetes", "k8s.io/client-go/informers"},
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
