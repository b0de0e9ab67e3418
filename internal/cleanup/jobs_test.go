package cleanup

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
)

// ofJob is what the container hooks make for a runner's job.
func ofJob(text, runner string, mods ...with) item {
	it := whole(obj(text, mods...))[0]
	it.labels[arc.LabelRunnerPod] = runner
	return it
}

// TestWhatJobsLeaveGoesWithTheirRunner: in kubernetes mode a job runs in a Pod which
// nothing owns, with a Secret. The controller deletes both by a label.
func TestWhatJobsLeaveGoesWithTheirRunner(t *testing.T) {
	t.Parallel()
	a, c := newAPI(t, stuck(
		ofJob("pod runners/r-workflow", "r"), ofJob("secret runners/r-job", "r"),
		ofJob("pod runners/forged", "no-runner"), ofJob("pod elsewhere/forged", "r"), ofJob("configmap runners/theirs", "r"),
		ofJob("pod runners/held", "r", deleting, finalizers("example.com/hold")),
	)...)
	r := Run(t.Context(), c, graced(byHand, ample), quiet)
	expect(t, r, outcome{Verdict: Done})
	expectStrings(t, "left", a.left(),
		"configmap runners/theirs", "pod elsewhere/forged", "pod runners/forged", "pod runners/held", "role runners/set-manager", "secret runners/theirs")
}

func TestPlanForWhatJobsLeave(t *testing.T) {
	er := func(mods ...with) *Object { return obj("er runners/r", append([]with{of("runners/set")}, mods...)...) }
	live := ctrl("systems/arc", "", by("systems/arc"))
	linked := []OfJob{{obj("pod runners/r-workflow"), "r"}}
	seen := History{Runners: map[types.NamespacedName]*Object{{Namespace: "runners", Name: "r"}: er()}}
	tests := map[string]struct {
		survey  Survey
		options Options
		history History
		want    []string
	}{
		"before its runner is freed": {
			Survey{Custom: []*Object{er(deleting)}, OfJobs: linked},
			byHand,
			History{},
			[]string{"linked: delete pod runners/r-workflow", "release: release er runners/r"},
		},
		"not where a controller does it": {
			Survey{Custom: []*Object{er(deleting)}, OfJobs: linked, Controllers: []ARC{live}},
			ofRelease,
			History{},
			[]string{"drain: await er runners/r", "release: release er runners/r"},
		},
		"but where it does not get on": {
			Survey{Custom: []*Object{er(deleting)}, OfJobs: linked, Controllers: []ARC{live}},
			ofRelease,
			History{Stage: Over},
			[]string{"linked: delete pod runners/r-workflow", "release: release er runners/r"},
		},
		"made after its runner was seen, and seen after it was gone": {
			Survey{OfJobs: linked}, byHand, seen, []string{"linked: delete pod runners/r-workflow"},
		},
		"never by its label alone":        {Survey{OfJobs: linked}, byHand, History{}, nil},
		"not of a set that is not ours":   {Survey{Custom: []*Object{er()}, OfJobs: linked}, ofSet, seen, []string{"refused: no proof that anything is being uninstalled: no release is named", "  this runs as a pre-delete hook of `helm uninstall`; by hand, use `arc-cleanup run --yes`"}},
		"not of a runner left to its job": {Survey{Custom: []*Object{er(), obj("ars runners/set", deleting)}, OfJobs: linked, Controllers: []ARC{ctrl("systems/arc", "")}, Busy: map[types.UID]Job{"er runners/r": {Name: "build", Pod: obj("pod runners/r")}}}, Options{Scope: Namespace, Namespace: "runners", BusyRunners: LeaveBusy, Grace: time.Minute}, seen, []string{"keep: runner r is busy with job \"build\" of  (), after which the controller removes it"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, lines(NewPlan(&test.survey, test.options, test.history))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
