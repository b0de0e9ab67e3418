package cleanup

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/rs/zerolog"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/github"
	"github.com/arc-cleanup/arc-cleanup/internal/kube/kubetest"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
	"github.com/arc-cleanup/arc-cleanup/internal/plan/plantest"
	"github.com/arc-cleanup/arc-cleanup/internal/survey"
)

// recording are the options of a run by hand that de-registers, and that writes down what is registered.
func recording(o plan.Options) plan.Options {
	o = graced(withGitHub(plantest.Kept(o)), ample)
	o.Record = kubetest.Named("systems/registered")
	return o
}

// registeredAtGitHub is a scale set with a runner that no controller looks after. Its server accepts no credentials.
func registeredAtGitHub(t *testing.T) []kubetest.Item {
	t.Helper()
	denies := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) }))
	t.Cleanup(denies.Close)
	runner := kubetest.Object("er runners/r", kubetest.Of("runners/set"), kubetest.Owned("ars runners/set"),
		kubetest.Finalizers(arc.EphemeralRunnerFinalizer, arc.RunnerRegistrationFinalizer), kubetest.Deleting)
	items := kubetest.Whole(append(kubetest.CRDs(), kubetest.Object("ars runners/set", kubetest.Deleting), runner)...)
	set := &items[len(items)-2]
	set.Annotations[arc.AnnotationRunnerScaleSetID] = "7"
	set.Rest = map[string]any{
		"apiVersion": "actions.github.com/v1alpha1", "kind": "AutoscalingRunnerSet",
		"spec": map[string]any{"githubConfigUrl": denies.URL + "/acme", "githubConfigSecret": "token", "runnerScaleSetName": "set"},
	}
	return append(items, kubetest.Stored(map[string]any{
		"apiVersion": "v1", "kind": "Secret", "metadata": map[string]any{"name": "token", "namespace": "runners"},
		"data": map[string]any{"github_token": "dG9rZW4="},
	})...)
}

// killedAfter is a cluster in which a run was killed after n writes: the API server took no more of them.
func killedAfter(t *testing.T, o plan.Options, n int32) (a *kubetest.Server, second func(Person) *Report, killed bool) {
	t.Helper()
	a, c := kubetest.New(t, registeredAtGitHub(t)...)
	var writes, refused atomic.Int32
	a.Fault = func(request string) int {
		verb, _, _ := strings.Cut(request, " ")
		if !slices.Contains([]string{http.MethodPost, http.MethodPatch, http.MethodDelete}, verb) || strings.Contains(request, "accessreviews") {
			return 0
		}
		if writes.Add(1) <= n {
			return 0
		}
		refused.Add(1)
		return http.StatusForbidden
	}
	Run(t.Context(), c, o, quiet, Person{})
	a.Fault = nil
	return a, func(person Person) *Report { return Run(t.Context(), c, o, quiet, person) }, refused.Load() > 0
}

// A run that is killed at any write leaves a cluster in which the next one names everything that is registered at GitHub.
func TestTheNextRunKnowsWhatAKilledOneFreed(t *testing.T) {
	t.Parallel()
	rescue := plan.Options{Scope: plan.ScopeNamespace, Namespace: "runners"}
	for name, o := range map[string]plan.Options{"the cluster": recording(plantest.ByHand), "without a backup": recording(plantest.ByHand), "a namespace": recording(rescue)} {
		if name == "without a backup" {
			o.Backup.Name = ""
		}
		for n := int32(0); ; n++ {
			a, second, killed := killedAfter(t, o, n)
			if name == "a namespace" {
				a.Put(kubetest.Whole(kubetest.Object("ns runners", kubetest.Deleting))[0])
				a.Take("ns runners")
			}
			r := second(Person{})
			var names []string
			for _, reg := range r.Registered {
				if reg.Stays() {
					names = append(names, fmt.Sprintf("%s %s", reg.Object.Name, reg.Set.ID))
				}
			}
			slices.Sort(names)
			if want := []string{"r 7", "set 7"}; r.Verdict != plan.Residue || !slices.Equal(names, want) {
				t.Errorf("%s: killed after %d writes: %s, %q\n%s\n%q", name, n, r.Verdict, names, r.Text(10), a.Writes)
			}
			if !killed {
				if n < 3 {
					t.Errorf("%s: it was killed %d times", name, n)
				}
				break
			}
			if n > 50 {
				t.Fatal("it never ends")
			}
		}
	}
}

// recordIn is a Secret with a record, as an earlier run has written it.
func recordIn(t *testing.T, name string, records ...plan.Record) kubetest.Item {
	t.Helper()
	a, c := kubetest.New(t)
	if _, err := writeDown(t.Context(), c, kubetest.Named("systems/"+name), records); err != nil {
		t.Fatal(err)
	}
	return *a.Objects["secret systems/"+name]
}

func recordOf(name, id string, runners ...string) plan.Record {
	set := kubetest.Object("ars runners/" + name)
	return plan.Record{Set: plan.Registration{Object: set, Set: plan.ScaleSetInfo{ID: id, Name: name, URL: "https://github.com/acme"}}, Runners: runners}
}

// Without credentials of the person, what a record names is not asked for: the report has the command. A hook warns.
func TestARecordIsNoReasonToUseCredentials(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		job, github string
		verdict     plan.Verdict
		named       bool
	}{
		"by hand":                  {"", string(plan.Deregister), plan.Residue, true},
		"not asked":                {"", string(plan.KeepRegistered), plan.Done, true},
		"a hook":                   {"arc-arc-cleanup", string(plan.Deregister), plan.Done, true},
		"a hook that is not asked": {"arc-arc-cleanup", string(plan.KeepRegistered), plan.Done, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := recording(plantest.ByHand)
			if test.job != "" {
				o = recording(plantest.AsHook)
			}
			o.GitHub = plan.GitHubPolicy(test.github)
			// The Secret that the record names is there, and is not read.
			token := registeredAtGitHub(t)[len(kubetest.CRDs())+2:]
			a, c := kubetest.New(t, append(token, recordIn(t, "one", recordOf("set", "7", "r")),
				kubetest.Record("systems", "systems", "arc", "uninstalling", kubetest.ArcManifest))...)
			r := Run(t.Context(), c, o, quiet, Person{})
			text := r.Text(10)
			const command = "arc-cleanup deregister --url https://github.com/acme --scale-set set --runner r"
			if named := strings.Contains(text, command) && strings.Contains(text, "still registered at GitHub: scale set set (id 7)"); r.Verdict != test.verdict || named != test.named {
				t.Errorf("%s\n%s", r.Verdict, text)
			}
			if a.Objects["secret systems/one"] == nil {
				t.Error("the record is gone")
			}
			if slices.Contains(a.Reads, "GET secret runners/token") {
				t.Error("it read a Secret that a record names")
			}
			if forget := strings.Contains(text, "kubectl delete secret one --namespace systems"); forget != (test.github == string(plan.Deregister)) {
				t.Errorf("it says how to forget it: %t\n%s", forget, text)
			}
		})
	}
}

// A run by another person may look elsewhere: what any tenant can have made is named and not read.
func TestARecordInAnotherNamespaceIsNamed(t *testing.T) {
	t.Parallel()
	_, c := kubetest.New(t, recordIn(t, "one", recordOf("set", "7")))
	o := recording(plantest.ByHand)
	o.Record.Namespace = "elsewhere"
	r := Run(t.Context(), c, o, quiet, Person{})
	if text := r.Text(10); r.Verdict != plan.Done || len(r.Registered) > 0 || !strings.Contains(text, "also there: the Secret one in namespace systems, in which a run wrote down") ||
		!strings.Contains(text, "kubectl config set-context --current --namespace systems") || !strings.HasPrefix(r.Summary(), "done; also there") {
		t.Error(text)
	}
}

// A record is taken away once nothing of it is registered, whatever other records say.
func TestWhenARecordIsTakenAway(t *testing.T) {
	t.Parallel()
	a, c := kubetest.New(t, recordIn(t, "gone", recordOf("set", "7", "r")), recordIn(t, "half", recordOf("set", "7", "other")),
		recordIn(t, "stays", recordOf("stays", "8")), recordIn(t, "in-use", recordOf("living", "9")),
		kubetest.Whole(kubetest.Object("secret systems/theirs"))[0])
	r := deregistering(t, recording(plantest.ByHand))
	r.client = c
	for i := range r.report.Registered {
		r.report.Registered[i].Outcome = github.Removed
	}
	s := &plan.Survey{}
	for _, name := range []string{"gone", "half", "stays", "in-use"} {
		in := &object.Object{Resource: object.Secrets, Namespace: "systems", Name: name, UID: a.Objects["secret systems/"+name].UID}
		of := map[string]plan.Record{
			"gone": recordOf("set", "7", "r"), "half": recordOf("set", "7", "other"),
			"stays": recordOf("stays", "8"), "in-use": recordOf("living", "9"),
		}[name]
		of.In = in
		s.Records = append(s.Records, of)
	}
	r.noteRecorded(s.Records[1:3])
	r.takeAway(t.Context(), s)
	want := []string{"secret systems/half", "secret systems/in-use", "secret systems/stays", "secret systems/theirs"}
	if left := a.Left(); !slices.Equal(left, want) || len(r.report.Records) != 3 {
		t.Errorf("left: %q, %v", left, r.report.Records)
	}
}

// A record that somebody's finalizer holds is not called deleted.
func TestARecordThatAFinalizerHolds(t *testing.T) {
	t.Parallel()
	held := recordIn(t, "held", recordOf("set", "7", "r"))
	held.Finalizers = []string{"example.com/hold"}
	a, c := kubetest.New(t, held)
	var log bytes.Buffer
	o := recording(plantest.ByHand)
	r := deregistering(t, o)
	r.client, r.log = c, zerolog.New(&log)
	for i := range r.report.Registered {
		r.report.Registered[i].Outcome = github.Removed
	}
	r.takeAway(t.Context(), survey.Read(t.Context(), c, o))
	if len(r.report.Done) > 0 || !slices.Equal(a.Left(), []string{"secret systems/held"}) || !strings.Contains(log.String(), "held by example.com/hold") {
		t.Errorf("done %v, left %q, log %s", r.report.Done, a.Left(), log.String())
	}
}

// A person's credentials go to what a record names only if they are for that place.
func TestWhichCredentialsARecordGets(t *testing.T) {
	t.Parallel()
	for place, want := range map[string]error{"https://github.com/acme": nil, "https://github.com/other": errRecorded} {
		r := deregistering(t, recording(plantest.ByHand))
		r.person.GitHub = &github.Own{URL: configURL(t, place)}
		record := recordOf("freed", "9")
		record.Set.Object.UID = "freed"
		r.noteRecorded([]plan.Record{record, recordOf("set", "7", "r")})
		if len(r.report.Registered) != 4 { // what this run has freed itself is noted already
			t.Errorf("%v", r.report.Registered)
		}
		if a := r.report.Registered[3].recorded; a == nil || a.err != want || a.what != record.Set.Planned() { //nolint:errorlint // exactly this one
			t.Errorf("%s: %+v", place, a)
		}
	}
}

// GitHub must not keep a hook from the cluster: neither a record that it cannot write, nor one that it cannot read.
func TestAHookNeedsNoRecord(t *testing.T) {
	t.Parallel()
	hook := recording(plantest.AsHook)
	hook.Backup.Name = ""
	hook.Record.Namespace = "elsewhere" // Helm's record has to be read
	for name, request := range map[string]string{"written": "POST secret elsewhere", "read": "LIST secret elsewhere"} {
		a, c := kubetest.New(t, append(registeredAtGitHub(t), kubetest.Record("systems", "systems", "arc", "uninstalling", kubetest.ArcManifest))...)
		a.Fault = func(r string) int {
			if r == request {
				return http.StatusForbidden
			}
			return 0
		}
		var log bytes.Buffer
		r := Run(t.Context(), c, hook, zerolog.New(&log).Level(zerolog.WarnLevel), Person{})
		if r.Verdict != plan.Done || !strings.Contains(log.String(), "at GitHub") && !strings.Contains(log.String(), "of GitHub") {
			t.Errorf("%s: %s\n%s\n%s", name, r.Verdict, r.Text(10), log.String())
		}
		if len(r.Registered) != 2 {
			t.Errorf("%s: %v", name, r.Registered)
		}
	}
}

// By hand nothing is freed before it is written down. Whoever may write Secrets there keeps no run from its work; but what it could
// not read may name more, so that the run does not say that nothing is left.
func TestARunByHandAndItsRecord(t *testing.T) {
	t.Parallel()
	a, c := kubetest.New(t, registeredAtGitHub(t)...)
	a.Fault = kubetest.On(http.StatusForbidden, kubetest.Always, "POST secret systems")
	o := recording(plantest.ByHand)
	o.Backup.Name = ""
	if r := Run(t.Context(), c, o, quiet, Person{}); r.Verdict != plan.NotPermitted || len(a.Written()) > 0 {
		t.Errorf("%s, wrote %q", r.Text(10), a.Written())
	}
	forged := kubetest.Whole(kubetest.Object("secret systems/forged"))[0]
	forged.Labels["app.kubernetes.io/name"], forged.Labels["app.kubernetes.io/component"] = "arc-cleanup", "registered"
	_, c = kubetest.New(t, forged)
	r := Run(t.Context(), c, o, quiet, Person{})
	text := r.Text(10)
	if r.Verdict != plan.Residue || !strings.Contains(text, "kept forged: it says that it names what is registered at GitHub, and was not read") ||
		!strings.Contains(text, "kubectl delete secret forged --namespace systems") || !strings.Contains(text, "residue: nothing is left in the cluster, but at GitHub: ") {
		t.Error(text)
	}
	o.GitHub = plan.KeepRegistered
	if r := Run(t.Context(), c, o, quiet, Person{}); r.Verdict != plan.Done {
		t.Errorf("a run that leaves GitHub alone: %s", r.Text(10))
	}
}

// A run that is stopped when nothing is left in the cluster names what earlier runs have written down.
func TestAStoppedRunNamesWhatIsRecorded(t *testing.T) {
	t.Parallel()
	_, c := kubetest.New(t, recordIn(t, "one", recordOf("set", "7", "r")))
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(ErrInterrupted)
	r := Run(ctx, c, recording(plantest.ByHand), quiet, Person{})
	if r.Verdict != plan.Residue || len(r.Registered) != 2 || !strings.Contains(r.Text(10), "still registered at GitHub: scale set set (id 7)") {
		t.Errorf("%s\n%s", r.Verdict, r.Text(10))
	}
}

// A plan refuses by hand where the run could not write anything down. A hook goes on.
func TestWhereNothingCanBeWrittenDown(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]plan.Options{"by hand": recording(plantest.ByHand), "in a hook": recording(plantest.AsHook)} {
		o.Backup.Name = ""
		a, c := kubetest.New(t, append(registeredAtGitHub(t), kubetest.Record("systems", "systems", "arc", "uninstalling", kubetest.ArcManifest))...)
		a.Fault = kubetest.On(http.StatusNotFound, kubetest.Always, "DRY POST secret systems")
		p := Preview(t.Context(), c, o, nil)
		refused := len(p.Refusals) == 1 && strings.HasPrefix(p.Refusals[0].Message, "what is registered at GitHub cannot be written down, since there is no namespace systems")
		if refused != (o.Job == "") || !refused && len(p.Refusals) > 0 {
			t.Errorf("%s: %v", name, p.Refusals)
		}
	}
}

// Whoever may write a record chooses the UID, the name and the URL in it. It changes nothing of a scale set that the run frees itself.
func TestARecordOfAnotherScaleSetWithTheSameName(t *testing.T) {
	t.Parallel()
	elsewhere := recordOf("set", "7", "r")
	elsewhere.Set.Set.URL = "https://github.com/other"
	otherID := recordOf("set", "8", "r")
	for name, record := range map[string]plan.Record{"another organisation, the same id": elsewhere, "another id": otherID} {
		r := deregistering(t, recording(plantest.ByHand))
		r.report.Registered = r.report.Registered[:2]
		record.In = kubetest.Object("secret systems/one")
		r.noteRecorded([]plan.Record{record})
		jobs := r.deregistrations(&plan.Survey{})["runners"]
		if len(jobs) != 1 || jobs[0].set != 0 || !slices.Equal(jobs[0].runners, []int{1}) {
			t.Errorf("%s: the run removes %+v of %v", name, jobs, r.report.Registered)
		}
		if len(r.report.Registered) != 4 || r.report.Registered[1].Outcome != "" || r.report.Registered[2].Why != errRecorded.Error() || r.report.Registered[3].Why != errRecorded.Error() {
			t.Errorf("%s: %+v", name, r.report.Registered)
		}
		for _, i := range []int{0, 1} {
			r.report.Registered[i].Outcome = github.Removed
		}
		r.takeAway(t.Context(), &plan.Survey{Records: []plan.Record{record}})
		if len(r.report.Records) != 1 {
			t.Errorf("%s: the record is taken away", name)
		}
	}
}

// Many records hold no more of a run's memory than one may.
func TestManyRecordsHaveOneLimit(t *testing.T) {
	t.Parallel()
	runners := make([]string, 30_000)
	for i := range runners {
		runners[i] = fmt.Sprintf("r%d", i)
	}
	_, c := kubetest.New(t, recordIn(t, "one", recordOf("set", "7", runners...)), recordIn(t, "two", recordOf("set", "8", runners...)))
	o := recording(plantest.ByHand)
	o.GitHub = plan.KeepRegistered
	r := Run(t.Context(), c, o, quiet, Person{})
	if text := r.Text(10); len(r.Registered) != 30_001 || !strings.Contains(text, "kept two: ") || !strings.Contains(text, "a run reads no more names of scale sets and runners than 50000") {
		t.Errorf("%d\n%s", len(r.Registered), text)
	}
}

// A run that was killed has freed a runner and written it down. The next one frees the scale set, and removes both at GitHub.
func TestARecordedRunnerOfASetThatThisRunFrees(t *testing.T) {
	t.Parallel()
	r := deregistering(t, recording(plantest.ByHand))
	r.report.Registered = r.report.Registered[:2]
	record := recordOf("set", "7", "freed-before")
	record.Set.Set = r.report.Registered[0].Set
	record.In = kubetest.Object("secret systems/one")
	r.noteRecorded([]plan.Record{record})
	if len(r.report.Registered) != 3 {
		t.Fatalf("%v", r.report.Registered)
	}
	if jobs := r.deregistrations(&plan.Survey{})["runners"]; len(jobs) != 1 || len(jobs[0].runners) != 2 {
		t.Errorf("the run removes %+v", jobs)
	}
}
