package cleanup

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/kube"
	"github.com/arc-cleanup/arc-cleanup/internal/kube/kubetest"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
	"github.com/arc-cleanup/arc-cleanup/internal/plan/plantest"
)

// fault is one way in which a request can fail.
type fault struct {
	name   string
	reason metav1.StatusReason
	code   int
}

// faults are all the ways in which a request can fail: answers of an API server or of a proxy
// before it, and failures of the connection.
var faults = []fault{
	{"forbidden", metav1.StatusReasonForbidden, http.StatusForbidden},
	{"not found", metav1.StatusReasonNotFound, http.StatusNotFound},
	{"conflict", metav1.StatusReasonConflict, http.StatusConflict},
	{"gone", metav1.StatusReasonExpired, http.StatusGone},
	{"unprocessable", metav1.StatusReasonInvalid, http.StatusUnprocessableEntity},
	{"too many requests", metav1.StatusReasonTooManyRequests, http.StatusTooManyRequests},
	{"internal error", metav1.StatusReasonInternalError, http.StatusInternalServerError},
	{"expired token", metav1.StatusReasonUnauthorized, http.StatusUnauthorized},
	{name: reset},
	{name: slow},
	{name: truncated},
	{name: closed},
}

// passing are the faults after which a run may take another way than after a permanent fault. The
// list is short to keep the test short.
var passing = []string{"not found", "conflict", "internal error", truncated, closed}

const (
	reset     = "reset"
	slow      = "slow"
	truncated = "truncated"
	closed    = "closed watch"
)

// requestKey identifies a request, without the parts that change with the next page or the next
// try.
func requestKey(r *http.Request) string {
	key := r.Method + " " + r.URL.Path
	q := r.URL.Query()
	for _, selector := range []string{"labelSelector", "fieldSelector"} {
		if q.Get(selector) != "" {
			key += " " + q.Get(selector)
		}
	}
	if q.Get("watch") != "" {
		key = "WATCH" + strings.TrimPrefix(key, r.Method)
	}
	return key
}

// faulty is an API server with failing requests.
type faulty struct {
	behind http.Handler
	on     string // the key of the requests that fail
	fault  fault
	times  int

	mu   sync.Mutex
	seen map[string]bool
}

func (f *faulty) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	key := requestKey(r)
	f.mu.Lock()
	f.seen[key] = true
	fails := key == f.on && f.times > 0
	if fails {
		f.times--
	}
	f.mu.Unlock()
	switch {
	case !fails:
		f.behind.ServeHTTP(w, r)
	case f.fault.code != 0:
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(f.fault.code)
		// The message names nothing, so the engine has to add what it asked for.
		_ = json.NewEncoder(w).Encode(metav1.Status{
			TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}, Status: metav1.StatusFailure,
			Code: int32(f.fault.code), Reason: f.fault.reason, Message: "no",
		})
	case f.fault.name == slow:
		_, _ = io.Copy(io.Discard, r.Body) // otherwise the server does not notice that the client goes away
		select {
		case <-r.Context().Done():
		case <-time.After(time.Hour):
		}
	case f.fault.name == truncated:
		whole := httptest.NewRecorder()
		ctx, cancel := context.WithTimeout(r.Context(), time.Second) // for a watch
		defer cancel()
		f.behind.ServeHTTP(whole, r.WithContext(ctx))
		maps.Copy(w.Header(), whole.Header())
		w.Header().Set("Content-Length", fmt.Sprint(whole.Body.Len()+1))
		w.WriteHeader(whole.Code)
		_, _ = w.Write(whole.Body.Bytes()[:whole.Body.Len()/2])
		panic(http.ErrAbortHandler)
	case f.fault.name == closed:
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusOK)
	default:
		panic(http.ErrAbortHandler)
	}
}

// pipes is a network of its own, so that the test's clock can advance without waiting.
type pipes struct {
	conns chan net.Conn
	over  context.Context
	end   context.CancelFunc
}

func newPipes(ctx context.Context) pipes {
	ctx, cancel := context.WithCancel(ctx)
	return pipes{make(chan net.Conn), ctx, cancel}
}

func (p pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.over.Done():
		return nil, net.ErrClosed
	}
}

func (p pipes) Close() error { p.end(); return nil }

func (p pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipes"} }

func (p pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case p.conns <- server:
		return client, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-p.over.Done():
		return nil, net.ErrClosed
	}
}

// holding is an API server with these objects, without a network.
func holding(items ...kubetest.Item) *kubetest.Server {
	a := &kubetest.Server{Objects: map[string]*kubetest.Item{}, Streams: map[chan string]kubetest.Stream{}}
	for _, it := range items {
		a.Put(it)
	}
	return a
}

// served returns a client of an API server in the test's bubble, and what ends both.
func served(t *testing.T, api http.Handler) (c *kube.Client, end func()) {
	t.Helper()
	network := newPipes(t.Context())
	server := &http.Server{Handler: api, ReadHeaderTimeout: time.Hour}
	go func() { _ = server.Serve(network) }()
	transport := &http.Transport{DialContext: network.dial}
	c, err := kube.New(&rest.Config{Host: "http://api", Transport: transport})
	if err != nil {
		t.Fatal(err)
	}
	return c, func() {
		transport.CloseIdleConnections()
		_ = server.Close()
		time.Sleep(2 * time.Hour) // client-go's watches end after their next delay
	}
}

// onItsOwnClock gives a test an API server and a clock that advances only while everything waits: no busy machine misses
// its time limits.
func onItsOwnClock(t *testing.T, items []kubetest.Item, test func(t *testing.T, a *kubetest.Server, c *kube.Client)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		a := holding(items...)
		c, end := served(t, a)
		defer end()
		test(t, a, c)
	})
}

// scenario is an uninstall in which every request fails in every way.
type scenario struct {
	options plan.Options
	items   func() []kubetest.Item
	react   func(a *kubetest.Server, request string)
}

// play runs the uninstall with some requests failing, and returns how it ended, what was left, and
// what was requested.
func (s scenario) play(t *testing.T, on string, f fault, times int) (r *Report, left, asked []string) {
	t.Helper()
	a := holding(s.items()...)
	a.React = s.react
	front := &faulty{behind: a, on: on, fault: f, times: times, seen: map[string]bool{}}
	c, end := served(t, front)
	ctx, cancel := context.WithTimeoutCause(t.Context(), faultBudget, ErrBudget)
	r = Run(ctx, c, s.options, quiet, Person{})
	cancel()
	end()
	for _, o := range a.Left() {
		if strings.HasPrefix(o, "secret systems/backup") {
			continue // a retry may cause another request
		}
		it := a.Objects[o]
		left = append(left, fmt.Sprintf("%s %q", o, it.Finalizers))
	}
	return r, left, slices.Sorted(maps.Keys(front.seen))
}

const faultBudget = 3 * time.Minute

// scenarios are uninstalls of each scope. Their clusters need everything that the engine does.
func scenarios() map[string]scenario {
	hook := plantest.AsHook
	hook.Backup, hook.ScaleSets = kubetest.Named("systems/backup"), plan.DeleteScaleSets
	rescue := plan.Options{Scope: plan.ScopeNamespace, Namespace: "ci"}
	ofJobs := []kubetest.Item{ofJob("pod runners/r-workflow", "r"), ofJob("secret runners/r-job", "r")}
	return map[string]scenario{
		"by hand": {options: plantest.ByHand, items: func() []kubetest.Item { return kubetest.Stuck(ofJobs...) }},
		"controller": {
			options: hook,
			items: func() []kubetest.Item {
				items := append(kubetest.Whole(kubetest.CRDs()...), kubetest.Whole(kubetest.Object("ars runners/live"), kubetest.Object("er runners/live", kubetest.Of("runners/live")), kubetest.Protected("role runners/live-manager"))...)
				return append(items, kubetest.Deployment("systems/arc", "", kubetest.By("systems/arc")), kubetest.Record("systems", "systems", "arc", "uninstalling", kubetest.ArcManifest))
			},
			react: func(a *kubetest.Server, request string) { // acts as the controller
				if request == "DELETE ars runners/live" {
					go func() {
						time.Sleep(time.Second)
						a.Take("er runners/live", "ars runners/live")
					}()
				}
			},
		},
		"scale set": {
			options: plantest.OfSet,
			items: func() []kubetest.Item {
				return kubetest.Stuck(kubetest.Down(kubetest.Deployment("systems/arc", "")), kubetest.Record("runners", "runners", "set", "uninstalling",
					"apiVersion: actions.github.com/v1alpha1\nkind: AutoscalingRunnerSet\nmetadata: {name: set}\n"))
			},
			react: func(a *kubetest.Server, request string) { // acts as the garbage collector
				if request == "PATCH al systems/l" {
					go func() {
						time.Sleep(time.Second)
						a.Take("al systems/l")
					}()
				}
			},
		},
		"namespace": {
			options: rescue,
			items: func() []kubetest.Item {
				items := append(kubetest.Whole(kubetest.CRDs()...), kubetest.Whole(kubetest.LegacyCRDs()...)...)
				return append(items, kubetest.Whole(
					kubetest.Object("ns ci", kubetest.Deleting), kubetest.Object("run ci/x", kubetest.Deleting), kubetest.RunnerPod("pod ci/x", "run ci/x", kubetest.Deleting), kubetest.Object("er ci/e", kubetest.Deleting), kubetest.Protected("role ci/m", kubetest.Deleting),
				)...)
			},
			react: func(a *kubetest.Server, _ string) { // acts as the namespace controller
				if !slices.ContainsFunc(a.Left(), func(o string) bool { return strings.Contains(o, " ci/") }) {
					go func() {
						time.Sleep(time.Second)
						a.Take("ns ci")
					}()
				}
			},
		},
		"legacy": {
			options: plantest.OfLegacy,
			items: func() []kubetest.Item {
				items := append(kubetest.Whole(kubetest.LegacyCRDs()...), kubetest.Whole(kubetest.Family(kubetest.Deleting)...)...)
				items = append(items, kubetest.Whole(kubetest.RunnerPod("pod ci/k", "run ci/r", kubetest.Deleting, kubetest.Finalizers(arc.LegacyPodFinalizer, arc.LegacyLinkedFinalizer)))...)
				return append(items, ofJob("pod ci/k-job", "k"), kubetest.LegacyHooks("mwc m", "systems/gone", "mutate.runner.actions.summerwind.dev"))
			},
			react: func(a *kubetest.Server, request string) { // acts as the garbage collector
				if request == "DELETE crd runners.actions.summerwind.dev" {
					go func() {
						time.Sleep(time.Second)
						a.Take("pod ci/r")
					}()
				}
			},
		},
	}
}

// TestFaults makes every request of every kind of uninstall fail in every way, once and forever. A
// run that says "done" must have left nothing, and any other must name the failed request.
func TestFaults(t *testing.T) {
	t.Parallel()
	for name, s := range scenarios() {
		s.options.Grace = 10 * time.Second
		var want, asked []string
		synctest.Test(t, func(t *testing.T) {
			var r *Report
			if r, want, asked = s.play(t, "", fault{}, 0); r.Verdict != plan.Done {
				t.Fatalf("%s: %s", name, r.Text(50))
			}
		})
		for _, f := range faults {
			t.Run(name+"/"+f.name, func(t *testing.T) {
				t.Parallel()
				for _, request := range oneOfEach(asked) {
					if f.name == closed && !strings.HasPrefix(request, "WATCH ") {
						continue
					}
					times := map[string]int{"for ever": kubetest.Always}
					if slices.Contains(passing, f.name) {
						times["once"] = 1
					}
					if f.code == http.StatusGone && strings.HasPrefix(request, "WATCH ") {
						// client-go retries this one without a pause, so the test's clock does not
						// advance.
						times["for ever"] = 100
					}
					for often, times := range times {
						if wrong := s.try(t, request, f, times, want); wrong != "" {
							t.Errorf("%s, %s: %s", request, often, wrong)
						}
					}
				}
			})
		}
	}
}

// oneOfEach keeps the first of all requests that differ only in the object's name.
func oneOfEach(requests []string) (out []string) {
	seen := map[string]bool{}
	for _, request := range requests {
		verb, rest, _ := strings.Cut(request, " ")
		path, selector, _ := strings.Cut(rest, " ")
		if isDiscovery(path) {
			out = append(out, request)
			continue
		}
		kind, _, name, _ := kubetest.Parse(path)
		if key := fmt.Sprint(verb, kind, name != "", strings.Split(selector, ".")[0], kind == ""); kind == "" || !seen[key] {
			seen[key] = true
			out = append(out, request)
		}
	}
	return out
}

// try runs the uninstall with a fault, and returns what is wrong about its end.
func (s scenario) try(t *testing.T, request string, f fault, times int, want []string) (wrong string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r, left, _ := s.play(t, request, f, times)
		text := r.Text(50)
		switch cause := strings.TrimSuffix(text, r.Summary()); {
		case r.Verdict == plan.Done && !slices.Equal(left, want):
			wrong = fmt.Sprintf("done, and there is %q, not %q:\n%s", left, want, text)
		case r.Verdict != plan.Done && !mentions(cause, request):
			wrong = "the request is not named:\n" + text
		}
	})
	return wrong
}

// isDiscovery reports whether a path is the discovery of a group, such as /apis/GROUP.
func isDiscovery(path string) bool {
	return strings.Count(path, "/") < 4 && strings.HasPrefix(path, "/apis/")
}

// mentions reports whether a text names a request, by its object or its kind.
func mentions(text, request string) bool {
	_, path, _ := strings.Cut(request, " ")
	path, _, _ = strings.Cut(path, " ")
	if strings.HasSuffix(path, "subjectaccessreviews") {
		return strings.Contains(text, "whether the run may ")
	}
	if isDiscovery(path) {
		return strings.Contains(text, path)
	}
	s, _, name, _ := kubetest.Parse(path)
	text = strings.ToLower(text)
	if name != "" && strings.Contains(text, strings.ToLower(name)) || strings.HasPrefix(name, "sh.helm.") && strings.Contains(text, "helm release") {
		return true
	}
	resource := strings.TrimSuffix(kubetest.Short[s].Resource, "s")
	return resource != "" && strings.Contains(text, resource)
}
