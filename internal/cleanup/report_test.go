package cleanup

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
)

func TestSummary(t *testing.T) {
	did := []Outcome{
		{Delete, obj("role runners/a")}, {Release, obj("er runners/a")}, {Delete, obj("role runners/b")}, {Delete, obj("crd c")},
	}
	const done = "deleted 2 roles, 1 customresourcedefinitions; removed ARC's finalizers from 1 ephemeralrunners"
	tests := map[string]struct {
		report Report
		want   string
	}{
		"done":               {Report{Verdict: Done, Done: did}, "done: nothing of ARC is left: " + done},
		"nothing to do":      {Report{Verdict: Done}, "done: nothing of ARC is left, there was nothing to do"},
		"of a scale set":     {Report{Verdict: Done, Scope: ScaleSet, Done: did}, "done: nothing of this release's scale sets is left: " + done},
		"nothing of a set":   {Report{Verdict: Done, Scope: ScaleSet}, "done: nothing of this release's scale sets is left, there was nothing to do"},
		"kept":               {Report{Verdict: Done, Kept: []Finding{{Why: "x uses them"}, {Why: "y"}}}, "done, and kept 2 objects: nothing was written"},
		"residue":            {Report{Verdict: Residue, Done: did, Left: make([]Finding, 3)}, "residue: 3 objects are left: " + done},
		"refused":            {Report{Verdict: Refused}, "refused: nothing was written"},
		"not permitted":      {Report{Verdict: NotPermitted, Done: did}, "not-permitted: " + done},
		"the budget used up": {Report{Verdict: OutOfTime}, "out-of-time: the budget is used up; run it again to go on: nothing was written"},
		"interrupted":        {Report{Verdict: Interrupted}, "interrupted: run it again to go on: nothing was written"},
		"failed":             {Report{Verdict: Failed}, "failed: nothing was written"},
	}
	for name, test := range tests {
		if got := test.report.Summary(); got != test.want {
			t.Errorf("%s:\ngot  %s\nwant %s", name, got, test.want)
		}
	}
}

func TestTextEndsWithTheSummary(t *testing.T) {
	r := Report{
		Verdict: Residue,
		Left:    []Finding{{obj("er runners/a"), "why"}, {obj("crd c"), "x"}, {obj("crd d"), "x"}, {obj("crd e"), "x"}},
		Errs:    []error{errors.New("one"), errors.New("two")},
		Phases:  []Took{{Drain, 12340 * time.Millisecond}, {Free, 50 * time.Millisecond}},
	}
	want := `left: ephemeralrunners.actions.github.com/a in namespace runners: why
left: customresourcedefinitions.apiextensions.k8s.io/c: x
... and 2 more
error: one
error: two
residue: 4 objects are left: nothing was written`
	if diff := cmp.Diff(want, r.Text(2)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestARefusalBeginsWithTheReasonAndEndsWithTheCommands(t *testing.T) {
	r := Report{
		Verdict: Refused,
		Refusals: []Refusal{
			{Message: "live", Do: []string{"helm uninstall a", "helm uninstall b"}}, {Message: "second", Do: []string{"helm uninstall b"}}, {Message: "third", Do: []string{"c"}},
		},
		Kept:      []Finding{{obj("crd k"), "used"}},
		Obstacles: []Finding{{obj("vwc w"), "dead"}},
	}
	want := `refused, nothing was written: live
second
... and 1 more
likely in the way: vwc w: dead
    helm uninstall a
    helm uninstall b`
	if diff := cmp.Diff(want, strings.ReplaceAll(r.Text(2), "validatingwebhookconfigurations.admissionregistration.k8s.io/w", "vwc w")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestHeldSaysByWhat(t *testing.T) {
	tests := map[string]struct {
		object *object.Object
		want   string
	}{
		"somebody's finalizer":      {obj("er a/b", finalizers("x/y", arc.EphemeralRunnerFinalizer, "z"), deleting), "held by finalizers which are not ARC's: x/y, z"},
		"ARC's finalizer":           {obj("er a/b", deleting), "still has ARC's finalizers"},
		"nothing but time":          {obj("pod a/b", deleting), "is being deleted, and not gone yet"},
		"nothing":                   {obj("pod a/b"), "still there"},
		"a CRD's own, going":        {obj("crd c", finalizers("customresourcecleanup.apiextensions.k8s.io"), deleting), "is being deleted, and waits for its objects"},
		"a CRD that nobody deleted": {obj("crd c"), "still there"},
	}
	for name, test := range tests {
		if got := held(test.object); got != test.want {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}

func TestLeftoversNameEachObjectOnce(t *testing.T) {
	a, b := obj("er a/b"), obj("crd c")
	p := &Plan{Phases: []Phase{{Drain, [][]Step{{{Delete, a, ""}}}}, {Free, [][]Step{{{Delete, a, ""}}, {{Release, a, ""}}}}, {CRDs, [][]Step{{{Delete, b, ""}}}}}}
	var got []string
	for _, l := range leftovers(p) {
		got = append(got, ref(l.Object))
	}
	expectStrings(t, "left", got, "er a/b", "crd c")
}

func TestDocumentOfAReport(t *testing.T) {
	r := &Report{
		Scope: Controller, Verdict: Residue,
		Refusals:  []Refusal{{Refused, "no", []string{"do"}}},
		Done:      []Outcome{{Delete, obj("crd c")}},
		Kept:      []Finding{{obj("crd k"), "used"}},
		Left:      []Finding{{obj("er runners/a"), "held"}},
		Obstacles: []Finding{{obj("vwc w"), "dead"}},
		Remains:   []Remain{{What: "more", Do: []string{"look"}}},
		Registered: []Registration{
			{obj("er runners/a"), ScaleSetInfo{}}, {obj("ars runners/set"), ScaleSetInfo{ID: "7", Name: "gpu", URL: "https://github.com/acme"}},
		},
		Phases: []Took{{Drain, 1500 * time.Millisecond}},
		Errs:   []error{errors.New("one")},
	}
	crd := func(name, why string, action Action) StepDocument {
		return StepDocument{action, "apiextensions.k8s.io", "customresourcedefinitions", "", name, "crd " + name, why}
	}
	want := ReportDocument{
		Version: "arc-cleanup/report/v1", Scope: Controller, Verdict: Residue, Summary: r.Summary(),
		Refusals:   []RefusalDocument{{Refused, "no", []string{"do"}}},
		Done:       []StepDocument{crd("c", "", Delete)},
		Kept:       []StepDocument{crd("k", "used", "")},
		Left:       []StepDocument{{"", "actions.github.com", "ephemeralrunners", "runners", "a", "er runners/a", "held"}},
		Obstacles:  []StepDocument{{"", "admissionregistration.k8s.io", "validatingwebhookconfigurations", "", "w", "vwc w", "dead"}},
		Remains:    []RemainDocument{{What: "more", Do: []string{"look"}}},
		Registered: []RegistrationDocument{{"runner", "runners", "a", "", ""}, {"scale-set", "runners", "gpu", "7", "https://github.com/acme"}},
		Phases:     []TookDocument{{Drain, 1.5}},
		Errors:     []string{"one"},
	}
	if diff := cmp.Diff(want, r.Document()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// Roles and RoleBindings may be called anything but paths, so a tenant's has a name which
// a terminal obeys, or which reads as the verdict.
func TestWhatATerminalWouldObeyIsQuoted(t *testing.T) {
	t.Parallel()
	const name = "x\n\x1b[2Jdone: nothing of ARC is left"
	o := obj("role tenant/x")
	o.Name = name
	r := &Report{
		Verdict:  Residue,
		Refusals: []Refusal{{Refused, "no " + name, []string{"kubectl delete " + name}}},
		Left:     []Finding{{o, "held"}}, Kept: []Finding{{o, name}}, Obstacles: []Finding{{o, name}}, Remains: []Remain{{What: name, Do: []string{name}}},
		Errs: []error{errors.New(name)},
	}
	text := r.Text(10)
	if n := strings.Count(text, "\n"); strings.Contains(text, "\x1b") || n != 6 {
		t.Errorf("%d lines: %q", n, text)
	}
}
