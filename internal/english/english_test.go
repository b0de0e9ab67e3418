package english

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

func TestCount(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]string{0: "0 scale sets are", 1: "1 scale set is", 2: "2 scale sets are"} {
		if got := Count(n, "scale set") + " " + Agree(n, "is", "are"); got != want {
			t.Errorf("%d: %q", n, got)
		}
	}
}

// plural is a number before a noun in the plural. Sizes and limits in bytes are never 1.
var plural = regexp.MustCompile(`%d (?:[a-z]+ ){0,2}([A-Za-z]+s)\b`)

// TestEverythingIsCountedHere: no text of the product has a number before a noun that stays in the plural.
func TestEverythingIsCountedHere(t *testing.T) {
	t.Parallel()
	other := map[string]bool{"bytes": true, "is": true, "has": true, "was": true, "its": true, "this": true, "as": true, "stores": true}
	if got := plural.FindStringSubmatch("found %d scale sets"); got == nil || got[1] != "sets" {
		t.Fatalf("the expression finds nothing: %q", got)
	}
	files := 0
	for _, folder := range []string{"../../internal", "../../cmd"} {
		err := filepath.WalkDir(folder, func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			files++
			set := token.NewFileSet()
			file, err := parser.ParseFile(set, path, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			ast.Inspect(file, func(n ast.Node) bool {
				literal, is := n.(*ast.BasicLit)
				if !is || literal.Kind != token.STRING {
					return true
				}
				text, err := strconv.Unquote(literal.Value)
				if err != nil {
					t.Error(err)
				}
				for _, found := range plural.FindAllStringSubmatch(text, -1) {
					if !other[found[1]] {
						t.Errorf("%s: %q: use english.Count", set.Position(literal.Pos()), text)
					}
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if files < 100 {
		t.Errorf("only %d files were read", files)
	}
}
