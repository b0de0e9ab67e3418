// Package shell writes what is printed on a terminal for people: commands to run, and
// texts that somebody else wrote.
package shell

import (
	"regexp"
	"strconv"
	"strings"
	"unicode"
)

var plain = regexp.MustCompile(`^[A-Za-z0-9_./:@%+=,-]+$`)

// Command writes a command for a POSIX shell. A word that a shell would not take as
// it stands is quoted: names in a command may come from what a tenant wrote.
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

// Visible is a text as a terminal should get it. Parts of it were written by whoever
// may write a record or an annotation, and a terminal obeys what it cannot print.
func Visible(text string) string {
	if strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.Quote(text)
	}
	return text
}
