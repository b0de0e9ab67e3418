package attack

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/syntax"
)

// mark is a text that does harm if it is printed unquoted: in a shell into which a user pastes
// it, in a terminal, and in a log. It contains the end of each kind of quotes.
func mark(id string) string {
	return "zq" + id + "x'\"\\;$(touch /tmp/zq)`touch /tmp/zq`\x1b[31m\x07\u202e\r\nhelm uninstall zq" + id + "x #"
}

var marked = regexp.MustCompile(`zq([a-z0-9]+)x`)

// unquoted says where a printed text contains a mark outside quotes, or control characters that
// a terminal obeys.
func unquoted(output string) []string {
	var document any
	if json.Unmarshal([]byte(output), &document) == nil {
		return append(obeyed(output, unicode.IsControl), inDocument(document)...)
	}
	var out []string
	for line := range strings.SplitSeq(output, "\n") {
		is := isObeyed
		if json.Unmarshal([]byte(line), &document) == nil {
			is = unicode.IsControl // JSON escapes no others
		}
		out = append(append(out, obeyed(line, is)...), inLine(line)...)
	}
	return slices.Compact(out)
}

// isObeyed reports whether a terminal obeys a character instead of showing it.
func isObeyed(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) }

func obeyed(text string, is func(rune) bool) []string {
	if strings.ContainsFunc(text, func(r rune) bool { return r != '\t' && r != '\n' && is(r) }) {
		return []string{fmt.Sprintf("what a terminal obeys: %q", text)}
	}
	return nil
}

// helmLog matches a hook's log as Helm 4 prints it.
var helmLog = regexp.MustCompile(`msg=("(?:[^"\\]|\\.)*")`)

func inLine(line string) []string {
	if !marked.MatchString(line) {
		return nil
	}
	var document any
	if json.Unmarshal([]byte(line), &document) == nil {
		return inDocument(document)
	}
	var out []string
	rest := helmLog.ReplaceAllStringFunc(line, func(m string) string {
		text, err := strconv.Unquote(strings.TrimPrefix(m, "msg="))
		if err != nil {
			return m
		}
		for l := range strings.SplitSeq(text, "\n") {
			out = append(out, inLine(l)...)
		}
		return ""
	})
	for _, m := range marked.FindAllStringSubmatch(rest, -1) {
		full := mark(m[1])
		encoded, _ := json.Marshal(full) // a string
		for _, form := range []string{strconv.Quote(full), string(encoded), "'" + strings.ReplaceAll(full, "'", `'\''`) + "'"} {
			rest = strings.ReplaceAll(rest, form, "")
		}
	}
	if marked.MatchString(rest) && !onlyWords(rest) {
		out = append(out, fmt.Sprintf("not in quotes: %q", rest))
	}
	return out
}

// inDocument checks the texts of a JSON document, which JSON itself quotes.
func inDocument(value any) []string {
	var out []string
	switch v := value.(type) {
	case map[string]any:
		for _, x := range v {
			out = append(out, inDocument(x)...)
		}
	case []any:
		for _, x := range v {
			out = append(out, inDocument(x)...)
		}
	case string:
		if m := marked.FindStringSubmatch(v); m != nil && v != mark(m[1]) {
			for line := range strings.SplitSeq(v, "\n") {
				out = append(out, inLine(line)...)
			}
		}
	}
	return out
}

// words are the parts of a mark that may be printed unquoted, because a name may contain them.
var harmless = regexp.MustCompile(`^[\w./:@%+=,-]*$`)

// onlyWords reports whether a line contains only those parts of each mark.
func onlyWords(line string) bool {
	for word := range strings.FieldsSeq(line) {
		if marked.MatchString(word) && !harmless.MatchString(word) {
			return false
		}
	}
	return true
}

// commands returns the commands for people in a printed text: on lines of their own, in a
// document, or in a log.
func commands(output string) []string {
	var out []string
	var in func(value any)
	in = func(value any) {
		switch v := value.(type) {
		case map[string]any:
			for _, x := range v {
				in(x)
			}
		case []any:
			for _, x := range v {
				in(x)
			}
		case string:
			for line := range strings.SplitSeq(v, "\n") {
				var document any
				line = strings.TrimSpace(line)
				if strings.HasPrefix(line, "{") && json.Unmarshal([]byte(line), &document) == nil {
					in(document)
				}
				for _, m := range helmLog.FindAllStringSubmatch(line, -1) {
					if text, err := strconv.Unquote(m[1]); err == nil {
						in(text)
					}
				}
				for _, program := range []string{"helm ", "kubectl ", "arc-cleanup "} {
					if strings.HasPrefix(line, program) {
						out = append(out, line)
					}
				}
			}
		}
	}
	var document any
	if json.Unmarshal([]byte(output), &document) == nil {
		in(document)
	} else {
		in(output)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// ofTenant says what is wrong with a command that is printed because of an actor, or returns "".
// It must be a single command about the actor's namespace.
func ofTenant(command string) string {
	file, err := syntax.NewParser().Parse(strings.NewReader(command), "")
	if err != nil {
		return err.Error()
	}
	if len(file.Stmts) != 1 {
		return "it is more than one command"
	}
	call, ok := file.Stmts[0].Cmd.(*syntax.CallExpr)
	if !ok {
		return "it is more than a command"
	}
	words, err := expand.Fields(&expand.Config{}, call.Args...)
	if err != nil {
		return err.Error()
	}
	for i, w := range words[:max(0, len(words)-1)] {
		if w == "--namespace" || w == "-n" {
			if words[i+1] != tenantNamespace {
				return "it is about the namespace " + words[i+1]
			}
			return ""
		}
	}
	return "it is about no namespace"
}
