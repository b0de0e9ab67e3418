package plan_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestEveryRefusalIsDocumented looks in docs/troubleshooting.md for each refusal
// that a plan, a run or an enrolment can print. There it stands as a user sees it, with names in
// the place of the verbs.
func TestEveryRefusalIsDocumented(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "troubleshooting.md"))
	if err != nil {
		t.Fatal(err)
	}
	verb := regexp.MustCompile(`%[svdq]`)
	messages := refusals(t)
	if len(messages) < 5 {
		t.Fatalf("found only %d refusals: %q", len(messages), messages)
	}
	for _, message := range messages {
		parts := verb.Split(message, -1)
		for i := range parts {
			parts[i] = regexp.QuoteMeta(parts[i])
		}
		if !regexp.MustCompile(`(?m)^\| ` + strings.Join(parts, `.+`)).Match(page) {
			t.Errorf("docs/troubleshooting.md has no row for the refusal %q: say there what to do about it", message)
		}
	}
}

// refusals are the messages, or formats of them, of all Refusals and Unfits in the sources.
func refusals(t *testing.T) []string {
	t.Helper()
	var files, out []string
	for _, dir := range []string{"plan", "survey", "cleanup", "release", "enrol"} {
		found, err := filepath.Glob(filepath.Join("..", dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			lit, ok := n.(*ast.CompositeLit)
			if !ok {
				return true
			}
			of := lit.Type
			if selector, ok := of.(*ast.SelectorExpr); ok {
				of = selector.Sel
			}
			name, ok := of.(*ast.Ident)
			if !ok || name.Name != "Refusal" && name.Name != "Unfit" {
				return true
			}
			for _, e := range lit.Elts {
				if field, ok := e.(*ast.KeyValueExpr); ok {
					if key := field.Key.(*ast.Ident).Name; key != "Message" && key != "Why" {
						continue
					}
					e = field.Value
				}
				message := firstString(e)
				if message == "" {
					t.Errorf("%s: a refusal whose message is not understood", file)
				}
				out = append(out, message)
			}
			return true
		})
	}
	return out
}

func firstString(e ast.Expr) (out string) {
	ast.Inspect(e, func(n ast.Node) bool {
		if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING && out == "" {
			// The value is a string for the parser too.
			out, _ = strconv.Unquote(lit.Value)
		}
		return out == ""
	})
	return out
}
