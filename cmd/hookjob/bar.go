package main

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/arc-cleanup/arc-cleanup/internal/cleanup"
)

const (
	barWidth = 30
	// barEvery is the least time between two drawings.
	barEvery = 100 * time.Millisecond
	// clearLine brings the cursor to the beginning of an empty line.
	clearLine = "\r\x1b[K"
)

// bar is a progress bar in the last line of a terminal. Other output appears above it.
type bar struct {
	out io.Writer

	mu    sync.Mutex
	line  string
	drawn time.Time
}

func (b *bar) Write(text []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.line == "" {
		return b.out.Write(text)
	}
	if _, err := fmt.Fprintf(b.out, "%s%s%s", clearLine, text, b.line); err != nil {
		return 0, err
	}
	return len(text), nil
}

func (b *bar) show(p cleanup.Progress) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if p.Total == 0 || p.Done < p.Total && time.Since(b.drawn) < barEvery {
		return
	}
	b.drawn = time.Now()
	full := barWidth * min(p.Done, p.Total) / p.Total
	b.line = fmt.Sprintf("%-10s [%s%s] %d/%d", p.Phase, strings.Repeat("#", full), strings.Repeat(".", barWidth-full), p.Done, p.Total)
	// If the terminal cannot be written to, there is no bar.
	_, _ = io.WriteString(b.out, clearLine+b.line)
}

// end removes the bar.
func (b *bar) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.line != "" {
		b.line = ""
		_, _ = io.WriteString(b.out, clearLine)
	}
}
