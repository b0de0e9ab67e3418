package cleanup

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"github.com/arc-cleanup/arc-cleanup/internal/helm"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
)

// These times limit what a run logs. Helm 4 prints the hook's whole log as one line, with \n for every line break. So
// a run of some seconds logs only what it found and how it ended. A wait is logged after quietFor,
// and then every sayEvery. Everything else is logged for debugging only.
const (
	quietFor = 10 * time.Second
	sayEvery = 30 * time.Second
	// detailEvery is the time between two log lines about progress for debugging.
	detailEvery = 3 * time.Second
)

// pace decides when to log progress.
type pace struct{ said, detailed time.Time }

func newPace(begun time.Time) pace { return pace{said: begun.Add(quietFor - sayEvery)} }

// next returns the level of a log line about progress at the given time; Disabled means none.
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

// found returns the first line of the log: what is proved, and what exists.
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
	if down := slices.DeleteFunc(slices.Clone(s.Controllers), func(c plan.Controller) bool { return c.Down == "" }); len(down) > 0 {
		why := fmt.Sprintf("%d of them down", len(down))
		if len(s.Controllers) == 1 {
			why = "which " + down[0].Down
		}
		parts[0] += " (" + why + ")"
	}
	count(len(s.Custom), "custom resource", "custom resources")
	count(len(s.Protected), "object with ARC's finalizers", "objects with ARC's finalizers")
	count(len(s.CRDs), "CRD", "CRDs")
	there := "found nothing of ARC"
	if len(parts) > 0 {
		there = "found " + strings.Join(parts, ", ")
	}
	if s.Record != nil && s.Record.Status == helm.Uninstalling {
		return fmt.Sprintf("Helm is uninstalling release %s in namespace %s (revision %d): %s", s.Record.Name, s.Record.Namespace, s.Record.Revision, there)
	}
	return there
}
