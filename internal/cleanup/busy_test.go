package cleanup

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
)

// busySet is a scale set with a runner that has a job; its controller lives.
func busySet(set ...with) Survey {
	pod := obj("pod runners/r", owned("er runners/r"))
	return Survey{
		Record: uninstalling(), Controllers: []ARC{ctrl("systems/arc", "", by("systems/arc"))},
		Custom: []*object.Object{
			obj("er runners/r", of("runners/set"), owned("ers runners/s"), finalizers(arc.EphemeralRunnerFinalizer, arc.RunnerRegistrationFinalizer)),
			obj("ers runners/s", of("runners/set"), owned("ars runners/set"), deleting),
			obj("ars runners/set", slices.Concat([]with{by("systems/arc"), deleting}, set)...),
		},
		Protected:  []*object.Object{protected("role runners/set-manager", of("runners/set")), protected("secret runners/unlabelled")},
		Dependents: []*object.Object{pod},
		Busy:       map[types.UID]Job{"er runners/r": {Repository: "acme/rocket", Workflow: "launch.yml", Name: "launch", Pod: pod}},
		Sets:       map[types.UID]ScaleSetInfo{"ars runners/set": {ID: "7"}},
	}
}

func TestPlanAndBusyRunners(t *testing.T) {
	dying := busySet()
	dying.Controllers = []ARC{dead(dying.Controllers[0])}
	alone, locked := busySet(), busySet()
	alone.Controllers = nil
	locked.Controllers[0].LockedOut = map[string]bool{"runners": true}
	idle := busySet()
	idle.Busy = nil
	live := busySet(func(o *object.Object) { o.Deleting = false })
	left := busySet()
	left.ListenerRBAC = []*object.Object{obj("role runners/listener", of("runners/set")), obj("role runners/held", of("runners/set"), deleting, finalizers("example.com/f"))}
	left.CRDs = crdObjects()
	const awaited = "drain: await er runners/r, await ers runners/s, await ars runners/set"
	const waits = "busy: await pod runners/r"
	freed := []string{
		"release: release er runners/r", "release: release ers runners/s", "release: release ars runners/set",
		"release: release secret runners/unlabelled", "release: release role runners/set-manager", "collect: await pod runners/r",
	}
	const kept = "keep: runner r is busy with job \"launch\" of acme/rocket (launch.yml), after which the controller removes it"
	with := func(p BusyRunnersPolicy) Options {
		o := asHook
		o.BusyRunners = p
		return o
	}
	testPlans(t, map[string]planTest{
		"a controller's uninstall waits for jobs":                 {busySet(), asHook, Fresh, slices.Concat([]string{awaited, waits}, freed)},
		"also when no controller is there":                        {dying, asHook, Fresh, slices.Concat([]string{waits}, freed)},
		"a busy runner is neither nudged nor given a grace again": {busySet(), asHook, Stuck, slices.Concat([]string{waits, "release: delete er runners/r"}, freed)},
		"an idle one is": {idle, asHook, Stuck, slices.Concat([]string{"nudge: delete er runners/r", "nudge: nudge er runners/r, nudge ars runners/set", awaited}, freed)},
		"left ones keep all that their set needs":  {left, with(LeaveBusy), Fresh, []string{kept, "keep: scale set set in namespace runners has busy runners"}},
		"a set is handed to the controller":        {live, with(LeaveBusy), Fresh, []string{"hand-over: delete ars runners/set", kept}},
		"without a controller nobody would finish": {alone, with(LeaveBusy), Fresh, slices.Concat([]string{waits}, freed)},
		"nor would one that is not ready":          {dying, with(LeaveBusy), Fresh, slices.Concat([]string{waits}, freed)},
		"nor one without its rights":               {locked, with(LeaveBusy), Fresh, slices.Concat([]string{waits}, freed)},
		"force treats them like idle ones":         {busySet(), with(ForceBusy), Fresh, slices.Concat([]string{awaited}, freed)},
		"refused at once, with repository and job": {dying, with(RefuseBusy), Fresh, slices.Concat([]string{
			`refused: runner r in namespace runners is busy with job "launch" of acme/rocket (launch.yml)`,
			"  wait for the job or cancel it, then try again; busyRunners=force would kill it",
		}, freed)},
	})
}

func TestPlanDeletesLiveSetsWhenTold(t *testing.T) {
	o := asHook
	o.ScaleSets = DeleteScaleSets
	testPlans(t, map[string]planTest{
		"": {
			Survey{Record: uninstalling(), Controllers: []ARC{ctrl("systems/arc", "", by("systems/arc"))}, Custom: []*object.Object{obj("ars runners/set", by("runners/gpu"))}},
			o, Fresh,
			[]string{"drain: delete ars runners/set", "release: release ars runners/set"},
		},
	})
}

func TestPlanIsEmptyWhenSwitchedOff(t *testing.T) {
	s := busySet()
	s.Off = true
	if p := NewPlan(&s, asHook, History{}); !p.Off || len(p.Phases)+len(p.Refusals)+len(p.Kept) > 0 {
		t.Errorf("%+v", p)
	}
}

// runnerWithPod is an EphemeralRunner that has a status, and its Pod.
func runnerWithPod(name string, status map[string]any) []item {
	items := whole(obj("er runners/"+name), obj("pod runners/"+name, owned("er runners/"+name)))
	items[0].rest = map[string]any{"status": status}
	items[1].owners[0].Kind = arc.EphemeralRunner
	return items
}

// A runner is busy while its Pod runs and its own status names a job.
func TestSurveyFindsBusyRunners(t *testing.T) {
	t.Parallel()
	launch := map[string]any{"jobDisplayName": "launch", "jobRepositoryName": "acme/rocket"}
	replaced := runnerWithPod("replaced", launch)
	replaced[1].owners[0].UID = "another"
	notARunner := runnerWithPod("of-another-kind", launch)
	notARunner[1].owners[0].Kind = "EphemeralRunnerSet"
	// A Pod elsewhere, which sorts after it, claims the same owner.
	claims := whole(obj("pod tenant/busy", owned("er runners/busy")))
	claims[0].owners[0].Kind = arc.EphemeralRunner
	finished := runnerWithPod("finished", launch)
	finished[1].rest = map[string]any{"phase": "Succeeded"}
	items := slices.Concat(whole(crdObjects()...), finished, claims, runnerWithPod("busy", launch), runnerWithPod("idle", nil),
		runnerWithPod("gone", launch)[1:], runnerWithPod("without-a-pod", launch)[:1], replaced, notARunner)
	a, c := newAPI(t, items...)
	pod := obj("pod runners/busy", owned("er runners/busy"))
	want := map[types.UID]Job{"er runners/busy": {Repository: "acme/rocket", Name: "launch", Pod: pod}}
	s := survey(t.Context(), c, byHand)
	if diff := cmp.Diff(want, s.Busy); diff != "" || len(s.Unknown) > 0 {
		t.Errorf("unknown %v, busy (-want +got):\n%s", s.Unknown, diff)
	}

	a.fault = on(http.StatusForbidden, always, "GET er runners/busy")
	s = survey(t.Context(), c, byHand)
	if len(s.Unknown) != 1 || s.Unknown[0].What != "jobs of runners" || !apierrors.IsForbidden(s.Unknown[0].Err) {
		t.Errorf("a runner that may not be read: unknown %v", s.Unknown)
	}
}

// Any sign of a job counts: versions of ARC set different fields first.
func TestJob(t *testing.T) {
	for field, value := range map[string]any{
		"jobRequestId": int64(7), "workflowRunId": int64(9), "jobId": "x",
		"jobRepositoryName": "acme/rocket", "jobWorkflowRef": "launch.yml", "jobDisplayName": "launch",
	} {
		runner := &unstructured.Unstructured{Object: map[string]any{"status": map[string]any{field: value}}}
		if _, busy := job(runner); !busy {
			t.Errorf("a runner with %s is not busy", field)
		}
	}
	strange := &unstructured.Unstructured{Object: map[string]any{"status": map[string]any{"workflowRunId": "nine"}}}
	if _, busy := job(strange); !busy {
		t.Error("a runner whose status is not understood is taken for idle")
	}
	idle := &unstructured.Unstructured{Object: map[string]any{"status": map[string]any{"phase": "Running", "runnerId": int64(3), "jobRequestId": int64(0)}}}
	if _, busy := job(idle); busy {
		t.Error("an idle runner is busy")
	}
}

// All that is missing is said at once, before the first write.
func TestPreflightRefusesBeforeTheFirstWrite(t *testing.T) {
	t.Parallel()
	a, c := newAPI(t, stuck()...)
	a.denied = map[string]bool{"patch secrets": true, "delete customresourcedefinitions": true}
	r := Run(t.Context(), c, graced(byHand, ample), quiet, nil)
	text := r.Text(10)
	if r.Verdict != NotPermitted || len(a.written()) > 0 {
		t.Errorf("%s after %v", r.Verdict, a.written())
	}
	for _, want := range []string{
		"not permitted to patch secrets in namespace runners",
		`{apiGroups: [""], resources: [secrets], verbs: [patch]} in a Role or ClusterRole bound in that namespace`,
		"not permitted to delete customresourcedefinitions.apiextensions.k8s.io ephemeralrunners.actions.github.com",
		"resourceNames: [ephemeralrunners.actions.github.com]} in a ClusterRole",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("it does not say %q:\n%s", want, text)
		}
	}
}

// What was freed by force was not de-registered.
func TestReportNamesWhatIsLeftAtGitHub(t *testing.T) {
	s := busySet()
	r := &run{report: &Report{Verdict: Done}}
	for _, o := range s.Custom {
		r.registered(Step{Release, o, ""}, &s)
		r.report.Done = append(r.report.Done, Outcome{Release, o})
	}
	r.registered(Step{Delete, s.Custom[2], ""}, &s)
	var got []string
	for _, reg := range r.report.Registered {
		got = append(got, reg.String())
	}
	if want := []string{"runner r", "scale set  (id 7) of "}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if text := r.report.Text(5); !strings.Contains(text, "still registered at GitHub, which removes it in time: 1 runners: r\n") || !strings.Contains(text, "2 registrations are left at GitHub") {
		t.Error(text)
	}
}

func TestOffSwitchEndsARun(t *testing.T) {
	t.Parallel()
	a, c := newAPI(t, stuck(whole(obj("configmap systems/"+OffSwitch))...)...)
	o := graced(byHand, ample)
	o.ReleaseNamespace = "systems"
	if r := Run(context.WithoutCancel(t.Context()), c, o, quiet, nil); r.Verdict != Off || len(a.written()) > 0 {
		t.Errorf("%s after %v", r.Summary(), a.written())
	}
}

// A switch that cannot be read is not known to be on, and not known to be off.
func TestAnUnreadableOffSwitch(t *testing.T) {
	t.Parallel()
	a, c := newAPI(t, stuck()...)
	a.fault = on(http.StatusForbidden, always, "GET configmap systems/"+OffSwitch)
	r := Run(t.Context(), c, graced(ofRelease, ample), quiet, nil)
	if r.Verdict != NotPermitted || len(a.writes) > 0 {
		t.Errorf("%v\n%s", a.writes, r.Text(10))
	}
}

// The switch is looked at while the hook waits, too.
func TestOffSwitchEndsAWait(t *testing.T) {
	t.Parallel()
	a, c := newAPI(t, stuck(deployment("systems/arc", "", by("systems/arc")))...)
	time.AfterFunc(offEvery/2, func() { a.put(whole(obj("configmap systems/" + OffSwitch))[0]) })
	start := time.Now()
	r := Run(t.Context(), c, graced(ofRelease, time.Minute), quiet, nil)
	if r.Verdict != Off || time.Since(start) > 10*time.Second || len(a.writes) > 0 {
		t.Errorf("%s after %s: %v\n%s", r.Verdict, time.Since(start), a.writes, r.Text(10))
	}
}
