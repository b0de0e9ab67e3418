package page

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestATableReplacesTheOneBefore(t *testing.T) {
	t.Parallel()
	table := Table{
		Command: "make x", Versions: []string{"commit 0123456", "Kubernetes 1.2.3"},
		Header: []string{"", "500"}, Rows: [][]string{{"ours", "1"}, {"theirs", "12"}}, After: "A ratio.",
	}
	const before, after = "# Page\n\n<!-- Written by `make x`. -->\n", "<!-- The end of what `make x` writes. -->\n\nMore.\n"
	const want = before + `
|  | 500 |
|---|---|
| ours | 1 |
| theirs | 12 |

A ratio.

Measured on 2026-01-02 with ` + "`make x`" + `, 2 cores: commit 0123456, Kubernetes 1.2.3.

` + after
	got := before + "old\n" + after
	for range 2 { // a second time changes nothing
		var err error
		if got, err = replace(got, table.Command, table.text(time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC), 2)); err != nil || got != want {
			t.Errorf("%v\n%s", err, got)
		}
	}
	for _, page := range []string{"", before, after} {
		if got, err := replace(page, table.Command, "x"); err == nil {
			t.Errorf("a page without marks became %q", got)
		}
	}
}

// The page has a place for each benchmark.
func TestThePageHasPlaces(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "performance.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"make bench", "make bench-postrender"} {
		if _, err := replace(string(page), command, "x"); err != nil {
			t.Error(err)
		}
	}
}

func TestRatiosAndVersions(t *testing.T) {
	t.Parallel()
	for took, want := range map[time.Duration]string{12: "0.12", 108: "1.08", 1234: "12.3", 69_499: "695"} {
		if got := Ratio(took, 100); got != want {
			t.Errorf("%d: %s, want %s", took, got, want)
		}
	}
	for path, want := range map[string]string{"/a-v9/yq-v4.54.2-0a1b": "4.54.2", "/bin/yq": "of unknown version"} {
		if got := Version(path); got != want {
			t.Errorf("%s: %s", path, got)
		}
	}
}
