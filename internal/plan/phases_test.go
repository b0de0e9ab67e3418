package plan_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/arc-cleanup/arc-cleanup/internal/plan"
)

// A phase without words would wait silently.
func TestEveryPhaseHasWords(t *testing.T) {
	t.Parallel()
	seen := map[plan.PhaseName]bool{}
	for _, row := range plan.Phases {
		passes := row.Waits != nil && row.Waits.Stalled == plan.Passes
		if row.Doing == "" || seen[row.Name] || passes != (row.Waits != nil && row.Waits.StallMessage != "") {
			t.Errorf("%+v", row)
		}
		seen[row.Name] = true
	}
}

var update = flag.Bool("update", false, "update docs/uninstall.md")

// TestGeneratedPhases compares the table in docs/uninstall.md with the table of phases.
func TestGeneratedPhases(t *testing.T) {
	var b strings.Builder
	b.WriteString("\n| phase | what the log says | without progress for | then |\n|---|---|---|---|\n")
	for _, row := range plan.Phases {
		patience, then := "", ""
		if w := row.Waits; w != nil {
			patience = fmt.Sprintf("%.0f s", w.For.Seconds())
			switch {
			case w.Budget:
				patience = "what is left of the budget"
			case w.Grace && w.For > 0:
				patience += ", or the grace if that is longer"
			case w.Grace:
				patience = "the grace"
			}
			then = map[plan.Stalled]string{
				plan.Fails: "the run looks at the cluster again", plan.Passes: w.StallMessage, plan.GoesOn: "the phases that follow go on",
			}[w.Stalled]
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", row.Name, row.Doing, patience, then)
	}
	b.WriteString("\n")

	const begin, end = "<!-- Written by `make docs` from internal/plan. -->\n", "<!-- The end of what `make docs` writes. -->\n"
	file := filepath.Join("..", "..", "docs", "uninstall.md")
	page, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(page), begin)
	is, after, ends := strings.Cut(rest, end)
	switch {
	case !found || !ends:
		t.Fatalf("%s has no place for the table", file)
	case *update:
		if err := os.WriteFile(file, []byte(before+begin+b.String()+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
	case is != b.String():
		t.Errorf("%s is stale: make docs\n%s", file, cmp.Diff(is, b.String()))
	}
}
