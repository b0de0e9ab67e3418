package deregister

import (
	"crypto/x509"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http/httpproxy"

	"github.com/arc-cleanup/arc-cleanup/internal/github"
	standin "github.com/arc-cleanup/arc-cleanup/test/cluster/github"
)

func TestCredentials(t *testing.T) {
	t.Parallel()
	app := theApp()
	forged, err := standin.NewApp(app.ClientID, app.Installation) // with another key
	must(t, err)
	elsewhere, renamed := app, app
	elsewhere.Installation, renamed.ClientID = 43, "Iv1.other"
	token, other := credentials(t, plantedToken), credentials(t, plantedToken+"2")
	for name, test := range map[string]struct {
		require func(*standin.StandIn)
		with    github.Credentials
		why     string // the set stays; "" if it goes
	}{
		"the token":            {func(s *standin.StandIn) { s.RequireToken(plantedToken) }, token, ""},
		"another token":        {func(s *standin.StandIn) { s.RequireToken(plantedToken) }, other, "GitHub does not accept the credentials"},
		"an App for a token":   {func(s *standin.StandIn) { s.RequireToken(plantedToken) }, withApp(t, app), "GitHub does not accept the credentials"},
		"the App":              {func(s *standin.StandIn) { s.RequireApp(app) }, withApp(t, app), ""},
		"a token for an App":   {func(s *standin.StandIn) { s.RequireApp(app) }, token, "GitHub does not accept the credentials"},
		"another key":          {func(s *standin.StandIn) { s.RequireApp(app) }, withApp(t, forged), "GitHub does not accept the credentials"},
		"another App":          {func(s *standin.StandIn) { s.RequireApp(app) }, withApp(t, renamed), "GitHub does not accept the credentials"},
		"another installation": {func(s *standin.StandIn) { s.RequireApp(app) }, withApp(t, elsewhere), "GitHub has no such place, or the credentials may not see it"},
		"a token that expired": {func(s *standin.StandIn) { s.SetMode(standin.Unauthorized) }, token, "GitHub does not accept the credentials"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, set := registered(t)
			test.require(s)
			a := access(t, s.ConfigURL())
			a.Credentials = test.with
			results := client(t, a).Deregister(t.Context(), set, false)
			noSecrets(t, s, "", results)
			if test.why == "" {
				expect(t, s, results, "removed; removed; removed", []string{}, []string{})
				return
			}
			expect(t, s, results, "kept; kept; kept", []string{"set"}, []string{"one", "two"})
			why(t, results.Set, test.why)
			why(t, results.Set, "an organisation needs")
			if results.Down {
				t.Error("GitHub is down")
			}
			if n := len(s.Calls()); n > 1 {
				t.Errorf("%d requests with credentials that are not good", n)
			}
		})
	}
}

// TestPlaces: what GitHub wants of credentials depends on the place.
func TestPlaces(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{
		"/acme": "admin:org", "/acme/app": "Administration", "/enterprises/acme": "manage_runners:enterprise",
	} {
		s, set := registered(t)
		a := access(t, s.URL()+path)
		s.Fail(standin.Rule{Request: standin.RunnerRegistration, Status: 403})
		results := client(t, a).Deregister(t.Context(), set, false)
		why(t, results.Set, want)
		s.Mend()
		expect(t, s, client(t, a).Deregister(t.Context(), set, false), "removed; removed; removed", []string{}, []string{})
		if got := s.Calls()[0].Path; !strings.Contains(got, path+"/actions/runners/registration-token") {
			t.Errorf("%s: it asked %s", path, got)
		}
	}
}

// TestWay: a private authority and a proxy that asks for a password.
func TestWay(t *testing.T) {
	t.Parallel()
	const name = "github.acme.test"
	secured, err := standin.StartTLS("127.0.0.1", name)
	must(t, err)
	t.Cleanup(func() { secured.Close() }) //nolint:errcheck // the test is over
	plain := started(t)
	proxy, err := standin.StartProxy("127.0.0.1", "user", plantedPassword)
	must(t, err)
	t.Cleanup(func() { proxy.Close() }) //nolint:errcheck // the test is over
	proxy.Route(name, secured)
	proxy.Route("other."+name, secured)
	proxy.Route("plain."+name, plain)
	trusted := x509.NewCertPool()
	if !trusted.AppendCertsFromPEM([]byte(secured.CA())) {
		t.Fatal("no PEM")
	}
	set := register(t, secured)
	register(t, plain)

	by := func(password string) func(*url.URL) (*url.URL, error) {
		u, err := url.Parse(proxy.URL())
		must(t, err)
		if password != "" {
			u.User = url.UserPassword("user", password)
		}
		return (&httpproxy.Config{HTTPProxy: u.String(), HTTPSProxy: u.String()}).ProxyFunc()
	}
	for _, test := range []struct {
		name, url, why string
		proxy          func(*url.URL) (*url.URL, error)
		roots          *x509.CertPool
		s              *standin.StandIn
	}{
		{"no proxy", "https://" + name, "could not be resolved", nil, trusted, secured},
		{"no password", "https://" + name, "the proxy does not accept the user and the password", by(""), trusted, secured},
		{"a wrong password", "https://" + name, "the proxy does not accept the user and the password", by("wrong"), trusted, secured},
		{"a wrong password, without TLS", "http://plain." + name, "the proxy does not accept the user and the password", by("wrong"), nil, plain},
		{"a host that the proxy does not know", "https://unknown." + name, "the proxy answered with status 502", by(plantedPassword), trusted, secured},
		{"no authority", "https://" + name, "no authority that is trusted", by(plantedPassword), nil, secured},
		{"no authority, directly", secured.URL(), "no authority that is trusted", nil, nil, secured},
		{"another host's certificate", "https://other." + name, "another host", by(plantedPassword), trusted, secured},
		{"no TLS", "https://plain." + name, "does not answer with TLS", by(plantedPassword), trusted, plain},
		{"the proxy and the authority", "https://" + name, "", by(plantedPassword), trusted, secured},
		{"the proxy without TLS", "http://plain." + name, "", by(plantedPassword), nil, plain},
	} {
		a := access(t, test.url+"/acme")
		a.Proxy, a.Roots = test.proxy, test.roots
		c := client(t, a)
		results := c.Deregister(t.Context(), set, false)
		noSecrets(t, test.s, fmt.Sprintf("%+v", c), results)
		if test.why == "" {
			expect(t, test.s, results, "removed; removed; removed", []string{}, []string{})
			continue
		}
		if results.Set.Outcome != github.Kept || !results.Down || !strings.Contains(results.Set.Why, test.why) {
			t.Errorf("%s: %+v", test.name, results)
		}
		if _, err := c.Find(t.Context(), "set", "builders"); err == nil || !strings.Contains(err.Error(), test.why) {
			t.Errorf("%s: finding a set: %v", test.name, err)
		} else {
			noSecrets(t, test.s, err.Error())
		}
	}
	if n := len(secured.Calls()); n == 0 {
		t.Error("the last ones asked nothing")
	}
}

// TestRedirection: GitHub redirects to the new name of an organisation, and a client asks no other host.
func TestRedirection(t *testing.T) {
	t.Parallel()
	s, set := registered(t)
	to := func(where string) {
		s.Fail(standin.Rule{Request: standin.RegistrationToken, Status: http.StatusTemporaryRedirect, Times: 1, Header: map[string]string{
			"Location": where + "/api/v3/orgs/renamed/actions/runners/registration-token",
		}})
	}
	other := started(t)
	to(strings.Replace(other.URL(), "127.0.0.1", "localhost", 1))
	deregister(t, s, set)
	calls := other.Calls()
	if len(calls) != 0 {
		t.Errorf("the other host got %+v", calls)
	}
	s.Mend()

	to(s.URL())
	expect(t, s, deregister(t, s, set), "removed; removed; removed", []string{}, []string{})
}

// TestAdminAnswers: answers to a sign-in on which the library panics, or that lead nowhere.
func TestAdminAnswers(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]func(*standin.StandIn) string{
		"a token that never expires": func(s *standin.StandIn) string { return s.AdminBody(time.Time{}) },
		"no token":                   func(s *standin.StandIn) string { return `{"url":"` + s.URL() + `"}` },
		"no URL":                     func(*standin.StandIn) string { return `{"token":"a.b.c"}` },
		"a token of another kind": func(s *standin.StandIn) string {
			return `{"url":"` + s.URL() + `","token":"` + standin.SecretMarker + `"}`
		},
		"a URL that is none": func(*standin.StandIn) string { return `{"url":"http://[","token":"e30.e30.AAAA"}` },
	} {
		s, set := registered(t)
		s.Fail(standin.Rule{Request: standin.RunnerRegistration, Status: 200, Body: body(s)})
		results := deregister(t, s, set)
		expect(t, s, results, "kept; kept; kept", []string{"set"}, []string{"one", "two"})
		why(t, results.Set, "GitHub's answer is not one that arc-cleanup understands")
		if results.Down {
			t.Errorf("%s: GitHub is down", name)
		}
	}
}
