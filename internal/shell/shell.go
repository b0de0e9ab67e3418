// Package shell writes text for a terminal: commands for people to run, and text that other people
// wrote.
package shell

import (
	"regexp"
	"strconv"
	"strings"
	"unicode"
)

var plain = regexp.MustCompile(`^[A-Za-z0-9_./:@%+=,-]+$`)

// Command writes a command for a POSIX shell. It quotes every word that the shell would interpret:
// names in a command may be written by tenants.
func Command(words ...string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = Quote(w)
	}
	return strings.Join(quoted, " ")
}

// Quote writes one word for a POSIX shell.
func Quote(word string) string {
	if plain.MatchString(word) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// Visible makes a text safe to print. Anyone who may write a record or an annotation wrote parts of
// it, and a terminal executes control characters.
func Visible(text string) string {
	if strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.Quote(text)
	}
	return text
}
