package main

import (
	"strings"

	"github.com/rs/zerolog"

	"github.com/arc-cleanup/arc-cleanup/internal/shell"
)

// sentenceBytes limits an error or a reason in a line for people.
const sentenceBytes = 1000

// sentence moves the object, the reason and the error of a line to the end of its message, as words. As fields
// they would have quotes, and Helm 4 would quote those again.
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
