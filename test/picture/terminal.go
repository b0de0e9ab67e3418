package main

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// style is how a character looks.
type style struct {
	bold, faint bool
	colour      int // index of a palette, from 1; 0 is the terminal's own
}

// cell is one character on the screen.
type cell struct {
	char  rune
	style style
}

// row is a line of the screen, and when it appears.
type row struct {
	cells []cell
	at    time.Duration
}

// parse reads lines with the escape sequences that set colours (ECMA-48, SGR) into
// lines of at most that many columns. Anything else that moves a cursor is an
// error: what it does on a screen is more than a picture of lines can show.
func parse(lines []line, columns int) ([]row, error) {
	if columns < 20 {
		return nil, fmt.Errorf("%d columns: fewer than a terminal has", columns)
	}
	var (
		screen []row
		now    style
	)
	for i, l := range lines {
		cells, err := now.parse(strings.TrimRight(l.text, "\r\n"))
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
		for _, wrapped := range wrap(cells, columns) {
			screen = append(screen, row{wrapped, l.at})
		}
	}
	blank := func(r row) bool { return !slices.ContainsFunc(r.cells, func(c cell) bool { return c.char != ' ' }) }
	for len(screen) > 0 && blank(screen[len(screen)-1]) {
		screen = screen[:len(screen)-1]
	}
	if !slices.ContainsFunc(screen, func(r row) bool { return !blank(r) }) {
		return nil, errors.New("there is no text to draw")
	}
	return screen, nil
}

// parse reads one line, which begins in a style and may change it.
func (s *style) parse(text string) (cells []cell, err error) {
	for i := 0; i < len(text); {
		if rest, ok := strings.CutPrefix(text[i:], "\x1b["); ok {
			end := strings.IndexFunc(rest, unicode.IsLetter)
			if end < 0 || rest[end] != 'm' {
				return nil, fmt.Errorf("an escape sequence that sets no colour: %q", "\x1b["+rest[:max(0, end+1)])
			}
			for code := range strings.SplitSeq(rest[:end], ";") {
				if err := s.set(code); err != nil {
					return nil, err
				}
			}
			i += len("\x1b[") + end + 1
			continue
		}
		char := []rune(text[i:min(len(text), i+4)])[0]
		i += len(string(char))
		switch {
		case char == '\t':
			for cells = append(cells, cell{' ', *s}); len(cells)%8 != 0; cells = append(cells, cell{' ', *s}) {
			}
		case unicode.IsControl(char):
			return nil, fmt.Errorf("a control character: %q", char)
		default:
			cells = append(cells, cell{char, *s})
		}
	}
	return cells, nil
}

func (s *style) set(code string) error {
	if code == "" {
		code = "0"
	}
	n, err := strconv.Atoi(code)
	switch {
	case err != nil:
		return fmt.Errorf("%q is no colour", code)
	case n == 0:
		*s = style{}
	case n == 1:
		s.bold = true
	case n == 2:
		s.faint = true
	case n == 22:
		s.bold, s.faint = false, false
	case n == 39:
		s.colour = 0
	case n >= 30 && n <= 37:
		s.colour = n - 30 + 1
	case n >= 90 && n <= 97:
		s.colour = n - 90 + 1 + 8
	default:
		return fmt.Errorf("colour %d is not known here", n)
	}
	return nil
}

// wrap breaks a line that is too long, between words, and indents what follows a
// little more than its beginning.
func wrap(line []cell, columns int) [][]cell {
	indent := 0
	for indent < len(line) && line[indent].char == ' ' {
		indent++
	}
	indent = min(indent+2, columns/2)
	var lines [][]cell
	for len(line) > columns {
		end := columns
		for i := columns; i > indent; i-- {
			if line[i].char == ' ' {
				end = i
				break
			}
		}
		rest := line[end:]
		for len(rest) > 0 && rest[0].char == ' ' {
			rest = rest[1:]
		}
		lines = append(lines, line[:end:end])
		line = nil
		for range indent {
			line = append(line, cell{char: ' '})
		}
		line = append(line, rest...)
	}
	return append(lines, line)
}
