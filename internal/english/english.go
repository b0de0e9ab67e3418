// Package english puts numbers into sentences.
package english

import "fmt"

// Count returns a number with its noun, as "1 runner" or "2 runners". The noun is one whose plural ends in s.
func Count[N int | int64](n N, noun string) string {
	return fmt.Sprintf("%d %s", n, noun+Agree(n, "", "s"))
}

// Agree returns the word that agrees with a number, as "is" or "are".
func Agree[N int | int64](n N, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}
