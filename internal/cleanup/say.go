package cleanup

import (
	"fmt"
	"strings"
	"time"

	"github.com/rs/zerolog"
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

// words say what a phase does, before what it waits for.
var words = map[PhaseName]string{
	BackUp:       "writing the backup",
	HandOver:     "deleting scale sets with busy runners; the controller finishes them later",
	Drain:        "waiting for ARC's controller to stop runners and de-register at GitHub",
	Rouse:        "having the controller try at once, in case it is waiting until it tries again",
	Unblock:      "something is in the controller's way; having it finish without",
	Busy:         "waiting for runners to finish their jobs",
	Free:         "removing ARC's finalizers",
	Listeners:    "deleting listeners' Roles and RoleBindings",
	Releases:     "deleting Helm's records of the scale sets' releases",
	CRDs:         "deleting the CRDs and waiting until they are gone",
	Collect:      "waiting until Pods, Secrets and ServiceAccounts of runners and listeners are gone",
	Belongings:   "waiting until Kubernetes has deleted what listeners own beside the controller",
	Linked:       "deleting Pods and Secrets of legacy runners' jobs",
	DeadWebhooks: "deleting the legacy webhooks, which nobody answers",
	StopRunners:  "scaling legacy runners to zero; the controller lets them finish",
	Namespaces:   "waiting until the Terminating namespaces are gone",
}

// found is the first line: what is proved, and what there is.
func found(s *Survey) string {
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
