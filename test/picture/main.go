// Command picture records a command's output, with its colours, and writes it as an SVG to standard output: a terminal in
// which each line appears when it appeared, after pauses that are cut short. Where nothing moves, all lines are there.
package main

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"time"
)

func main() {
	columns := flag.Int("columns", 120, "width of the terminal")
	title := flag.String("title", "", "title of the window")
	skip := flag.String("skip", "", "regular expression of lines to leave out")
	flag.Parse()
	if err := record(flag.Args(), os.Stdout, *columns, *title, *skip); err != nil {
		fmt.Fprintln(os.Stderr, "picture:", err)
		os.Exit(1)
	}
}

// record draws what the command prints, if it succeeds.
func record(command []string, out io.Writer, columns int, title, skip string) error {
	if len(command) == 0 {
		return errors.New("no command to record")
	}
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Stderr = os.Stderr
	output, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting %s: %w", command[0], err)
	}
	begun := time.Now()
	lines, err := read(output, func() time.Duration { return time.Since(begun) })
	if err := errors.Join(err, cmd.Wait()); err != nil {
		return fmt.Errorf("recording %s: %w", command[0], err)
	}
	return picture(lines, out, columns, title, skip)
}

// line is what was printed, and when.
type line struct {
	text string
	at   time.Duration
}

func read(in io.Reader, now func() time.Duration) (lines []line, err error) {
	reader := bufio.NewReader(in)
	for {
		text, err := reader.ReadString('\n')
		if text != "" {
			lines = append(lines, line{text, now()})
		}
		if errors.Is(err, io.EOF) {
			return lines, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// picture draws the lines that are not left out.
func picture(lines []line, out io.Writer, columns int, title, skip string) error {
	lines, err := without(lines, skip)
	if err != nil {
		return err
	}
	screen, err := parse(lines, columns)
	if err != nil {
		return err
	}
	shorten(screen)
	w := bufio.NewWriter(out)
	draw(w, screen, columns, title)
	if err := w.Flush(); err != nil {
		return fmt.Errorf("writing the picture: %w", err)
	}
	return nil
}

// longestPause is how long nothing appears at most.
const longestPause = 600 * time.Millisecond

// shorten begins with the first row, and cuts long pauses.
func shorten(screen []row) {
	var before, cut time.Duration
	for i := range screen {
		at := screen[i].at
		if i == 0 {
			before, cut = at, at
		}
		cut += max(0, at-before-longestPause)
		before = at
		screen[i].at = (at - cut).Round(100 * time.Millisecond) // what appears together to the eye is one group
	}
}

var escapes = regexp.MustCompile("\x1b\\[[0-9;]*m")

// without leaves out the lines that match, but for their colours. The expression "" matches none.
func without(lines []line, skip string) (kept []line, err error) {
	if skip == "" {
		return lines, nil
	}
	pattern, err := regexp.Compile(skip)
	if err != nil {
		return nil, fmt.Errorf("the lines to leave out: %w", err)
	}
	for _, l := range lines {
		if !pattern.MatchString(escapes.ReplaceAllString(strings.TrimSuffix(l.text, "\n"), "")) {
			kept = append(kept, l)
		}
	}
	return kept, nil
}
