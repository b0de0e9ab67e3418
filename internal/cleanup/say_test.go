package cleanup

import (
	"bytes"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/arc-cleanup/arc-cleanup/internal/helm"

	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"

	"github.com/arc-cleanup/arc-cleanup/internal/kube/kubetest"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
	"github.com/arc-cleanup/arc-cleanup/internal/plan/plantest"
)

func TestPace(t *testing.T) {
	t.Parallel()
	begun := time.Now()
	p := newPace(begun)
	p.detailed = begun
	var got []string
	for second := range 100 {
		if level := p.next(begun.Add(time.Duration(second) * time.Second)); level != zerolog.Disabled {
			got = append(got, strconv.Itoa(second)+" "+level.String())
		}
	}
	want := "3 debug, 6 debug, 9 debug, 10 info, 13 debug, 16 debug, 19 debug, 22 debug, 25 debug, 28 debug, 31 debug, 34 debug, 37 debug, 40 info"
	if diff := cmp.Diff(want, strings.Join(got[:14], ", ")); diff != "" {
		t.Error(diff)
	}
}

func TestFound(t *testing.T) {
	t.Parallel()
	s := &plan.Survey{}
	if got := found(s); got != "found nothing of ARC" {
		t.Error(got)
	}
	s = &plan.Survey{Controllers: make([]plan.Controller, 1), Custom: make([]*object.Object, 4), Protected: make([]*object.Object, 1), CRDs: make([]*object.Object, 4)}
	if got := found(s); got != "found 1 controller, 4 custom resources, 1 object with ARC's finalizers, 4 CRDs" {
		t.Error(got)
	}
	s.Controllers[0].Down = "has no ready replica"
	if got := found(s); !strings.HasPrefix(got, "found 1 controller (which has no ready replica), 4 custom") {
		t.Error(got)
	}
	s.Controllers = append(s.Controllers, plan.Controller{}, plan.Controller{Down: "is crash-looping"})
	if got := found(s); !strings.HasPrefix(got, "found 3 controllers (2 of them down), 4 custom") {
		t.Error(got)
	}
	s.Controllers = make([]plan.Controller, 1)
	s.Record = &helm.Record{Name: "arc", Namespace: "systems", Revision: 3, Status: "uninstalling"}
	if got := found(s); !strings.HasPrefix(got, "Helm is uninstalling release arc in namespace systems (revision 3): found 1 controller, ") {
		t.Error(got)
	}
	s.Record.Status = "deployed" // for a run that needs no proof
	if got := found(s); strings.Contains(got, "Helm") {
		t.Error(got)
	}
}

// A run of some seconds logs what it found, and nothing about its phases.
func TestAShortRunSaysOneLine(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	_, c := kubetest.New(t, kubetest.Stuck()...)
	if r := Run(t.Context(), c, graced(plantest.OfRelease, ample), zerolog.New(&log).Level(zerolog.InfoLevel), Person{}); r.Verdict != plan.Done {
		t.Fatal(r.Text(10))
	}
	if text := log.String(); strings.Count(text, "\n") != 1 || !strings.Contains(text, `"message":"found 4 custom resources, 2 objects with ARC's finalizers, 4 CRDs"`) {
		t.Error(text)
	}
}
