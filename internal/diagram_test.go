package internal

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// checkDiagram compares the picture in docs/architecture.md with the table of what each
// package is built of. Packages that only tests use are not in the picture.
func checkDiagram(t *testing.T, table map[string][]string) {
	t.Helper()
	page, err := os.ReadFile(filepath.Join("..", "docs", "architecture.md"))
	if err != nil {
		t.Fatal(err)
	}
	uses := arrows(string(page))
	for pkg, allowed := range table {
		if strings.HasSuffix(pkg, "test") {
			continue
		}
		if _, ok := uses[pkg]; !ok {
			t.Errorf("the picture in docs/architecture.md lacks %s", pkg)
			continue
		}
		if diff := cmp.Diff(sorted(allowed), reached(uses, pkg)); diff != "" {
			t.Errorf("what %s depends on (-the table of this test +the picture in docs/architecture.md):\n%s", pkg, diff)
		}
	}
	for pkg := range uses {
		if _, ok := table[pkg]; !ok {
			t.Errorf("the picture in docs/architecture.md has %s, and the table of this test does not", pkg)
		}
	}
}

// arrows reads the mermaid picture of a page: each package, and where its arrows lead.
func arrows(page string) map[string][]string {
	_, picture, _ := strings.Cut(page, "```mermaid\n")
	picture, _, _ = strings.Cut(picture, "```")
	uses := map[string][]string{}
	for _, arrow := range regexp.MustCompile(`(?m)^ *(\S+) --> (\S+)$`).FindAllStringSubmatch(picture, -1) {
		from, to := arrow[1], arrow[2]
		uses[from] = append(uses[from], to)
		uses[to] = append(uses[to], nil...)
	}
	return uses
}

// reached returns every package to which the arrows of one lead, directly or not.
func reached(uses map[string][]string, from string) []string {
	seen := map[string]bool{}
	var follow func(pkg string)
	follow = func(pkg string) {
		for _, to := range uses[pkg] {
			if !seen[to] {
				seen[to] = true
				follow(to)
			}
		}
	}
	follow(from)
	return sorted(slices.Collect(maps.Keys(seen)))
}

func sorted(packages []string) []string {
	if len(packages) == 0 {
		return nil
	}
	return slices.Sorted(slices.Values(packages))
}
