package manifest

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func document(t *testing.T, stream string, n int) Document {
	t.Helper()
	for d := range Documents([]byte(stream)) {
		if n == 0 {
			return d
		}
		n--
	}
	t.Fatal("no such document")
	return Document{}
}

func TestParse(t *testing.T) {
	o, err := document(t, "a: 1\n---\nkind: X # c\n", 1).Parse()
	if err != nil || o.Kind() != "X" {
		t.Errorf("got %v, %v", o, err)
	}
	for _, empty := range []string{"# c\n", "---\n# c\n", "\n", "...\n", "\ufeff# c\r\n... # d"} {
		if o, err := document(t, empty, 0).Parse(); err != nil || o.Kind() != "" || len(o.Labels()) > 0 {
			t.Errorf("%q: got %v, %v", empty, o, err)
		}
	}
}

func TestParseError(t *testing.T) {
	tests := map[string]struct {
		stream string
		want   SyntaxError
	}{
		"Helm 3": {
			"---\n# Source: c/templates/a.yaml\na: 1\n---\n# Source: c/templates/b.yaml\nb:\n  - 1\n c: 2\n",
			SyntaxError{"c/templates/b.yaml", 6, ""},
		},
		"Helm 4": {
			"a: 1\n---\nmetadata:\n  annotations:\n    postrenderer.helm.sh/postrender-filename: 'c/templates/b.yaml'\nb: [\n",
			SyntaxError{"c/templates/b.yaml", 6, ""},
		},
		"no file":    {"a: 1\n---\nb: 1\nc: d: e\n", SyntaxError{"", 4, ""}},
		"first line": {"a: 1\n---\nx\n...\nb: c: d\n", SyntaxError{"", 5, ""}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var err error
			for d := range Documents([]byte(test.stream)) {
				if _, err = d.Parse(); err != nil {
					break
				}
			}
			var got *SyntaxError
			if !errors.As(err, &got) {
				t.Fatalf("got %v, want a SyntaxError", err)
			}
			t.Log(got)
			if got.Message == "" {
				t.Error("no message")
			}
			got.Message = ""
			if diff := cmp.Diff(&test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestSource(t *testing.T) {
	tests := map[string]struct {
		document, source string
		comment          bool
	}{
		"Helm 3":              {"---\n# Source: c/templates/a.yaml\r\na: 1\n", "c/templates/a.yaml", true},
		"without marker":      {"# Source: c/templates/a.yaml\na: 1\n", "c/templates/a.yaml", true},
		"comment of a script": {"data: |\n  # Source: x\n# Source: y\n", "", false},
		"Helm 4, JSON":        {`{"metadata":{"annotations":{"postrenderer.helm.sh/postrender-filename":"c/a.yaml"}}}`, "c/a.yaml", false},
		"neither":             {"a: 1\n", "", false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			d := document(t, test.document, 0)
			if got := d.Source(); got != test.source {
				t.Errorf("source %q, want %q", got, test.source)
			}
			if got := d.HasSourceComment(); got != test.comment {
				t.Errorf("comment %v, want %v", got, test.comment)
			}
		})
	}
}
