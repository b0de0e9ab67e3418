package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"regexp"
	"strings"
	"testing"
	"time"
)

// printed are lines that were printed a second after each other.
func printed(t *testing.T, text string) []line {
	t.Helper()
	var at time.Duration
	lines, err := read(strings.NewReader(text), func() time.Duration { at += time.Second; return at })
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

// TestRecording: what was printed together appears together; a pause is cut, and a failure is no picture.
func TestRecording(t *testing.T) {
	var out bytes.Buffer
	lines := []line{{"left out\n", 0}, {"first\n", 9 * time.Second}, {"with it\n", 9 * time.Second}, {"soon\n", 9200 * time.Millisecond}, {"late", time.Hour}}
	if err := picture(lines, &out, 40, "", "left out"); err != nil {
		t.Fatal(err)
	}
	wellFormed(t, out.Bytes())
	_, rows, _ := strings.Cut(out.String(), "<g ")
	drawn := regexp.MustCompile(`(?s)<text[^>]*>|</text>|</?svg>`).ReplaceAllString("<g "+rows, "")
	want := `<g style="animation-delay:0ms"> first with it </g> <g style="animation-delay:200ms"> soon </g> <g style="animation-delay:800ms"> late </g>`
	if got := strings.Join(strings.Fields(drawn), " "); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	out.Reset()
	for _, command := range [][]string{nil, {"no-such-program"}, {"go", "no-such-command"}} {
		if err := record(command, &out, 40, "", ""); err == nil || out.Len() > 0 {
			t.Errorf("%v: %v, %s", command, err, out.String())
		}
	}
}

func TestPicture(t *testing.T) {
	var out bytes.Buffer
	const text = "plain <&>\n\x1b[1mbold \x1b[32mgreen\x1b[0m\n\n\x1b[2m  faint\x1b[0m\tafter a tab\n"
	if err := picture(printed(t, text), &out, 40, "a & b", ""); err != nil {
		t.Fatal(err)
	}
	wellFormed(t, out.Bytes())
	for _, want := range []string{
		`>plain &lt;&amp;&gt;</text>`,
		`y="66" textLength="31.2" xml:space="preserve" style="font-weight:bold">bold</text>`,
		`<text x="57.0" y="66" textLength="39.0" xml:space="preserve" style="fill:#3fb950;font-weight:bold">green</text>`,
		`<text x="33.6" y="102" textLength="39.0" xml:space="preserve" style="fill:#8b949e">faint</text>`,
		`<text x="80.4" y="102"`, // column 8
		`aria-label="a &amp; b"`,
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %s in\n%s", want, out.String())
		}
	}
}

func TestLongLinesAreBrokenBetweenWords(t *testing.T) {
	screen, err := parse(printed(t, "  $ helm install arc some-chart --namespace arc-systems\n"+strings.Repeat("x", 45)), 20)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, line := range screen {
		var b strings.Builder
		for _, c := range line.cells {
			b.WriteRune(c.char)
		}
		lines = append(lines, b.String())
	}
	want := []string{
		"  $ helm install arc", "    some-chart", "    --namespace", "    arc-systems",
		strings.Repeat("x", 20), "  " + strings.Repeat("x", 18), "  " + strings.Repeat("x", 7),
	}
	if strings.Join(lines, "\n") != strings.Join(want, "\n") {
		t.Errorf("got:\n%s\nwant:\n%s", strings.Join(lines, "\n"), strings.Join(want, "\n"))
	}
}

func TestLinesAreLeftOut(t *testing.T) {
	var out bytes.Buffer
	const text = "kept\n\x1b[2m  (1.5 s)\x1b[0m\n(1.5 s) is kept\n"
	if err := picture(printed(t, text), &out, 40, "", `^ *\([0-9.]+ s\)$`); err != nil {
		t.Fatal(err)
	}
	if drawn := out.String(); strings.Count(drawn, "kept") != 2 || strings.Count(drawn, "(1.5 s)") != 1 {
		t.Errorf("got\n%s", drawn)
	}
	if err := picture(printed(t, text), io.Discard, 40, "", "("); err == nil {
		t.Error("a wrong expression was taken")
	}
}

func TestWhatCannotBeDrawn(t *testing.T) {
	for text, want := range map[string]string{
		"":                   "no text",
		"a\x1b[2Kb":          "sets no colour",
		"a\x1b[48;5;1mb":     "colour 48 is not known",
		"10 %\r20 %":         "a control character",
		"one\n\x1b[1;xmb":    "line 2",
		"\x1b[":              "sets no colour",
		"a\n\x1b[31mred\abe": "line 2: a control character",
	} {
		if err := picture(printed(t, text), io.Discard, 80, "", ""); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	if err := picture(printed(t, "a"), io.Discard, 0, "", ""); err == nil {
		t.Error("drawn in no columns")
	}
}

func wellFormed(t *testing.T, svg []byte) {
	t.Helper()
	for d := xml.NewDecoder(bytes.NewReader(svg)); ; {
		_, err := d.Token()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatalf("not well-formed: %v", err)
		}
	}
}
