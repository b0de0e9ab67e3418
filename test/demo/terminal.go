package main

import (
	"fmt"
	"io"
	"os"
)

// Escape sequences (ECMA-48, SGR) of how text looks.
const (
	bold  = "1"
	faint = "2"
	red   = "31"
	green = "32"
)

// terminal is where the story is told.
type terminal struct {
	out    io.Writer
	colour bool
}

// printf writes text. If the reader has gone, there is no one to tell.
func (t terminal) printf(format string, args ...any) { _, _ = fmt.Fprintf(t.out, format, args...) }

// say begins an act.
func (t terminal) say(text string) { t.printf("\n%s\n", t.styled(bold, text)) }

// styled is a text in colour, for a terminal or when asked for.
func (t terminal) styled(code, text string) string {
	if !t.colour {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func coloured(out io.Writer) bool {
	if os.Getenv("CLICOLOR_FORCE") != "" {
		return true
	}
	file, ok := out.(*os.File)
	if !ok || os.Getenv("NO_COLOR") != "" {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
