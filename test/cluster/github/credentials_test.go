package github

import (
	"crypto/x509"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/actions/scaleset"
)

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
	registration := s.credentials.issue(toRegister)
	for _, test := range []struct {
		method, path, authorization string
		status                      int
	}{
		{"GET", sets + "/1", "", 401},
		{"GET", sets + "/1", "Bearer made up", 401},
		{"GET", sets + "/1", "Bearer " + registration, 401},
		{"GET", sets + "/1", "Bearer " + s.credentials.issueService(), 200},
		{"POST", restAPI + "actions/runner-registration", "RemoteAuth made up", 401},
		{"POST", restAPI + "actions/runner-registration", "Bearer " + registration, 401},
		{"POST", restAPI + "actions/runner-registration", "RemoteAuth " + registration, 200},
		{"GET", restAPI + "repos/acme/app/actions/runners", "Bearer wrong", 401},
		{"GET", restAPI + "repos/acme/app/actions/runners", "Bearer right", 200},
	} {
		request, err := http.NewRequestWithContext(t.Context(), test.method, s.URL()+test.path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", test.authorization)
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != test.status {
			t.Errorf("%s with %q: %d, want %d", test.path, test.authorization, answer.StatusCode, test.status)
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
