package cleanup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"
	"k8s.io/client-go/rest"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/kube"
)

var quiet = zerolog.Nop()

// graced is options with that much patience.
func graced(o Options, grace time.Duration) Options {
	o.Grace = grace
	return o
}

const ample = 20 * time.Second

// ofRelease is the uninstall of a release whose record is gone already.
var ofRelease = Options{Scope: Controller, Release: "arc", ReleaseNamespace: "systems"}

// listenerRBAC is what only a controller would delete.
func listenerRBAC(text string, set string) item {
	it := whole(obj(text, of(set)))[0]
	it.labels[arc.LabelListenerName], it.labels[arc.LabelListenerNamespace] = "l", "systems"
	return it
}

// stuck is what is left when the controller was removed first.
func stuck(more ...item) []item {
	items := whole(crdObjects()...)
	items = append(items, whole(
		obj("ars runners/set", deleting), obj("al systems/l", of("runners/set"), deleting),
		obj("ers runners/s", of("runners/set"), owned("ars runners/set")), obj("er runners/r", of("runners/set"), owned("ers runners/s")),
		protected("role runners/set-manager"), protected("secret runners/github", deleting),
		obj("pod runners/lost", owned("gone")), obj("secret runners/theirs"),
	)...)
	return append(append(items, listenerRBAC("role runners/l", "runners/set")), more...)
}

// outcome is a report in short.
type outcome struct {
	Verdict Verdict
	Left    []string
	Errs    int
}

func short2(r *Report) outcome {
	o := outcome{Verdict: r.Verdict, Errs: len(r.Errs)}
	for _, l := range r.Left {
		o.Left = append(o.Left, ref(l.Object)+": "+l.Why)
	}
	return o
}

func expect(t *testing.T, r *Report, want outcome) {
	t.Helper()
	if diff := cmp.Diff(want, short2(r)); diff != "" {
		t.Errorf("(-want +got):\n%s\n%s", diff, r.Text(50))
	}
}

func expectStrings(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// on answers these requests with a status code, the first n times.
func on(code, n int, requests ...string) func(string) int {
	return func(r string) int {
		if n > 0 && slices.Contains(requests, r) {
			n--
			return code
		}
		return 0
	}
}

const always = 1 << 30

func TestRunFreesAStuckCluster(t *testing.T) {
	t.Parallel()
	a, c := newAPI(t, stuck()...)
	r := Run(t.Context(), c, graced(byHand, ample), quiet, nil)
	expect(t, r, outcome{Verdict: Done})
	// Only what was being deleted is gone of the protected; Helm or the namespace
	// deletes the rest.
	expectStrings(t, "left", a.left(), "role runners/set-manager", "secret runners/theirs")
	if f := a.objects["role runners/set-manager"].Finalizers; len(f) > 0 {
		t.Errorf("the manager Role still has %q", f)
	}
	if again := Run(t.Context(), c, graced(byHand, ample), quiet, nil); again.Verdict != Done || len(again.Done) > 0 {
		t.Errorf("run again: %s", again.Summary())
	}
}

func TestRunWritesNothingWhenItRefuses(t *testing.T) {
	t.Parallel()
	a, c := newAPI(t, stuck(whole(obj("ars runners/live"))...)...)
	r := Run(t.Context(), c, graced(byHand, ample), quiet, nil)
	expect(t, r, outcome{Verdict: Refused})
	expectStrings(t, "writes", a.written())
	if len(r.Refusals) != 1 || !strings.Contains(r.Refusals[0].Message, "scale set live") {
		t.Errorf("refusals: %v", r.Refusals)
	}
}

func TestPreviewWritesNothingAndAgreesWithRun(t *testing.T) {
	t.Parallel()
	a, c := newAPI(t, stuck()...)
	planned := map[string]bool{}
	for _, phase := range Preview(t.Context(), c, graced(byHand, ample)).Phases {
		for _, s := range phase.Steps() {
			if verb := map[Action]string{Delete: "DELETE ", Release: "PATCH "}[s.Action]; verb != "" {
				planned[verb+ref(s.Object)] = true
			}
		}
	}
	expectStrings(t, "writes of the preview", a.written())
	Run(t.Context(), c, graced(byHand, ample), quiet, nil)
	for _, w := range a.written() {
		if !planned[w] {
			t.Errorf("%s was not planned", w)
		}
		delete(planned, w)
	}
	if len(planned) > 0 {
		t.Errorf("planned, but not done: %v", planned)
	}
}

// controllerOf makes the API behave as with a live controller, which finishes
// a scale set when it is deleted, listeners' RBAC apart (as ARC 0.6.1).
func controllerOf(set string, children ...string) func(*api, string) {
	return func(a *api, request string) {
		if request == "DELETE ars "+set {
			go a.take(append(children, "ars "+set)...)
		}
	}
}

func TestRunLetsTheControllerFinish(t *testing.T) {
	t.Parallel()
	items := append(whole(crdObjects()...), deployment("systems/arc", "", by("systems/arc")), listenerRBAC("role runners/l", "runners/set"))
	items = append(items, whole(obj("ars runners/set", by("systems/arc")), obj("ers runners/s", of("runners/set"), owned("ars runners/set")), obj("al systems/l", of("runners/set")))...)
	a, c := newAPI(t, items...)
	a.react = controllerOf("runners/set", "ers runners/s", "al systems/l")
	expect(t, Run(t.Context(), c, graced(ofRelease, ample), quiet, nil), outcome{Verdict: Done})
	expectStrings(t, "left", a.left(), "deploy systems/arc")
	for _, w := range a.written() {
		if strings.HasPrefix(w, "PATCH") {
			t.Errorf("%s, though the controller finishes by itself", w)
		}
	}
}

func TestRunGoesOnWithoutAControllerThatDoesNothing(t *testing.T) {
	t.Parallel()
	items := append(whole(crdObjects()...), deployment("systems/arc", "", by("systems/arc")))
	items = append(items, whole(obj("ars runners/set", by("systems/arc")), obj("er runners/r", of("runners/set"), owned("s")))...)
	a, c := newAPI(t, items...)
	expect(t, Run(t.Context(), c, graced(ofRelease, 300*time.Millisecond), quiet, nil), outcome{Verdict: Done})
	expectStrings(t, "left", a.left(), "deploy systems/arc")
	if !slices.Contains(a.written(), "DELETE er runners/r") {
		t.Errorf("the runner was not deleted before its finalizer went: %q", a.written())
	}
}

// TestWhatIsLeftOfASetIsFoundWhenTheSetIsGone: nothing names the release any
// more once the controller has finished its scale set.
func TestWhatIsLeftOfASetIsFoundWhenTheSetIsGone(t *testing.T) {
	t.Parallel()
	items := append(whole(crdObjects()...), deployment("systems/arc", "", by("systems/arc")),
		listenerRBAC("role runners/l", "runners/set"), listenerRBAC("role runners/other", "runners/other"))
	items = append(items, whole(obj("ars runners/set", by("runners/gpu")), obj("ars runners/other", by("runners/other")))...)
	a, c := newAPI(t, items...)
	a.react = controllerOf("runners/set")
	o := Options{Scope: ScaleSet, Release: "gpu", ReleaseNamespace: "runners", ControllerNamespaces: []string{"systems"}, Grace: ample}
	expect(t, Run(t.Context(), c, o, quiet, nil), outcome{Verdict: Done})
	expectStrings(t, "writes", a.written(), "DELETE ars runners/set", "DELETE role runners/l")
}

// TestAListenersBelongings: what a listener owns in the controller's namespace is
// not for a scale set's hook to read, so that the collector's word is waited for.
func TestAListenersBelongings(t *testing.T) {
	t.Parallel()
	items := append(whole(crdObjects()...), whole(obj("al systems/l", of("runners/set"), deleting), obj("ars runners/set", by("runners/gpu")))...)
	a, c := newAPI(t, items...)
	o := Options{Scope: ScaleSet, Release: "gpu", ReleaseNamespace: "runners", ControllerNamespaces: []string{"systems"}, Grace: ample}
	ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, ErrBudget)
	defer cancel()
	expect(t, Run(ctx, c, o, quiet, nil), outcome{Verdict: OutOfTime, Left: []string{"al systems/l: waits for Kubernetes' garbage collector to delete what it owns"}})

	time.AfterFunc(300*time.Millisecond, func() { a.take("al systems/l") })
	expect(t, Run(t.Context(), c, o, quiet, nil), outcome{Verdict: Done})
	expectStrings(t, "writes", a.written(),
		"DELETE al systems/l", "DELETE ars runners/set", "PATCH al systems/l", "PATCH ars runners/set")
}

func TestRunStopsWhenTheBudgetIsUsedUp(t *testing.T) {
	t.Parallel()
	a, c := newAPI(t, stuck(whole(obj("er runners/held", deleting, finalizers("example.com/hold", arc.EphemeralRunnerFinalizer)))...)...)
	ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, ErrBudget)
	defer cancel()
	r := Run(ctx, c, graced(byHand, ample), quiet, nil)
	expect(t, r, outcome{Verdict: OutOfTime, Left: []string{
		"er runners/held: held by finalizers which are not ARC's: example.com/hold",
		"crd ephemeralrunners.actions.github.com: is being deleted, and waits for its objects",
		"pod runners/lost: still there",
	}})
	if f := a.objects["er runners/held"].Finalizers; !slices.Equal(f, []string{"example.com/hold"}) {
		t.Errorf("finalizers %q", f)
	}
}

func TestRunStopsBetweenRequestsWhenToldTo(t *testing.T) {
	t.Parallel()
	a, c := newAPI(t, stuck()...)
	ctx, cancel := context.WithCancelCause(t.Context())
	a.react = func(_ *api, _ string) { cancel(ErrInterrupted) }
	r := Run(ctx, c, graced(byHand, ample), quiet, nil)
	if r.Verdict != Interrupted || len(r.Errs) > 0 || len(r.Left) == 0 {
		t.Errorf("%s", r.Text(50))
	}
	expectStrings(t, "writes", a.written(), "PATCH er runners/r")
	a.react = nil
	expect(t, Run(t.Context(), c, graced(byHand, ample), quiet, nil), outcome{Verdict: Done})
}

func TestRunNamesTheRightThatIsMissing(t *testing.T) {
	t.Parallel()
	var items []item
	var denied []string
	for i := range 20 {
		name := fmt.Sprintf("er runners/r%02d", i)
		items = append(items, whole(obj(name, deleting))...)
		denied = append(denied, "PATCH "+name)
	}
	a, c := newAPI(t, append(whole(crdObjects()...), items...)...)
	a.fault = on(http.StatusForbidden, always, denied...)
	var log bytes.Buffer
	r := Run(t.Context(), c, graced(byHand, ample), zerolog.New(&log), nil)
	if r.Verdict != NotPermitted || len(r.Errs) != 20 || len(r.Left) != 24 {
		t.Errorf("%d errors, %d left\n%s", len(r.Errs), len(r.Left), r.Text(50))
	}
	// Each error is clipped by itself, and the log names one of them.
	if text := r.Text(2); strings.Count(text, "is refused") != 2 || !strings.Contains(text, "... and 18 more") {
		t.Errorf("report:\n%s", text)
	}
	if n := strings.Count(log.String(), "is refused"); n != 1 || !strings.Contains(log.String(), "(and 19 more errors)") {
		t.Errorf("%d errors in the log:\n%s", n, log.String())
	}
	// Trying again would not help.
	if len(r.Done) > 0 {
		t.Errorf("done: %v", r.Done)
	}
}

func TestRunNamesWhatItWaitedForInVain(t *testing.T) {
	t.Parallel()
	a, c := newAPI(t, stuck(whole(obj("ers runners/held", deleting, finalizers("example.com/hold")))...)...)
	r := Run(t.Context(), c, graced(byHand, 300*time.Millisecond), quiet, nil)
	expect(t, r, outcome{Verdict: Residue, Errs: 1, Left: []string{
		"ers runners/held: held by finalizers which are not ARC's: example.com/hold",
		"crd ephemeralrunnersets.actions.github.com: is being deleted, and waits for its objects",
	}})
	if !slices.Contains(a.written(), "DELETE pod runners/lost") {
		t.Error("what has no owner any more was not deleted, because something else is stuck")
	}
	if slices.Contains(a.written(), "PATCH ers runners/held") {
		t.Error("the foreign finalizer was written to")
	}
}

func TestErrorsThatPassAreNotReported(t *testing.T) {
	t.Parallel()
	a, c := newAPI(t, stuck()...)
	// As by a schema that is being changed.
	a.fault = on(http.StatusUnprocessableEntity, 1, "PATCH er runners/r")
	expect(t, Run(t.Context(), c, graced(byHand, ample), quiet, nil), outcome{Verdict: Done})
	if slices.Contains(a.left(), "er runners/r") {
		t.Error("the runner is left")
	}
}

func TestAnErrorOverSomethingThatIsGoneIsNotReported(t *testing.T) {
	t.Parallel()
	a, c := newAPI(t, whole(protected("secret runners/github", deleting))...)
	a.fault = func(request string) int {
		if request == "PATCH secret runners/github" {
			a.take("secret runners/github")
			return http.StatusBadRequest
		}
		return 0
	}
	expect(t, Run(t.Context(), c, graced(byHand, ample), quiet, nil), outcome{Verdict: Done})
}

// TestWhatUsedUpTheBudgetIsNamed: a webhook without a backend makes every write
// fail with 500, which is tried again until the end.
func TestWhatUsedUpTheBudgetIsNamed(t *testing.T) {
	t.Parallel()
	a, c := newAPI(t, stuck()...)
	a.fault = on(http.StatusInternalServerError, always, "PATCH er runners/r")
	ctx, cancel := context.WithTimeoutCause(t.Context(), 500*time.Millisecond, ErrBudget)
	defer cancel()
	r := Run(ctx, c, graced(byHand, ample), quiet, nil)
	if r.Verdict != OutOfTime || len(r.Errs) != 1 || !strings.Contains(r.Text(5), "PATCH er runners/r is refused") {
		t.Errorf("%d errors:\n%s", len(r.Errs), r.Text(5))
	}
}

// TestAScaleSetThatComesUpMeanwhileKeepsItsCRDs installs one between the survey
// and the deletion of the CRDs.
func TestAScaleSetThatComesUpMeanwhileKeepsItsCRDs(t *testing.T) {
	t.Parallel()
	a, c := newAPI(t, stuck()...)
	a.react = func(a *api, request string) {
		if request == "PATCH secret runners/github" {
			a.put(whole(obj("ars team/new", by("team/new")))[0])
		}
	}
	r := Run(t.Context(), c, graced(byHand, ample), quiet, nil)
	expect(t, r, outcome{Verdict: Refused})
	for _, w := range a.written() {
		if strings.HasPrefix(w, "DELETE crd") || strings.HasSuffix(w, "team/new") {
			t.Errorf("%s", w)
		}
	}
}

// TestAMissingRightToWatchIsNoReasonForForce: what the controller does is not
// seen, so nothing can be said of its progress.
func TestAMissingRightToWatchIsNoReasonForForce(t *testing.T) {
	t.Parallel()
	items := append(whole(crdObjects()...), deployment("systems/arc", "", by("systems/arc")))
	a, c := newAPI(t, append(items, whole(obj("ars runners/set", by("systems/arc")))...)...)
	a.fault = on(http.StatusForbidden, always, "WATCH er runners", "LIST er runners")
	r := Run(t.Context(), c, graced(ofRelease, 2*time.Second), quiet, nil)
	if r.Verdict != NotPermitted {
		t.Errorf("%s", r.Text(5))
	}
	expectStrings(t, "writes", a.written(), "DELETE ars runners/set")
}

func TestRunReportsAnAPIServerItCannotRead(t *testing.T) {
	t.Parallel()
	a, c := newAPI(t, stuck()...)
	a.fault = on(http.StatusConflict, always, "LIST pod")
	r := Run(t.Context(), c, graced(byHand, ample), quiet, nil)
	expect(t, r, outcome{Verdict: Failed})
	expectStrings(t, "writes", a.written())
}

func TestRunKeepsTheCRDsOfOthersAndSaysSo(t *testing.T) {
	t.Parallel()
	a, c := newAPI(t, stuck(deployment("team/b", "theirs"))...)
	r := Run(t.Context(), c, graced(byHand, ample), quiet, nil)
	if r.Verdict != Done || len(r.Kept) != 4 || !strings.Contains(r.Text(5), "the controller team/b uses them") {
		t.Errorf("%s", r.Text(5))
	}
	for _, w := range a.written() {
		if strings.HasPrefix(w, "DELETE crd") {
			t.Error(w)
		}
	}
}

func TestRunTellsHowFarItIs(t *testing.T) {
	t.Parallel()
	_, c := newAPI(t, stuck()...)
	last := map[PhaseName]Progress{}
	o := graced(ofRelease, ample)
	Run(t.Context(), c, o, quiet, func(p Progress) { last[p.Phase] = p })
	for phase, total := range map[PhaseName]int{Free: 6, Listeners: 1, CRDs: 4} {
		if p := last[phase]; p.Done != total || p.Total != total {
			t.Errorf("%s ends with %d of %d, want %d", phase, p.Done, p.Total, total)
		}
	}
}

// Without a record there is no proof, and without proof no write.
func TestAHookWithoutARecordWritesNothing(t *testing.T) {
	t.Parallel()
	a, c := newAPI(t, stuck()...)
	for _, o := range []Options{ofRelease, byHand} {
		o = graced(o, ample)
		o.RequireUninstalling = true
		r := Run(t.Context(), c, o, quiet, nil)
		if r.Verdict != Refused || len(a.writes) > 0 || !strings.Contains(r.Text(10), "no proof that anything is being uninstalled") {
			t.Errorf("%v\n%s", a.writes, r.Text(10))
		}
	}
}

// What the plan stands on is looked at once more before the CRDs go: what is new, or
// cannot be read, keeps them.
func TestUnchanged(t *testing.T) {
	t.Parallel()
	known := whole(obj("ars runners/set", deleting))
	arcRecord := record("systems", "systems", "arc", "uninstalling", arcManifest)
	legacySet := whole(obj("rd ci/known"))
	by := func(o Options, no func(*Options)) Options { no(&o); return o }
	proofless := by(asHook, func(o *Options) { o.RequireUninstalling = false })
	for name, test := range map[string]struct {
		options Options
		before  []item
		now     []item
		gone    string
		fault   func(string) int
		want    string // in the error
	}{
		"it is":                       {asHook, append(known, arcRecord, deployment("systems/arc", "")), nil, "", nil, ""},
		"no CRD any more":             {asHook, []item{arcRecord}, nil, "crd autoscalingrunnersets.actions.github.com", nil, ""},
		"a scale set is new":          {asHook, append(known, arcRecord), whole(obj("ars team/set")), "", nil, "autoscalingrunnersets.actions.github.com/set in namespace team is new"},
		"scale sets cannot be read":   {asHook, []item{arcRecord}, nil, "", on(http.StatusForbidden, always, "LIST ars"), "listing autoscalingrunnersets"},
		"a controller is new":         {asHook, []item{arcRecord}, []item{deployment("team/arc", "")}, "", nil, "deployments.apps/arc in namespace team is new"},
		"it is new, and leaves":       {asHook, []item{arcRecord}, []item{deployment("team/arc", "", deleting)}, "", nil, ""},
		"controllers cannot be read":  {asHook, []item{arcRecord}, nil, "", on(http.StatusForbidden, always, "LIST deploy"), "listing deployments"},
		"a rollback":                  {asHook, []item{arcRecord}, []item{record("systems", "systems", "arc", "deployed", arcManifest)}, "", nil, "release arc in namespace systems is deployed"},
		"the record is gone":          {asHook, []item{arcRecord}, nil, ref(arcRecord.Object), nil, "no Helm release found"},
		"no proof is asked for":       {proofless, nil, nil, "", nil, ""},
		"a legacy object is new":      {legacyByHand, legacySet, whole(obj("rset ci/new")), "", nil, "runnersets.actions.summerwind.dev/new in namespace ci is new"},
		"a legacy one is known":       {legacyByHand, legacySet, nil, "", nil, ""},
		"a legacy controller is new":  {legacyByHand, nil, []item{legacyDeployment("systems/arc", "/manager", 1)}, "", nil, "deployments.apps/arc in namespace systems is new"},
		"not of legacy ARC":           {legacyByHand, nil, append(whole(obj("ars team/set")), deployment("team/arc", "")), "", nil, ""},
		"legacy ones cannot be read":  {legacyByHand, nil, nil, "", on(http.StatusForbidden, always, "LIST rd"), "listing runnerdeployments"},
		"no legacy one was there yet": {legacyByHand, nil, nil, "crd runners.actions.summerwind.dev", nil, ""},
	} {
		a, c := newAPI(t, slices.Concat(whole(crdObjects()...), whole(legacyCRDs()...), test.before)...)
		s := survey(t.Context(), c, test.options)
		for _, it := range test.now {
			a.put(it)
		}
		a.take(test.gone)
		a.fault = test.fault
		err := (&run{client: c, options: test.options}).unchanged(t.Context(), s)
		if got := fmt.Sprint(err); (test.want == "") != (err == nil) || !strings.Contains(got, test.want) {
			t.Errorf("%s: %s, want %q", name, got, test.want)
		}
	}
}

// A legacy owner that is there after all keeps what it owns, too.
func TestALegacyOwnerIsLookedForOnceMore(t *testing.T) {
	t.Parallel()
	a, c := newAPI(t, append(whole(legacyCRDs()...), whole(obj("rset ci/s"))...)...)
	o := asLegacyHook
	o.WatchNamespaces = []string{"ci"}
	steps := func(action Action, owner string) []Step { return []Step{{action, obj("pod ci/r", owned(owner)), ""}} }
	r := &run{client: c, options: o}
	if err := r.ownersGone(t.Context(), steps(Delete, "rset ci/s")); !errors.Is(err, errChanged) {
		t.Errorf("it is there: %v", err)
	}
	if err := r.ownersGone(t.Context(), steps(Delete, "rset ci/gone")); err != nil {
		t.Errorf("it is gone: %v", err)
	}
	a.fault = on(http.StatusForbidden, always, "LIST rset ci", "LIST run ci")
	if err := r.ownersGone(t.Context(), steps(Await, "rset ci/s")); err != nil {
		t.Errorf("nothing is to be deleted, and so nothing to be looked for: %v", err)
	}
}

// How a run that was stopped ends is what the last look finds; what it cannot read is
// never taken for the end.
func TestStopped(t *testing.T) {
	t.Parallel()
	unreadable := on(http.StatusForbidden, always, "LIST er")
	did := []Outcome{{Delete, obj("er runners/r")}}
	for name, test := range map[string]struct {
		cause error
		items []item
		fault func(string) int
		done  []Outcome
		want  Verdict
		left  int
		errs  int
	}{
		"nothing is left":                     {ErrBudget, nil, nil, did, Done, 0, 0},
		"something is":                        {ErrBudget, whole(obj("er runners/r")), nil, nil, OutOfTime, 1, 0},
		"told to stop":                        {ErrInterrupted, whole(obj("er runners/r")), nil, nil, Interrupted, 1, 0},
		"unreadable, and nothing done":        {ErrBudget, nil, unreadable, nil, Failed, 0, 1},
		"unreadable after something was done": {ErrBudget, nil, unreadable, did, OutOfTime, 0, 1},
		"unreadable, and told to stop":        {ErrInterrupted, nil, unreadable, nil, Interrupted, 0, 1},
	} {
		items := test.items
		if items != nil || test.fault != nil {
			items = append(whole(crdObjects()[:1]...), items...)
		}
		a, c := newAPI(t, items...)
		a.fault = test.fault
		ctx, stop := context.WithCancelCause(t.Context())
		stop(test.cause)
		r := &run{client: c, options: byHand, log: quiet, report: &Report{Done: test.done}}
		// The CRD goes with what is left.
		if got := r.stopped(ctx, nil); got != test.want || min(1, len(r.report.Left)) != test.left || len(r.report.Errs) != test.errs {
			t.Errorf("%s: %s, left %v, errors %v", name, got, r.report.Left, r.report.Errs)
		}
	}
}

// A phase that the last look forbids writes nothing.
func TestAPhaseThatIsOverruled(t *testing.T) {
	t.Parallel()
	a, c := newAPI(t, append(whole(crdObjects()...), whole(obj("er runners/r"), obj("pod runners/r", owned("er runners/r")))...)...)
	for _, phase := range []Phase{
		{Collect, [][]Step{{{Delete, obj("pod runners/r", owned("er runners/r")), ownerGone}}}},
		{CRDs, [][]Step{{{Delete, obj("crd ephemeralrunners.actions.github.com"), ""}}}},
	} {
		a.put(whole(obj("ars team/new"))[0])
		r := &run{client: c, options: byHand, log: quiet, report: &Report{}}
		if err := r.execute(t.Context(), phase, &Survey{}); !errors.Is(err, errChanged) || len(a.written()) > 0 {
			t.Errorf("%s: error %v, writes %q", phase.Name, err, a.written())
		}
	}
}

// TestNoVerdictWithoutItsCause: a hook whose Pod reaches no API server says so, and what
// it asked for; not that its time was too short.
func TestNoVerdictWithoutItsCause(t *testing.T) {
	t.Parallel()
	unreachable, err := kube.New(&rest.Config{Host: "http://127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		client  *kube.Client
		options Options
		say     []string
		hint    bool
	}{
		"a hook":                  {unreachable, asHook, []string{"could not read the Helm release: ", "connection refused"}, true},
		"by hand":                 {unreachable, byHand, []string{"could not read pods: ", "connection refused"}, false},
		"a hook that is answered": {nil, asHook, []string{"could not read the Helm release: ", "is refused"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeoutCause(t.Context(), 300*time.Millisecond, ErrBudget)
			defer cancel()
			client := test.client
			if client == nil {
				var a *api
				a, client = newAPI(t)
				a.fault = func(string) int { return http.StatusInternalServerError }
			}
			r := Run(ctx, client, test.options, quiet, nil)
			text := r.Text(50)
			for _, say := range test.say {
				if !strings.Contains(text, say) {
					t.Errorf("it does not say %q:\n%s", say, text)
				}
			}
			if r.Verdict != Failed || strings.Contains(text, "NetworkPolicy") != test.hint || strings.Contains(text, errNotAsked.Error()) {
				t.Errorf("verdict %s:\n%s", r.Verdict, text)
			}
		})
	}
}
