package manifest

import (
	"bytes"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// FilenameAnnotation is put by Helm 4 on every document which it gives to a
// post-renderer, and taken off afterwards (helm.sh/helm/v4 pkg/action/action.go,
// filenameAnnotation). Its value becomes the document's path in the release.
const FilenameAnnotation = "postrenderer.helm.sh/postrender-filename"

// SyntaxError is a document that is not YAML.
type SyntaxError struct {
	File    string // the chart's file, if the stream tells; else ""
	Line    int    // in the stream, from 1
	Message string // the parser's
}

func (e *SyntaxError) Error() string {
	if e.File == "" {
		return fmt.Sprintf("line %d of the input is not valid YAML: %s", e.Line, e.Message)
	}
	return fmt.Sprintf("%s, line %d of the input, is not valid YAML: %s", e.File, e.Line, e.Message)
}

// Parse reads the document. A document without content (comments, an end marker)
// gives an empty object. An error is a *SyntaxError.
func (d Document) Parse() (Object, error) {
	// The parser knows a "..." only after content; a stream may have any number.
	if d.isEmpty() {
		return Object{}, nil
	}
	var document yaml.Node
	if err := yaml.Unmarshal(d.Bytes(), &document); err != nil {
		return Object{}, d.syntaxError(err)
	}
	if len(document.Content) == 0 {
		return Object{}, nil
	}
	return Object{document.Content[0]}, nil
}

// EndsOpen reports whether the document ends in a text of which a line break behind it
// would be a part: in a block scalar that is not closed by one. What is no YAML does
// not.
func (d Document) EndsOpen() bool {
	stream := append(bytes.Clone(d.Bytes()), '\n')
	closed := Document{stream: stream, end: len(stream)}
	is, err := d.Parse()
	would, otherErr := closed.Parse()
	return err == nil && otherErr == nil && lastText(is.node) != lastText(would.node)
}

// lastText is the scalar with which a node ends.
func lastText(node *yaml.Node) string {
	for node != nil && len(node.Content) > 0 {
		node = node.Content[len(node.Content)-1]
	}
	if node == nil {
		return ""
	}
	return node.Value
}

// isEmpty reports whether there is nothing but blank lines, comments and end
// markers.
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

// syntaxError moves the parser's line, which is the document's, to the stream.
// The parser gives none for the first line. For a mistake in the structure
// ("did not find expected key") it gives the line where the block around it
// begins, and counts from 0 (go.yaml.in/yaml/v3 decode.go, parser.fail). What is
// missing at the end it reports after the last line.
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

// Source returns the chart's file which the document came from, as Helm 3
// (comment) or Helm 4 (annotation) note it, or "". It needs no valid YAML.
func (d Document) Source() string {
	if m := filenameLine.FindSubmatch(d.Bytes()); m != nil {
		return string(m[1])
	}
	if m := sourceComment.FindSubmatch(d.head()); m != nil {
		return string(m[1])
	}
	return ""
}

// HasSourceComment reports whether the document begins with the comment which
// Helm 3 writes above each (helm.sh/helm/v3 pkg/action/action.go, "# Source:").
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
