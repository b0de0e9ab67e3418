// Package deregister tests internal/github on the stand-in for GitHub.
package deregister

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/arc-cleanup/arc-cleanup/internal/github"
	standin "github.com/arc-cleanup/arc-cleanup/test/cluster/github"
)

var update = flag.Bool("update", false, "write the files in testdata anew")

// plantedToken and plantedPassword are secrets of the tests. The stand-in marks its own.
const (
	plantedToken    = "ThePlantedToken"
	plantedPassword = "ThePlantedPassword"
)

// printed is what went to the standard logger, such as what net/http complains about.
var printed = &output{}

type output struct {
	mu sync.Mutex
	bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.Buffer.Write(p)
}

func TestMain(m *testing.M) {
	github.Times.Pause = time.Millisecond
	github.Times.Settle = 100 * time.Millisecond
	log.SetOutput(printed)
	code := m.Run()
	if text := printed.String(); text != "" {
		fmt.Fprintf(os.Stderr, "the standard logger printed:\n%s", text)
		code = 1
	}
	os.Exit(code)
}

func started(t *testing.T) *standin.StandIn {
	t.Helper()
	s, err := standin.Start("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() }) //nolint:errcheck // the test is over
	return s
}

// registered starts a stand-in that has a scale set in a group, with two idle runners.
func registered(t *testing.T) (*standin.StandIn, github.Set) {
	t.Helper()
	s := started(t)
	return s, register(t, s)
}

func register(t *testing.T, s *standin.StandIn) github.Set {
	t.Helper()
	s.RequireToken(plantedToken)
	s.ExclusiveSessions(true)
	set := github.Set{ID: s.AddScaleSet("set", "builders"), Name: "set", Group: "builders", Runners: []string{"one", "two"}}
	for _, runner := range set.Runners {
		must(t, s.AddScaleSetRunner("set", runner, false))
	}
	return set
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func credentials(t *testing.T, token string) github.Credentials {
	t.Helper()
	c, err := github.Token(token)
	must(t, err)
	return c
}

// access is the way to a config URL with the token of the tests.
func access(t *testing.T, url string) github.Access {
	t.Helper()
	u, err := github.ParseConfigURL(url)
	must(t, err)
	return github.Access{URL: u, Credentials: credentials(t, plantedToken)}
}

func client(t *testing.T, a github.Access) *github.Client {
	t.Helper()
	c, err := github.New(a)
	must(t, err)
	t.Cleanup(c.Close)
	return c
}

// deregister removes a set, and proves that what it says has no secret.
func deregister(t *testing.T, s *standin.StandIn, set github.Set) github.Results {
	t.Helper()
	c := client(t, access(t, s.ConfigURL()))
	results := c.Deregister(t.Context(), set, false)
	noSecrets(t, s, fmt.Sprintf("%+v %#v %s", results, c, c), results)
	return results
}

// theApp is an App of the tests: its key is planted too.
var theApp = sync.OnceValue(func() standin.App {
	app, err := standin.NewApp("Iv1.app", 42)
	if err != nil {
		panic(err)
	}
	return app
})

// withApp returns the credentials of an App, as a Secret has them.
func withApp(t *testing.T, app standin.App) github.Credentials {
	t.Helper()
	c, err := github.FromSecret(map[string][]byte{
		"github_app_id": []byte(app.ClientID), "github_app_installation_id": fmt.Append(nil, app.Installation),
		"github_app_private_key": []byte(app.PrivateKey()),
	})
	must(t, err)
	return c
}

// noSecrets looks for every secret in text and in values.
func noSecrets(t *testing.T, s *standin.StandIn, text string, values ...any) {
	t.Helper()
	for _, v := range values {
		text += fmt.Sprintf("%+v %#v %s", v, v, v)
		if encoded, err := json.Marshal(v); err == nil { // a function has no JSON
			text += string(encoded)
		}
	}
	secrets := strings.Split(strings.TrimSpace(theApp().PrivateKey()), "\n")
	secrets = append(append(secrets, s.Secrets()...), plantedToken, plantedPassword, standin.SecretMarker, standin.BodyMarker, "PRIVATE KEY", "Bearer", "eyJ")
	for _, secret := range secrets {
		if strings.Contains(text, secret) {
			t.Errorf("%q is in %s", secret, text)
		}
	}
}

// expect compares results, as "set: outcome; runner; runner", and what is left of the scale sets and of the runners.
func expect(t *testing.T, s *standin.StandIn, got github.Results, want string, sets, runners []string) {
	t.Helper()
	text := string(got.Set.Outcome)
	for _, r := range got.Runners {
		text += "; " + string(r.Outcome)
	}
	if text != want {
		t.Errorf("%s, want %s: %+v", text, want, got)
	}
	if left := s.ScaleSets(); !slices.Equal(left, sets) {
		t.Errorf("the scale sets %q are left, want %q", left, sets)
	}
	if left := s.Runners(); !slices.Equal(left, runners) {
		t.Errorf("the runners %q are left, want %q", left, runners)
	}
	for _, r := range append([]github.Result{got.Set}, got.Runners...) {
		if done := r.Outcome == github.Removed || r.Outcome == github.Gone || r.Outcome == github.WouldRemove; done != (r.Why == "") {
			t.Errorf("%s says %q", r.Outcome, r.Why)
		}
	}
}

// why checks for a text in a reason.
func why(t *testing.T, r github.Result, want string) {
	t.Helper()
	if !strings.Contains(r.Why, want) {
		t.Errorf("%s because %q, want %q", r.Outcome, r.Why, want)
	}
}

// writes are the requests that change something at GitHub.
func writes(s *standin.StandIn) (kinds []standin.Request) {
	for _, call := range s.Calls() {
		signIn := []standin.Request{standin.RegistrationToken, standin.RunnerRegistration, standin.AppAccessToken}
		if call.Method != http.MethodGet && !slices.Contains(signIn, call.Request) {
			kinds = append(kinds, call.Request)
		}
	}
	return kinds
}

func kinds(s *standin.StandIn) (kinds []standin.Request) {
	for _, call := range s.Calls() {
		kinds = append(kinds, call.Request)
	}
	return kinds
}
