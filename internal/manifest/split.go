// Package manifest takes a stream of Kubernetes manifests apart without
// changing a byte of it, and reads single documents.
package manifest

import (
	"bytes"
	"io"
	"iter"
	"slices"
	"strings"
)

// Document is one piece of a stream: a YAML or JSON document with its marker
// and the comments and directives before it. It shares the stream's memory.
type Document struct {
	stream     []byte
	start, end int
	above      int // line breaks of the stream before what is in memory
}

// Bytes returns the document as it stands in the stream. Not to be written to.
func (d Document) Bytes() []byte { return d.stream[d.start:d.end:d.end] }

// Line returns the number of the document's first line in the stream, from 1.
func (d Document) Line() int { return 1 + d.above + bytes.Count(d.stream[:d.start], []byte("\n")) }

// Clone returns the document with memory of its own.
func (d Document) Clone() Document {
	return Document{stream: bytes.Clone(d.Bytes()), end: d.end - d.start, above: d.Line() - 1}
}

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
		for start, end := range extents(stream, true) {
			if !yield(Document{stream: stream, start: start, end: end}) {
				return
			}
		}
	}
}

// window is how much of a stream Read looks at in one go: small enough for the
// processor's cache, large enough for few system calls. It grows with the
// largest document.
const window = 512 << 10

// Read goes through the documents of a stream as Documents does, without ever
// holding all of it. A document is gone with the next one; a Clone stays. An
// error is the reader's, and the last thing to come.
//
// Documents that are not wanted may be left out, except for the last. That is asked
// of many at once, as if they were one, before they are told apart: what is wanted of
// one has to be wanted of all together, as with Contains.
func Read(r io.Reader, wanted func(Document) bool) iter.Seq2[Document, error] {
	return read(r, wanted, window)
}

func read(r io.Reader, wanted func(Document) bool, size int) iter.Seq2[Document, error] {
	return func(yield func(Document, error) bool) {
		text := make([]byte, 0, size)
		for above := 0; ; {
			n, err := io.ReadFull(r, text[len(text):cap(text)])
			text = text[:len(text)+n]
			last := err == io.EOF || err == io.ErrUnexpectedEOF
			if err != nil && !last {
				yield(Document{}, err)
				return
			}
			done := 0
			if !wanted(Document{stream: text, end: len(text)}) {
				done = lastStart(text)
			}
			if skipped := done; skipped == 0 || last {
				for start, end := range extents(text[skipped:], last) {
					if !yield(Document{stream: text, start: skipped + start, end: skipped + end, above: above}, nil) {
						return
					}
					done = skipped + end
				}
			}
			if last {
				return
			}
			above += bytes.Count(text[:done], []byte("\n"))
			text = append(text[:0], text[done:]...)
			if len(text) == cap(text) {
				text = slices.Grow(text, cap(text))
			}
		}
	}
}

// lastStart returns where the last document of a text begins, or 0 where only
// its beginning tells. The text may go on.
func lastStart(text []byte) int {
	last := 0
	for i := len(text) - len(startMarker) - 1; i >= 0; i-- {
		if !isMarker(text[i:]) || !beginsLine(text, i) {
			continue
		}
		if text[i] == endMarker[0] {
			break // what follows it, up to the next "---", may belong to that
		}
		if last > 0 {
			return last
		}
		last = i
	}
	return 0
}

// extents returns where the documents of a text begin and end. If the text is not
// the last of its stream, those of which it cannot be told yet are left out.
func extents(text []byte, last bool) iter.Seq2[int, int] {
	return func(yield func(start, end int) bool) {
		start := 0 // of the current document
		cr := bytes.IndexByte(text, '\r') >= 0
		for pos := 0; ; {
			marker := findMarker(text, pos, cr)
			if marker == len(text) {
				break
			}
			pos = marker + len(startMarker)
			end := marker
			if text[marker] == endMarker[0] {
				pos = lineEnd(text, marker)
				end = pos
			}
			if pos == len(text) && !last {
				return // the line may go on, and not be a marker
			}
			if text[marker] == startMarker[0] && isPrefix(text[start:marker]) {
				continue
			}
			if !yield(start, end) {
				return
			}
			start = end
		}
		if last && start < len(text) {
			yield(start, len(text))
		}
	}
}

// findMarker returns where the first line at or after from that is a marker
// begins, or the text's length. from is a line's beginning or just after a
// marker; cr says whether to look for CR as a line break, which costs as much
// again.
func findMarker(text []byte, from int, cr bool) int {
	for i := from; i < len(text); {
		end := len(text)
		if n := bytes.IndexByte(text[i:], '\n'); n >= 0 {
			end = i + n + 1
		}
		for {
			if c := text[i]; (c == startMarker[0] || c == endMarker[0]) && beginsLine(text, i) && isMarker(text[i:]) {
				return i
			}
			if !cr {
				break
			}
			n := bytes.IndexByte(text[i:end], '\r')
			if n < 0 || i+n+1 == end {
				break
			}
			i += n + 1
		}
		i = end
	}
	return len(text)
}

// isMarker reports whether a line is a marker.
func isMarker(line []byte) bool {
	return (bytes.HasPrefix(line, []byte(startMarker)) || bytes.HasPrefix(line, []byte(endMarker))) &&
		isBlank(line, len(startMarker))
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
