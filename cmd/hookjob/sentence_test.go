package main

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"
)

// Helm 4 prints the log in quotes of its own, and a quote in it as \".
func TestALineForPeopleNeedsNoQuotes(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("é", sentenceBytes)
	for name, test := range map[string]struct {
		log  func(zerolog.Logger)
		want string
	}{
		"an error": {
			func(l zerolog.Logger) {
				l.Warn().Err(errors.New("events is forbidden")).Msg("the verdict is in this log only")
			},
			"warning: the verdict is in this log only: events is forbidden\n",
		},
		"an object and why": {
			func(l zerolog.Logger) {
				l.Warn().Str("object", "services/s in namespace n").Str("why", "no endpoint is ready").Msg("likely in the way")
			},
			"warning: likely in the way: services/s in namespace n: no endpoint is ready\n",
		},
		"other fields stay": {
			func(l zerolog.Logger) { l.Error().Err(errors.New("no")).Int("more", 3).Msg("left") },
			"error: left: no more=3\n",
		},
		"what a terminal obeys": {
			func(l zerolog.Logger) { l.Warn().Str("why", "a\x1b[31mb\nc\u202ed").Msg("left") },
			`warning: left: "a\x1b[31mb\nc\u202ed"` + "\n",
		},
		"a long one": {
			func(l zerolog.Logger) { l.Warn().Str("why", long).Msg("left") },
			"warning: left: " + long[:sentenceBytes] + "...\n",
		},
		"one that is cut in a letter": {
			func(l zerolog.Logger) { l.Warn().Str("why", "x"+long).Msg("left") },
			"warning: left: x" + long[:sentenceBytes-2] + "...\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			f := logFlags{level: "info"}
			test.log(f.logger(&out, true, false))
			if diff := cmp.Diff(test.want, out.String()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	var out bytes.Buffer
	f := logFlags{level: "debug"}
	log := f.logger(&out, true, false)
	log.Debug().Err(errors.New("it has changed")).Msg("goes on with a new survey")
	if !strings.HasSuffix(out.String(), " DBG goes on with a new survey: it has changed\n") {
		t.Errorf("for debugging: %q", out.String())
	}
}
