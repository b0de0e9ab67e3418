package manifest

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/kustomize/kyaml/yaml"
)

func split(stream string) []string {
	var out []string
	for d := range Documents([]byte(stream)) {
		out = append(out, string(d.Bytes()))
	}
	return out
}

func TestDocuments(t *testing.T) {
	tests := map[string]struct {
		stream string
		want   []string
	}{
		"nothing":                   {"", nil},
		"one without marker":        {"a: 1\n", []string{"a: 1\n"}},
		"two":                       {"a: 1\n---\nb: 2\n", []string{"a: 1\n", "---\nb: 2\n"}},
		"leading marker":            {"---\na: 1\n---\nb: 2", []string{"---\na: 1\n", "---\nb: 2"}},
		"empty documents":           {"---\n---\n---", []string{"---\n", "---\n", "---"}},
		"comment before the first":  {"# c\n\n---\na: 1\n", []string{"# c\n\n---\na: 1\n"}},
		"comments only":             {"---\n# c\n---\n# d\n", []string{"---\n# c\n", "---\n# d\n"}},
		"directive":                 {"%YAML 1.2\n---\na: 1\n...\n%YAML 1.2\n---\nb: 2\n", []string{"%YAML 1.2\n---\na: 1\n...\n", "%YAML 1.2\n---\nb: 2\n"}},
		"marker with a comment":     {"a: 1\n---  # next\nb: 2\n", []string{"a: 1\n", "---  # next\nb: 2\n"}},
		"marker with content":       {"--- {a: 1}\n---\tb\n", []string{"--- {a: 1}\n", "---\tb\n"}},
		"marker within a line":      {"a: ---\nb: x---\n--- c\n", []string{"a: ---\nb: x---\n", "--- c\n"}},
		"longer runs":               {"a: |\n  x\n----\n-----BEGIN\n---x\n....\n", []string{"a: |\n  x\n----\n-----BEGIN\n---x\n....\n"}},
		"indented in a scalar":      {"a: |\n  ---\n  ...\nb: 2\n", []string{"a: |\n  ---\n  ...\nb: 2\n"}},
		"column 0 ends a scalar":    {"a: |\n  x\n---\nb: 2\n", []string{"a: |\n  x\n", "---\nb: 2\n"}},
		"end marker":                {"a: 1\n...\n---\nb: 2\n", []string{"a: 1\n...\n", "---\nb: 2\n"}},
		"end marker, then bare":     {"a: 1\n... # end\nb: 2\n", []string{"a: 1\n... # end\n", "b: 2\n"}},
		"end marker, then comments": {"a: 1\n...\n# c\n---\nb: 2\n...", []string{"a: 1\n...\n", "# c\n---\nb: 2\n..."}},
		"CRLF":                      {"a: 1\r\n---\r\nb: 2\r\n...\r\n", []string{"a: 1\r\n", "---\r\nb: 2\r\n...\r\n"}},
		"CR":                        {"a: 1\r---\rb: 2\r", []string{"a: 1\r", "---\rb: 2\r"}},
		"byte order mark":           {"\ufeff---\na: 1\n---\nb: 2\n", []string{"\ufeff---\na: 1\n", "---\nb: 2\n"}},
		"byte order mark, then nil": {"\ufeff---\n---\na: 1\n", []string{"\ufeff---\n", "---\na: 1\n"}},
		"JSON":                      {"{\"a\": 1}\n---\n{\"b\": 2}", []string{"{\"a\": 1}\n", "---\n{\"b\": 2}"}},
		"a marker without a blank":  {"---\na: 1\n---\na: 2\n---b: 3\n---\na: 4\n", []string{"---\na: 1\n", "---\na: 2\n---b: 3\n", "---\na: 4\n"}},
		"not YAML":                  {"\x00\xff: [\n---\n}", []string{"\x00\xff: [\n", "---\n}"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got := split(test.stream)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
			if joined := strings.Join(got, ""); joined != test.stream {
				t.Errorf("together they are %q, want %q", joined, test.stream)
			}
		})
	}
}

func TestDocumentsStopsWhenAsked(t *testing.T) {
	for _, stream := range []string{"a\n---\nb\n", "a\n...\nb\n", "a"} {
		n := 0
		for range Documents([]byte(stream)) {
			n++
			break
		}
		if n != 1 {
			t.Errorf("%q: %d documents, want 1", stream, n)
		}
	}
}

// FuzzSplit: the documents of any stream, concatenated, are the stream. The documents of a valid stream are
// those that a YAML parser sees.
func FuzzSplit(f *testing.F) {
	for _, seed := range []string{
		"a: 1\n---\nb: |\n  ---\n  x\n...\n---\n{\"c\": [1]}",
		"%YAML 1.1\n---\r\na: 1\r\n--- # c\r\n- 1\r\n",
		"\ufeff# c\n---\na: \"x\n  y\"\n",
		"kind: List\nitems:\n- &a {x: 1}\n- *a\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, stream []byte) {
		var joined []byte
		for d := range Documents(stream) {
			if len(d.Bytes()) == 0 {
				t.Fatal("an empty document")
			}
			if want := 1 + bytes.Count(joined, []byte("\n")); d.Line() != want {
				t.Fatalf("line %d, want %d", d.Line(), want)
			}
			d.Source()
			joined = append(joined, d.Bytes()...)
		}
		if !bytes.Equal(joined, stream) {
			t.Fatalf("together the documents are %q", joined)
		}

		want, err := decodeAll(stream)
		if err != nil || !comparable12(stream) {
			return
		}
		var got []any
		for d := range Documents(stream) {
			if d.isEmpty() {
				continue
			}
			one, err := decodeAll(d.Bytes())
			if err != nil {
				t.Fatalf("document %q of a valid stream: %v", d.Bytes(), err)
			}
			got = append(got, one...)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatal(diff)
		}
	})
}

// comparable12 reports whether YAML 1.1, which the parser reads, and YAML 1.2 agree on what is a line and what
// is a character in a stream.
func comparable12(stream []byte) bool {
	return !bytes.ContainsAny(stream, "\u0085\u2028\u2029\x00") &&
		!bytes.HasPrefix(stream, []byte("\xfe\xff")) && !bytes.HasPrefix(stream, []byte("\xff\xfe"))
}

// decodeAll returns the tree of each document that is not null: parsers differ on empty documents, in a stream
// that begins with "..." or ends with "---".
func decodeAll(stream []byte) ([]any, error) {
	var out []any
	decoder := yaml.NewDecoder(bytes.NewReader(stream))
	for {
		var node yaml.Node
		if err := decoder.Decode(&node); errors.Is(err, io.EOF) {
			return out, nil
		} else if err != nil {
			return nil, err
		}
		if content := node.Content[0]; content.Tag != yaml.NodeTagNull {
			out = append(out, tree(content))
		}
	}
}

// tree returns a document without positions and comments.
func tree(n *yaml.Node) any {
	if n.Kind == yaml.AliasNode {
		return "*" + n.Value
	}
	out := []any{n.Kind, n.Tag, n.Value, n.Anchor}
	for _, c := range n.Content {
		out = append(out, tree(c))
	}
	return out
}
