package plan_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/gzip"
	"github.com/arc-cleanup/arc-cleanup/internal/kube/kubetest"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
	"github.com/arc-cleanup/arc-cleanup/internal/plan/plantest"
)

var acme = plan.ScaleSetInfo{ID: "7", Name: "set", Group: "builders", URL: "https://github.com/acme", Secret: "token", Proxy: "p", CA: "ca"}

// stuckSet is a scale set with a runner, after its controller is gone.
func stuckSet() plan.Survey {
	set := kubetest.Object("ars runners/set", kubetest.Deleting)
	runner := kubetest.Object("er runners/r", kubetest.Of("runners/set"), kubetest.Deleting, kubetest.Finalizers(arc.RunnerRegistrationFinalizer))
	ended := kubetest.Object("er runners/ended", kubetest.Of("runners/set"), kubetest.Deleting)
	return plan.Survey{Custom: []*object.Object{runner, ended, set}, Sets: map[types.UID]plan.ScaleSetInfo{set.UID: acme}}
}

func writtenDown(runners ...string) plan.Record {
	return plan.Record{
		Set: plan.Registration{Object: kubetest.Object("ars runners/set"), Set: acme}, Runners: runners, In: kubetest.Object("secret systems/one"),
	}
}

func recording(o plan.Options) plan.Options {
	o.GitHub, o.Record = plan.Deregister, kubetest.Named("systems/registered")
	return o
}

func TestWhatIsWrittenDown(t *testing.T) {
	t.Parallel()
	keep := recording(plantest.ByHand)
	keep.GitHub = plan.KeepRegistered
	nowhere := recording(plantest.ByHand)
	nowhere.Record.Name = ""
	deregister := recording(plantest.ByHand)
	for name, test := range map[string]struct {
		options plan.Options
		change  func(*plan.Survey)
		want    []string // the runners of the scale set, or nil if nothing is written down
		note    string
	}{
		"a set and its runner":          {deregister, func(*plan.Survey) {}, []string{"r"}, ""},
		"what is written down already":  {deregister, func(s *plan.Survey) { s.Records = []plan.Record{writtenDown("r")} }, nil, ""},
		"a runner that came up since":   {deregister, func(s *plan.Survey) { s.Records = []plan.Record{writtenDown("old")} }, []string{"r"}, ""},
		"another id than written down":  {deregister, func(s *plan.Survey) { r := writtenDown("r"); r.Set.Set.ID = "6"; s.Records = []plan.Record{r} }, []string{"r"}, ""},
		"a set that is not registered":  {deregister, func(s *plan.Survey) { clear(s.Sets) }, nil, ""},
		"a set without ARC's finalizer": {deregister, func(s *plan.Survey) { s.Custom[2].Finalizers = nil }, []string{"r"}, ""},
		"nothing asks for its removal":  {keep, func(*plan.Survey) {}, nil, ""},
		"a run that names no Secret":    {nowhere, func(*plan.Survey) {}, nil, ""},
		"a namespace that goes": {
			deregister, func(s *plan.Survey) { s.Terminating = map[string]plan.Terminating{"systems": {}} }, nil,
			"namespace systems is being deleted, so what is registered at GitHub is not written down",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := stuckSet()
			test.change(&s)
			p := plan.New(&s, test.options, plan.NewHistory())
			if !strings.Contains(strings.Join(p.Notes, "\n"), test.note) {
				t.Errorf("%q", p.Notes)
			}
			var got []string
			if len(p.ToRecord) == 1 && p.ToRecord[0].Set.Set == acme && p.ToRecord[0].Set.Object == s.Custom[2] {
				got = p.ToRecord[0].Runners
			}
			if diff := cmp.Diff(test.want, got); diff != "" || len(p.ToRecord) > 1 {
				t.Errorf("(-want +got):\n%s", diff)
			}
			first := p.Phases[0].Steps()
			if is := p.Phases[0].Name == plan.PhaseBackUp && first[len(first)-1].Action == plan.WriteDown; is != (test.want != nil) {
				t.Errorf("the plan begins with %v", p.Phases[0])
			}
		})
	}
}

// The name of the Secret contains the time, so it says nothing about what a person confirms.
func TestTheRecordsNameIsNotConfirmed(t *testing.T) {
	t.Parallel()
	digests := map[string]bool{}
	for _, name := range []string{"systems/one", "systems/two", "other/two"} {
		s, o := stuckSet(), recording(plantest.ByHand)
		o.Record = kubetest.Named(name)
		digests[plan.New(&s, o, plan.NewHistory()).Digest()] = true
	}
	if len(digests) != 2 {
		t.Errorf("%d digests, want one for each namespace", len(digests))
	}
}

// A nudge takes the id away, which only the record has then.
func TestANudgedSetIsWrittenDown(t *testing.T) {
	t.Parallel()
	s := stuckSet()
	s.Controllers = []plan.Controller{plantest.Ctrl("systems/arc", "", kubetest.By("systems/arc"))}
	o := recording(plantest.OfSet)
	o.Sets = []types.NamespacedName{{Namespace: "runners", Name: "set"}}
	h := plan.NewHistory()
	h.Stage = plan.Stuck
	p := plan.New(&s, o, h)
	if len(p.Steps(plan.PhaseNudge)) == 0 || len(p.ToRecord) != 1 || !cmp.Equal(p.ToRecord[0].Runners, []string{"r"}) {
		t.Errorf("%v, %v", p.Phases, p.ToRecord)
	}
}

// A record counts once nothing in the cluster has to do with it: what was installed again may use the registration.
func TestWhatARecordCountsFor(t *testing.T) {
	t.Parallel()
	deregister := recording(plantest.ByHand)
	keep := deregister
	keep.GitHub = plan.KeepRegistered
	rescue := recording(plan.Options{Scope: plan.ScopeNamespace, Namespace: "other"})
	living := kubetest.Object("ars runners/living")
	for name, test := range map[string]struct {
		options plan.Options
		survey  plan.Survey
		steps   int
	}{
		"nothing is there":             {deregister, plan.Survey{}, 1},
		"nothing asks for its removal": {keep, plan.Survey{}, 0},
		"another namespace is cleaned": {rescue, plan.Survey{}, 0},
		"the set is there":             {deregister, plan.Survey{Custom: []*object.Object{kubetest.Object("ars runners/set", kubetest.Deleting)}}, 0},
		"a runner of the set is there": {deregister, plan.Survey{Custom: []*object.Object{kubetest.Object("er runners/x", kubetest.Of("runners/set"))}}, 0},
		"another set has the id":       {deregister, plan.Survey{Sets: map[types.UID]plan.ScaleSetInfo{living.UID: {ID: "7", URL: acme.URL}}}, 0},
		"another set has another id":   {deregister, plan.Survey{Sets: map[types.UID]plan.ScaleSetInfo{living.UID: {ID: "8", URL: acme.URL}}}, 1},
		"a set elsewhere has the id":   {deregister, plan.Survey{Sets: map[types.UID]plan.ScaleSetInfo{living.UID: {ID: "7", URL: acme.URL + "2"}}}, 1},
		"another set has the id, in other letters": {
			deregister, plan.Survey{Sets: map[types.UID]plan.ScaleSetInfo{living.UID: {ID: "7", URL: strings.Replace(strings.ToUpper(acme.URL), "//", "//WWW.", 1) + "//"}}}, 0,
		},
		"another set is in the cluster": {deregister, plan.Survey{Custom: []*object.Object{kubetest.Object("ars runners/living", kubetest.Deleting)}}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := test.survey
			s.Records = []plan.Record{writtenDown("r"), writtenDown("r", "later")}
			p := plan.New(&s, test.options, plan.NewHistory())
			if got := len(p.Steps(plan.PhaseDeregister)); got != test.steps || len(p.OwnSteps()) > 0 {
				t.Errorf("%d steps: %v", got, p.Phases)
			}
			if over := p.Over(); over != (len(s.Custom) == 0) {
				t.Errorf("it is over: %t: %v", over, p.Phases)
			}
			if left := p.LeftAtGitHub; left != 0 != (test.options.GitHub == plan.KeepRegistered) {
				t.Errorf("%d are left at GitHub", left)
			}
			if test.steps > 0 {
				var names []string
				for _, reg := range plan.Registrations(&s, test.options) {
					if reg.Set == acme {
						names = append(names, kubetest.Ref(reg.Object))
					}
				}
				if diff := cmp.Diff([]string{"ars runners/set", "er runners/r", "er runners/later"}, names); diff != "" {
					t.Error(diff)
				}
				for _, f := range plan.Leftovers(p) {
					if f.Object.Name == "set" {
						t.Errorf("left: %v", f)
					}
				}
			}
		})
	}
}

func TestRecordsAreStored(t *testing.T) {
	t.Parallel()
	data, err := plan.PackRecords([]plan.Record{writtenDown("r", "s")})
	if err != nil {
		t.Fatal(err)
	}
	in := kubetest.Object("secret systems/one")
	got, err := plan.UnpackRecords(data, in)
	want := writtenDown("r", "s")
	want.In, want.Set.Object.Finalizers = in, nil
	if diff := cmp.Diff([]plan.Record{want}, got); diff != "" || err != nil {
		t.Errorf("error %v (-want +got):\n%s", err, diff)
	}
	const whole = `"uid": "u", "id": "7", "namespace": "ns", "object": "set"`
	for text, want := range map[string]string{
		"": "EOF", "x": "EOF", "{": "unexpected end", "{}": "cannot unmarshal",
		`[{}]`: "not a scale set", `[{` + strings.Replace(whole, `"ns"`, `"a/b"`, 1) + `}]`: "not a scale set",
		`[{` + strings.Replace(whole, `"set"`, `"\u001b"`, 1) + `}]`: "not a scale set", `[{` + strings.Replace(whole, `"7"`, `""`, 1) + `}]`: "not a scale set",
		`[{` + whole + `, "runners": ["\u001b[2J"]}]`:                               "not a runner",
		`[{` + whole + `, "runners": ["a"` + strings.Repeat(`,"a"`, 50_000) + `]}]`: "than 50000",
		`[{` + strings.Replace(whole, `"u"`, `""`, 1) + `}]`:                        "not a scale set", "[" + strings.Repeat(" ", 2<<20) + "]": "more than 2 MiB",
	} {
		data := gzip.Pack([]byte(text))
		if text == "" || text == "x" {
			data = []byte(text)
		}
		if _, err := plan.UnpackRecords(data, in); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.80s: %v, want %q", text, err, want)
		}
	}
	if got, err := plan.UnpackRecords(gzip.Pack([]byte("[{"+whole+"}]")), in); err != nil || len(got) != 1 {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := plan.PackRecords([]plan.Record{writtenDown(make([]string, 50_000)...)}); err == nil {
		t.Error("a record with too many names is written")
	}
	if _, err := plan.PackRecords([]plan.Record{writtenDown(strings.Repeat("x", 2<<20))}); err == nil {
		t.Error("a record that could not be read is written")
	}
}
