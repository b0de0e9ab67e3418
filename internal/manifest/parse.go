package manifest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"sigs.k8s.io/kustomize/kyaml/yaml"
)

// FilenameAnnotation is on every document that Helm 4 gives to a post-renderer. Helm 4 removes it
// afterwards (helm.sh/helm/v4 pkg/action/action.go, filenameAnnotation). Its value becomes the document's
// path in the release.
const FilenameAnnotation = "postrenderer.helm.sh/postrender-filename"

// A SyntaxError is a document that is not valid YAML.
type SyntaxError struct {
	File    string // the chart's file, or "" if the stream does not name it
	Line    int    // in the stream, from 1
	Message string // the parser's
}

func (e *SyntaxError) Error() string {
	if e.File == "" {
		return fmt.Sprintf("line %d of the input is not valid YAML: %s", e.Line, e.Message)
	}
	return fmt.Sprintf("%s, line %d of the input, is not valid YAML: %s", e.File, e.Line, e.Message)
}

// Parse reads the document. If its root is not a mapping, or if it has only comments, the object has no
// fields. An error is a *SyntaxError.
func (d Document) Parse() (Object, error) {
	root, err := d.root()
	return newObject(root), err
}

// root returns the document's root, or nil if the document has no content.
func (d Document) root() (*yaml.RNode, error) {
	// The parser accepts "..." only after content; a stream may have it anywhere.
	if d.isEmpty() {
		return nil, nil
	}
	root, err := yaml.Parse(string(d.Bytes()))
	if errors.Is(err, io.EOF) { // only line breaks of YAML 1.1
		return nil, nil
	}
	if err != nil {
		return nil, d.syntaxError(err)
	}
	keepLast(root.YNode())
	return root, nil
}

// EndsOpen reports whether a line break after the document would change its last text: the document ends
// in a block scalar without a line break. It is false for a document that is not valid YAML.
func (d Document) EndsOpen() bool {
	stream := append(bytes.Clone(d.Bytes()), '\n')
	closed := Document{stream: stream, end: len(stream)}
	is, err := d.root()
	would, otherErr := closed.root()
	return err == nil && otherErr == nil && lastText(is) != lastText(would)
}

// lastText returns the scalar at the end of a node.
func lastText(root *yaml.RNode) string {
	node := root.YNode()
	for node != nil && len(node.Content) > 0 {
		node = node.Content[len(node.Content)-1]
	}
	if node == nil {
		return ""
	}
	return node.Value
}

// isEmpty reports whether the document has only blank lines, comments and end markers.
func (d Document) isEmpty() bool {
	text := bytes.TrimPrefix(d.Bytes(), []byte("\xef\xbb\xbf")) // byte order mark
	for len(text) > 0 {
		end := lineEnd(text, 0)
		line := text[:end]
		text = text[end:]
		if isMarker(line, endMarker) {
			line = line[len(endMarker):]
		}
		if line = bytes.Trim(line, blanks); len(line) > 0 && line[0] != '#' {
			return false
		}
	}
	return true
}

var parserLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?`)

// syntaxError converts the parser's error: the parser counts lines from the beginning of the document.
// It gives no number for the first line. For an error in the structure ("did not find expected key") it
// gives the line where the block around it begins, and counts from 0 (go.yaml.in/yaml/v3 decode.go,
// parser.fail). It reports what is missing at the end after the last line.
func (d Document) syntaxError(err error) *SyntaxError {
	text := err.Error()
	out := &SyntaxError{File: d.Source(), Line: d.Line(), Message: parserLine.ReplaceAllString(text, "")}
	if m := parserLine.FindStringSubmatch(text); m != nil && m[1] != "" {
		n, _ := strconv.Atoi(m[1])
		out.Line += n - 1
		if strings.HasPrefix(out.Message, "did not find expected") {
			out.Line++
		}
	}
	last := d.Line() + bytes.Count(bytes.TrimRight(d.Bytes(), "\r\n"), []byte("\n"))
	out.Line = min(out.Line, last)
	return out
}

var (
	sourceComment = regexp.MustCompile(`(?m)^# Source: (\S.*?)\s*$`)
	filenameLine  = regexp.MustCompile(regexp.QuoteMeta(FilenameAnnotation) + `['"]?:\s*['"]?([^'"\s,}]+)`)
)

// Source returns the chart's file that the document comes from, as Helm 3 (in a comment) or Helm 4 (in an
// annotation) notes it, or "". The document need not be valid YAML.
func (d Document) Source() string {
	if m := filenameLine.FindSubmatch(d.Bytes()); m != nil {
		return string(m[1])
	}
	if m := sourceComment.FindSubmatch(d.head()); m != nil {
		return string(m[1])
	}
	return ""
}

// HasSourceComment reports whether the document begins with the comment that Helm 3 writes above each
// document (helm.sh/helm/v3 pkg/action/action.go, "# Source:").
func (d Document) HasSourceComment() bool { return sourceComment.Match(d.head()) }

// head returns the document up to its first line of content.
func (d Document) head() []byte {
	text := d.Bytes()
	end := 0
	for end < len(text) {
		next := end + lineEnd(text[end:], 0)
		line := text[end:next]
		if !isPrefix(line) && !bytes.HasPrefix(line, []byte(startMarker)) {
			break
		}
		end = next
	}
	return text[:end]
}
