package internal

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestPageOfTests: test/README.md has every folder of test, and the tests that it names exist.
func TestPageOfTests(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(filepath.Join("..", "test", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(filepath.Join("..", "test"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.IsDir() && !regexp.MustCompile("(?m)^\\| [^|]*`"+regexp.QuoteMeta(e.Name())+"`[^|]* \\|").Match(page) {
			t.Errorf("test/README.md has no row for test/%s", e.Name())
		}
	}
	var code strings.Builder
	err = filepath.WalkDir(filepath.Join("..", "test"), func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		code.Write(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile(`\bTest[A-Z]\w*`).FindAllString(string(page), -1)
	if len(named) == 0 {
		t.Error("test/README.md names no test")
	}
	for _, name := range named {
		if !strings.Contains(code.String(), "\nfunc "+name+"(") {
			t.Errorf("test/README.md names %s, which is no test", name)
		}
	}
}
