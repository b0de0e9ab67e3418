package github

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestEveryReasonIsDocumented looks in docs/troubleshooting.md for each reason for which a registration stays. There
// it stands as a user sees it, with numbers in the place of the verbs.
func TestEveryReasonIsDocumented(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "troubleshooting.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(page), "\n## Still registered at GitHub\n")
	if !ok {
		t.Fatal("docs/troubleshooting.md has no such section")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	found := reasons(t)
	if len(found) < 20 {
		t.Fatalf("found only %d reasons: %q", len(found), found)
	}
	for _, reason := range found {
		parts := regexp.MustCompile(`%[svdq]`).Split(strings.TrimRight(reason, " ;"), -1)
		for i := range parts {
			parts[i] = regexp.QuoteMeta(parts[i])
		}
		if !regexp.MustCompile(`(?m)^\| [^|]*` + strings.Join(parts, `[^|]+`)).MatchString(section) {
			t.Errorf("docs/troubleshooting.md has no row for the reason %q: say there what to do about it", reason)
		}
	}
}

// reasons are the texts, or formats of them, in every failure and Result of the sources, and those that the functions return
// which say why.
func reasons(t *testing.T) (out []string) {
	t.Helper()
	for _, file := range []string{"client.go", "deregister.go", "failure.go"} {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range parsed.Decls {
			f, isFunc := d.(*ast.FuncDecl)
			returnsWhy := isFunc && slices.Contains([]string{"otherSet", "inUse", "network"}, f.Name.Name)
			ast.Inspect(d, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.CompositeLit:
					if name, ok := n.Type.(*ast.Ident); ok && (name.Name == "failure" || name.Name == "Result") {
						out = append(out, firstText(n)...)
					}
				case *ast.ReturnStmt:
					if returnsWhy {
						out = append(out, firstText(n)...)
					}
				}
				return true
			})
		}
	}
	return out
}

// firstText is the first string in a piece of code, if it is a text.
func firstText(in ast.Node) (out []string) {
	ast.Inspect(in, func(n ast.Node) bool {
		if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING && out == nil {
			if text, err := strconv.Unquote(lit.Value); err == nil && text != "" {
				out = append(out, text)
			}
		}
		return out == nil
	})
	return out
}
