// Command picture draws a terminal: it reads text with colours from standard input and writes an
// SVG to standard output.
package main

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
)

func main() {
	columns := flag.Int("columns", 120, "width of the terminal")
	title := flag.String("title", "", "title of the window")
	skip := flag.String("skip", "", "regular expression of lines to leave out")
	flag.Parse()
	if err := run(os.Stdin, os.Stdout, *columns, *title, *skip); err != nil {
		fmt.Fprintln(os.Stderr, "picture:", err)
		os.Exit(1)
	}
}

func run(in io.Reader, out io.Writer, columns int, title, skip string) error {
	text, err := io.ReadAll(in)
	if err != nil {
		return fmt.Errorf("reading the text: %w", err)
	}
	kept, err := without(string(text), skip)
	if err != nil {
		return err
	}
	screen, err := parse(kept, columns)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(out)
	draw(w, screen, columns, title)
	if err := w.Flush(); err != nil {
		return fmt.Errorf("writing the picture: %w", err)
	}
	return nil
}

var escapes = regexp.MustCompile("\x1b\\[[0-9;]*m")

// without leaves out the lines that match, but for their colours. The expression "" matches none.
func without(text, skip string) (string, error) {
	if skip == "" {
		return text, nil
	}
	pattern, err := regexp.Compile(skip)
	if err != nil {
		return "", fmt.Errorf("the lines to leave out: %w", err)
	}
	var kept strings.Builder
	for line := range strings.Lines(text) {
		if !pattern.MatchString(escapes.ReplaceAllString(strings.TrimSuffix(line, "\n"), "")) {
			kept.WriteString(line)
		}
	}
	return kept.String(), nil
}
