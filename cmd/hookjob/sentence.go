package main

import (
	"strings"

	"github.com/rs/zerolog"

	"github.com/arc-cleanup/arc-cleanup/internal/shell"
)

// sentenceBytes is how long an error or a reason may be in a line for people.
const sentenceBytes = 1000

// sentence puts the object, the reason and the error of a line at the end of its message,
// as words. As fields they would be in quotes, and Helm 4 quotes these once more.
func sentence(line map[string]any) error {
	message, _ := line[zerolog.MessageFieldName].(string)
	parts := []string{message}
	for _, field := range []string{"object", "why", zerolog.ErrorFieldName} {
		text, is := line[field].(string)
		if !is {
			continue
		}
		delete(line, field)
		if len(text) > sentenceBytes {
			text = strings.ToValidUTF8(text[:sentenceBytes], "") + "..."
		}
		parts = append(parts, shell.Visible(text))
	}
	line[zerolog.MessageFieldName] = strings.Join(parts, ": ")
	return nil
}
