package cleanup

import (
	"testing"

	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
)

// TestPlanAndRunnersThatEndSlowly: GitHub is not skipped for the sake of a Pod.
func TestPlanAndRunnersThatEndSlowly(t *testing.T) {
	survey := func(runner string, pods ...*object.Object) Survey {
		return Survey{
			Record: uninstalling(), Controllers: []ARC{ctrl("systems/arc", "", by("systems/arc"))},
			Custom: []*object.Object{
				obj("er runners/r", of("runners/set"), owned("ers runners/s"), deleting, finalizers(runner)),
				obj("ars runners/set", deleting, finalizers(arc.AutoscalingRunnerSetFinalizer)),
			},
			Dependents: pods,
			Sets:       map[types.UID]ScaleSetInfo{"ars runners/set": {ID: "7"}},
		}
	}
	withJob := func(s Survey) Survey {
		s.OfJobs = []OfJob{{obj("pod runners/r-workflow"), "r"}, {obj("secret runners/r-job"), "r"}, {obj("pod elsewhere/forged"), "r"}, {obj("pod runners/other"), "no-runner"}}
		return s
	}
	theirs := func(name string) *object.Object { return obj("pod runners/"+name, owned("er runners/r"), deleting) }
	const awaited, freed = "drain: await er runners/r, await ars runners/set", "release: release ars runners/set"
	testPlans(t, map[string]planTest{
		"only its Pod is in the way": {
			survey(arc.EphemeralRunnerFinalizer, theirs("r")), asHook, Stuck,
			[]string{"nudge: release er runners/r", awaited, "release: release er runners/r", freed, "collect: await pod runners/r"},
		},
		"GitHub is, too": {
			survey(arc.RunnerRegistrationFinalizer, theirs("r")), asHook, Stuck,
			[]string{"nudge: nudge er runners/r, nudge ars runners/set", awaited, "release: release er runners/r", freed, "collect: await pod runners/r"},
		},
		"a Pod that only says to be its": {
			survey(arc.EphemeralRunnerFinalizer, theirs("other")), asHook, Stuck,
			[]string{"nudge: nudge ars runners/set", awaited, "release: release er runners/r", freed, "collect: await pod runners/other"},
		},
		"beside one that only says so": {
			survey(arc.EphemeralRunnerFinalizer, theirs("r"), theirs("other")), asHook, Stuck,
			[]string{"nudge: release er runners/r", awaited, "release: release er runners/r", freed, "collect: await pod runners/r, await pod runners/other"},
		},
		// The controller would delete these before it frees the runner, and nothing proves
		// them afterwards.
		"what its job has left goes first": {
			withJob(survey(arc.EphemeralRunnerFinalizer, theirs("r"))), asHook, Stuck,
			[]string{"nudge: delete pod runners/r-workflow, delete secret runners/r-job", "nudge: release er runners/r", awaited, "release: release er runners/r", freed, "collect: await pod runners/r"},
		},
		"a Pod of its name elsewhere": {
			survey(arc.EphemeralRunnerFinalizer, obj("pod elsewhere/r", owned("er runners/r"), deleting)), asHook, Stuck,
			[]string{"nudge: nudge ars runners/set", awaited, "release: release er runners/r", freed, "keep: is being deleted, and not gone yet"},
		},
	})
}
