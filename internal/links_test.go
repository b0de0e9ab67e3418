package internal

import (
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestLinksBetweenPagesResolve follows every link of a Markdown page to a file of the
// repository, and to the heading that it names.
func TestLinksBetweenPagesResolve(t *testing.T) {
	t.Parallel()
	pages := pages(t)
	headings := map[string]map[string]bool{}
	for page, text := range pages {
		headings[page] = anchors(text)
	}
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	for page, text := range pages {
		for _, m := range link.FindAllStringSubmatch(withoutBlocks(text), -1) {
			to, err := url.Parse(m[1])
			if err != nil {
				t.Errorf("%s: %v", page, err)
				continue
			}
			if to.IsAbs() {
				continue
			}
			file := page
			if to.Path != "" {
				file = filepath.Join(filepath.Dir(page), to.Path)
			}
			if _, err := os.Stat(file); err != nil {
				t.Errorf("%s links to %s: %v", page, m[1], err)
				continue
			}
			if to.Fragment != "" && !headings[file][to.Fragment] {
				t.Errorf("%s links to %s, and that page has no such heading", page, m[1])
			}
		}
	}
}

// pages reads every Markdown page of the repository.
func pages(t *testing.T) map[string]string {
	t.Helper()
	pages := map[string]string{}
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == ".git" || d.Name() == "bin" || d.Name() == "dist"):
			return filepath.SkipDir
		case filepath.Ext(path) != ".md":
			return nil
		}
		text, err := os.ReadFile(path)
		pages[path] = string(text)
		return err
	})
	if err != nil || len(pages) < 10 {
		t.Fatalf("%d pages, %v", len(pages), err)
	}
	return pages
}

// anchors returns what GitHub calls the headings of a page in links.
func anchors(text string) map[string]bool {
	found := map[string]bool{}
	other := regexp.MustCompile(`[^\p{L}\p{N}\-_ ]`)
	for _, m := range regexp.MustCompile(`(?m)^#+ (.+)$`).FindAllStringSubmatch(withoutBlocks(text), -1) {
		name := other.ReplaceAllString(strings.ToLower(strings.TrimSpace(m[1])), "")
		found[strings.ReplaceAll(name, " ", "-")] = true
	}
	return found
}

// withoutBlocks drops the fenced blocks of a page, where # begins a comment.
func withoutBlocks(text string) string {
	return regexp.MustCompile("(?s)```.*?```").ReplaceAllString(text, "")
}
