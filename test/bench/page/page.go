// Package page writes what a benchmark measured into docs/performance.md.
package page

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"time"
)

// A Table is what one command measures.
type Table struct {
	// Command is what you type to measure again.
	Command string
	// Versions names what was measured, each with its version.
	Versions []string
	Header   []string
	Rows     [][]string
	// After follows the table.
	After string
}

// Write writes the table into the block of its command. root is the top folder of the repository.
func Write(ctx context.Context, root string, t Table) error {
	commit, err := commit(ctx, root)
	if err != nil {
		return err
	}
	t.Versions = append([]string{"commit " + commit}, t.Versions...)
	path := filepath.Join(root, "docs", "performance.md")
	old, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	text, err := replace(string(old), t.Command, t.text(time.Now(), runtime.NumCPU()))
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return os.WriteFile(path, []byte(text), 0o644) //nolint:gosec // a page of the repository
}

// commit is the commit that was measured. A change of the documentation changes nothing that is
// measured, and each benchmark makes one.
func commit(ctx context.Context, root string) (string, error) {
	out, err := exec.CommandContext(ctx, "git", "-C", root, "rev-parse", "--short=7", "HEAD").Output()
	if err != nil {
		return "", fmt.Errorf("asking git for the commit: %w", err)
	}
	changed, err := exec.CommandContext(ctx, "git", "-C", root, "diff", "--name-only", "HEAD", "--", ".", ":!docs").Output()
	if err != nil {
		return "", fmt.Errorf("asking git what has changed since the commit: %w", err)
	}
	commit := strings.TrimSpace(string(out))
	if len(changed) > 0 {
		commit += "-dirty"
	}
	return commit, nil
}

// text is what is between the marks.
func (t Table) text(date time.Time, cores int) string {
	var b strings.Builder
	row := func(cells []string) { b.WriteString("| " + strings.Join(cells, " | ") + " |\n") }
	row(t.Header)
	b.WriteString(strings.Repeat("|---", len(t.Header)) + "|\n")
	for _, cells := range t.Rows {
		row(cells)
	}
	fmt.Fprintf(&b, "\n%s\n\nMeasured on %s with `%s`, %d cores: %s.\n", t.After, date.Format(time.DateOnly), t.Command, cores, strings.Join(t.Versions, ", "))
	return b.String()
}

// replace replaces what is between a command's marks.
func replace(page, command, text string) (string, error) {
	begin, end := "<!-- Written by `"+command+"`. -->\n", "<!-- The end of what `"+command+"` writes. -->\n"
	before, rest, found := strings.Cut(page, begin)
	_, after, closed := strings.Cut(rest, end)
	if !found || !closed {
		return "", fmt.Errorf("there is no place between\n%sand\n%s", begin, end)
	}
	return before + begin + "\n" + text + "\n" + end + after, nil
}

var version = regexp.MustCompile(`-v(\d+\.\d+\.\d+)-[0-9a-f]+$`)

// Version returns the version in the name of a program that cluster.Binary has built.
func Version(path string) string {
	if m := version.FindStringSubmatch(filepath.Base(path)); m != nil {
		return m[1]
	}
	return "of unknown version"
}

// Ratio is a time as a multiple of another one, with three digits at most.
func Ratio(took, of time.Duration) string {
	r := float64(took) / float64(of)
	switch {
	case r < 10:
		return fmt.Sprintf("%.2f", r)
	case r < 100:
		return fmt.Sprintf("%.1f", r)
	}
	return fmt.Sprintf("%.0f", r)
}
