package plan_test

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/internal/kube/kubetest"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
)

func TestDigest(t *testing.T) {
	t.Parallel()
	made := func(change ...func(*plan.Plan)) *plan.Plan {
		a, b := kubetest.Object("er runners/a"), kubetest.Object("er runners/b")
		a.UID, b.UID = "1", "2"
		p := &plan.Plan{
			Phases: []plan.Phase{
				{Name: plan.PhaseBackUp, Ranks: [][]plan.Step{{{Action: plan.Create, Object: kubetest.Object("secret systems/backup-1"), Why: ""}}}},
				{Name: plan.PhaseDrain, Ranks: [][]plan.Step{{{Action: plan.Delete, Object: a, Why: ""}, {Action: plan.Await, Object: b, Why: ""}}}},
			},
			Backup: []*object.Object{kubetest.Object("ars runners/set")},
		}
		p.Phases[0].Ranks[0][0].Object.UID = ""
		for _, c := range change {
			c(p)
		}
		return p
	}
	rank := func(p *plan.Plan) []plan.Step { return p.Phases[1].Ranks[0] }
	want := made().Digest()
	if !plan.IsDigest(want) {
		t.Fatalf("%q", want)
	}
	same := map[string]func(*plan.Plan){
		"order in a rank": func(p *plan.Plan) { r := rank(p); r[0], r[1] = r[1], r[0] },
		"reasons":         func(p *plan.Plan) { rank(p)[0].Why = "because" },
		"a backup's name": func(p *plan.Plan) { p.Phases[0].Ranks[0][0].Object.Name = "backup-2" },
		"what is kept":    func(p *plan.Plan) { p.Kept = []plan.Finding{{Object: kubetest.Object("crd a"), Why: "why"}} },
		"notes":           func(p *plan.Plan) { p.Notes = []string{"note"} },
	}
	for name, change := range same {
		if got := made(change).Digest(); got != want {
			t.Errorf("%s: another digest", name)
		}
	}
	other := map[string]func(*plan.Plan){
		"an action":    func(p *plan.Plan) { rank(p)[1].Action = plan.Delete },
		"a UID":        func(p *plan.Plan) { rank(p)[0].Object.UID = "3" },
		"a name":       func(p *plan.Plan) { rank(p)[0].Object.Name = "c" },
		"a namespace":  func(p *plan.Plan) { rank(p)[0].Object.Namespace = "other" },
		"another kind": func(p *plan.Plan) { rank(p)[0].Object.Resource = object.Pods },
		"another step": func(p *plan.Plan) {
			p.Phases[1].Ranks[0] = append(rank(p), plan.Step{Action: plan.Delete, Object: kubetest.Object("er runners/c"), Why: ""})
		},
		"two ranks":         func(p *plan.Plan) { r := rank(p); p.Phases[1].Ranks = [][]plan.Step{r[:1], r[1:]} },
		"another phase":     func(p *plan.Plan) { p.Phases[1].Name = plan.PhaseFree },
		"phases exchanged":  func(p *plan.Plan) { p.Phases[0], p.Phases[1] = p.Phases[1], p.Phases[0] },
		"no backup":         func(p *plan.Plan) { p.Phases = p.Phases[1:] },
		"what is backed up": func(p *plan.Plan) { p.Backup = nil },
		"what a CRD takes":  func(p *plan.Plan) { p.Taken = []*object.Object{kubetest.Object("er runners/without-finalizers")} },
	}
	for name, change := range other {
		if got := made(change).Digest(); got == want {
			t.Errorf("%s: the same digest", name)
		}
	}
	unregister := func(why string) string {
		return made(func(p *plan.Plan) { rank(p)[1].Action, rank(p)[1].Why = plan.Unregister, why }).Digest()
	}
	if unregister("scale set b (id 1)") == unregister("scale set b (id 2)") {
		t.Error("another scale set at GitHub: the same digest")
	}
	for name, p := range map[string]*plan.Plan{"an empty plan": {}, "a refusal": made(func(p *plan.Plan) { p.Refusals = []plan.Refusal{{}} }), "off": {Off: true}} {
		if got := p.Digest(); got != "" {
			t.Errorf("%s has the digest %s", name, got)
		}
	}
}

// Later rounds must not execute another plan.
func TestLaterRoundsAreBound(t *testing.T) {
	t.Parallel()
	set := kubetest.Object("ars runners/set", kubetest.Of("runners/set"))
	runnerSet, deployment, crd := kubetest.Object("ers runners/s", kubetest.Of("runners/set")), kubetest.Object("rd ci/d"), kubetest.Object("crd a")
	set.UID, runnerSet.UID, deployment.UID, crd.UID = "set", "runner-set", "deployment", "crd"
	backup := kubetest.Object("secret systems/backup")
	backup.UID = ""
	first := &plan.Plan{Phases: []plan.Phase{{Name: plan.PhaseBackUp, Ranks: [][]plan.Step{{{Action: plan.Create, Object: backup, Why: ""}}}}, {Name: plan.PhaseDrain, Ranks: [][]plan.Step{{{Action: plan.Delete, Object: set, Why: ""}, {Action: plan.Await, Object: runnerSet, Why: ""}, {Action: plan.Delete, Object: deployment, Why: ""}}}}, {Name: plan.PhaseCRDs, Ranks: [][]plan.Step{{{Action: plan.Delete, Object: crd, Why: ""}}}}}}
	with := func(o *object.Object, uid, owner types.UID) *object.Object {
		o.UID, o.Owner = uid, owner
		return o
	}
	tests := map[string]struct {
		steps []plan.Step
		want  string
	}{
		"other actions on the same objects":                      {[]plan.Step{{Action: plan.Free, Object: set, Why: ""}, {Action: plan.Delete, Object: runnerSet, Why: ""}, {Action: plan.Stop, Object: deployment, Why: ""}}, ""},
		"a runner of a confirmed set":                            {[]plan.Step{{Action: plan.Free, Object: with(kubetest.Object("er runners/new", kubetest.Of("runners/set")), "new", ""), Why: ""}}, ""},
		"dependents of a confirmed object, and theirs":           {[]plan.Step{{Action: plan.Delete, Object: with(kubetest.Object("pod ci/p"), "p", "deployment"), Why: ""}, {Action: plan.Delete, Object: with(kubetest.Object("secret ci/s"), "s", "p"), Why: ""}}, ""},
		"the Secret that names what is registered":               {[]plan.Step{{Action: plan.WriteDown, Object: with(kubetest.Object("secret systems/registered"), "", ""), Why: ""}}, ""},
		"waiting for something else":                             {[]plan.Step{{Action: plan.Await, Object: with(kubetest.Object("pod ci/q"), "q", ""), Why: ""}}, ""},
		"a set of the same name":                                 {[]plan.Step{{Action: plan.Delete, Object: with(kubetest.Object("ars runners/set", kubetest.Of("runners/set")), "again", ""), Why: ""}}, "autoscalingrunnersets.actions.github.com/set in namespace runners is not in the plan"},
		"another set, and its runners":                           {[]plan.Step{{Action: plan.Delete, Object: with(kubetest.Object("ars runners/b", kubetest.Of("runners/b")), "b", ""), Why: ""}}, "is not in the plan"},
		"an object without an owner, though a backup has no UID": {[]plan.Step{{Action: plan.Delete, Object: with(kubetest.Object("rd ci/e"), "e", ""), Why: ""}}, "runnerdeployments.actions.summerwind.dev/e in namespace ci is not in the plan"},
		"another CRD": {[]plan.Step{{Action: plan.Delete, Object: with(kubetest.Object("crd b"), "b", ""), Why: ""}}, "customresourcedefinitions.apiextensions.k8s.io/b is not in the plan"},
		// Anyone can write an owner reference or a label in a namespace of their own.
		"an object in another namespace that names a confirmed owner": {[]plan.Step{{Action: plan.Delete, Object: with(kubetest.Object("pod tenant/p"), "p", "deployment"), Why: ""}}, "pods/p in namespace tenant is not in the plan"},
		"a new set that says to be owned by one":                      {[]plan.Step{{Action: plan.Delete, Object: with(kubetest.Object("ars runners/c", kubetest.Of("runners/c")), "c", "set"), Why: ""}}, "is not in the plan"},
		"of another set, with the help of an owner":                   {[]plan.Step{{Action: plan.Delete, Object: with(kubetest.Object("pod ci/p", kubetest.Of("team/victim")), "p", "deployment"), Why: ""}, {Action: plan.Free, Object: with(kubetest.Object("er team/victims", kubetest.Of("team/victim")), "v", ""), Why: ""}}, "ephemeralrunners.actions.github.com/victims in namespace team is not in the plan"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var c plan.Confirmed
			if refused := c.CheckFirst(first, first.Digest()); refused != nil {
				t.Fatal(refused)
			}
			refused := c.CheckLater(&plan.Plan{Phases: []plan.Phase{{Name: plan.PhaseFree, Ranks: [][]plan.Step{test.steps}}}})
			if (test.want == "") != (len(refused) == 0) || len(refused) > 0 && !strings.Contains(refused[0].Message, test.want) {
				t.Errorf("%v, want %q", refused, test.want)
			}
		})
	}
}

// TestARecordThatCameUpLater: whoever may create a Secret where records are must not add to what a person has confirmed, with the
// UID of a confirmed set or without; nor end the run with it. What the run writes down itself counts.
func TestARecordThatCameUpLater(t *testing.T) {
	t.Parallel()
	set := kubetest.Object("ars runners/set", kubetest.Of("runners/set"))
	set.UID = "set"
	record := func(secret, id string) plan.Record {
		o := kubetest.Object("ars runners/set", kubetest.Of("runners/set"))
		o.UID = "set"
		return plan.Record{Set: plan.Registration{Object: o, Set: plan.ScaleSetInfo{ID: id, Name: "set", URL: "https://github.com/acme"}}, In: kubetest.Object("secret systems/" + secret)}
	}
	confirmed, own, forged := record("confirmed", "1"), record("own", "2"), record("forged", "3")
	first := &plan.Plan{
		Phases:   []plan.Phase{{Name: plan.PhaseFree, Ranks: [][]plan.Step{{{Action: plan.Free, Object: set}}}}},
		Recorded: []plan.Record{confirmed}, ToRecord: []plan.Record{own},
	}
	var c plan.Confirmed
	if refused := c.CheckFirst(first, first.Digest()); refused != nil {
		t.Fatal(refused)
	}
	var rank []plan.Step
	later := &plan.Plan{Recorded: []plan.Record{confirmed, own, forged}}
	for _, r := range later.Recorded {
		rank = append(rank, plan.Step{Action: plan.Unregister, Object: r.Set.Object, Why: r.Set.Planned()})
	}
	later.Phases = []plan.Phase{{Name: plan.PhaseDeregister, Ranks: [][]plan.Step{rank}}}
	if refused := c.CheckLater(later); refused != nil {
		t.Errorf("%v", refused)
	}
	if steps := later.Steps(plan.PhaseDeregister); len(steps) != 2 || len(later.Recorded) != 2 || len(later.Kept) != 1 || later.Kept[0].Object != forged.In {
		t.Errorf("steps %v, records %v, kept %v", steps, later.Recorded, later.Kept)
	}
	only := &plan.Plan{Recorded: []plan.Record{forged}, Phases: []plan.Phase{{Name: plan.PhaseDeregister, Ranks: [][]plan.Step{rank[2:]}}}}
	if refused := c.CheckLater(only); refused != nil || len(only.Phases) > 0 || !only.Over() {
		t.Errorf("%v, %v", refused, only.Phases)
	}
}
