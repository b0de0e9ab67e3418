package github

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestModes(t *testing.T) {
	s, err := Start("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close() //nolint:errcheck // the test is over
	ask := func(method, path, body string) int {
		t.Helper()
		status, _ := ask(t, s, method, path, body)
		return status
	}
	register := func() {
		t.Helper()
		s.Reset()
		if got := ask("POST", sets, `{"name":"set"}`); got != http.StatusOK {
			t.Fatalf("registering a scale set: %d", got)
		}
		if got := ask("POST", sets+"/1/generatejitconfig", `{"name":"runner"}`); got != http.StatusOK {
			t.Fatalf("registering a runner: %d", got)
		}
	}
	for _, test := range []struct {
		mode        Mode
		set, runner int // answers to their removal
	}{
		{OK, 204, 204},
		{NotFoundOnDelete, 404, 404},
		{JobStillRunning, 204, 400},
		{Unauthorized, 401, 401},
		{Down, 503, 503},
	} {
		register()
		if s.Deregistered() {
			t.Errorf("%s: de-registered at once", test.mode)
		}
		if got := ask("PUT", ModePath, string(test.mode)); got != http.StatusOK {
			t.Fatalf("changing the mode to %s: %d", test.mode, got)
		}
		if got := ask("DELETE", agents+"/2", ""); got != test.runner {
			t.Errorf("%s: removing the runner: %d", test.mode, got)
		}
		if got := ask("DELETE", sets+"/1", ""); got != test.set {
			t.Errorf("%s: removing the scale set: %d", test.mode, got)
		}
		if got, want := s.Deregistered(), test.mode == OK; got != want {
			t.Errorf("%s: de-registered is %v", test.mode, got)
		}
		calls := s.Calls()
		if last := calls[len(calls)-1]; len(calls) != 4 || last != (Call{Request: DeleteScaleSet, Method: "DELETE", Path: sets + "/1", Status: test.set}) {
			t.Errorf("%s: calls are %v", test.mode, calls)
		}
	}
}

// TestLegacyRunners: the REST API, with which the legacy controller removes runners.
func TestLegacyRunners(t *testing.T) {
	s, err := Start("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close() //nolint:errcheck // the test is over
	const runners = "/api/v3/repos/acme/app/actions/runners"
	s.AddRunner("idle", false)
	s.AddRunner("busy", true)
	if _, body := ask(t, s, "GET", runners, ""); !strings.Contains(body, `"total_count":2`) || !strings.Contains(body, `"name":"busy","runnerScaleSetId":0,"busy":true`) {
		t.Errorf("they are listed as %s", body)
	}
	for _, test := range []struct {
		mode   Mode
		path   string
		status int
	}{
		{NotFoundOnDelete, "/1", 404},
		{JobStillRunning, "/1", 422},
		{OK, "/1", 204},
		{OK, "/1", 404},
		{OK, "/2", 422},
	} {
		s.SetMode(test.mode)
		if got, _ := ask(t, s, "DELETE", runners+test.path, ""); got != test.status {
			t.Errorf("%s: removing %s: %d, want %d", test.mode, test.path, got, test.status)
		}
	}
	if s.EndJob("busy"); !s.Deregistered() {
		t.Errorf("left: %q", s.Runners())
	}
}

// ask sends a request and returns the answer.
func ask(t *testing.T, s *StandIn, method, path, body string) (status int, text string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, s.URL()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	read, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(read)
}
