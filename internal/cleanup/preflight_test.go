package cleanup

import (
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestEveryKindOfWriteIsAskedFor(t *testing.T) {
	t.Parallel()
	p := &Plan{Phases: []Phase{
		{BackUp, [][]Step{{{Create, obj("secret systems/backup"), ""}}}},
		{StopRunners, [][]Step{{{Stop, obj("rd ci/d"), ""}}}},
		{Rouse, [][]Step{{{Wake, obj("al systems/l"), ""}}}},
		{Unblock, [][]Step{{{Nudge, obj("ars runners/set"), ""}}}},
		{Drain, [][]Step{{{Await, obj("er runners/a"), ""}, {Delete, obj("er runners/b"), ""}, {Delete, obj("er runners/c"), ""}}}},
		{Free, [][]Step{{{Release, obj("er runners/b"), ""}}, {{Release, obj("er other/b"), ""}}}},
		{CRDs, [][]Step{{{Delete, obj("crd a"), ""}, {Delete, obj("crd b"), ""}}}},
	}}
	var got []string
	for _, r := range rights(p) {
		got = append(got, r.String())
	}
	want := []string{
		"create secrets in namespace systems",
		"patch runnerdeployments.actions.summerwind.dev in namespace ci",
		"patch autoscalinglisteners.actions.github.com in namespace systems",
		"patch autoscalingrunnersets.actions.github.com in namespace runners",
		"delete ephemeralrunners.actions.github.com in namespace runners",
		"patch ephemeralrunners.actions.github.com in namespace runners",
		"patch ephemeralrunners.actions.github.com in namespace other",
		"delete customresourcedefinitions.apiextensions.k8s.io a",
		"delete customresourcedefinitions.apiextensions.k8s.io b",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rights (-want +got):\n%s", diff)
	}
}

// Where it cannot be asked, nothing is written.
func TestARightThatCannotBeAskedFor(t *testing.T) {
	t.Parallel()
	a, c := newAPI(t, stuck()...)
	a.fault = on(http.StatusBadRequest, always, "REVIEW delete customresourcedefinitions")
	r := Run(t.Context(), c, graced(ofRelease, ample), quiet, nil)
	if r.Verdict != Failed || len(r.Refusals) != 4 || len(a.writes) > 0 {
		t.Errorf("%v\n%s", a.writes, r.Text(10))
	}
}

// What is refused anyway is not tried: webhooks and audit logs hear of no write to what
// is not to be written. The rights are asked for all the same.
func TestARefusedPlanIsNotTried(t *testing.T) {
	t.Parallel()
	a, c := newAPI(t, append(whole(obj("ars runners/live")), stuck()...)...)
	var mu sync.Mutex
	dry := 0
	a.fault = func(request string) int {
		mu.Lock()
		defer mu.Unlock()
		if strings.HasPrefix(request, "DRY ") {
			dry++
		}
		return 0
	}
	a.denied = map[string]bool{"delete customresourcedefinitions": true}
	r := Run(t.Context(), c, graced(ofRelease, ample), quiet, nil)
	if text := r.Text(10); dry > 0 || !strings.Contains(text, "live") || !strings.Contains(text, "not permitted to delete") {
		t.Errorf("%d dry runs:\n%s", dry, text)
	}
}
