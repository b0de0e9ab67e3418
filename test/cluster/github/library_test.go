package github

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/actions/scaleset"
)

// Everything here goes through GitHub's own client.

func started(t *testing.T) *StandIn {
	t.Helper()
	s, err := Start("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() }) //nolint:errcheck // the test is over
	return s
}

func withToken(t *testing.T, configURL, token string, options ...scaleset.HTTPOption) *scaleset.Client {
	t.Helper()
	client, err := scaleset.NewClientWithPersonalAccessToken(scaleset.NewClientWithPersonalAccessTokenConfig{
		GitHubConfigURL: configURL, PersonalAccessToken: token,
	}, append([]scaleset.HTTPOption{scaleset.WithRetryMax(0)}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func withApp(t *testing.T, s *StandIn, app App) *scaleset.Client {
	t.Helper()
	client, err := scaleset.NewClientWithGitHubApp(scaleset.ClientWithGitHubAppConfig{
		GitHubConfigURL: s.ConfigURL(),
		GitHubAppAuth:   scaleset.GitHubAppAuth{ClientID: app.ClientID, InstallationID: app.Installation, PrivateKey: app.PrivateKey()},
	}, scaleset.WithRetryMax(0))
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func TestDeregister(t *testing.T) {
	s := started(t)
	id := s.AddScaleSet("a+b & c", "builders")
	if err := s.AddScaleSetRunner("a+b & c", "idle", false); err != nil {
		t.Fatal(err)
	}
	client := withToken(t, s.ConfigURL(), "any")

	group, err := client.GetRunnerGroupByName(t.Context(), "builders")
	if err != nil || group.ID != 2 {
		t.Fatalf("the group is %v, %v", group, err)
	}
	set, err := client.GetRunnerScaleSet(t.Context(), group.ID, url.QueryEscape("a+b & c"))
	if err != nil || set == nil {
		t.Fatalf("the scale set is %v, %v", set, err)
	}
	if set.ID != id || set.RunnerGroupName != "builders" || set.CreatedOn.IsZero() {
		t.Errorf("the scale set is %+v", set)
	}
	if err := client.RemoveRunner(t.Context(), 2); err != nil {
		t.Error(err)
	}
	if err := client.DeleteRunnerScaleSet(t.Context(), id); err != nil {
		t.Error(err)
	}
	if !s.Deregistered() {
		t.Errorf("left: %q, %q", s.ScaleSets(), s.Runners())
	}
	if err := client.DeleteRunnerScaleSet(t.Context(), id); err == nil || !strings.Contains(err.Error(), RunnerScaleSetNotFoundException) {
		t.Errorf("deleting it again: %v", err)
	}
}

func TestGroups(t *testing.T) {
	s := started(t)
	id := s.AddGroup("other")
	s.AddScaleSet("set", "default")
	client := withToken(t, s.ConfigURL(), "any")
	for name, want := range map[string]int{"default": 1, "Default": 1, "other": id} {
		if group, err := client.GetRunnerGroupByName(t.Context(), name); err != nil || group.ID != want {
			t.Errorf("group %s is %v, %v", name, group, err)
		}
	}
	if _, err := client.GetRunnerGroupByName(t.Context(), "unknown"); err == nil || !strings.Contains(err.Error(), "no runner group found") {
		t.Errorf("an unknown group: %v", err)
	}
	for group, want := range map[int]bool{1: true, id: false} {
		if set, err := client.GetRunnerScaleSet(t.Context(), group, "set"); err != nil || (set != nil) != want {
			t.Errorf("in group %d there is %v, %v", group, set, err)
		}
	}
	moved, err := client.UpdateRunnerScaleSet(t.Context(), 1, &scaleset.RunnerScaleSet{RunnerGroupID: id})
	if err != nil || moved.RunnerGroupName != "other" || moved.Name != "set" || moved.CreatedOn.IsZero() {
		t.Errorf("moved: %+v, %v", moved, err)
	}
	for group, want := range map[int]bool{id: false, 1: true} { // a name is taken once in each group
		if _, err := client.CreateRunnerScaleSet(t.Context(), &scaleset.RunnerScaleSet{Name: "set", RunnerGroupID: group}); (err == nil) != want {
			t.Errorf("creating it in group %d: %v", group, err)
		}
	}
}

func TestStatistics(t *testing.T) {
	s := started(t)
	s.AddScaleSet("set", "Default")
	for name, busy := range map[string]bool{"idle": false, "busy": true} {
		if err := s.AddScaleSetRunner("set", name, busy); err != nil {
			t.Fatal(err)
		}
	}
	s.AddRunner("of no set", true)
	client := withToken(t, s.ConfigURL(), "any")
	expect := func(want scaleset.RunnerScaleSetStatistic) {
		t.Helper()
		byID, err := client.GetRunnerScaleSetByID(t.Context(), 1)
		if err != nil || *byID.Statistics != want {
			t.Errorf("by id: %+v, %v", byID, err)
		}
		byName, err := client.GetRunnerScaleSet(t.Context(), 1, "set")
		if err != nil || *byName.Statistics != want {
			t.Errorf("by name: %+v, %v", byName, err)
		}
	}
	counted := scaleset.RunnerScaleSetStatistic{
		TotalRegisteredRunners: 2, TotalBusyRunners: 1, TotalIdleRunners: 1, TotalAssignedJobs: 1, TotalRunningJobs: 1,
	}
	expect(counted)
	if err := s.SetStatistics("set", &Statistics{TotalRegisteredRunners: 7}); err != nil {
		t.Fatal(err)
	}
	expect(scaleset.RunnerScaleSetStatistic{TotalRegisteredRunners: 7})
	if err := s.SetStatistics("set", nil); err != nil {
		t.Fatal(err)
	}
	expect(counted)

	if err := client.DeleteRunnerScaleSet(t.Context(), 1); !errors.Is(err, scaleset.JobStillRunningError) {
		t.Errorf("deleting the set while a job runs: %v", err)
	}
	busy, err := client.GetRunnerByName(t.Context(), "busy")
	if err != nil || busy == nil {
		t.Fatalf("the busy runner is %v, %v", busy, err)
	}
	if err := client.RemoveRunner(t.Context(), int64(busy.ID)); !errors.Is(err, scaleset.JobStillRunningError) {
		t.Errorf("removing the busy runner: %v", err)
	}
	s.EndJob("busy")
	if err := client.DeleteRunnerScaleSet(t.Context(), 1); err != nil {
		t.Errorf("deleting the set after the job: %v", err)
	}
	if err := s.SetStatistics("set", nil); err == nil {
		t.Error("a set that is not there has statistics")
	}
}

func TestSessions(t *testing.T) {
	s := started(t)
	s.AddScaleSet("set", "Default")
	client := withToken(t, s.ConfigURL(), "any")
	open := func() (*scaleset.MessageSessionClient, error) {
		return client.MessageSessionClient(t.Context(), 1, "test")
	}
	conflict := func(err error) bool {
		return err != nil && strings.Contains(err.Error(), TaskAgentSessionConflictException)
	}
	mustOpen := func() *scaleset.MessageSessionClient {
		t.Helper()
		session, err := open()
		if err != nil {
			t.Fatal(err)
		}
		return session
	}

	mustOpen()
	mustOpen() // nothing is exclusive yet
	if err := s.HoldSession("set"); err != nil {
		t.Fatal(err)
	}
	if _, err := open(); !conflict(err) || !s.SessionOpen("set") {
		t.Errorf("a session beside one that is held: %v", err)
	}
	if err := s.ReleaseSession("set"); err != nil {
		t.Fatal(err)
	}

	s.ExclusiveSessions(true)
	first := mustOpen()
	if _, err := open(); !conflict(err) {
		t.Errorf("a second session: %v", err)
	}
	if err := first.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s.SessionOpen("set") {
		t.Error("the session is open after its end")
	}

	listener := mustOpen()
	ctx, kill := context.WithCancel(t.Context())
	polled := make(chan error)
	go func() {
		_, err := listener.GetMessage(ctx, 0, 1)
		polled <- err
	}()
	polling := func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		of := s.find("set").session
		if of.polls > 0 {
			of.until = time.Time{} // only the poll keeps it open
		}
		return of.polls > 0
	}
	for !polling() {
		time.Sleep(time.Millisecond)
	}
	if _, err := open(); !conflict(err) {
		t.Errorf("a session beside one that is polled: %v", err)
	}
	kill()
	if err := <-polled; err == nil {
		t.Error("a poll that was broken off went well")
	}
	for polling() { // until the stand-in sees that the connection has gone
		time.Sleep(time.Millisecond)
	}
	if s.SessionOpen("set") {
		t.Error("the session of a listener that was killed is open")
	}
	mustOpen()
}
