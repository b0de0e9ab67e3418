// Package github is a stand-in for what ARC needs of GitHub: the registration
// of scale sets and runners, and the message queue a listener polls.
package github

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Mode is how the stand-in behaves.
type Mode string

const (
	OK               Mode = "ok"
	NotFoundOnDelete Mode = "not-found-on-delete" // scale sets and runners are gone already
	JobStillRunning  Mode = "job-still-running"   // no runner can be removed
	Unauthorized     Mode = "unauthorized"        // the credentials are no longer good
	Down             Mode = "down"
)

// Call is a request that was answered.
type Call struct {
	Method string
	Path   string
	Status int
}

// StandIn is a running server.
type StandIn struct {
	server   *http.Server
	listener net.Listener

	mu        sync.Mutex
	mode      Mode
	calls     []Call
	scaleSets map[int]*scaleSet
	runners   map[int]*runner
	lastID    int
	seen      bool // something was registered at some time
}

type scaleSet struct {
	ID              int    `json:"id"`
	Name            string `json:"name"`
	RunnerGroupID   int    `json:"runnerGroupId"`
	RunnerGroupName string `json:"runnerGroupName"`
}

type runner struct {
	ID         int    `json:"id"`
	Name       string `json:"name"`
	ScaleSetID int    `json:"runnerScaleSetId"`
	Busy       bool   `json:"busy"`
}

// Start serves on a free port of an address.
func Start(host string) (*StandIn, error) {
	listener, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		return nil, fmt.Errorf("starting the GitHub stand-in: %w", err)
	}
	s := &StandIn{
		listener:  listener,
		mode:      OK,
		scaleSets: map[int]*scaleSet{},
		runners:   map[int]*runner{},
	}
	s.server = &http.Server{Handler: s.recorded(s.routes()), ReadHeaderTimeout: 10 * time.Second}
	go s.server.Serve(listener) //nolint:errcheck // ends with Close
	return s, nil
}

// Close ends the server and every request that is still open.
func (s *StandIn) Close() error { return s.server.Close() }

// URL is the server's address, to change the mode by hand (see ModePath).
func (s *StandIn) URL() string { return "http://" + s.listener.Addr().String() }

// ConfigURL is what a scale set's githubConfigUrl has to be.
func (s *StandIn) ConfigURL() string { return s.URL() + "/acme" }

// SetMode changes how requests are answered from now on.
func (s *StandIn) SetMode(mode Mode) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mode = mode
}

// Calls returns what was asked so far, oldest first.
func (s *StandIn) Calls() []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.calls)
}

// ScaleSets returns the names of the registered scale sets.
func (s *StandIn) ScaleSets() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	names := []string{}
	for _, set := range s.scaleSets {
		names = append(names, set.Name)
	}
	slices.Sort(names)
	return names
}

// Runners returns the names of the registered runners.
func (s *StandIn) Runners() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	names := []string{}
	for _, r := range s.runners {
		names = append(names, r.Name)
	}
	slices.Sort(names)
	return names
}

// AddRunner registers a runner, as legacy ones do by themselves when they start.
func (s *StandIn) AddRunner(name string, busy bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := s.nextID()
	s.runners[id] = &runner{ID: id, Name: name, Busy: busy}
}

// EndJob ends a runner's job. It was ephemeral, so that GitHub forgets it.
func (s *StandIn) EndJob(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.runners, func(_ int, r *runner) bool { return r.Name == name })
}

// Deregistered says that something was registered and nothing is any more.
func (s *StandIn) Deregistered() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen && len(s.scaleSets) == 0 && len(s.runners) == 0
}

// Reset forgets calls and registrations, and answers normally again.
func (s *StandIn) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mode, s.calls, s.seen = OK, nil, false
	s.lastID = 0
	clear(s.scaleSets)
	clear(s.runners)
}

// ModePath reports the mode (GET) and changes it (PUT, the mode as the body);
// such requests are not recorded.
const ModePath = "/stand-in/mode"

// recorded notes every call, and answers in place of next where the mode
// leaves no choice.
func (s *StandIn) recorded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == ModePath {
			next.ServeHTTP(w, r)
			return
		}
		s.mu.Lock()
		mode := s.mode
		s.mu.Unlock()

		answer := &statusRecorder{ResponseWriter: w, status: http.StatusOK}
		switch mode {
		case Down:
			fail(answer, http.StatusServiceUnavailable, "ServiceUnavailableException")
		case Unauthorized:
			fail(answer, http.StatusUnauthorized, "UnauthorizedException")
		default:
			next.ServeHTTP(answer, r)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.calls = append(s.calls, Call{Method: r.Method, Path: r.URL.Path, Status: answer.status})
	})
}

type statusRecorder struct {
	http.ResponseWriter
	status int
}

func (r *statusRecorder) WriteHeader(status int) {
	r.status = status
	r.ResponseWriter.WriteHeader(status)
}

// reply answers with JSON.
func reply(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(body) //nolint:errcheck // the client has gone
}

// fail answers as the Actions service does; ARC looks at the type's name.
func fail(w http.ResponseWriter, status int, exception string) {
	reply(w, status, map[string]string{
		"typeName": "GitHub.DistributedTask.WebApi." + exception + ", GitHub.DistributedTask.WebApi",
		"message":  "stand-in: " + exception,
	})
}

// token is a JWT that does not expire during a test. Nobody checks its
// signature.
func token() string {
	part := func(v any) string {
		text, _ := json.Marshal(v)
		return base64.RawURLEncoding.EncodeToString(text)
	}
	return strings.Join([]string{
		part(map[string]string{"alg": "HS256", "typ": "JWT"}),
		part(map[string]int64{"exp": time.Now().Add(30 * 24 * time.Hour).Unix()}),
		base64.RawURLEncoding.EncodeToString([]byte("signature")),
	}, ".")
}

func pathID(r *http.Request) int {
	id, err := strconv.Atoi(r.PathValue("id"))
	if err != nil {
		return -1 // no such thing has this id
	}
	return id
}
