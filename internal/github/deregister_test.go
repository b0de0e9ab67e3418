package github

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/actions/scaleset"
)

func TestOtherSet(t *testing.T) {
	t.Parallel()
	got := scaleset.RunnerScaleSet{ID: 1, Name: "set", RunnerGroupName: "Default"}
	builders := got
	builders.RunnerGroupName = "builders"
	for name, test := range map[string]struct {
		want Set
		got  scaleset.RunnerScaleSet
		why  string
	}{
		"the same":                   {Set{ID: 1, Name: "set"}, got, ""},
		"the default group by name":  {Set{ID: 1, Name: "set", Group: "default"}, got, ""},
		"a group, in other letters":  {Set{ID: 1, Name: "set", Group: "Builders"}, builders, ""},
		"another id":                 {Set{ID: 2, Name: "set"}, got, "another scale set"},
		"another name":               {Set{ID: 1, Name: "set2"}, got, "another name"},
		"a name in other letters":    {Set{ID: 1, Name: "Set"}, got, "another name"},
		"no name":                    {Set{ID: 1}, got, "another name"},
		"another group":              {Set{ID: 1, Name: "set", Group: "builders"}, got, "another runner group"},
		"not in the default group":   {Set{ID: 1, Name: "set"}, builders, "another runner group"},
		"a group with a longer name": {Set{ID: 1, Name: "set", Group: "builders2"}, builders, "another runner group"},
	} {
		if why := otherSet(test.want, &test.got); !strings.Contains(why, test.why) || (why == "") != (test.why == "") {
			t.Errorf("%s: %q", name, why)
		}
	}
}

func TestInUse(t *testing.T) {
	t.Parallel()
	type statistics = scaleset.RunnerScaleSetStatistic
	for name, test := range map[string]struct {
		s    *statistics
		own  int
		dry  bool
		want string
	}{
		"nothing":                     {&statistics{}, 0, false, ""},
		"no statistics":               {nil, 0, false, "does not say"},
		"no statistics in a dry run":  {nil, 5, true, "does not say"},
		"jobs that wait":              {&statistics{TotalAvailableJobs: 3}, 0, false, ""}, // nobody has them: they are not lost
		"an assigned job":             {&statistics{TotalAssignedJobs: 1}, 0, false, "1 assigned"},
		"a running job":               {&statistics{TotalRunningJobs: 2}, 0, false, "2 running"},
		"a busy runner":               {&statistics{TotalBusyRunners: 3}, 0, false, "3 busy"},
		"a busy runner in a dry run":  {&statistics{TotalBusyRunners: 1, TotalRegisteredRunners: 1}, 1, true, "1 busy"},
		"a runner":                    {&statistics{TotalRegisteredRunners: 1}, 0, false, "1 other runner"},
		"as many runners as removed":  {&statistics{TotalRegisteredRunners: 2}, 2, false, "2 other runners"},
		"its runners in a dry run":    {&statistics{TotalRegisteredRunners: 2}, 2, true, ""},
		"more runners in a dry run":   {&statistics{TotalRegisteredRunners: 3}, 2, true, "1 other runner"},
		"fewer runners in a dry run":  {&statistics{TotalRegisteredRunners: 1}, 2, true, ""},
		"another's idle runners only": {&statistics{TotalIdleRunners: 1, TotalRegisteredRunners: 1}, 0, false, "1 other runner"},
	} {
		if why := inUse(test.s, test.own, test.dry); !strings.Contains(why, test.want) || (why == "") != (test.want == "") {
			t.Errorf("%s: %q", name, why)
		}
	}
}

func TestBackoff(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		path    string
		status  int
		header  string
		attempt int
		want    time.Duration // negative: the request ends
	}{
		"no answer":                   {"", 0, "", 0, Times.Pause},
		"no answer, twice":            {"", 0, "", 2, 4 * Times.Pause},
		"503":                         {"", 503, "", 1, 2 * Times.Pause},
		"503, at once":                {"", 503, "0", 0, 0},
		"429, soon":                   {"", 429, "3", 0, 3 * time.Second},
		"429, late":                   {"", 429, "3600", 0, -1},
		"429, never":                  {"", 429, "9223372036854775807", 0, -1},
		"429, in the past":            {"", 429, "-5", 0, Times.Pause},
		"429, on a day":               {"", 429, "Fri, 31 Dec 1999 23:59:59 GMT", 0, Times.Pause},
		"401":                         {"", 401, "", 0, -1},
		"401, soon":                   {"", 401, "1", 0, -1},
		"403":                         {"", 403, "", 0, -1},
		"403, soon":                   {"", 403, "1", 0, time.Second},
		"401 of a registration":       {"/actions" + registration, 401, "", 1, 2 * Times.Pause},
		"403 of a registration":       {"/actions" + registration, 403, "", 0, Times.Pause},
		"403 of a registration, late": {"/actions" + registration, 403, "3600", 0, -1},
		"no answer, and too late":     {"", 0, "", 30, -1},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		c := &Client{end: cancel, last: answer{path: test.path}}
		c.deadline, _ = ctx.Deadline()
		var r *http.Response
		if test.status != 0 {
			r = &http.Response{StatusCode: test.status, Header: http.Header{}}
			if test.header != "" {
				r.Header.Set("Retry-After", test.header)
			}
		}
		got := c.backoff(0, 0, test.attempt, r)
		if ended := ctx.Err() != nil; ended != (test.want < 0) || !ended && got != test.want {
			t.Errorf("%s: %s, and the request has ended: %t", name, got, ended)
		}
		cancel()
	}
}

// TestPatience: what a server that does not answer, or is slow, costs. It is not parallel: it changes Times.
func TestPatience(t *testing.T) {
	before := Times
	t.Cleanup(func() { Times = before })
	Times.Patience, Times.Try, Times.Pause, Times.Settle = 200*time.Millisecond, 50*time.Millisecond, 10*time.Millisecond, 0
	set := Set{ID: 1, Name: "set"}
	for i := range 1000 {
		set.Runners = append(set.Runners, fmt.Sprint(i))
	}
	for name, hangs := range map[string]func(*http.Request) bool{
		"everything hangs": func(*http.Request) bool { return true },
		"the runners hang": func(r *http.Request) bool { return strings.Contains(r.URL.Path, "/agents") },
		"what removes one hangs": func(r *http.Request) bool {
			return r.Method == http.MethodDelete && strings.Contains(r.URL.Path, "/agents/")
		},
	} {
		Times.Runner = time.Minute
		f := serve(t, func(w http.ResponseWriter, r *http.Request) {
			if hangs(r) {
				<-r.Context().Done()
				return
			}
			answerAs(w, r, 1000)
		})
		results := f.client(t).Deregister(t.Context(), set, false)
		if results.Set.Outcome != Kept || !results.Down || !strings.Contains(results.Set.Why, "in time") {
			t.Errorf("%s: %+v, down: %t", name, results.Set, results.Down)
		}
		for _, r := range results.Runners {
			if r != results.Set {
				t.Fatalf("%s: a runner has %+v", name, r)
			}
		}
		// 4 tries, after one request for the set, two for its session and one for the runner; not for each runner.
		if n := f.asked.Load(); n > 10 {
			t.Errorf("%s: %d requests", name, n)
		}
	}

	// A server that answers late each time gets no more than its time.
	Times.Patience, Times.Try, Times.Runner = time.Second, 10*time.Second, 0
	f := serve(t, func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-time.After(100 * time.Millisecond):
			answerAs(w, r, 1000)
		}
	})
	results := f.client(t).Deregister(t.Context(), set, false)
	if last := results.Runners[len(results.Runners)-1]; results.Set.Outcome != Kept || last.Outcome != Kept || !results.Down {
		t.Errorf("a slow server: %+v, %+v, down: %t", results.Set, last, results.Down)
	}
	if n := f.asked.Load(); n > 15 {
		t.Errorf("a slow server got %d requests", n)
	}
}

// TestEndOfRun: a run that ends stops at once, and removes nothing more.
func TestEndOfRun(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	f := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/agents") {
			cancel()
		}
		answerAs(w, r, 0)
	})
	results := f.client(t).Deregister(ctx, Set{ID: 1, Name: "set", Runners: []string{"a", "b"}}, false)
	if results.Set.Outcome != Kept || results.Runners[0].Outcome != Kept || results.Runners[1].Outcome != Kept {
		t.Errorf("%+v", results)
	}
	if n := f.asked.Load(); n != 4 { // the set, its session, and one runner
		t.Errorf("%d requests", n)
	}
}
