package cleanup

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/arc-cleanup/arc-cleanup/internal/github"
	"github.com/arc-cleanup/arc-cleanup/internal/kube/kubetest"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
)

func TestSummary(t *testing.T) {
	did := []plan.Step{
		{Action: plan.Delete, Object: kubetest.Object("role runners/a")}, {Action: plan.Free, Object: kubetest.Object("er runners/a")}, {Action: plan.Delete, Object: kubetest.Object("role runners/b")}, {Action: plan.Delete, Object: kubetest.Object("crd c")},
	}
	const done = "deleted 2 roles, 1 customresourcedefinition; removed ARC's finalizers from 1 ephemeralrunner"
	tests := map[string]struct {
		report Report
		want   string
	}{
		"done":               {Report{Verdict: plan.Done, Done: did}, "done: nothing of ARC is left: " + done},
		"nothing to do":      {Report{Verdict: plan.Done}, "done: nothing of ARC is left, there was nothing to do"},
		"of a scale set":     {Report{Verdict: plan.Done, Scope: plan.ScopeScaleSet, Done: did}, "done: nothing of this release's scale sets is left: " + done},
		"nothing of a set":   {Report{Verdict: plan.Done, Scope: plan.ScopeScaleSet}, "done: nothing of this release's scale sets is left, there was nothing to do"},
		"kept":               {Report{Verdict: plan.Done, Kept: []plan.Finding{{Why: "x uses them"}, {Why: "y"}}}, "done, and kept 2 objects: nothing was written"},
		"residue":            {Report{Verdict: plan.Residue, Done: did, Left: make([]plan.Finding, 3)}, "residue: 3 objects are left: " + done},
		"refused":            {Report{Verdict: plan.Refused}, "refused: nothing was written"},
		"not permitted":      {Report{Verdict: plan.NotPermitted, Done: did}, "not-permitted: " + done},
		"the budget used up": {Report{Verdict: plan.OutOfTime}, "out-of-time: the budget is used up; run it again to go on: nothing was written"},
		"interrupted":        {Report{Verdict: plan.Interrupted}, "interrupted: run it again to go on: nothing was written"},
		"failed":             {Report{Verdict: plan.Failed}, "failed: nothing was written"},
	}
	for name, test := range tests {
		if got := test.report.Summary(); got != test.want {
			t.Errorf("%s:\ngot  %s\nwant %s", name, got, test.want)
		}
	}
}

func TestTextEndsWithTheSummary(t *testing.T) {
	r := Report{
		Verdict: plan.Residue,
		Left:    []plan.Finding{{Object: kubetest.Object("er runners/a"), Why: "why"}, {Object: kubetest.Object("crd c"), Why: "x"}, {Object: kubetest.Object("crd d"), Why: "x"}, {Object: kubetest.Object("crd e"), Why: "x"}},
		Errs:    []error{errors.New("one"), errors.New("two")},
		Phases:  []Took{{plan.PhaseDrain, 12.34}, {plan.PhaseFree, 0.05}},
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
		Verdict: plan.Refused,
		Refusals: []plan.Refusal{
			{Message: "live", Do: []string{"helm uninstall a", "helm uninstall b"}}, {Message: "second", Do: []string{"helm uninstall b"}}, {Message: "third", Do: []string{"c"}},
		},
		Kept:      []plan.Finding{{Object: kubetest.Object("crd k"), Why: "used"}},
		Obstacles: []plan.Finding{{Object: kubetest.Object("vwc w"), Why: "dead"}},
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

func TestDocumentOfAReport(t *testing.T) {
	r := &Report{
		Scope: plan.ScopeController, Verdict: plan.Residue,
		Refusals:  []plan.Refusal{{Verdict: plan.Refused, Message: "no", Do: []string{"do"}}},
		Done:      []plan.Step{{Action: plan.Delete, Object: kubetest.Object("crd c")}},
		Kept:      []plan.Finding{{Object: kubetest.Object("crd k"), Why: "used"}},
		Left:      []plan.Finding{{Object: kubetest.Object("er runners/a"), Why: "held"}},
		Obstacles: []plan.Finding{{Object: kubetest.Object("vwc w"), Why: "dead"}},
		Remains:   []plan.Remain{{What: "more", Do: []string{"look"}}},
		Registered: []Registration{
			{plan.Registration{Object: kubetest.Object("er runners/a"), Set: plan.ScaleSetInfo{ID: "7", Name: "gpu", URL: "https://github.com/acme"}}, github.Result{Outcome: github.Removed}, nil},
			{plan.Registration{
				Object: kubetest.Object("ars runners/set"),
				Set:    plan.ScaleSetInfo{ID: "7", Name: "gpu", URL: "https://github.com/acme", Group: "g", Secret: "s", Proxy: "http://p", CA: "c"},
			}, github.Result{Outcome: github.Refused, Why: "used"}, nil},
		},
		Phases: []Took{{plan.PhaseDrain, 1.5}},
		Errs:   []error{errors.New("one")},
	}
	const crd = `"group": "apiextensions.k8s.io", "resource": "customresourcedefinitions", `
	kubetest.ExpectJSON(t, `{
		"version": "arc-cleanup/report/v1", "scope": "controller", "verdict": "residue",
		"summary": "residue: 1 object is left: deleted 1 customresourcedefinition; removed 1 registration at GitHub; 1 registration is left at GitHub",
		"refusals": [{"verdict": "refused", "message": "no", "do": ["do"]}],
		"done": [{"action": "delete", `+crd+`"name": "c", "uid": "crd c"}],
		"kept": [{`+crd+`"name": "k", "uid": "crd k", "why": "used"}],
		"left": [{"group": "actions.github.com", "resource": "ephemeralrunners", "namespace": "runners", "name": "a", "uid": "er runners/a", "why": "held"}],
		"obstacles": [{"group": "admissionregistration.k8s.io", "resource": "validatingwebhookconfigurations", "name": "w", "uid": "vwc w", "why": "dead"}],
		"remains": [{"what": "more", "do": ["look"]}],
		"registered": [
			{"kind": "runner", "namespace": "runners", "name": "a", "id": "7", "url": "https://github.com/acme", "outcome": "removed"},
			{"kind": "scale-set", "namespace": "runners", "name": "gpu", "id": "7", "url": "https://github.com/acme",
				"group": "g", "secret": "s", "proxy": "http://p", "ca": "c", "outcome": "refused", "why": "used"}],
		"phases": [{"name": "drain", "seconds": 1.5}],
		"errors": ["one"]}`, r)
	kubetest.ExpectJSON(t, `{"version": "arc-cleanup/report/v1", "scope": "", "verdict": "", "summary": ": nothing was written",
		"refusals": [], "done": [], "kept": [], "left": [], "obstacles": [], "remains": [], "registered": [], "phases": [], "errors": []}`, &Report{})
}

// Roles and RoleBindings may have almost any name, so a tenant's can contain control characters, or
// look like the verdict.
func TestWhatATerminalWouldObeyIsQuoted(t *testing.T) {
	t.Parallel()
	const name = "x\n\x1b[2Jdone: nothing of ARC is left"
	o := kubetest.Object("role tenant/x")
	o.Name = name
	r := &Report{
		Verdict:  plan.Residue,
		Refusals: []plan.Refusal{{Verdict: plan.Refused, Message: "no " + name, Do: []string{"kubectl delete " + name}}},
		Left:     []plan.Finding{{Object: o, Why: "held"}}, Kept: []plan.Finding{{Object: o, Why: name}}, Obstacles: []plan.Finding{{Object: o, Why: name}}, Remains: []plan.Remain{{What: name, Do: []string{name}}},
		Errs: []error{errors.New(name)},
	}
	text := r.Text(10)
	if n := strings.Count(text, "\n"); strings.Contains(text, "\x1b") || n != 6 {
		t.Errorf("%d lines: %q", n, text)
	}
}
