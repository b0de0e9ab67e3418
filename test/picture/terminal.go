package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
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

// parse reads text with the escape sequences that set colours (ECMA-48, SGR) into
// lines of at most that many columns. Anything else that moves a cursor is an
// error: what it does on a screen is more than a picture of lines can show.
func parse(text string, columns int) ([][]cell, error) {
	if columns < 20 {
		return nil, fmt.Errorf("%d columns: fewer than a terminal has", columns)
	}
	text = strings.TrimRight(strings.ReplaceAll(text, "\r\n", "\n"), "\n")
	if strings.TrimSpace(text) == "" {
		return nil, errors.New("there is no text to draw")
	}
	var (
		lines [][]cell
		line  []cell
		now   style
	)
	for i := 0; i < len(text); {
		if rest, ok := strings.CutPrefix(text[i:], "\x1b["); ok {
			end := strings.IndexFunc(rest, unicode.IsLetter)
			if end < 0 || rest[end] != 'm' {
				return nil, fmt.Errorf("line %d: an escape sequence that sets no colour: %q", len(lines)+1, "\x1b["+rest[:max(0, end+1)])
			}
			for code := range strings.SplitSeq(rest[:end], ";") {
				if err := now.set(code); err != nil {
					return nil, fmt.Errorf("line %d: %w", len(lines)+1, err)
				}
			}
			i += len("\x1b[") + end + 1
			continue
		}
		char := []rune(text[i:min(len(text), i+4)])[0]
		i += len(string(char))
		switch {
		case char == '\n':
			lines = append(lines, wrap(line, columns)...)
			line = nil
		case char == '\t':
			for line = append(line, cell{' ', now}); len(line)%8 != 0; line = append(line, cell{' ', now}) {
			}
		case unicode.IsControl(char):
			return nil, fmt.Errorf("line %d: a control character: %q", len(lines)+1, char)
		default:
			line = append(line, cell{char, now})
		}
	}
	return append(lines, wrap(line, columns)...), nil
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
