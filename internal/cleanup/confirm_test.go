package cleanup

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/internal/object"
)

func TestDigest(t *testing.T) {
	t.Parallel()
	made := func(change ...func(*Plan)) *Plan {
		a, b := obj("er runners/a"), obj("er runners/b")
		a.UID, b.UID = "1", "2"
		p := &Plan{
			Phases: []Phase{
				{BackUp, [][]Step{{{Create, obj("secret systems/backup-1"), ""}}}},
				{Drain, [][]Step{{{Delete, a, ""}, {Await, b, ""}}}},
			},
			backup: []*object.Object{obj("ars runners/set")},
		}
		p.Phases[0].Ranks[0][0].Object.UID = ""
		for _, c := range change {
			c(p)
		}
		return p
	}
	rank := func(p *Plan) []Step { return p.Phases[1].Ranks[0] }
	want := made().Digest()
	if !IsDigest(want) {
		t.Fatalf("%q", want)
	}
	same := map[string]func(*Plan){
		"order in a rank": func(p *Plan) { r := rank(p); r[0], r[1] = r[1], r[0] },
		"reasons":         func(p *Plan) { rank(p)[0].Why = "because" },
		"a backup's name": func(p *Plan) { p.Phases[0].Ranks[0][0].Object.Name = "backup-2" },
		"what is kept":    func(p *Plan) { p.Kept = []Finding{{obj("crd a"), "why"}} },
		"notes":           func(p *Plan) { p.Notes = []string{"note"} },
	}
	for name, change := range same {
		if got := made(change).Digest(); got != want {
			t.Errorf("%s: another digest", name)
		}
	}
	other := map[string]func(*Plan){
		"an action":         func(p *Plan) { rank(p)[1].Action = Delete },
		"a UID":             func(p *Plan) { rank(p)[0].Object.UID = "3" },
		"a name":            func(p *Plan) { rank(p)[0].Object.Name = "c" },
		"a namespace":       func(p *Plan) { rank(p)[0].Object.Namespace = "other" },
		"another kind":      func(p *Plan) { rank(p)[0].Object.Resource = object.Pods },
		"another step":      func(p *Plan) { p.Phases[1].Ranks[0] = append(rank(p), Step{Delete, obj("er runners/c"), ""}) },
		"two ranks":         func(p *Plan) { r := rank(p); p.Phases[1].Ranks = [][]Step{r[:1], r[1:]} },
		"another phase":     func(p *Plan) { p.Phases[1].Name = Free },
		"phases exchanged":  func(p *Plan) { p.Phases[0], p.Phases[1] = p.Phases[1], p.Phases[0] },
		"no backup":         func(p *Plan) { p.Phases = p.Phases[1:] },
		"what is backed up": func(p *Plan) { p.backup = nil },
		"what a CRD takes":  func(p *Plan) { p.taken = []*object.Object{obj("er runners/without-finalizers")} },
	}
	for name, change := range other {
		if got := made(change).Digest(); got == want {
			t.Errorf("%s: the same digest", name)
		}
	}
	for name, p := range map[string]*Plan{"an empty plan": {}, "a refusal": made(func(p *Plan) { p.Refusals = []Refusal{{}} }), "off": {Off: true}} {
		if got := p.Digest(); got != "" {
			t.Errorf("%s has the digest %s", name, got)
		}
	}
}

func TestRunDoesWhatWasConfirmed(t *testing.T) {
	t.Parallel()
	a, c := newAPI(t, stuck()...)
	o := graced(ofRelease, ample)
	o.Confirmed = Preview(t.Context(), c, o).Digest()

	a.put(whole(obj("er runners/new", of("runners/set")))[0])
	r := Run(t.Context(), c, o, quiet, nil)
	if text := r.Text(10); r.Verdict != Refused || len(a.written()) > 0 || !strings.Contains(text, "the plan is not the one that was confirmed") || !strings.Contains(text, o.Confirmed) {
		t.Errorf("wrote %v\n%s", a.written(), text)
	}
	a.take("er runners/new")
	if r := Run(t.Context(), c, o, quiet, nil); r.Verdict != Done {
		t.Error(r.Text(10))
	}
	// There is nothing left that anybody had to see.
	if r := Run(t.Context(), c, o, quiet, nil); r.Verdict != Done || len(r.Done) > 0 {
		t.Error(r.Text(10))
	}
}

// In the rounds that follow it is no other plan that is run.
func TestLaterRoundsAreBound(t *testing.T) {
	t.Parallel()
	set := obj("ars runners/set", of("runners/set"))
	runnerSet, deployment, crd := obj("ers runners/s", of("runners/set")), obj("rd ci/d"), obj("crd a")
	set.UID, runnerSet.UID, deployment.UID, crd.UID = "set", "runner-set", "deployment", "crd"
	backup := obj("secret systems/backup")
	backup.UID = ""
	first := &Plan{Phases: []Phase{{BackUp, [][]Step{{{Create, backup, ""}}}}, {Drain, [][]Step{{{Delete, set, ""}, {Await, runnerSet, ""}, {Delete, deployment, ""}}}}, {CRDs, [][]Step{{{Delete, crd, ""}}}}}}
	with := func(o *object.Object, uid, owner types.UID) *object.Object {
		o.UID, o.Owner = uid, owner
		return o
	}
	tests := map[string]struct {
		steps []Step
		want  string
	}{
		"other actions on the same objects":           {[]Step{{Release, set, ""}, {Delete, runnerSet, ""}, {Stop, deployment, ""}}, ""},
		"what came of a set":                          {[]Step{{Release, with(obj("er runners/new", of("runners/set")), "new", ""), ""}}, ""},
		"what one of them owns, and that owns":        {[]Step{{Delete, with(obj("pod ci/p"), "p", "deployment"), ""}, {Delete, with(obj("secret ci/s"), "s", "p"), ""}}, ""},
		"waiting for something else":                  {[]Step{{Await, with(obj("pod ci/q"), "q", ""), ""}}, ""},
		"a set of the same name":                      {[]Step{{Delete, with(obj("ars runners/set", of("runners/set")), "again", ""), ""}}, "autoscalingrunnersets.actions.github.com/set in namespace runners is not in the plan"},
		"another set, and its runners":                {[]Step{{Delete, with(obj("ars runners/b", of("runners/b")), "b", ""), ""}}, "is not in the plan"},
		"what nobody owns, though a backup has no id": {[]Step{{Delete, with(obj("rd ci/e"), "e", ""), ""}}, "runnerdeployments.actions.summerwind.dev/e in namespace ci is not in the plan"},
		"another CRD":                                 {[]Step{{Delete, with(obj("crd b"), "b", ""), ""}}, "customresourcedefinitions.apiextensions.k8s.io/b is not in the plan"},
		// Anybody can write an owner, or a label, in a namespace of theirs.
		"what only says to be owned by one, elsewhere": {[]Step{{Delete, with(obj("pod tenant/p"), "p", "deployment"), ""}}, "pods/p in namespace tenant is not in the plan"},
		"a new set that says to be owned by one":       {[]Step{{Delete, with(obj("ars runners/c", of("runners/c")), "c", "set"), ""}}, "is not in the plan"},
		"of another set, with the help of an owner":    {[]Step{{Delete, with(obj("pod ci/p", of("team/victim")), "p", "deployment"), ""}, {Release, with(obj("er team/victims", of("team/victim")), "v", ""), ""}}, "ephemeralrunners.actions.github.com/victims in namespace team is not in the plan"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var c confirmed
			if refused := c.confirm(first, first.Digest()); refused != nil {
				t.Fatal(refused)
			}
			refused := c.bound(&Plan{Phases: []Phase{{Free, [][]Step{test.steps}}}})
			if (test.want == "") != (len(refused) == 0) || len(refused) > 0 && !strings.Contains(refused[0].Message, test.want) {
				t.Errorf("%v, want %q", refused, test.want)
			}
		})
	}
}

// A scale set that somebody makes meanwhile is not touched: nobody has seen it.
func TestASetThatComesUpWhileAConfirmedPlanRuns(t *testing.T) {
	t.Parallel()
	a, c := newAPI(t, stuck()...)
	o := graced(ofRelease, ample)
	o.ScaleSets = DeleteScaleSets
	o.Confirmed = Preview(t.Context(), c, o).Digest()
	done := false
	a.react = func(a *api, _ string) {
		if !done {
			done = true
			a.put(whole(obj("ars runners/late", of("runners/late")))[0])
		}
	}
	r := Run(t.Context(), c, o, quiet, nil)
	if text := r.Text(10); r.Verdict != Refused || !strings.Contains(text, "autoscalingrunnersets.actions.github.com/late in namespace runners is not in the plan that was confirmed") {
		t.Errorf("%s", text)
	}
	for _, w := range a.written() {
		if strings.Contains(w, "late") {
			t.Errorf("wrote %s", w)
		}
	}
}

// What goes with its CRD is seen, too: an object without a finalizer has no step of its own.
func TestTheDigestKnowsWhatACRDTakes(t *testing.T) {
	t.Parallel()
	a, c := newAPI(t, stuck()...)
	o := graced(ofRelease, ample)
	seen := Preview(t.Context(), c, o)
	a.put(whole(obj("er runners/late", finalizers()))[0])
	late := Preview(t.Context(), c, o)
	if seen.Digest() == "" || seen.Digest() == late.Digest() {
		t.Errorf("%q and %q", seen.Digest(), late.Digest())
	}
	var first confirmed
	first.confirm(seen, seen.Digest())
	if refused := first.bound(late); len(refused) != 1 || !strings.Contains(refused[0].Message, "ephemeralrunners.actions.github.com/late in namespace runners is not in the plan") {
		t.Errorf("%v", refused)
	}
}
