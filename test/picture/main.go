// Command picture draws a terminal: it reads text with colours from standard input and writes an
// SVG to standard output.
package main

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"os"
)

func main() {
	columns := flag.Int("columns", 120, "width of the terminal")
	title := flag.String("title", "", "title of the window")
	flag.Parse()
	if err := run(os.Stdin, os.Stdout, *columns, *title); err != nil {
		fmt.Fprintln(os.Stderr, "picture:", err)
		os.Exit(1)
	}
}

func run(in io.Reader, out io.Writer, columns int, title string) error {
	text, err := io.ReadAll(in)
	if err != nil {
		return fmt.Errorf("reading the text: %w", err)
	}
	screen, err := parse(string(text), columns)
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
