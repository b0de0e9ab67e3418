// Package manifest takes a stream of Kubernetes manifests apart without
// changing a byte of it, and reads single documents.
package manifest

import (
	"bytes"
	"iter"
	"strings"
)

// Document is one piece of a stream: a YAML or JSON document with its marker
// and the comments and directives before it. It shares the stream's memory.
type Document struct {
	stream     []byte
	start, end int
}

// Bytes returns the document as it stands in the stream. Not to be written to.
func (d Document) Bytes() []byte { return d.stream[d.start:d.end:d.end] }

// Line returns the number of the document's first line in the stream, from 1.
func (d Document) Line() int { return 1 + bytes.Count(d.stream[:d.start], []byte("\n")) }

// Contains reports whether every one of the texts occurs in the document. It
// is the cheap question to ask before Parse.
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

	// blanks are white space and line breaks to YAML; other spaces of Unicode are
	// content.
	blanks = " \t\r\n"
)

// Documents goes through a stream's documents. Put together again they are the
// stream, byte for byte, whatever it holds.
//
// A line that begins with "---" or "...", followed by a blank or nothing, ends
// a document wherever it stands, even in a block scalar (YAML 1.2.2, 9.1.2, "the
// forbidden production" c-forbidden). So this looks at the beginnings of lines
// only, and understands nothing else of YAML.
func Documents(stream []byte) iter.Seq[Document] {
	return func(yield func(Document) bool) {
		start := 0 // of the current document
		for pos := 0; ; {
			next := findMarker(stream, pos, startMarker)
			for {
				stop := findMarker(stream[:next], pos, endMarker)
				if stop == next {
					break
				}
				pos = lineEnd(stream, stop)
				if !yield(Document{stream, start, pos}) {
					return
				}
				start = pos
			}
			if next == len(stream) {
				if start < next {
					yield(Document{stream, start, next})
				}
				return
			}
			if !isPrefix(stream[start:next]) {
				if !yield(Document{stream, start, next}) {
					return
				}
				start = next
			}
			pos = next + len(startMarker)
		}
	}
}

// findMarker returns where the first line at or after from that is a marker
// begins, or the stream's length. from is a line's beginning or just after a
// marker.
func findMarker(stream []byte, from int, marker string) int {
	for i := from; ; {
		n := bytes.Index(stream[i:], []byte(marker))
		if n < 0 {
			return len(stream)
		}
		i += n
		if beginsLine(stream, i) && isBlank(stream, i+len(marker)) {
			return i
		}
		// The rest of a longer run, such as "-----BEGIN", begins no line.
		for i < len(stream) && stream[i] == marker[0] {
			i++
		}
	}
}

// beginsLine reports whether a line begins at i. CR alone is a line break too.
func beginsLine(stream []byte, i int) bool {
	return i == 0 || stream[i-1] == '\n' || stream[i-1] == '\r'
}

// isBlank reports whether at i there is a blank, a line break or the end.
func isBlank(stream []byte, i int) bool {
	return i >= len(stream) || strings.IndexByte(blanks, stream[i]) >= 0
}

// lineEnd returns where the line after the one of i begins.
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

// isPrefix reports whether a text before a "---" belongs to the document which
// that begins: nothing but blank lines, comments and directives.
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
