package cleanup

import (
	"fmt"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"github.com/arc-cleanup/arc-cleanup/internal/plan"
)

// What a run says while it is at work. Helm 4 prints the hook's whole log as one line,
// in which every line break is \n: a run that takes seconds says what it has found, and
// how it ended. A wait is worth a line from quietFor on, and then seldom. All else is for
// debugging.
const (
	quietFor = 10 * time.Second
	sayEvery = 30 * time.Second
	// detailEvery is how often the same is said for debugging.
	detailEvery = 3 * time.Second
)

// pace decides which lines about progress are worth printing.
type pace struct{ said, detailed time.Time }

func newPace(begun time.Time) pace { return pace{said: begun.Add(quietFor - sayEvery)} }

// next is the level of a line about progress at that moment; Disabled is none.
func (p *pace) next(now time.Time) zerolog.Level {
	switch {
	case now.Sub(p.said) >= sayEvery:
		p.said, p.detailed = now, now
		return zerolog.InfoLevel
	case now.Sub(p.detailed) >= detailEvery:
		p.detailed = now
		return zerolog.DebugLevel
	}
	return zerolog.Disabled
}

// found is the first line: what is proved, and what there is.
func found(s *plan.Survey) string {
	var parts []string
	count := func(n int, one, many string) {
		switch {
		case n == 1:
			parts = append(parts, "1 "+one)
		case n > 1:
			parts = append(parts, fmt.Sprintf("%d %s", n, many))
		}
	}
	count(len(s.Controllers), "controller", "controllers")
	count(len(s.Custom), "custom resource", "custom resources")
	count(len(s.Protected), "object with ARC's finalizers", "objects with ARC's finalizers")
	count(len(s.CRDs), "CRD", "CRDs")
	there := "found nothing of ARC"
	if len(parts) > 0 {
		there = "found " + strings.Join(parts, ", ")
	}
	if s.Record != nil && s.Record.Uninstalling() {
		return fmt.Sprintf("Helm is uninstalling release %s in namespace %s (revision %d): %s", s.Record.Name, s.Record.Namespace, s.Record.Revision, there)
	}
	return there
}
