package deregister

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/arc-cleanup/arc-cleanup/internal/github"
	standin "github.com/arc-cleanup/arc-cleanup/test/cluster/github"
)

// faults are what the stand-in may do in place of its usual answer.
func faults() (names []string, of map[string]standin.Rule) {
	of = map[string]standin.Rule{}
	add := func(name string, rule standin.Rule) {
		names = append(names, name)
		of[name] = rule
	}
	now, late := map[string]string{"Retry-After": "0"}, map[string]string{"Retry-After": "3600"}
	for _, status := range []int{400, 401, 403, 404, 409, 422, 429, 500, 501, 502, 503, 504} {
		add(fmt.Sprint(status), standin.Rule{Status: status})
	}
	add("403, no requests left", standin.Rule{Status: 403, Header: map[string]string{"X-RateLimit-Remaining": "0"}})
	add("403, wait an hour", standin.Rule{Status: 403, Header: late})
	add("429, wait an hour", standin.Rule{Status: 429, Header: late})
	add("503, wait an hour", standin.Rule{Status: 503, Header: late})
	add("404, no such set", standin.Rule{Status: 404, Exception: standin.RunnerScaleSetNotFoundException})
	add("404, no such runner", standin.Rule{Status: 404, Exception: standin.AgentNotFoundException})
	add("404 in HTML", standin.Rule{Status: 404, Body: standin.HTMLBody})
	add("400, a job runs", standin.Rule{Status: 400, Exception: standin.JobStillRunningException})
	add("200 in HTML", standin.Rule{Status: 200, Body: standin.HTMLBody})
	add("200, null", standin.Rule{Status: 200, Body: standin.NullBody})
	add("200, {}", standin.Rule{Status: 200, Body: standin.EmptyBody})
	add("200, a list of nothing", standin.Rule{Status: 200, Body: standin.CountOnly})
	add("201, null", standin.Rule{Status: 201, Body: standin.NullBody})
	add("a redirection to nowhere", standin.Rule{Status: 302})
	add("a reset", standin.Rule{Fault: standin.ResetConnection})
	add("a lost answer", standin.Rule{Fault: standin.LoseAnswer})
	add("half a body", standin.Rule{Fault: standin.CutBody})
	add("an endless body", standin.Rule{Fault: standin.EndlessBody})
	add("an endless error", standin.Rule{Fault: standin.EndlessBody, Status: 400})
	add("once 401", standin.Rule{Status: 401, Times: 1})
	add("once 403", standin.Rule{Status: 403, Times: 1})
	add("once 429", standin.Rule{Status: 429, Header: now, Times: 1})
	add("once 500", standin.Rule{Status: 500, Times: 1})
	add("twice 503", standin.Rule{Status: 503, Header: now, Times: 2})
	add("once a reset", standin.Rule{Fault: standin.ResetConnection, Times: 1})
	add("once a lost answer", standin.Rule{Fault: standin.LoseAnswer, Times: 1})
	return names, of
}

// TestOutcomes compares what becomes of a set of two runners, for every kind of request and everything that can go wrong
// with it, with testdata/outcomes.txt. Whatever it is, nothing that is left is called removed, the set never goes before
// its runners, and a second run removes the rest.
func TestOutcomes(t *testing.T) {
	t.Parallel()
	names, rules := faults()
	var lines []*string
	var g errgroup.Group
	g.SetLimit(8)
	for _, kind := range []standin.Request{
		standin.AppAccessToken, standin.RegistrationToken, standin.RunnerRegistration, standin.GetScaleSet, standin.FindRunner,
		standin.DeleteRunner, standin.CreateSession, standin.DeleteSession, standin.DeleteScaleSet,
	} {
		title := "# " + string(kind)
		lines = append(lines, &title)
		for _, name := range names {
			line := new(string)
			lines = append(lines, line)
			g.Go(func() error {
				s, set := registered(t)
				a := access(t, s.ConfigURL())
				if kind == standin.AppAccessToken {
					s.RequireApp(theApp())
					a.Credentials = withApp(t, theApp())
				}
				rule := rules[name]
				rule.Request = kind
				s.Fail(rule)
				results := client(t, a).Deregister(t.Context(), set, false)
				*line = outcome(name, results, s)
				noSecrets(t, s, *line, results, a, github.Own{Credentials: a.Credentials})
				// What the stand-in claims to be gone is not.
				if !strings.HasPrefix(name, "404, no such") {
					truth(t, string(kind)+": "+name, s, set, results)
				}

				s.Mend()
				if err := s.ReleaseSession("set"); err != nil && len(s.ScaleSets()) > 0 { // one whose end failed
					return err
				}
				results = client(t, a).Deregister(t.Context(), set, false)
				if again := outcome("", results, s); !s.Deregistered() || strings.Contains(again, string(github.Kept)) {
					t.Errorf("%s: %s: after it was mended: %s", kind, name, again)
				}
				return nil
			})
		}
	}
	must(t, g.Wait())
	var text strings.Builder
	for _, line := range lines {
		text.WriteString(*line + "\n")
	}
	golden(t, "outcomes.txt", text.String())
}

// TestFindOutcomes compares what Find says of a set, for everything that can go wrong, with testdata/find.txt. It never
// says that there is none: the set is there.
func TestFindOutcomes(t *testing.T) {
	t.Parallel()
	names, rules := faults()
	var text strings.Builder
	for _, kind := range []standin.Request{standin.GetGroup, standin.FindScaleSet} {
		text.WriteString("# " + string(kind) + "\n")
		for _, name := range names {
			s, set := registered(t)
			rule := rules[name]
			rule.Request = kind
			s.Fail(rule)
			id, err := client(t, access(t, s.ConfigURL())).Find(t.Context(), "set", "builders")
			line := "found"
			switch {
			case err != nil:
				line, _, _ = strings.Cut(err.Error(), "; an organisation needs")
				noSecrets(t, s, err.Error())
			case id != set.ID:
				t.Errorf("%s: %s: it found %d", kind, name, id)
			}
			fmt.Fprintf(&text, "%-25s %s\n", name+":", line)
		}
	}
	golden(t, "find.txt", text.String())
}

// TestDryRunWrites: nothing that can go wrong makes a dry run write.
func TestDryRunWrites(t *testing.T) {
	t.Parallel()
	names, rules := faults()
	for _, kind := range []standin.Request{standin.RegistrationToken, standin.RunnerRegistration, standin.GetScaleSet, standin.FindRunner} {
		for _, name := range names {
			s, set := registered(t)
			rule := rules[name]
			rule.Request = kind
			s.Fail(rule)
			results := client(t, access(t, s.ConfigURL())).Deregister(t.Context(), set, true)
			if got := writes(s); len(got) > 0 || len(s.ScaleSets()) == 0 || len(s.Runners()) < 2 {
				t.Errorf("%s: %s: it wrote %q: %+v", kind, name, got, results)
			}
		}
	}
}

// outcome is one line about a set and its runners.
func outcome(name string, results github.Results, s *standin.StandIn) string {
	line := fmt.Sprintf("%-25s %s", name+":", results.Set.Outcome)
	for _, r := range results.Runners {
		line += "; " + string(r.Outcome)
	}
	if results.Down {
		line += ", down"
	}
	if n := len(s.CallsOf(standin.DeleteScaleSet)); n > 1 {
		line += fmt.Sprintf(", %d tries to remove the set", n)
	}
	if results.Set.Why != "" {
		why, _, _ := strings.Cut(results.Set.Why, "; an organisation needs")
		line += ": " + why
	}
	return line
}

// truth checks that what is called removed is, and that nothing was done that must not be.
func truth(t *testing.T, name string, s *standin.StandIn, set github.Set, results github.Results) {
	t.Helper()
	done := func(r github.Result) bool { return r.Outcome == github.Removed || r.Outcome == github.Gone }
	if done(results.Set) && len(s.ScaleSets()) > 0 {
		t.Errorf("%s: the set is %s, and still there", name, results.Set.Outcome)
	}
	if len(s.ScaleSets()) == 0 && len(s.Runners()) > 0 {
		t.Errorf("%s: the set went before its runners", name)
	}
	for i, runner := range set.Runners {
		if done(results.Runners[i]) && slices.Contains(s.Runners(), runner) {
			t.Errorf("%s: the runner %s is %s, and still there", name, runner, results.Runners[i].Outcome)
		}
	}
	if n := len(s.Calls()); n > 40 {
		t.Errorf("%s: %d requests", name, n)
	}
}

// golden compares a text with a file in testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		must(t, os.MkdirAll("testdata", 0o755))
		must(t, os.WriteFile(file, []byte(got), 0o644))
	}
	want, err := os.ReadFile(file)
	must(t, err)
	was, is := strings.Split(string(want), "\n"), strings.Split(got, "\n")
	for i := range max(len(was), len(is)) {
		if i >= len(was) || i >= len(is) || was[i] != is[i] {
			t.Fatalf("%s differs in line %d (-update writes it anew):\nis   %s\nwant %s", name, i+1, strings.Join(is[i:min(i+1, len(is))], ""), strings.Join(was[i:min(i+1, len(was))], ""))
		}
	}
}
