package cleanup

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/internal/github"
	"github.com/arc-cleanup/arc-cleanup/internal/identity"
	"github.com/arc-cleanup/arc-cleanup/internal/kube/kubetest"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
	"github.com/arc-cleanup/arc-cleanup/internal/plan/plantest"
)

func configURL(t *testing.T, text string) github.ConfigURL {
	t.Helper()
	u, err := github.ParseConfigURL(text)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// deregistering is the end of a run that has freed a scale set and its runner.
func deregistering(t *testing.T, o plan.Options) *run {
	t.Helper()
	set := kubetest.Object("ars runners/set")
	info := plan.ScaleSetInfo{ID: "7", Name: "set", URL: "https://github.com/acme"}
	return &run{
		options: o, log: quiet, sets: map[identity.Set]plan.ScaleSetInfo{set.ScaleSet: info},
		access: map[types.UID]access{set.UID: {Access: github.Access{URL: configURL(t, info.URL)}, what: "scale set set (id 7) of https://github.com/acme"}},
		report: &Report{Verdict: plan.Done, Registered: []Registration{
			{Registration: plan.Registration{Object: set, Set: info}},
			{Registration: plan.Registration{Object: kubetest.Object("er runners/r", kubetest.Of("runners/set")), Set: info}},
			{Registration: plan.Registration{Object: kubetest.Object("er runners/stray", kubetest.Of("runners/gone"))}},
		}},
	}
}

func withGitHub(o plan.Options) plan.Options {
	o.GitHub = plan.Deregister
	return o
}

// What may not be removed is kept, with its runners, before any request.
func TestWhatIsNotAskedForAtGitHub(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change func(*run)
		survey plan.Survey
		want   string
	}{
		"a controller works there":  {func(*run) {}, plan.Survey{Controllers: []plan.Controller{plantest.Ctrl("systems/arc", "")}}, "the controller systems/arc works there"},
		"nobody may know where":     {func(r *run) { r.access["ars runners/set"] = access{err: errors.New("no Secret")} }, plan.Survey{}, "no Secret"},
		"a controller was to do it": {func(r *run) { clear(r.access) }, plan.Survey{}, "a controller was to remove it"},
		"another ID than planned":   {func(r *run) { r.report.Registered[0].Set.ID = "8" }, plan.Survey{}, "its id, its name or its URL was changed during the run"},
		"another URL than planned":  {func(r *run) { r.report.Registered[0].Set.URL += "/x" }, plan.Survey{}, "its id, its name or its URL was changed during the run"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := deregistering(t, withGitHub(plantest.ByHand))
			test.change(r)
			if jobs := r.deregistrations(&test.survey); len(jobs) > 0 {
				t.Errorf("asks GitHub: %v", jobs)
			}
			for _, reg := range r.report.Registered[:2] {
				if reg.Outcome != github.Kept || !strings.HasPrefix(reg.Why, test.want) {
					t.Errorf("%s: %s, %q, want %q", reg, reg.Outcome, reg.Why, test.want)
				}
			}
		})
	}
	for name, c := range map[string]plan.Controller{
		"one that crashes": plantest.Dead(plantest.Ctrl("systems/arc", "")), "one that watches elsewhere": plantest.Ctrl("systems/arc", "other"),
		"one that is locked out": {Object: kubetest.Object("deploy systems/arc"), LockedOut: map[string]bool{"runners": true}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := deregistering(t, withGitHub(plantest.ByHand))
			jobs := r.deregistrations(&plan.Survey{Controllers: []plan.Controller{c}})
			if got := jobs["runners"]; len(got) != 1 || got[0].set != 0 || len(got[0].runners) != 1 || got[0].runners[0] != 1 {
				t.Errorf("%v", jobs)
			}
		})
	}
}

// Something that was to go and stays makes a run by hand fail. A hook says it and goes on: GitHub must not keep Helm from the
// rest.
func TestWhatStaysAtGitHub(t *testing.T) {
	t.Parallel()
	hook := withGitHub(plantest.OfRelease)
	hook.Job = "arc-arc-cleanup"
	legacy := plan.Options{Scope: plan.ScopeLegacy}
	for name, test := range map[string]struct {
		options       plan.Options
		before, after plan.Verdict
		outcome       github.Outcome
		why           string
		stays         bool
	}{
		"by hand":        {withGitHub(plantest.ByHand), plan.Done, plan.Residue, "", "the run ended before it could ask GitHub", true},
		"nothing stays":  {withGitHub(plantest.ByHand), plan.Done, plan.Done, github.Removed, "", false},
		"gone already":   {withGitHub(plantest.ByHand), plan.Done, plan.Done, github.Gone, "", false},
		"refused":        {withGitHub(plantest.ByHand), plan.Done, plan.Residue, github.Refused, "", true},
		"in a hook":      {hook, plan.Done, plan.Done, "", "the run ended before", true},
		"not asked for":  {plantest.ByHand, plan.Done, plan.Done, "", keptByPolicy, true},
		"of legacy ARC":  {legacy, plan.Done, plan.Done, "", keptLegacy, true},
		"after a signal": {withGitHub(plantest.ByHand), plan.Interrupted, plan.Interrupted, "", "the run ended before everything in the cluster was gone", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := deregistering(t, test.options)
			r.report.Verdict = test.before
			for i := range r.report.Registered {
				r.report.Registered[i].Outcome = test.outcome
			}
			r.endRegistered()
			if r.report.Verdict != test.after {
				t.Errorf("verdict %s, want %s", r.report.Verdict, test.after)
			}
			if reg := r.report.Registered[0]; reg.Stays() != test.stays || !strings.HasPrefix(reg.Why, test.why) {
				t.Errorf("%s: %s, %q", reg, reg.Outcome, reg.Why)
			}
			if text := r.report.Text(5); strings.Contains(text, "still registered at GitHub: scale set set (id 7) of https://github.com/acme: "+test.why) != test.stays {
				t.Error(text)
			}
		})
	}
}

// By hand, a run asks for credentials before it writes. A hook has nobody to ask.
func TestCredentialsAreAskedForFirst(t *testing.T) {
	t.Parallel()
	hook := withGitHub(plantest.OfRelease)
	hook.Job = "arc-arc-cleanup"
	set := kubetest.Object("ars runners/set")
	p := func() *plan.Plan {
		return &plan.Plan{Phases: []plan.Phase{{Name: plan.PhaseDeregister, Ranks: [][]plan.Step{{{Action: plan.Unregister, Object: set, Why: "scale set x"}}}}}}
	}
	known := map[types.UID]access{set.UID: {err: errors.New("no Secret")}}
	byHand, inHook := p(), p()
	askForCredentials(byHand, withGitHub(plantest.ByHand), nil, known)
	askForCredentials(inHook, hook, nil, known)
	if len(inHook.Refusals) > 0 || len(byHand.Refusals) != 1 || byHand.Refusals[0].Message != "there are no credentials to de-register scale set x with: no Secret" {
		t.Errorf("%v, %v", byHand.Refusals, inHook.Refusals)
	}
}

// A person who gives credentials is told where they are not used.
func TestWhereOwnCredentialsAreNotUsed(t *testing.T) {
	t.Parallel()
	set := kubetest.Object("ars runners/set")
	steps := [][]plan.Step{{{Action: plan.Unregister, Object: set, Why: "scale set x"}}}
	for place, want := range map[string]int{"https://github.com/acme": 0, "https://github.com/other": 1} {
		p := &plan.Plan{Phases: []plan.Phase{{Name: plan.PhaseDeregister, Ranks: steps}}}
		own := &github.Own{URL: configURL(t, "https://github.com/acme")}
		askForCredentials(p, withGitHub(plantest.ByHand), own, map[types.UID]access{set.UID: {Access: github.Access{URL: configURL(t, place)}}})
		if len(p.Notes) != want || want > 0 && p.Notes[0] != "your credentials for GitHub are not for scale set x: those in the cluster are used" {
			t.Errorf("%s: %q", place, p.Notes)
		}
	}
}

// What was kept because nothing asked for its removal can be removed afterwards: the report has the command.
func TestCommandsToDeregister(t *testing.T) {
	t.Parallel()
	r := deregistering(t, plantest.ByHand)
	r.report.Registered[0].Set.Group = "my group"
	r.endRegistered()
	const want = "arc-cleanup deregister --url https://github.com/acme --scale-set set --runner-group 'my group' --runner r"
	if text := r.report.Text(5); !strings.Contains(text, "    "+want+"\n") {
		t.Error(text)
	}
	r.report.Registered[0].Set.URL = "https://github.example/acme"
	if text := r.report.Text(5); strings.Contains(text, "arc-cleanup deregister") {
		t.Errorf("a command that sends credentials to a server of a tenant:\n%s", text)
	}
	r.report.Registered[0].Set.URL = "https://github.com/acme"
	for range 6 {
		r.report.Registered = append(r.report.Registered, r.report.Registered[1])
	}
	if text := r.report.Text(5); strings.Contains(text, "arc-cleanup deregister") {
		t.Errorf("a command with seven runners:\n%s", text)
	}
}

// A tenant may have thousands of scale sets with large credentials. Those whose credentials cannot be had, or are the person's, take
// no memory, and no other scale set's place.
func TestCredentialsDoNotFillTheMemory(t *testing.T) {
	t.Parallel()
	var steps []plan.Step
	objects := []map[string]any{{
		"apiVersion": "v1", "kind": "Secret", "metadata": map[string]any{"name": "token", "namespace": "runners"},
		"data": map[string]any{"github_token": "dG9rZW4="},
	}}
	add := func(n int, url, secret string) {
		for range n {
			set := *kubetest.Object(fmt.Sprintf("ars runners/set-%d", len(steps)))
			set.UID = types.UID(set.Name)
			steps = append(steps, plan.Step{Action: plan.Unregister, Object: &set})
			objects = append(objects, map[string]any{
				"apiVersion": set.Resource.GroupVersion().String(), "kind": "AutoscalingRunnerSet",
				"metadata": map[string]any{"name": set.Name, "namespace": set.Namespace, "uid": string(set.UID)},
				"spec":     map[string]any{"githubConfigUrl": url, "githubConfigSecret": secret},
			})
		}
	}
	const elsewhere, ours = "https://ghes.example/x", "https://github.com/acme"
	add(10, elsewhere, "none")
	add(10, ours, "none")
	add(maxAccesses+1, elsewhere, "token")
	add(1, ours, "none")
	_, c := kubetest.New(t, append(kubetest.Whole(kubetest.CRDs()...), kubetest.Stored(objects...)...)...)
	token, err := github.Token("token")
	if err != nil {
		t.Fatal(err)
	}
	own := &github.Own{URL: configURL(t, "https://github.com/acme"), Credentials: token}
	known := map[types.UID]access{}
	p := &plan.Plan{Phases: []plan.Phase{{Name: plan.PhaseDeregister, Ranks: [][]plan.Step{steps}}}}
	for range 2 { // a later round reads only what is new
		accesses(t.Context(), c, p, own, known)
	}
	reasons := map[string]int{}
	for _, a := range known {
		reasons[fmt.Sprint(a.err)]++
	}
	want := map[string]int{
		"<nil>": maxAccesses + 11, "Secret runners/none does not exist": 10, "one run keeps the credentials of 200 scale sets": 1,
	}
	if diff := cmp.Diff(want, reasons); diff != "" {
		t.Error(diff)
	}
}

func TestIDs(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "0", "-1", "+7", "007", " 7", "7 ", "1e3", "0x7", "7.0", "7\n", "٧", "99999999999999999999"} {
		if id, is := setID(text); is {
			t.Errorf("%q is the id %d", text, id)
		}
	}
	if id, is := setID("70"); id != 70 || !is {
		t.Error(id, is)
	}
}

func TestReadRegistered(t *testing.T) {
	t.Parallel()
	const report = `{"version": "arc-cleanup/report/v1", "registered": [
		{"kind": "scale-set", "name": "a", "id": "1", "url": "u", "outcome": "kept", "why": "x"},
		{"kind": "scale-set", "name": "b", "outcome": "removed"}, {"kind": "runner", "name": "c", "outcome": "already-gone"}]}`
	got, whole, err := ReadRegistered(strings.NewReader(report))
	want := []Deregistered{{RegistrationDocument: plan.RegistrationDocument{Kind: plan.KindScaleSet, Name: "a", ID: "1", URL: "u"}}}
	if diff := cmp.Diff(want, got); diff != "" || err != nil || !whole {
		t.Errorf("whole: %t, %v (-want +got):\n%s", whole, err, diff)
	}
	for verdict, want := range map[plan.Verdict]bool{plan.Refused: true, plan.NotPermitted: false, plan.Failed: false} {
		document := fmt.Sprintf(`{"version": "arc-cleanup/plan/v1", "registered": [], "refusals": [{"verdict": %q}]}`, verdict)
		if _, whole, err := ReadRegistered(strings.NewReader(document)); whole != want || err != nil {
			t.Errorf("%s: whole: %t, %v", verdict, whole, err)
		}
	}
	for document, want := range map[string]string{
		"": "it is not JSON", "[]": "it is not JSON", "{": "it is not JSON", "{}": "neither a report nor a plan",
		`{"version": "arc-cleanup/status/v1", "registered": []}`: "neither a report nor a plan",
		report + report: "something comes after the document", report + "]": "something comes after the document",
		`{"version": "arc-cleanup/plan/v1"}`:                                       "it has no list of registrations",
		`{"version": "` + strings.Repeat("x", maxDocument) + `", "registered":[]}`: "larger than 64 MiB",
	} {
		if _, _, err := ReadRegistered(strings.NewReader(document)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40s: %v, want %q", document, err, want)
		}
	}
}

// A document's URLs are written by the teams whose scale sets they are of: a person's credentials do not go there.
func TestCredentialsGoOnlyWhereTheyAreFor(t *testing.T) {
	t.Parallel()
	entry := func(kind, url, id string) Deregistered {
		return Deregistered{RegistrationDocument: plan.RegistrationDocument{Kind: kind, Name: "n", URL: url, ID: id}}
	}
	for name, test := range map[string]struct {
		own  *github.Own
		url  string
		id   string
		want string
	}{
		"another host":         {&github.Own{}, "https://github.example/acme", "1", "your credentials go only to what --url names"},
		"another organisation": {&github.Own{URL: configURL(t, "https://github.com/acme")}, "https://github.com/other", "1", "your credentials go only to what --url names"},
		"no URL":               {&github.Own{}, "github.com/acme", "1", "the URL does not begin with https://"},
		"no ID":                {&github.Own{}, "https://github.com/acme", "", "its id is not a number"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			all := []Deregistered{entry(plan.KindScaleSet, test.url, test.id), entry(plan.KindRunner, test.url, test.id), entry(plan.KindRunner, test.url, "9")}
			DeregisterAll(t.Context(), test.own, all, false)
			for i, want := range []string{test.want, test.want, "its scale set is not in the document"} {
				if all[i].Outcome != github.Kept || !strings.HasPrefix(all[i].Why, want) {
					t.Errorf("%d: %s, %q, want %q", i, all[i].Outcome, all[i].Why, want)
				}
			}
		})
	}
}
