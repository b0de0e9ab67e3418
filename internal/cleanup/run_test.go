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
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/kube"
	"github.com/arc-cleanup/arc-cleanup/internal/kube/kubetest"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
	"github.com/arc-cleanup/arc-cleanup/internal/plan/plantest"
	"github.com/arc-cleanup/arc-cleanup/internal/survey"
)

var quiet = zerolog.Nop()

// graced returns the options with a grace period.
func graced(o plan.Options, grace time.Duration) plan.Options {
	o.Grace = grace
	return o
}

const ample = 20 * time.Second

// outcome is a report in short.
type outcome struct {
	Verdict plan.Verdict
	Left    []string
	Errs    int
}

func short2(r *Report) outcome {
	o := outcome{Verdict: r.Verdict, Errs: len(r.Errs)}
	for _, l := range r.Left {
		o.Left = append(o.Left, kubetest.Ref(l.Object)+": "+l.Why)
	}
	return o
}

func expect(t *testing.T, r *Report, want outcome) {
	t.Helper()
	if diff := cmp.Diff(want, short2(r)); diff != "" {
		t.Errorf("(-want +got):\n%s\n%s", diff, r.Text(50))
	}
}

func TestRunFreesAStuckCluster(t *testing.T) {
	t.Parallel()
	a, c := kubetest.New(t, kubetest.Stuck()...)
	r := Run(t.Context(), c, graced(plantest.ByHand, ample), quiet, Person{})
	expect(t, r, outcome{Verdict: plan.Done})
	// Of the protected objects only those that were being deleted are gone. Helm or the namespace
	// deletes the rest.
	kubetest.ExpectStrings(t, "left", a.Left(), "role runners/set-manager", "secret runners/theirs")
	if f := a.Objects["role runners/set-manager"].Finalizers; len(f) > 0 {
		t.Errorf("the manager Role still has %q", f)
	}
	if again := Run(t.Context(), c, graced(plantest.ByHand, ample), quiet, Person{}); again.Verdict != plan.Done || len(again.Done) > 0 {
		t.Errorf("run again: %s", again.Summary())
	}
}

func TestRunWritesNothingWhenItRefuses(t *testing.T) {
	t.Parallel()
	a, c := kubetest.New(t, kubetest.Stuck(kubetest.Whole(kubetest.Object("ars runners/live"))...)...)
	r := Run(t.Context(), c, graced(plantest.ByHand, ample), quiet, Person{})
	expect(t, r, outcome{Verdict: plan.Refused})
	kubetest.ExpectStrings(t, "writes", a.Written())
	if len(r.Refusals) != 1 || !strings.Contains(r.Refusals[0].Message, "scale set live") {
		t.Errorf("refusals: %v", r.Refusals)
	}
}

func TestPreviewWritesNothingAndAgreesWithRun(t *testing.T) {
	t.Parallel()
	a, c := kubetest.New(t, kubetest.Stuck()...)
	planned := map[string]bool{}
	for _, phase := range Preview(t.Context(), c, graced(plantest.ByHand, ample), nil).Phases {
		for _, s := range phase.Steps() {
			if verb := map[plan.Action]string{plan.Delete: "DELETE ", plan.Free: "PATCH "}[s.Action]; verb != "" {
				planned[verb+kubetest.Ref(s.Object)] = true
			}
		}
	}
	kubetest.ExpectStrings(t, "writes of the preview", a.Written())
	Run(t.Context(), c, graced(plantest.ByHand, ample), quiet, Person{})
	for _, w := range a.Written() {
		if !planned[w] {
			t.Errorf("%s was not planned", w)
		}
		delete(planned, w)
	}
	if len(planned) > 0 {
		t.Errorf("planned, but not done: %v", planned)
	}
}

// controllerOf acts as a running controller that finishes a scale set when it is deleted, except for
// the listeners' RBAC (like ARC 0.6.1).
func controllerOf(set string, children ...string) func(*kubetest.Server, string) {
	return func(a *kubetest.Server, request string) {
		if request == "DELETE ars "+set {
			go a.Take(append(children, "ars "+set)...)
		}
	}
}

func TestRunLetsTheControllerFinish(t *testing.T) {
	t.Parallel()
	items := append(kubetest.Whole(kubetest.CRDs()...), kubetest.Deployment("systems/arc", "", kubetest.By("systems/arc")), kubetest.ListenerRBAC("role runners/l", "runners/set"))
	items = append(items, kubetest.Whole(kubetest.Object("ars runners/set", kubetest.By("systems/arc")), kubetest.Object("ers runners/s", kubetest.Of("runners/set"), kubetest.Owned("ars runners/set")), kubetest.Object("al systems/l", kubetest.Of("runners/set")))...)
	a, c := kubetest.New(t, items...)
	a.React = controllerOf("runners/set", "ers runners/s", "al systems/l")
	expect(t, Run(t.Context(), c, graced(plantest.OfRelease, ample), quiet, Person{}), outcome{Verdict: plan.Done})
	kubetest.ExpectStrings(t, "left", a.Left(), "deploy systems/arc")
	for _, w := range a.Written() {
		if strings.HasPrefix(w, "PATCH") {
			t.Errorf("%s, though the controller finishes by itself", w)
		}
	}
}

func TestRunGoesOnWithoutAControllerThatDoesNothing(t *testing.T) {
	t.Parallel()
	items := append(kubetest.Whole(kubetest.CRDs()...), kubetest.Deployment("systems/arc", "", kubetest.By("systems/arc")))
	items = append(items, kubetest.Whole(kubetest.Object("ars runners/set", kubetest.By("systems/arc")), kubetest.Object("er runners/r", kubetest.Of("runners/set"), kubetest.Owned("s")))...)
	a, c := kubetest.New(t, items...)
	expect(t, Run(t.Context(), c, graced(plantest.OfRelease, 300*time.Millisecond), quiet, Person{}), outcome{Verdict: plan.Done})
	kubetest.ExpectStrings(t, "left", a.Left(), "deploy systems/arc")
	if !slices.Contains(a.Written(), "DELETE er runners/r") {
		t.Errorf("the runner was not deleted before its finalizer went: %q", a.Written())
	}
}

// TestWhatIsLeftOfASetIsFoundWhenTheSetIsGone: after the controller has finished its scale set,
// nothing names the release any more.
func TestWhatIsLeftOfASetIsFoundWhenTheSetIsGone(t *testing.T) {
	t.Parallel()
	items := append(kubetest.Whole(kubetest.CRDs()...), kubetest.Deployment("systems/arc", "", kubetest.By("systems/arc")),
		kubetest.ListenerRBAC("role runners/l", "runners/set"), kubetest.ListenerRBAC("role runners/other", "runners/other"))
	items = append(items, kubetest.Whole(kubetest.Object("ars runners/set", kubetest.By("runners/gpu")), kubetest.Object("ars runners/other", kubetest.By("runners/other")))...)
	a, c := kubetest.New(t, items...)
	a.React = controllerOf("runners/set")
	o := plan.Options{Scope: plan.ScopeScaleSet, Release: "gpu", ReleaseNamespace: "runners", ControllerNamespaces: []string{"systems"}, Grace: ample}
	expect(t, Run(t.Context(), c, o, quiet, Person{}), outcome{Verdict: plan.Done})
	kubetest.ExpectStrings(t, "writes", a.Written(), "DELETE ars runners/set", "DELETE role runners/l")
}

// TestAListenersBelongings: a scale set's hook may not read what a listener owns in the
// controller's namespace, so the run waits for the garbage collector.
func TestAListenersBelongings(t *testing.T) {
	t.Parallel()
	items := append(kubetest.Whole(kubetest.CRDs()...), kubetest.Whole(kubetest.Object("al systems/l", kubetest.Of("runners/set"), kubetest.Deleting), kubetest.Object("ars runners/set", kubetest.By("runners/gpu")))...)
	o := plan.Options{Scope: plan.ScopeScaleSet, Release: "gpu", ReleaseNamespace: "runners", ControllerNamespaces: []string{"systems"}, Grace: ample}
	onItsOwnClock(t, items, func(t *testing.T, a *kubetest.Server, c *kube.Client) {
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, ErrBudget)
		defer cancel()
		expect(t, Run(ctx, c, o, quiet, Person{}), outcome{Verdict: plan.OutOfTime, Left: []string{"al systems/l: waits for Kubernetes' garbage collector to delete what it owns"}})

		time.AfterFunc(300*time.Millisecond, func() { a.Take("al systems/l") })
		expect(t, Run(t.Context(), c, o, quiet, Person{}), outcome{Verdict: plan.Done})
		kubetest.ExpectStrings(t, "writes", a.Written(),
			"DELETE al systems/l", "DELETE ars runners/set", "PATCH al systems/l", "PATCH ars runners/set")
	})
}

func TestRunStopsWhenTheBudgetIsUsedUp(t *testing.T) {
	t.Parallel()
	items := kubetest.Stuck(kubetest.Whole(kubetest.Object("er runners/held", kubetest.Deleting, kubetest.Finalizers("example.com/hold", arc.EphemeralRunnerFinalizer)))...)
	onItsOwnClock(t, items, func(t *testing.T, a *kubetest.Server, c *kube.Client) {
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, ErrBudget)
		defer cancel()
		r := Run(ctx, c, graced(plantest.ByHand, ample), quiet, Person{})
		expect(t, r, outcome{Verdict: plan.OutOfTime, Left: []string{
			"er runners/held: held by finalizers which are not ARC's: example.com/hold",
			"crd ephemeralrunners.actions.github.com: is being deleted, and waits for its objects",
			"pod runners/lost: still there",
		}})
		if f := a.Objects["er runners/held"].Finalizers; !slices.Equal(f, []string{"example.com/hold"}) {
			t.Errorf("finalizers %q", f)
		}
	})
}

func TestRunStopsBetweenRequestsWhenToldTo(t *testing.T) {
	t.Parallel()
	a, c := kubetest.New(t, kubetest.Stuck()...)
	ctx, cancel := context.WithCancelCause(t.Context())
	a.React = func(_ *kubetest.Server, _ string) { cancel(ErrInterrupted) }
	r := Run(ctx, c, graced(plantest.ByHand, ample), quiet, Person{})
	if r.Verdict != plan.Interrupted || len(r.Errs) > 0 || len(r.Left) == 0 {
		t.Errorf("%s", r.Text(50))
	}
	kubetest.ExpectStrings(t, "writes", a.Written(), "PATCH er runners/r")
	a.React = nil
	expect(t, Run(t.Context(), c, graced(plantest.ByHand, ample), quiet, Person{}), outcome{Verdict: plan.Done})
}

func TestRunNamesTheRightThatIsMissing(t *testing.T) {
	t.Parallel()
	var items []kubetest.Item
	var denied []string
	for i := range 20 {
		name := fmt.Sprintf("er runners/r%02d", i)
		items = append(items, kubetest.Whole(kubetest.Object(name, kubetest.Deleting))...)
		denied = append(denied, "PATCH "+name)
	}
	a, c := kubetest.New(t, append(kubetest.Whole(kubetest.CRDs()...), items...)...)
	a.Fault = kubetest.On(http.StatusForbidden, kubetest.Always, denied...)
	var log bytes.Buffer
	r := Run(t.Context(), c, graced(plantest.ByHand, ample), zerolog.New(&log), Person{})
	if r.Verdict != plan.NotPermitted || len(r.Errs) != 20 || len(r.Left) != 24 {
		t.Errorf("%d errors, %d left\n%s", len(r.Errs), len(r.Left), r.Text(50))
	}
	// Each error is clipped by itself, and the log names only one.
	if text := r.Text(2); strings.Count(text, "is refused") != 2 || !strings.Contains(text, "... and 18 more") {
		t.Errorf("report:\n%s", text)
	}
	if n := strings.Count(log.String(), "is refused"); n != 1 || !strings.Contains(log.String(), "(and 19 more errors)") {
		t.Errorf("%d errors in the log:\n%s", n, log.String())
	}
	// Another try would not help.
	if len(r.Done) > 0 {
		t.Errorf("done: %v", r.Done)
	}
}

func TestRunNamesWhatItWaitedForInVain(t *testing.T) {
	t.Parallel()
	a, c := kubetest.New(t, kubetest.Stuck(kubetest.Whole(kubetest.Object("ers runners/held", kubetest.Deleting, kubetest.Finalizers("example.com/hold")))...)...)
	r := Run(t.Context(), c, graced(plantest.ByHand, 300*time.Millisecond), quiet, Person{})
	expect(t, r, outcome{Verdict: plan.Residue, Errs: 1, Left: []string{
		"ers runners/held: held by finalizers which are not ARC's: example.com/hold",
		"crd ephemeralrunnersets.actions.github.com: is being deleted, and waits for its objects",
	}})
	if !slices.Contains(a.Written(), "DELETE pod runners/lost") {
		t.Error("what has no owner any more was not deleted, because something else is stuck")
	}
	if slices.Contains(a.Written(), "PATCH ers runners/held") {
		t.Error("the foreign finalizer was written to")
	}
}

func TestErrorsThatPassAreNotReported(t *testing.T) {
	t.Parallel()
	a, c := kubetest.New(t, kubetest.Stuck()...)
	// A schema that is being changed gives this answer.
	a.Fault = kubetest.On(http.StatusUnprocessableEntity, 1, "PATCH er runners/r")
	expect(t, Run(t.Context(), c, graced(plantest.ByHand, ample), quiet, Person{}), outcome{Verdict: plan.Done})
	if slices.Contains(a.Left(), "er runners/r") {
		t.Error("the runner is left")
	}
}

func TestAnErrorOverSomethingThatIsGoneIsNotReported(t *testing.T) {
	t.Parallel()
	a, c := kubetest.New(t, kubetest.Whole(kubetest.Protected("secret runners/github", kubetest.Deleting))...)
	a.Fault = func(request string) int {
		if request == "PATCH secret runners/github" {
			a.Take("secret runners/github")
			return http.StatusBadRequest
		}
		return 0
	}
	expect(t, Run(t.Context(), c, graced(plantest.ByHand, ample), quiet, Person{}), outcome{Verdict: plan.Done})
}

// TestWhatUsedUpTheBudgetIsNamed: a webhook without a backend makes every write fail with 500, and
// the run retries until the end.
func TestWhatUsedUpTheBudgetIsNamed(t *testing.T) {
	t.Parallel()
	onItsOwnClock(t, kubetest.Stuck(), func(t *testing.T, a *kubetest.Server, c *kube.Client) {
		a.Fault = kubetest.On(http.StatusInternalServerError, kubetest.Always, "PATCH er runners/r")
		ctx, cancel := context.WithTimeoutCause(t.Context(), 500*time.Millisecond, ErrBudget)
		defer cancel()
		r := Run(ctx, c, graced(plantest.ByHand, ample), quiet, Person{})
		if r.Verdict != plan.OutOfTime || len(r.Errs) != 1 || !strings.Contains(r.Text(5), "PATCH er runners/r is refused") {
			t.Errorf("%d errors:\n%s", len(r.Errs), r.Text(5))
		}
	})
}

// TestAScaleSetThatComesUpMeanwhileKeepsItsCRDs installs a scale set between the survey and the
// deletion of the CRDs.
func TestAScaleSetThatComesUpMeanwhileKeepsItsCRDs(t *testing.T) {
	t.Parallel()
	a, c := kubetest.New(t, kubetest.Stuck()...)
	a.React = func(a *kubetest.Server, request string) {
		if request == "PATCH secret runners/github" {
			a.Put(kubetest.Whole(kubetest.Object("ars team/new", kubetest.By("team/new")))[0])
		}
	}
	r := Run(t.Context(), c, graced(plantest.ByHand, ample), quiet, Person{})
	expect(t, r, outcome{Verdict: plan.Refused})
	for _, w := range a.Written() {
		if strings.HasPrefix(w, "DELETE crd") || strings.HasSuffix(w, "team/new") {
			t.Errorf("%s", w)
		}
	}
}

// TestAMissingRightToWatchIsNoReasonForForce: without the right to watch, the run cannot tell
// whether the controller makes progress.
func TestAMissingRightToWatchIsNoReasonForForce(t *testing.T) {
	t.Parallel()
	items := append(kubetest.Whole(kubetest.CRDs()...), kubetest.Deployment("systems/arc", "", kubetest.By("systems/arc")))
	a, c := kubetest.New(t, append(items, kubetest.Whole(kubetest.Object("ars runners/set", kubetest.By("systems/arc")))...)...)
	a.Fault = kubetest.On(http.StatusForbidden, kubetest.Always, "WATCH er runners", "LIST er runners")
	r := Run(t.Context(), c, graced(plantest.OfRelease, 2*time.Second), quiet, Person{})
	if r.Verdict != plan.NotPermitted {
		t.Errorf("%s", r.Text(5))
	}
	kubetest.ExpectStrings(t, "writes", a.Written(), "DELETE ars runners/set")
}

func TestRunReportsAnAPIServerItCannotRead(t *testing.T) {
	t.Parallel()
	a, c := kubetest.New(t, kubetest.Stuck()...)
	a.Fault = kubetest.On(http.StatusConflict, kubetest.Always, "LIST pod")
	r := Run(t.Context(), c, graced(plantest.ByHand, ample), quiet, Person{})
	expect(t, r, outcome{Verdict: plan.Failed})
	kubetest.ExpectStrings(t, "writes", a.Written())
}

func TestRunKeepsTheCRDsOfOthersAndSaysSo(t *testing.T) {
	t.Parallel()
	a, c := kubetest.New(t, kubetest.Stuck(kubetest.Deployment("team/b", "theirs"))...)
	r := Run(t.Context(), c, graced(plantest.ByHand, ample), quiet, Person{})
	if r.Verdict != plan.Done || len(r.Kept) != 4 || !strings.Contains(r.Text(5), "the controller team/b uses them") {
		t.Errorf("%s", r.Text(5))
	}
	for _, w := range a.Written() {
		if strings.HasPrefix(w, "DELETE crd") {
			t.Error(w)
		}
	}
}

func TestRunTellsHowFarItIs(t *testing.T) {
	t.Parallel()
	_, c := kubetest.New(t, kubetest.Stuck()...)
	last := map[plan.PhaseName]Progress{}
	o := graced(plantest.OfRelease, ample)
	Run(t.Context(), c, o, quiet, Person{Progress: func(p Progress) { last[p.Phase] = p }})
	for phase, total := range map[plan.PhaseName]int{plan.PhaseFree: 6, plan.PhaseListeners: 1, plan.PhaseCRDs: 4} {
		if p := last[phase]; p.Done != total || p.Total != total {
			t.Errorf("%s ends with %d of %d, want %d", phase, p.Done, p.Total, total)
		}
	}
}

// Without a record there is no proof, and without proof the hook writes nothing.
func TestAHookWithoutARecordWritesNothing(t *testing.T) {
	t.Parallel()
	a, c := kubetest.New(t, kubetest.Stuck()...)
	for _, o := range []plan.Options{plantest.OfRelease, plantest.ByHand} {
		o = graced(o, ample)
		o.RequireUninstalling = true
		r := Run(t.Context(), c, o, quiet, Person{})
		if r.Verdict != plan.Refused || len(a.Writes) > 0 || !strings.Contains(r.Text(10), "no proof that anything is being uninstalled") {
			t.Errorf("%v\n%s", a.Writes, r.Text(10))
		}
	}
}

// The plan's assumptions are checked again before the CRDs are deleted. A new object, or a failed
// read, keeps the CRDs.
func TestUnchanged(t *testing.T) {
	t.Parallel()
	known := kubetest.Whole(kubetest.Object("ars runners/set", kubetest.Deleting))
	arcRecord := kubetest.Record("systems", "systems", "arc", "uninstalling", kubetest.ArcManifest)
	legacySet := kubetest.Whole(kubetest.Object("rd ci/known"))
	by := func(o plan.Options, no func(*plan.Options)) plan.Options { no(&o); return o }
	proofless := by(plantest.AsHook, func(o *plan.Options) { o.RequireUninstalling = false })
	for name, test := range map[string]struct {
		options plan.Options
		before  []kubetest.Item
		now     []kubetest.Item
		gone    string
		fault   func(string) int
		want    string // in the error
	}{
		"it is":                       {plantest.AsHook, append(known, arcRecord, kubetest.Deployment("systems/arc", "")), nil, "", nil, ""},
		"no CRD any more":             {plantest.AsHook, []kubetest.Item{arcRecord}, nil, "crd autoscalingrunnersets.actions.github.com", nil, ""},
		"a scale set is new":          {plantest.AsHook, append(known, arcRecord), kubetest.Whole(kubetest.Object("ars team/set")), "", nil, "autoscalingrunnersets.actions.github.com/set in namespace team is new"},
		"scale sets cannot be read":   {plantest.AsHook, []kubetest.Item{arcRecord}, nil, "", kubetest.On(http.StatusForbidden, kubetest.Always, "LIST ars"), "listing autoscalingrunnersets"},
		"a controller is new":         {plantest.AsHook, []kubetest.Item{arcRecord}, []kubetest.Item{kubetest.Deployment("team/arc", "")}, "", nil, "deployments.apps/arc in namespace team is new"},
		"it is new, and leaves":       {plantest.AsHook, []kubetest.Item{arcRecord}, []kubetest.Item{kubetest.Deployment("team/arc", "", kubetest.Deleting)}, "", nil, ""},
		"controllers cannot be read":  {plantest.AsHook, []kubetest.Item{arcRecord}, nil, "", kubetest.On(http.StatusForbidden, kubetest.Always, "LIST deploy"), "listing deployments"},
		"a rollback":                  {plantest.AsHook, []kubetest.Item{arcRecord}, []kubetest.Item{kubetest.Record("systems", "systems", "arc", "deployed", kubetest.ArcManifest)}, "", nil, "release arc in namespace systems is deployed"},
		"the record is gone":          {plantest.AsHook, []kubetest.Item{arcRecord}, nil, kubetest.Ref(arcRecord.Object), nil, "no Helm release found"},
		"no proof is asked for":       {proofless, nil, nil, "", nil, ""},
		"a legacy object is new":      {plantest.LegacyByHand, legacySet, kubetest.Whole(kubetest.Object("rset ci/new")), "", nil, "runnersets.actions.summerwind.dev/new in namespace ci is new"},
		"a legacy one is known":       {plantest.LegacyByHand, legacySet, nil, "", nil, ""},
		"a legacy controller is new":  {plantest.LegacyByHand, nil, []kubetest.Item{kubetest.LegacyDeployment("systems/arc", "/manager", 1)}, "", nil, "deployments.apps/arc in namespace systems is new"},
		"not of legacy ARC":           {plantest.LegacyByHand, nil, append(kubetest.Whole(kubetest.Object("ars team/set")), kubetest.Deployment("team/arc", "")), "", nil, ""},
		"legacy ones cannot be read":  {plantest.LegacyByHand, nil, nil, "", kubetest.On(http.StatusForbidden, kubetest.Always, "LIST rd"), "listing runnerdeployments"},
		"no legacy one was there yet": {plantest.LegacyByHand, nil, nil, "crd runners.actions.summerwind.dev", nil, ""},
	} {
		a, c := kubetest.New(t, slices.Concat(kubetest.Whole(kubetest.CRDs()...), kubetest.Whole(kubetest.LegacyCRDs()...), test.before)...)
		s := survey.Read(t.Context(), c, test.options)
		for _, it := range test.now {
			a.Put(it)
		}
		a.Take(test.gone)
		a.Fault = test.fault
		err := (&run{client: c, options: test.options}).unchanged(t.Context(), s)
		if got := fmt.Sprint(err); (test.want == "") != (err == nil) || !strings.Contains(got, test.want) {
			t.Errorf("%s: %s, want %q", name, got, test.want)
		}
	}
}

// A legacy owner that exists after all keeps its dependents, too.
func TestALegacyOwnerIsLookedForOnceMore(t *testing.T) {
	t.Parallel()
	a, c := kubetest.New(t, append(kubetest.Whole(kubetest.LegacyCRDs()...), kubetest.Whole(kubetest.Object("rset ci/s"))...)...)
	o := plantest.AsLegacyHook
	o.WatchNamespaces = []string{"ci"}
	steps := func(action plan.Action, owner string) []plan.Step {
		return []plan.Step{{Action: action, Object: kubetest.Object("pod ci/r", kubetest.Owned(owner)), Why: ""}}
	}
	r := &run{client: c, options: o}
	if err := r.ownersGone(t.Context(), steps(plan.Delete, "rset ci/s")); !errors.Is(err, errChanged) {
		t.Errorf("it is there: %v", err)
	}
	if err := r.ownersGone(t.Context(), steps(plan.Delete, "rset ci/gone")); err != nil {
		t.Errorf("it is gone: %v", err)
	}
	a.Fault = kubetest.On(http.StatusForbidden, kubetest.Always, "LIST rset ci", "LIST run ci")
	if err := r.ownersGone(t.Context(), steps(plan.Await, "rset ci/s")); err != nil {
		t.Errorf("nothing is to be deleted, and so nothing to be looked for: %v", err)
	}
}

// The last survey decides how a stopped run ends. A failed read there never counts as "nothing is
// left".
func TestStopped(t *testing.T) {
	t.Parallel()
	unreadable := kubetest.On(http.StatusForbidden, kubetest.Always, "LIST er")
	did := []plan.Step{{Action: plan.Delete, Object: kubetest.Object("er runners/r")}}
	for name, test := range map[string]struct {
		cause error
		items []kubetest.Item
		fault func(string) int
		done  []plan.Step
		want  plan.Verdict
		left  int
		errs  int
	}{
		"nothing is left":                     {ErrBudget, nil, nil, did, plan.Done, 0, 0},
		"something is":                        {ErrBudget, kubetest.Whole(kubetest.Object("er runners/r")), nil, nil, plan.OutOfTime, 1, 0},
		"told to stop":                        {ErrInterrupted, kubetest.Whole(kubetest.Object("er runners/r")), nil, nil, plan.Interrupted, 1, 0},
		"unreadable, and nothing done":        {ErrBudget, nil, unreadable, nil, plan.Failed, 0, 1},
		"unreadable after something was done": {ErrBudget, nil, unreadable, did, plan.OutOfTime, 0, 1},
		"unreadable, and told to stop":        {ErrInterrupted, nil, unreadable, nil, plan.Interrupted, 0, 1},
	} {
		items := test.items
		if items != nil || test.fault != nil {
			items = append(kubetest.Whole(kubetest.CRDs()[:1]...), items...)
		}
		a, c := kubetest.New(t, items...)
		a.Fault = test.fault
		ctx, stop := context.WithCancelCause(t.Context())
		stop(test.cause)
		r := &run{client: c, options: plantest.ByHand, log: quiet, report: &Report{Done: test.done}}
		// The CRD is deleted with what is left.
		if got := r.stopped(ctx, nil); got != test.want || min(1, len(r.report.Left)) != test.left || len(r.report.Errs) != test.errs {
			t.Errorf("%s: %s, left %v, errors %v", name, got, r.report.Left, r.report.Errs)
		}
	}
}

// A phase that a guard stops writes nothing.
func TestAPhaseThatIsOverruled(t *testing.T) {
	t.Parallel()
	a, c := kubetest.New(t, append(kubetest.Whole(kubetest.CRDs()...), kubetest.Whole(kubetest.Object("er runners/r"), kubetest.Object("pod runners/r", kubetest.Owned("er runners/r")))...)...)
	for _, phase := range []plan.Phase{
		{Name: plan.PhaseCollect, Ranks: [][]plan.Step{{{Action: plan.Delete, Object: kubetest.Object("pod runners/r", kubetest.Owned("er runners/r")), Why: plan.OwnerGone}}}},
		{Name: plan.PhaseCRDs, Ranks: [][]plan.Step{{{Action: plan.Delete, Object: kubetest.Object("crd ephemeralrunners.actions.github.com"), Why: ""}}}},
	} {
		a.Put(kubetest.Whole(kubetest.Object("ars team/new"))[0])
		r := &run{client: c, options: plantest.ByHand, log: quiet, report: &Report{}}
		if err := r.execute(t.Context(), quiet, phase, &plan.Survey{}); !errors.Is(err, errChanged) || len(a.Written()) > 0 {
			t.Errorf("%s: error %v, writes %q", phase.Name, err, a.Written())
		}
	}
}

// A kind that is read twice in a survey is reported once.
func TestAFailedReadIsReportedOnce(t *testing.T) {
	t.Parallel()
	r := &run{options: plantest.ByHand, report: &Report{}}
	unread := func(names ...string) (out []plan.Unknown) {
		for _, name := range names {
			out = append(out, plan.Unknown{What: name, Err: errors.New("no answer")})
		}
		return out
	}
	r.reportUnread(unread("pods"), unread("pods", "secrets", "secrets"))
	if len(r.report.Errs) != 2 {
		t.Errorf("%v", r.report.Errs)
	}
}

// A hook whose time ends in a later survey has had answers: no NetworkPolicy is in its way.
func TestOnlyARunWithoutAnswersBlamesTheNetwork(t *testing.T) {
	t.Parallel()
	cut := []plan.Unknown{{What: "pods", Err: context.DeadlineExceeded}}
	r := &run{options: plantest.AsHook, report: &Report{}}
	if r.reportUnread(cut, nil); !slices.Contains(r.report.Errs, ErrUnreached) {
		t.Errorf("without a plan: %v", r.report.Errs)
	}
	r = &run{options: plantest.AsHook, report: &Report{}, planned: map[types.UID]bool{"seen": true}}
	if r.reportUnread(cut, nil); slices.Contains(r.report.Errs, ErrUnreached) {
		t.Errorf("after a plan: %v", r.report.Errs)
	}
}

// TestNoVerdictWithoutItsCause: a hook whose Pod cannot reach the API server says so, and names its
// requests. It does not say that its time was too short.
func TestNoVerdictWithoutItsCause(t *testing.T) {
	t.Parallel()
	unreachable, err := kube.New(&rest.Config{Host: "http://127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		client  *kube.Client
		options plan.Options
		say     []string
		hint    bool
	}{
		"a hook":                  {unreachable, plantest.AsHook, []string{"could not read the Helm release", "connection refused"}, true},
		"by hand":                 {unreachable, plantest.ByHand, []string{"could not read pods", "connection refused"}, false},
		"a hook that is answered": {nil, plantest.AsHook, []string{"could not read the Helm release: ", "is refused"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// Each read needs the time for one refused connection, on a busy machine, too.
			ctx, cancel := context.WithTimeoutCause(t.Context(), 3*time.Second, ErrBudget)
			defer cancel()
			client := test.client
			if client == nil {
				var a *kubetest.Server
				a, client = kubetest.New(t)
				a.Fault = func(string) int { return http.StatusInternalServerError }
			}
			r := Run(ctx, client, test.options, quiet, Person{})
			text := r.Text(50)
			for _, say := range test.say {
				if !strings.Contains(text, say) {
					t.Errorf("it does not say %q:\n%s", say, text)
				}
			}
			if n := strings.Count(text, "connection refused"); test.client != nil && n != 1 {
				t.Errorf("the broken connection is named %d times:\n%s", n, text)
			}
			if r.Verdict != plan.Failed || strings.Contains(text, "NetworkPolicy") != test.hint || strings.Contains(text, plan.ErrNotAsked.Error()) {
				t.Errorf("verdict %s:\n%s", r.Verdict, text)
			}
		})
	}
}
