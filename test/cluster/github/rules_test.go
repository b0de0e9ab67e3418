package github

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/actions/scaleset"
)

// operations are what a client can do with a scale set of the id 1 and a runner of the id 2.
var operations = map[Request]func(context.Context, *scaleset.Client) error{
	RegistrationToken:  getScaleSet,
	AppAccessToken:     getScaleSet,
	RunnerRegistration: getScaleSet,
	GetScaleSet:        getScaleSet,
	FindScaleSet: func(ctx context.Context, c *scaleset.Client) error {
		_, err := c.GetRunnerScaleSet(ctx, 1, "set")
		return err
	},
	DeleteScaleSet: func(ctx context.Context, c *scaleset.Client) error { return c.DeleteRunnerScaleSet(ctx, 1) },
	GetGroup: func(ctx context.Context, c *scaleset.Client) error {
		_, err := c.GetRunnerGroupByName(ctx, "default")
		return err
	},
	GetRunner: func(ctx context.Context, c *scaleset.Client) error {
		_, err := c.GetRunner(ctx, 2)
		return err
	},
	FindRunner: func(ctx context.Context, c *scaleset.Client) error {
		_, err := c.GetRunnerByName(ctx, "runner")
		return err
	},
	DeleteRunner: func(ctx context.Context, c *scaleset.Client) error { return c.RemoveRunner(ctx, 2) },
	CreateSession: func(ctx context.Context, c *scaleset.Client) error {
		_, err := c.MessageSessionClient(ctx, 1, "test")
		return err
	},
}

func getScaleSet(ctx context.Context, c *scaleset.Client) error {
	_, err := c.GetRunnerScaleSetByID(ctx, 1)
	return err
}

// lab is a stand-in with a scale set and a runner, and an App that may ask for them.
type lab struct {
	*StandIn
	app App
}

func newLab(t *testing.T) lab {
	t.Helper()
	app, err := NewApp("1", 2)
	if err != nil {
		t.Fatal(err)
	}
	return lab{started(t), app}
}

// broken answers an operation under some rules. Its client is new, so that no
// connection is old and no token is known.
func (l lab) broken(t *testing.T, kind Request, rules ...Rule) error {
	t.Helper()
	l.Reset()
	l.RequireApp(l.app)
	l.AddScaleSet("set", "Default")
	if err := l.AddScaleSetRunner("set", "runner", false); err != nil {
		t.Fatal(err)
	}
	l.Fail(rules...)
	return operations[kind](t.Context(), withApp(t, l.StandIn, l.app))
}

// TestStatuses: each kind of request fails alone, with each status.
func TestStatuses(t *testing.T) {
	l := newLab(t)
	for kind := range operations {
		if err := l.broken(t, kind); err != nil {
			t.Fatalf("%s does not work: %v", kind, err)
		}
		for _, status := range []int{400, 401, 403, 404, 409, 429, 500, 502, 503} {
			err := l.broken(t, kind, Rule{Request: kind, Status: status})
			// After 429 and 5xx the library has no answer, only the number of tries.
			retried := status == 429 || status >= 500
			if err == nil || (!retried && (!strings.Contains(err.Error(), fmt.Sprintf(`status="%d`, status)) || !strings.Contains(err.Error(), BodyMarker))) {
				t.Errorf("%s %d: %v", kind, status, err)
			}
			for _, call := range l.Calls() {
				if want := call.Request == kind; want != (call.Status == status) {
					t.Errorf("%s %d: %s %s was answered with %d", kind, status, call.Method, call.Path, call.Status)
				}
			}
		}
	}
}

func TestExceptions(t *testing.T) {
	l := newLab(t)
	for _, test := range []struct {
		kind      Request
		status    int
		exception string
		want      error // nil: the name is in the text
	}{
		{DeleteRunner, 400, JobStillRunningException, scaleset.JobStillRunningError},
		{DeleteScaleSet, 400, JobStillRunningException, scaleset.JobStillRunningError},
		{DeleteRunner, 404, AgentNotFoundException, scaleset.RunnerNotFoundError},
		{GetRunner, 404, AgentNotFoundException, scaleset.RunnerNotFoundError},
		{DeleteScaleSet, 404, RunnerScaleSetNotFoundException, nil},
		{CreateSession, 409, TaskAgentSessionConflictException, nil},
	} {
		err := l.broken(t, test.kind, Rule{Request: test.kind, Status: test.status, Exception: test.exception})
		if test.want != nil && !errors.Is(err, test.want) {
			t.Errorf("%s: %v", test.kind, err)
		}
		if test.want == nil && (err == nil || !strings.Contains(err.Error(), test.exception)) {
			t.Errorf("%s: %v", test.kind, err)
		}
	}
}

// TestBodies: those that the library does not expect.
func TestBodies(t *testing.T) {
	l := newLab(t)
	for name, test := range map[string]struct {
		kind   Request
		rule   Rule
		panics bool
		want   string // in the error; "" is none
	}{
		"a proxy's 404":             {DeleteScaleSet, Rule{Status: 404, Body: HTMLBody}, false, BodyMarker},
		"no token":                  {RegistrationToken, Rule{Status: 201, Body: EmptyBody}, true, ""},
		"null for a token":          {RegistrationToken, Rule{Status: 201, Body: NullBody}, true, ""},
		"no access token":           {AppAccessToken, Rule{Status: 201, Body: EmptyBody}, false, "401"},
		"no service":                {RunnerRegistration, Rule{Status: 200, Body: EmptyBody}, false, "missing url"},
		"a JWT that never ends":     {RunnerRegistration, Rule{Status: 200, Body: l.AdminBody(time.Time{})}, true, ""},
		"a JWT that has ended":      {RunnerRegistration, Rule{Status: 200, Body: l.AdminBody(time.Now().Add(-time.Hour))}, false, ""},
		"null for a set":            {GetScaleSet, Rule{Status: 200, Body: NullBody}, false, ""},
		"an empty list, says one":   {FindScaleSet, Rule{Status: 200, Body: CountOnly}, true, ""},
		"no groups, says one":       {GetGroup, Rule{Status: 200, Body: CountOnly}, true, ""},
		"null for runners":          {FindRunner, Rule{Status: 200, Body: NullBody}, true, ""},
		"a body that breaks off":    {GetScaleSet, Rule{Fault: CutBody}, false, "unexpected EOF"},
		"an error that breaks off":  {DeleteRunner, Rule{Fault: CutBody, Status: 400}, false, "unexpected EOF"},
		"a set that is not deleted": {DeleteScaleSet, Rule{Status: 200, Body: NullBody}, false, "200"},
	} {
		test.rule.Request = test.kind
		panicked := false
		var err error
		func() {
			defer func() { panicked = recover() != nil }()
			err = l.broken(t, test.kind, test.rule)
		}()
		if panicked != test.panics {
			t.Errorf("%s: panicked is %v", name, panicked)
		}
		if !panicked && ((err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRuleLimits(t *testing.T) {
	l := newLab(t)
	if err := l.broken(t, GetScaleSet, Rule{Request: GetScaleSet, ID: 9, Status: 404}); err != nil {
		t.Errorf("a rule for another scale set: %v", err)
	}
	if err := l.broken(t, GetScaleSet, Rule{Request: GetScaleSet, ID: 1, Status: 404, Times: 1}); err == nil {
		t.Error("a rule for this scale set")
	}
	if err := operations[GetScaleSet](t.Context(), withApp(t, l.StandIn, l.app)); err != nil {
		t.Errorf("after the one time: %v", err)
	}
	if err := l.broken(t, GetScaleSet, Rule{Status: 404}); err == nil {
		t.Error("a rule for everything")
	}
	l.Mend()
	if err := operations[GetScaleSet](t.Context(), withApp(t, l.StandIn, l.app)); err != nil {
		t.Errorf("after it was mended: %v", err)
	}

	l.Reset()
	l.AddScaleSet("set", "Default")
	l.Fail(Rule{Request: GetScaleSet, Status: 429, Times: 1, Header: map[string]string{"Retry-After": "0"}})
	if err := operations[GetScaleSet](t.Context(), withToken(t, l.ConfigURL(), "any", scaleset.WithRetryMax(1))); err != nil {
		t.Errorf("with one more try: %v", err)
	}
	if calls := l.CallsOf(GetScaleSet); len(calls) != 2 || calls[0].Status != 429 || calls[1].Status != 200 {
		t.Errorf("the calls are %v", calls)
	}
}

func TestLostConnections(t *testing.T) {
	l := newLab(t)
	err := l.broken(t, DeleteScaleSet, Rule{Request: DeleteScaleSet, Fault: ResetConnection})
	if err == nil || !strings.Contains(err.Error(), "connection reset by peer") || len(l.ScaleSets()) != 1 {
		t.Errorf("a connection that is reset: %v, left %q", err, l.ScaleSets())
	}
	err = l.broken(t, DeleteScaleSet, Rule{Request: DeleteScaleSet, Fault: LoseAnswer})
	if err == nil || !strings.Contains(err.Error(), "connection reset by peer") || len(l.ScaleSets()) != 0 {
		t.Errorf("an answer that is lost: %v, left %q", err, l.ScaleSets())
	}
	if calls := l.CallsOf(DeleteScaleSet); len(calls) != 1 || calls[0].Status != 0 {
		t.Errorf("the calls are %v", calls)
	}
}

// TestSlow: a late answer is the usual one, and a client need not wait for it.
func TestSlow(t *testing.T) {
	s := started(t)
	s.AddScaleSet("set", "Default")
	client := withToken(t, s.ConfigURL(), "any")
	s.Fail(Rule{Request: GetScaleSet, Delay: time.Millisecond, Times: 1}, Rule{Request: GetScaleSet, Delay: time.Hour})
	if err := getScaleSet(t.Context(), client); err != nil {
		t.Errorf("a late answer: %v", err)
	}
	ctx, leave := context.WithCancel(t.Context())
	asked := make(chan error)
	go func() { asked <- getScaleSet(ctx, client) }()
	for len(s.CallsOf(GetScaleSet)) < 2 {
		time.Sleep(time.Millisecond)
	}
	leave()
	if err := <-asked; !errors.Is(err, context.Canceled) {
		t.Errorf("an answer that does not come: %v", err)
	}
}

func TestEndlessBody(t *testing.T) {
	s := started(t)
	s.Fail(Rule{Request: GetScaleSet, Fault: EndlessBody})
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL()+sets+"/1", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if n, err := io.CopyN(io.Discard, answer.Body, 1<<20); err != nil {
		t.Errorf("it ended after %d bytes: %v", n, err)
	}
}
