package internal

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	figuresPage = filepath.Join("..", "docs", "performance.md")
	measured    = regexp.MustCompile("(?m)^Measured on 20\\d\\d-\\d\\d-\\d\\d with `(make [a-z-]+)`, \\d+ cores: commit [0-9a-f]{7,}[a-z-]*(, \\S+ \\d+\\.\\d+\\.\\d+)+\\.$")
	ratio       = regexp.MustCompile(`^(over )?\d+(\.\d+)?( MiB| times the stream)?$`)
)

// TestMeasuredFigures checks what benchmarks have written into docs/performance.md: a table of
// ratios, and when and with which versions it was measured.
func TestMeasuredFigures(t *testing.T) {
	t.Parallel()
	page := pages(t)[figuresPage]
	for _, command := range []string{"make bench", "make bench-postrender"} {
		_, rest, _ := strings.Cut(page, "<!-- Written by `"+command+"`. -->\n")
		block, _, closed := strings.Cut(rest, "<!-- The end of what `"+command+"` writes. -->\n")
		if !closed {
			t.Errorf("%s has no block of %s", figuresPage, command)
			continue
		}
		if m := measured.FindStringSubmatch(block); m == nil || m[1] != command {
			t.Errorf("the block of %s does not say when it was measured, and of which versions:\n%s", command, block)
		}
		table := regexp.MustCompile(`(?m)^\| (.*) \|$`).FindAllStringSubmatch(block, -1)
		if len(table) < 4 {
			t.Errorf("the block of %s has no table:\n%s", command, block)
			continue
		}
		columns := strings.Count(table[0][1], " | ") + 1
		for _, row := range table[1:] {
			cells := strings.Split(row[1], " | ")
			if len(cells) != columns {
				t.Errorf("%s: %d cells for %d columns: %s", command, len(cells), columns, row[0])
			}
			for _, cell := range cells[1:] {
				if cell != "" && !ratio.MatchString(cell) {
					t.Errorf("%s: %q is no ratio", command, cell)
				}
			}
		}
	}
}

// figure finds what was measured: a number with a unit, or a multiple.
var figure = regexp.MustCompile(`(?i)\b(\d[\d.,]*)(?: (?:times|MiB|MB|kB|ms|s|seconds|minutes)\b|th\b|x\b|%)`)

// TestFiguresAreInOnePlace: a figure that the README quotes is on the page of figures.
func TestFiguresAreInOnePlace(t *testing.T) {
	t.Parallel()
	all := pages(t)
	found := figure.FindAllStringSubmatch(withoutBlocks(all[filepath.Join("..", "README.md")]), -1)
	if len(found) == 0 {
		t.Error("no figure was found in the README")
	}
	for _, m := range found {
		number := regexp.MustCompile(`(^|[^\d.,])` + regexp.QuoteMeta(strings.TrimRight(m[1], ".,")) + `([^\d]|$)`)
		if !number.MatchString(all[figuresPage]) {
			t.Errorf("the README quotes %q, which is not in %s", m[0], figuresPage)
		}
	}
}
