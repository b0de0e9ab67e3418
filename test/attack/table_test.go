package attack

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestGeneratedAttacks compares the table of docs/security.md with the suite. The other tests of
// this package prove what the table says.
func TestGeneratedAttacks(t *testing.T) {
	var b strings.Builder
	b.WriteString("\n| who | has |\n|---|---|\n")
	for _, a := range actors {
		fmt.Fprintf(&b, "| %s | %s |\n", a.who, a.rights)
	}
	for _, a := range actors {
		fmt.Fprintf(&b, "\n**The %s**\n\n| tries | what comes of it |\n|---|---|\n", a.who)
		for _, x := range tries {
			if x.by == a {
				fmt.Fprintf(&b, "| %s | %s |\n", x.what, x.outcome)
			}
		}
	}
	b.WriteString("\n")

	const begin, end = "<!-- Written by `make docs` from test/attack. -->\n", "<!-- The end of what `make docs` writes from test/attack. -->\n"
	file := filepath.Join("..", "..", "docs", "security.md")
	page, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(page), begin)
	old, after, closed := strings.Cut(rest, end)
	if !ok || !closed {
		t.Fatalf("%s has no place for the table, between\n%sand\n%s", file, begin, end)
	}
	if *update {
		if err := os.WriteFile(file, []byte(before+begin+b.String()+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if old != b.String() {
		t.Errorf("%s is stale, run make docs; it is to be\n%s", file, b.String())
	}
}
