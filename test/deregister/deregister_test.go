package deregister

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/arc-cleanup/arc-cleanup/internal/github"
	standin "github.com/arc-cleanup/arc-cleanup/test/cluster/github"
)

func TestDeregister(t *testing.T) {
	t.Parallel()
	s, set := registered(t)
	expect(t, s, deregister(t, s, set), "removed; removed; removed", []string{}, []string{})
	want := []standin.Request{
		standin.RegistrationToken, standin.RunnerRegistration, standin.GetScaleSet, standin.CreateSession, standin.DeleteSession,
		standin.FindRunner, standin.DeleteRunner, standin.FindRunner, standin.DeleteRunner,
		standin.GetScaleSet, standin.CreateSession, standin.DeleteSession, standin.DeleteScaleSet,
	}
	if got := kinds(s); !slices.Equal(got, want) {
		t.Errorf("it asked for %q, want %q", got, want)
	}

	before := len(writes(s))
	expect(t, s, deregister(t, s, set), "already-gone; already-gone; already-gone", []string{}, []string{})
	if got := writes(s)[before:]; len(got) > 0 {
		t.Errorf("what is gone needs no %q", got)
	}
}

func TestDryRun(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change func(*testing.T, *standin.StandIn, *github.Set)
		want   string
	}{
		"all of it": {func(*testing.T, *standin.StandIn, *github.Set) {}, "would-remove; would-remove; would-remove"},
		"another's runner": {func(t *testing.T, s *standin.StandIn, _ *github.Set) {
			must(t, s.AddScaleSetRunner("set", "other", false))
		}, "refused; would-remove; would-remove"},
		"a busy runner": {func(t *testing.T, s *standin.StandIn, _ *github.Set) {
			must(t, s.AddScaleSetRunner("set", "other", true))
		}, "refused; would-remove; would-remove"},
		"another name":        {func(_ *testing.T, _ *standin.StandIn, set *github.Set) { set.Name = "other" }, "refused; refused; refused"},
		"a runner that ended": {func(_ *testing.T, s *standin.StandIn, _ *github.Set) { s.EndJob("one") }, "would-remove; already-gone; would-remove"},
		"a set that is gone":  {func(_ *testing.T, _ *standin.StandIn, set *github.Set) { set.ID = 77 }, "already-gone; refused; refused"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, set := registered(t)
			test.change(t, s, &set)
			runners := s.Runners()
			results := client(t, access(t, s.ConfigURL())).Deregister(t.Context(), set, true)
			expect(t, s, results, test.want, []string{"set"}, runners)
			if got := writes(s); len(got) > 0 {
				t.Errorf("it wrote: %q", got)
			}
		})
	}
}

// TestGuards: what must not be removed, and what of it may.
func TestGuards(t *testing.T) {
	t.Parallel()
	statistics := func(of standin.Statistics) func(*testing.T, *standin.StandIn, *github.Set) {
		return func(t *testing.T, s *standin.StandIn, _ *github.Set) { must(t, s.SetStatistics("set", &of)) }
	}
	for name, test := range map[string]struct {
		change        func(*testing.T, *standin.StandIn, *github.Set)
		want, because string
		sets, runners []string
	}{
		"another name": {
			func(_ *testing.T, _ *standin.StandIn, set *github.Set) { set.Name = "old" },
			"refused; refused; refused", "another name",
			[]string{"set"},
			[]string{"one", "two"},
		},
		"another group": {
			func(_ *testing.T, _ *standin.StandIn, set *github.Set) { set.Group = "testers" },
			"refused; refused; refused", "another runner group",
			[]string{"set"},
			[]string{"one", "two"},
		},
		"the default group": {
			func(_ *testing.T, _ *standin.StandIn, set *github.Set) { set.Group = "" },
			"refused; refused; refused", "another runner group",
			[]string{"set"},
			[]string{"one", "two"},
		},
		"an id that is another set's": {
			func(_ *testing.T, s *standin.StandIn, set *github.Set) { set.ID = s.AddScaleSet("other", "builders") },
			"refused; refused; refused", "another name",
			[]string{"other", "set"},
			[]string{"one", "two"},
		},
		"an id that is gone": { // its runners belong to another set
			func(_ *testing.T, _ *standin.StandIn, set *github.Set) { set.ID = 77 },
			"already-gone; refused; refused", "",
			[]string{"set"},
			[]string{"one", "two"},
		},
		"a set that is gone": { // and its runners are not
			func(t *testing.T, s *standin.StandIn, _ *github.Set) { removeByHand(t, s, "runtime/runnerscalesets/1") },
			"already-gone; removed; removed", "",
			[]string{},
			[]string{},
		},
		"a runner that is gone": {
			func(_ *testing.T, s *standin.StandIn, _ *github.Set) { s.EndJob("one") },
			"removed; already-gone; removed", "",
			[]string{},
			[]string{},
		},
		"a runner that is busy": {
			func(t *testing.T, s *standin.StandIn, set *github.Set) {
				set.Runners = []string{"one", "busy", "two"}
				must(t, s.AddScaleSetRunner("set", "busy", true))
			},
			"kept; removed; refused; removed", "its runner busy was not removed: GitHub says that a job",
			[]string{"set"},
			[]string{"busy"},
		},
		"a name that another set's runner has": {
			func(t *testing.T, s *standin.StandIn, set *github.Set) {
				set.Runners = []string{"one", "namesake", "two"}
				s.AddScaleSet("other", "builders")
				must(t, s.AddScaleSetRunner("other", "namesake", false))
			},
			"kept; removed; refused; removed", "its runner namesake was not removed",
			[]string{"other", "set"},
			[]string{"namesake"},
		},
		"a name that a runner without a set has": {
			func(_ *testing.T, s *standin.StandIn, set *github.Set) {
				set.Runners = []string{"legacy"}
				s.AddRunner("legacy", false)
			},
			"kept; refused", "its runner legacy",
			[]string{"set"},
			[]string{"legacy", "one", "two"},
		},
		"another cluster's runner": {
			func(t *testing.T, s *standin.StandIn, _ *github.Set) {
				must(t, s.AddScaleSetRunner("set", "other", false))
			},
			"refused; removed; removed", "GitHub has 1 other runner of it",
			[]string{"set"},
			[]string{"other"},
		},
		"another cluster's job": {
			func(t *testing.T, s *standin.StandIn, _ *github.Set) {
				must(t, s.AddScaleSetRunner("set", "other", true))
			},
			"refused; removed; removed", "it has jobs (1 assigned, 1 running, 1 busy",
			[]string{"set"},
			[]string{"other"},
		},
		"a job without a runner": {
			statistics(standin.Statistics{TotalAssignedJobs: 3}),
			"refused; removed; removed", "3 assigned",
			[]string{"set"},
			[]string{},
		},
		"jobs that run":        {statistics(standin.Statistics{TotalRunningJobs: 1}), "refused; removed; removed", "1 running", []string{"set"}, []string{}},
		"runners that work":    {statistics(standin.Statistics{TotalBusyRunners: 1}), "refused; removed; removed", "1 busy", []string{"set"}, []string{}},
		"runners that remain":  {statistics(standin.Statistics{TotalRegisteredRunners: 2}), "refused; removed; removed", "2 other runners", []string{"set"}, []string{}},
		"jobs for which it is": {statistics(standin.Statistics{TotalAvailableJobs: 9}), "removed; removed; removed", "", []string{}, []string{}},
		"no statistics": {
			func(_ *testing.T, s *standin.StandIn, _ *github.Set) {
				s.Fail(standin.Rule{Request: standin.GetScaleSet, Status: 200, Body: `{"id":1,"name":"set","runnerGroupName":"builders"}`})
			},
			"refused; removed; removed", "does not say how many runners",
			[]string{"set"},
			[]string{},
		},
		"a listener": {
			func(t *testing.T, s *standin.StandIn, _ *github.Set) { must(t, s.HoldSession("set")) },
			"refused; refused; refused", "a listener is connected",
			[]string{"set"},
			[]string{"one", "two"},
		},
		"a set that runs a job": {
			func(_ *testing.T, s *standin.StandIn, _ *github.Set) {
				s.Fail(standin.Rule{Request: standin.DeleteScaleSet, Status: 400, Exception: standin.JobStillRunningException})
			},
			"refused; removed; removed", "a job is still running",
			[]string{"set"},
			[]string{},
		},
		"jobs everywhere": {
			func(_ *testing.T, s *standin.StandIn, _ *github.Set) { s.SetMode(standin.JobStillRunning) },
			"kept; refused; refused", "its runner one was not removed",
			[]string{"set"},
			[]string{"one", "two"},
		},
		"a runner without an id": {
			func(_ *testing.T, s *standin.StandIn, set *github.Set) {
				body := fmt.Sprintf(`{"count":1,"value":[{"name":"one","runnerScaleSetId":%d}]}`, set.ID)
				s.Fail(standin.Rule{Request: standin.FindRunner, Status: 200, Body: body, Times: 1})
			},
			"kept; kept; removed", "its runner one was not removed: GitHub's answer is not one",
			[]string{"set"},
			[]string{"one"},
		},
		"a session without an id": {
			func(_ *testing.T, s *standin.StandIn, _ *github.Set) {
				s.Fail(standin.Rule{Request: standin.CreateSession, Status: 200, Body: standin.EmptyBody})
			},
			"kept; kept; kept", "not one that arc-cleanup understands",
			[]string{"set"},
			[]string{"one", "two"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, set := registered(t)
			test.change(t, s, &set)
			results := deregister(t, s, set)
			expect(t, s, results, test.want, test.sets, test.runners)
			why(t, results.Set, test.because)
			if results.Down {
				t.Error("GitHub is down")
			}
			if slices.Contains(test.sets, "set") && len(s.CallsOf(standin.DeleteScaleSet)) > 0 && name != "a set that runs a job" {
				t.Error("it tried to remove the set")
			}
		})
	}
}

func removeByHand(t *testing.T, s *standin.StandIn, path string) {
	t.Helper()
	s.RequireToken("")
	defer s.RequireToken(plantedToken)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodDelete, s.URL()+"/tenant/123/_apis/"+path, http.NoBody)
	must(t, err)
	answer, err := http.DefaultClient.Do(r)
	must(t, err)
	answer.Body.Close()
	if answer.StatusCode != http.StatusNoContent {
		t.Fatalf("removing %s: %s", path, answer.Status)
	}
}

// between is a server in front of a stand-in. It calls a function for each request that the stand-in has answered.
func between(t *testing.T, s *standin.StandIn, then func(*http.Request)) string {
	t.Helper()
	to, err := url.Parse(s.URL())
	must(t, err)
	var one sync.Mutex
	front := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to); r.Out.Host = r.In.Host },
		ModifyResponse: func(r *http.Response) error {
			one.Lock()
			defer one.Unlock()
			then(r.Request)
			return nil
		},
	})
	t.Cleanup(front.Close)
	return front.URL + "/acme"
}

// TestTakeOver: another cluster takes the set over in the middle of its removal.
func TestTakeOver(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		after func(*http.Request) bool
		take  func(*testing.T, *standin.StandIn)
		want  string
		left  []string
	}{
		"a runner comes after the last one went": {
			func(r *http.Request) bool {
				return r.Method == http.MethodDelete && strings.HasSuffix(r.URL.Path, "/agents/3")
			},
			func(t *testing.T, s *standin.StandIn) { must(t, s.AddScaleSetRunner("set", "other", false)) },
			"GitHub has 1 other runner of it",
			[]string{"other"},
		},
		"a job comes after the last runner went": {
			func(r *http.Request) bool {
				return r.Method == http.MethodDelete && strings.HasSuffix(r.URL.Path, "/agents/3")
			},
			func(t *testing.T, s *standin.StandIn) {
				must(t, s.SetStatistics("set", &standin.Statistics{TotalAssignedJobs: 1}))
			},
			"1 assigned",
			[]string{},
		},
		"a listener comes after the last runner went": {
			func(r *http.Request) bool {
				return r.Method == http.MethodDelete && strings.HasSuffix(r.URL.Path, "/agents/3")
			},
			func(t *testing.T, s *standin.StandIn) { must(t, s.HoldSession("set")) },
			"a listener is connected",
			[]string{},
		},
		"a busy runner comes after the listener was looked for": {
			secondSession(),
			func(t *testing.T, s *standin.StandIn) { must(t, s.AddScaleSetRunner("set", "other", true)) },
			"a job is still running",
			[]string{"other"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, set := registered(t)
			taken := 0
			where := between(t, s, func(r *http.Request) {
				if test.after(r) {
					taken++
					test.take(t, s)
				}
			})
			results := client(t, access(t, where)).Deregister(t.Context(), set, false)
			expect(t, s, results, "refused; removed; removed", []string{"set"}, test.left)
			why(t, results.Set, test.want)
			if taken != 1 {
				t.Errorf("it was taken over %d times", taken)
			}
		})
	}
}

// secondSession recognises the end of the second session, which comes right before the set's.
func secondSession() func(*http.Request) bool {
	seen := 0
	return func(r *http.Request) bool {
		if r.Method == http.MethodDelete && strings.Contains(r.URL.Path, "/sessions/") {
			seen++
			return seen == 2
		}
		return false
	}
}

// TestEnd: a run that ends closes its session all the same, which would keep a listener out, and removes nothing more.
func TestEnd(t *testing.T) {
	t.Parallel()
	s, set := registered(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	second := secondSession()
	where := between(t, s, func(r *http.Request) {
		if second(r) {
			cancel()
		}
	})
	results := client(t, access(t, where)).Deregister(ctx, set, false)
	expect(t, s, results, "kept; removed; removed", []string{"set"}, []string{})
	if results.Set.Why != "the run ended before GitHub answered" || len(s.CallsOf(standin.DeleteScaleSet)) > 0 {
		t.Errorf("kept because %q, and asked for %q", results.Set.Why, writes(s))
	}
}

// TestSettle: GitHub counts a runner for a while after it was removed, or has ended.
func TestSettle(t *testing.T) {
	t.Parallel()
	for want, gone := range map[string]bool{"removed; removed; removed": false, "removed; already-gone; already-gone": true} {
		s, set := registered(t)
		must(t, s.SetStatistics("set", &standin.Statistics{TotalRegisteredRunners: 2}))
		if gone {
			s.EndJob("one")
			s.EndJob("two")
		}
		reads := 0
		where := between(t, s, func(r *http.Request) {
			if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/runnerscalesets/") {
				if reads++; reads == 3 {
					must(t, s.SetStatistics("set", nil))
				}
			}
		})
		results := client(t, access(t, where)).Deregister(t.Context(), set, false)
		expect(t, s, results, want, []string{}, []string{})
		if reads != 4 {
			t.Errorf("it read the set %d times", reads)
		}
	}

	// It waits for no runners that it does not know.
	s, set := registered(t)
	set.Runners = nil
	expect(t, s, deregister(t, s, set), "refused", []string{"set"}, []string{"one", "two"})
	if n := len(s.CallsOf(standin.GetScaleSet)); n != 2 {
		t.Errorf("it read the set %d times", n)
	}
}

func TestFind(t *testing.T) {
	t.Parallel()
	s := started(t)
	s.RequireToken(plantedToken)
	names := []string{"plain", "a+b & c", "a/b", "50%", "a=b#c?d", "größe 大", "a%2Bb"}
	for _, name := range names {
		for _, group := range []string{"Default", "größe + more & 大/?#%"} {
			id := s.AddScaleSet(name, group)
			c := client(t, access(t, s.ConfigURL()))
			if got, err := c.Find(t.Context(), name, group); err != nil || got != id {
				t.Errorf("%s in %s: %d, %v, want %d", name, group, got, err, id)
			}
			runner := name + " runner"
			must(t, s.AddScaleSetRunner(name, runner, false))
			results := c.Deregister(t.Context(), github.Set{ID: id, Name: name, Group: group, Runners: []string{runner}}, false)
			expect(t, s, results, "removed; removed", []string{}, []string{})
			if got, err := c.Find(t.Context(), name, group); err != nil || got != 0 {
				t.Errorf("%s in %s is still there: %d, %v", name, group, got, err)
			}
		}
	}
	c := client(t, access(t, s.ConfigURL()))
	if _, err := c.Find(t.Context(), "plain", "unknown"); err == nil || err.Error() != `GitHub has no runner group "unknown" that the credentials may see` {
		t.Errorf("an unknown group: %v", err)
	}
	for _, body := range []string{`{"count":1,"value":[{"id":9,"name":"other"}]}`, `{"count":1,"value":[{"name":"plain"}]}`, `{"count":2,"value":[{},{}]}`} {
		s.Fail(standin.Rule{Request: standin.FindScaleSet, Status: 200, Body: body, Times: 1})
		if got, err := c.Find(t.Context(), "plain", ""); err == nil || !strings.Contains(err.Error(), "not one that arc-cleanup understands") {
			t.Errorf("%s: %d, %v", body, got, err)
		}
	}
	if got := len(s.CallsOf(standin.GetGroup)); got != 2*len(names)+1 {
		t.Errorf("%d requests for a group: the default one has the id 1", got)
	}
}
