// Package manifest splits a stream of Kubernetes manifests into documents without changing a byte, and
// reads single documents.
package manifest

import (
	"bytes"
	"iter"
	"strings"
)

// A Document is one part of a stream: a YAML or JSON document with its marker and the comments and
// directives before it. It shares the memory of the stream.
type Document struct {
	stream     []byte
	start, end int
}

// Bytes returns the document as it stands in the stream. Do not write to it.
func (d Document) Bytes() []byte { return d.stream[d.start:d.end:d.end] }

// Line returns the number of the document's first line in the stream. The first line is 1.
func (d Document) Line() int { return 1 + bytes.Count(d.stream[:d.start], []byte("\n")) }

// Contains reports whether all texts occur in the document. Ask this before Parse: it is much cheaper.
func (d Document) Contains(texts ...string) bool {
	for _, text := range texts {
		if !bytes.Contains(d.Bytes(), []byte(text)) {
			return false
		}
	}
	return true
}

const (
	startMarker = "---"
	endMarker   = "..."

	// blanks are the white space and the line breaks of YAML. YAML treats every other space of Unicode
	// as content.
	blanks = " \t\r\n"
)

// Documents iterates over the documents of a stream. Concatenated, they are the stream byte for byte,
// whatever it contains.
//
// A line that begins with "---" or "...", followed by a blank or nothing, ends a document wherever it
// stands, even in a block scalar (YAML 1.2.2, 9.1.2, c-forbidden). Documents therefore looks at the
// beginning of each line only and parses nothing else.
func Documents(stream []byte) iter.Seq[Document] {
	return func(yield func(Document) bool) {
		start := 0 // of the current document
		for pos := 0; pos < len(stream); {
			line, next := pos, lineEnd(stream, pos)
			pos = next
			end := line
			switch {
			case isMarker(stream[line:next], endMarker):
				end = next
			case !isMarker(stream[line:next], startMarker) || isPrefix(stream[start:line]):
				continue
			}
			if !yield(Document{stream: stream, start: start, end: end}) {
				return
			}
			start = end
		}
		if start < len(stream) {
			yield(Document{stream: stream, start: start, end: len(stream)})
		}
	}
}

// isMarker reports whether a line begins with the marker, followed by a blank, a line break or nothing.
func isMarker(line []byte, marker string) bool {
	rest, found := bytes.CutPrefix(line, []byte(marker))
	return found && (len(rest) == 0 || strings.IndexByte(blanks, rest[0]) >= 0)
}

// lineEnd returns where the line after the line at i begins. A line ends with LF, CR or CR LF.
func lineEnd(stream []byte, i int) int {
	n := bytes.IndexAny(stream[i:], "\r\n")
	if n < 0 {
		return len(stream)
	}
	i += n + 1
	if stream[i-1] == '\r' && i < len(stream) && stream[i] == '\n' {
		i++
	}
	return i
}

// isPrefix reports whether the text before a "---" belongs to the document that this marker begins: the
// text has only blank lines, comments and directives.
func isPrefix(text []byte) bool {
	text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf")) // byte order mark
	for len(text) > 0 {
		end := lineEnd(text, 0)
		line := text[:end]
		text = text[end:]
		if line[0] == '%' {
			continue
		}
		if line = bytes.Trim(line, blanks); len(line) > 0 && line[0] != '#' {
			return false
		}
	}
	return true
}
