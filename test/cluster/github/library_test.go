package github

import (
	"context"
	"crypto/x509"
	"errors"
	"net/http"
	"net/url"
	"slices"
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
	for len(s.CallsOf(PollMessages)) == 0 {
		time.Sleep(time.Millisecond)
	}
	if _, err := open(); !conflict(err) {
		t.Errorf("a session beside one that is polled: %v", err)
	}
	kill()
	if err := <-polled; err == nil {
		t.Error("a poll that was broken off went well")
	}
	for s.SessionOpen("set") { // until the stand-in sees that the connection has gone
		time.Sleep(time.Millisecond)
	}
	mustOpen()
}

func TestCredentials(t *testing.T) {
	s := started(t)
	s.AddScaleSet("set", "Default")
	app, err := NewApp("Iv1.app", 42)
	if err != nil {
		t.Fatal(err)
	}
	forged, err := NewApp(app.ClientID, app.Installation) // with another key
	if err != nil {
		t.Fatal(err)
	}
	elsewhere, renamed := app, app
	elsewhere.Installation, renamed.ClientID = 43, "Iv1.other"

	ask := func(client *scaleset.Client) string {
		if _, err := client.GetRunnerScaleSetByID(t.Context(), 1); err != nil {
			if !strings.Contains(err.Error(), BodyMarker) {
				t.Errorf("an error without a body: %v", err)
			}
			_, status, _ := strings.Cut(err.Error(), `status="`)
			return status[:3]
		}
		return "200"
	}
	for name, test := range map[string]struct {
		require func()
		client  *scaleset.Client
		status  string
	}{
		"nothing is required":        {func() {}, withToken(t, s.ConfigURL(), "any"), "200"},
		"the right token":            {func() { s.RequireToken("right") }, withToken(t, s.ConfigURL(), "right"), "200"},
		"another token":              {func() { s.RequireToken("right") }, withToken(t, s.ConfigURL(), "wrong"), "401"},
		"an App for a token":         {func() { s.RequireToken("right") }, withApp(t, s, app), "401"},
		"the App":                    {func() { s.RequireApp(app) }, withApp(t, s, app), "200"},
		"another key":                {func() { s.RequireApp(app) }, withApp(t, s, forged), "401"},
		"another App":                {func() { s.RequireApp(app) }, withApp(t, s, renamed), "401"},
		"another installation":       {func() { s.RequireApp(app) }, withApp(t, s, elsewhere), "404"},
		"a token for an App":         {func() { s.RequireApp(app) }, withToken(t, s.ConfigURL(), "right"), "401"},
		"nothing after it was reset": {func() { s.RequireApp(app); s.Reset(); s.AddScaleSet("set", "Default") }, withToken(t, s.ConfigURL(), "any"), "200"},
	} {
		s.require("", nil)
		test.require()
		if got := ask(test.client); got != test.status {
			t.Errorf("%s: %s, want %s", name, got, test.status)
		}
	}

	s.RequireToken("right")
	for path, status := range map[string]int{sets + "/1": 401, restAPI + "actions/runner-registration": 401} {
		method := http.MethodGet
		if strings.HasPrefix(path, restAPI) {
			method = http.MethodPost
		}
		if got, _ := askRaw(t, s, method, path, "{}"); got != status {
			t.Errorf("%s without a token: %d", path, got)
		}
	}
}

// TestSecrets: a test can look for what the stand-in handed out, and for what came.
func TestSecrets(t *testing.T) {
	s := started(t)
	s.RequireToken("secret of the test")
	s.AddScaleSet("set", "Default")
	client := withToken(t, s.ConfigURL(), "secret of the test")
	session, err := client.MessageSessionClient(t.Context(), 1, "test")
	if err != nil {
		t.Fatal(err)
	}
	runner, err := client.GenerateJitRunnerConfig(t.Context(), &scaleset.RunnerScaleSetJitRunnerSetting{Name: "runner"}, 1)
	if err != nil {
		t.Fatal(err)
	}
	secrets := s.Secrets()
	if len(secrets) != 4 { // to register, for the service, for the messages, of the runner
		t.Errorf("%d secrets: %q", len(secrets), secrets)
	}
	for _, secret := range append(secrets, session.Session().MessageQueueAccessToken, runner.EncodedJITConfig) {
		if !strings.Contains(secret, SecretMarker) || !slices.Contains(secrets, secret) {
			t.Errorf("not marked, or not noted: %s", secret)
		}
	}
	want := []string{"Bearer secret of the test", "RemoteAuth " + secrets[0], "Bearer " + secrets[1], "Bearer " + secrets[1]}
	got := []string{}
	for _, call := range s.Calls() {
		got = append(got, call.Authorization)
	}
	if !slices.Equal(got, want) {
		t.Errorf("the calls had %q, want %q", got, want)
	}
}

func TestTLSAndProxy(t *testing.T) {
	const name = "github.acme.test"
	s, err := StartTLS("127.0.0.1", name)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close() //nolint:errcheck // the test is over
	plain := started(t)
	proxy, err := StartProxy("127.0.0.1", "user", "password")
	if err != nil {
		t.Fatal(err)
	}
	defer proxy.Close() //nolint:errcheck // the test is over
	proxy.Route(name, s)
	proxy.Route("plain."+name, plain)
	s.AddScaleSet("set", "Default")
	plain.AddScaleSet("set", "Default")

	trusted := x509.NewCertPool()
	if !trusted.AppendCertsFromPEM([]byte(s.CA())) {
		t.Fatal("the authority's certificate is no PEM")
	}
	through := func(user *url.Userinfo) scaleset.HTTPOption {
		address, err := url.Parse(proxy.URL())
		if err != nil {
			t.Fatal(err)
		}
		address.User = user
		return scaleset.WithProxy(http.ProxyURL(address))
	}
	allowed := through(url.UserPassword("user", "password"))
	ca := scaleset.WithRootCAs(trusted)
	for name, test := range map[string]struct {
		url     string
		options []scaleset.HTTPOption
		want    string // in the error
		proxied []ProxyCall
	}{
		"TLS":               {url: s.ConfigURL(), options: []scaleset.HTTPOption{ca}},
		"an unknown CA":     {url: s.ConfigURL(), want: "certificate signed by unknown authority"},
		"by name, no proxy": {url: "https://" + name + "/acme", options: []scaleset.HTTPOption{ca}, want: name},
		"HTTPS with password": {
			"https://" + name + "/acme",
			[]scaleset.HTTPOption{ca, allowed},
			"",
			[]ProxyCall{{"CONNECT", name + ":443", 200}, {"CONNECT", name + ":443", 200}}, // the registration has a client of its own
		},
		"HTTPS without": {
			"https://" + name + "/acme",
			[]scaleset.HTTPOption{ca, through(nil)},
			"Proxy Authentication Required",
			[]ProxyCall{{"CONNECT", name + ":443", 407}},
		},
		"HTTPS, an unknown CA": {
			"https://" + name + "/acme",
			[]scaleset.HTTPOption{allowed},
			"certificate signed by unknown authority",
			[]ProxyCall{{"CONNECT", name + ":443", 200}},
		},
		"HTTP with password": {
			"http://plain." + name + "/acme",
			[]scaleset.HTTPOption{allowed},
			"",
			[]ProxyCall{{"POST", "plain." + name, 200}, {"POST", "plain." + name, 200}, {"GET", "plain." + name, 200}},
		},
		"HTTP with another": {
			"http://plain." + name + "/acme",
			[]scaleset.HTTPOption{through(url.UserPassword("user", "wrong"))},
			"407",
			[]ProxyCall{{"POST", "plain." + name, 407}},
		},
	} {
		before := len(proxy.Asked())
		set, err := withToken(t, test.url, "any", test.options...).GetRunnerScaleSet(t.Context(), 1, "set")
		if test.want == "" && (err != nil || set == nil) {
			t.Errorf("%s: %v, %v", name, set, err)
		}
		if test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%s: %v", name, err)
		}
		if got := proxy.Asked()[before:]; !slices.Equal(got, test.proxied) {
			t.Errorf("%s: the proxy was asked for %v, want %v", name, got, test.proxied)
		}
	}
}
