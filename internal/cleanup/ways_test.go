package cleanup

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/rs/zerolog"

	"github.com/arc-cleanup/arc-cleanup/internal/github"
	"github.com/arc-cleanup/arc-cleanup/internal/kube/kubetest"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
	"github.com/arc-cleanup/arc-cleanup/internal/plan/plantest"
)

// What one team's way to GitHub does must not keep another team's scale sets there; but one server that is down is asked once.
func TestWhomAFailureConcerns(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	limits := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.Header().Set("Retry-After", "3600")
		w.WriteHeader(http.StatusTooManyRequests)
	}))
	t.Cleanup(limits.Close)
	nowhere := httptest.NewServer(http.NotFoundHandler())
	nowhere.Close()
	broken := func(*url.URL) (*url.URL, error) { return url.Parse(nowhere.URL) }
	const limited, refused = "GitHub allows no more requests for now", "the connection to GitHub was refused"
	for name, test := range map[string]struct {
		server string
		proxy  func(*url.URL) (*url.URL, error)
		// why is of the first team's sets, and next of the second team's, which has no proxy.
		why, next string
		asks      int32
	}{
		"a proxy of its own":    {limits.URL, broken, refused, limited, 1},
		"limited credentials":   {limits.URL, nil, limited, limited, 2},
		"a server that is down": {nowhere.URL, nil, refused, refused, 0},
	} {
		t.Run(name, func(t *testing.T) {
			asked.Store(0)
			token, err := github.Token("token")
			if err != nil {
				t.Fatal(err)
			}
			r := &run{log: quiet, report: &Report{}}
			var down sync.Map
			for i, namespace := range []string{"one", "one", "two"} {
				r.report.Registered = append(r.report.Registered, Registration{Registration: plan.Registration{
					Object: kubetest.Object(fmt.Sprintf("ars %s/set-%d", namespace, i)), Set: plan.ScaleSetInfo{ID: "1", Name: "set"},
				}})
				d := deregistration{set: i, access: github.Access{URL: configURL(t, test.server+"/acme"), Credentials: token}}
				if namespace == "one" {
					d.access.Proxy = test.proxy
				}
				r.deregisterSet(t.Context(), d, &down)
			}
			for i, want := range []string{test.why, test.why, test.next} {
				if reg := r.report.Registered[i]; reg.Outcome != github.Kept || !strings.HasPrefix(reg.Why, want) {
					t.Errorf("%s: %s, %q, want %q", reg.Object, reg.Outcome, reg.Why, want)
				}
			}
			if asked.Load() != test.asks {
				t.Errorf("asked %d times, want %d", asked.Load(), test.asks)
			}
		})
	}
}

// A team may name a server for each of its scale sets that never answers: they wait for each other, and no other team for them.
func TestOneTeamTakesOneWorker(t *testing.T) {
	t.Parallel()
	r := deregistering(t, withGitHub(plantest.ByHand))
	for i := range 3 {
		set := kubetest.Object(fmt.Sprintf("ars runners/set-%d", i))
		info := plan.ScaleSetInfo{ID: "7", Name: "set", URL: fmt.Sprintf("https://ghe-%d.example/acme", i)}
		reg := plan.Registration{Object: set, Set: info}
		r.report.Registered = append(r.report.Registered, Registration{Registration: reg})
		r.access[set.UID] = access{Access: github.Access{URL: configURL(t, info.URL)}, what: reg.Planned()}
	}
	if jobs := r.deregistrations(&plan.Survey{}); len(jobs) != 1 || len(jobs["runners"]) != 4 {
		t.Errorf("%v", jobs)
	}
}

// Helm 4 prints the hook's whole log as one line: it has one line about GitHub, however many scale sets there are.
func TestGitHubIsOneLineOfTheLog(t *testing.T) {
	t.Parallel()
	r := deregistering(t, withGitHub(plantest.ByHand))
	var log bytes.Buffer
	r.log = zerolog.New(&log).Level(zerolog.InfoLevel)
	for i := range 3 {
		set := kubetest.Object(fmt.Sprintf("ars runners/set-%d", i))
		reg := plan.Registration{Object: set, Set: r.report.Registered[0].Set}
		r.report.Registered = append(r.report.Registered, Registration{Registration: reg})
		r.access[set.UID] = access{Access: r.access["ars runners/set"].Access, what: reg.Planned()}
	}
	r.deregister(t.Context(), &plan.Survey{}) // without credentials nothing is asked
	if text := log.String(); strings.Count(text, "\n") != 1 || !strings.Contains(text, "4 scale sets") {
		t.Error(text)
	}
}

// What a run has no time for is not the server's fault.
func TestNoTimeForGitHub(t *testing.T) {
	t.Parallel()
	r := deregistering(t, withGitHub(plantest.ByHand))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r.deregister(ctx, &plan.Survey{})
	if reg := r.report.Registered[0]; reg.Outcome != github.Kept || reg.Why != endedBefore {
		t.Errorf("%s, %q", reg.Outcome, reg.Why)
	}
}
