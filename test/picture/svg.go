package main

import (
	"fmt"
	"html"
	"io"
	"strings"
)

const (
	fontSize   = 13
	charWidth  = 7.8 // of a monospaced font of that size
	lineHeight = 18
	margin     = 18
	titleBar   = 34
)

// The colours are those of GitHub's dark theme, where most will see it; on a light
// page the window keeps its own background.
const (
	background = "#0d1117"
	border     = "#30363d"
	foreground = "#c9d1d9"
	faint      = "#8b949e"
)

var palette = []string{
	"#484f58", "#ff7b72", "#3fb950", "#d29922", "#58a6ff", "#bc8cff", "#39c5cf", "#b1bac4",
	"#6e7681", "#ffa198", "#56d364", "#e3b341", "#79c0ff", "#d2a8ff", "#56d4dd", "#f0f6fc",
}

// appears lets what a row consists of appear with a delay of its own; without motion it is there.
const appears = "g{animation:appear 1ms both}@keyframes appear{from{visibility:hidden}}@media(prefers-reduced-motion:reduce){g{animation:none}}"

// draw writes the screen as an SVG.
func draw(w io.Writer, screen []row, columns int, title string) {
	width := float64(columns)*charWidth + 2*margin
	height := titleBar + len(screen)*lineHeight + margin
	fmt.Fprintf(w, `<svg xmlns="http://www.w3.org/2000/svg" width="%.0f" height="%d" viewBox="0 0 %.0f %d" role="img" aria-label="%s">`+"\n",
		width, height, width, height, html.EscapeString(title))
	fmt.Fprintf(w, "<style>text{font:%dpx ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace;fill:%s;white-space:pre}%s</style>\n",
		fontSize, foreground, appears)
	fmt.Fprintf(w, `<rect x=".5" y=".5" width="%.0f" height="%d" rx="8" fill="%s" stroke="%s"/>`+"\n", width-1, height-1, background, border)
	for i, colour := range []string{"#ff5f56", "#ffbd2e", "#27c93f"} {
		fmt.Fprintf(w, `<circle cx="%d" cy="17" r="6" fill="%s"/>`+"\n", 20+i*20, colour)
	}
	fmt.Fprintf(w, `<text x="%.0f" y="21" text-anchor="middle" style="fill:%s">%s</text>`+"\n", width/2, faint, html.EscapeString(title))
	for i, r := range screen {
		if i == 0 || r.at != screen[i-1].at {
			if i > 0 {
				fmt.Fprintln(w, "</g>")
			}
			fmt.Fprintf(w, `<g style="animation-delay:%dms">`+"\n", r.at.Milliseconds())
		}
		y := titleBar + (i+1)*lineHeight - 4
		for column := 0; column < len(r.cells); {
			end := column + 1
			for end < len(r.cells) && r.cells[end].style == r.cells[column].style {
				end++
			}
			drawRun(w, r.cells[column:end], column, y)
			column = end
		}
	}
	fmt.Fprintln(w, "</g>\n</svg>")
}

// drawRun writes characters of one style. Their length is given, so that columns
// stand under each other whatever font there is.
func drawRun(w io.Writer, run []cell, column, y int) {
	var b strings.Builder
	for _, c := range run {
		b.WriteRune(c.char)
	}
	text := strings.TrimRight(b.String(), " ")
	start := len(text) - len(strings.TrimLeft(text, " "))
	if text = text[start:]; text == "" {
		return
	}
	s := run[0].style
	var css string
	switch {
	case s.colour > 0:
		css = "fill:" + palette[s.colour-1]
	case s.faint:
		css = "fill:" + faint
	}
	if s.bold {
		css = strings.TrimPrefix(css+";font-weight:bold", ";")
	}
	if css != "" {
		css = ` style="` + css + `"`
	}
	fmt.Fprintf(w, `<text x="%.1f" y="%d" textLength="%.1f" xml:space="preserve"%s>%s</text>`+"\n",
		margin+float64(column+start)*charWidth, y, float64(len([]rune(text)))*charWidth, css, html.EscapeString(text))
}
