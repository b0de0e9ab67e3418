// Package github is a stand-in for what ARC needs of GitHub: the registration
// of scale sets and runners, and the message queue a listener polls.
package github

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
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

// StandIn is a running server.
type StandIn struct {
	server   *http.Server
	listener net.Listener
	scheme   string
	ca       string // PEM

	journal     journal
	credentials credentials

	mu        sync.Mutex
	mode      Mode
	rules     []*Rule
	exclusive bool     // see ExclusiveSessions
	groups    []string // by id, from 1
	scaleSets map[int]*scaleSet
	runners   map[int]*runner
	lastID    int
	seen      bool // something was registered at some time
}

type runner struct {
	ID         int    `json:"id"`
	Name       string `json:"name"`
	ScaleSetID int    `json:"runnerScaleSetId"`
	Busy       bool   `json:"busy"`
}

// Start serves on a free port of an address.
func Start(host string) (*StandIn, error) {
	return start(host, "http", nil)
}

func start(host, scheme string, secured *tls.Config) (*StandIn, error) {
	listener, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		return nil, fmt.Errorf("starting the GitHub stand-in: %w", err)
	}
	s := &StandIn{
		listener:  listener,
		scheme:    scheme,
		mode:      OK,
		groups:    []string{defaultGroup},
		scaleSets: map[int]*scaleSet{},
		runners:   map[int]*runner{},
	}
	if secured != nil {
		listener = tls.NewListener(listener, secured)
	}
	s.server = newServer(s.routes())
	go s.server.Serve(listener) //nolint:errcheck // ends with Close
	return s, nil
}

// newServer does not log connections that break off: tests break them on purpose.
func newServer(handler http.Handler) *http.Server {
	return &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second, ErrorLog: log.New(io.Discard, "", 0)}
}

// Close ends the server and every request that is still open.
func (s *StandIn) Close() error { return s.server.Close() }

// URL is the server's address, to change the mode by hand (see ModePath).
func (s *StandIn) URL() string { return s.scheme + "://" + s.listener.Addr().String() }

// base is the server's address as the client wrote it: behind a proxy it can be a name.
func (s *StandIn) base(r *http.Request) string { return s.scheme + "://" + r.Host }

// ConfigURL is what a scale set's githubConfigUrl has to be.
func (s *StandIn) ConfigURL() string { return s.URL() + "/acme" }

// SetMode changes how requests are answered from now on.
func (s *StandIn) SetMode(mode Mode) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mode = mode
}

// Calls returns what was asked so far, oldest first.
func (s *StandIn) Calls() []Call { return s.journal.list() }

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

// Reset forgets calls and registrations, and answers normally again, with any
// credentials.
func (s *StandIn) Reset() {
	s.require("", nil)
	s.journal.clear()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mode, s.rules, s.exclusive, s.seen = OK, nil, false, false
	s.groups, s.lastID = []string{defaultGroup}, 0
	clear(s.scaleSets)
	clear(s.runners)
}

// ModePath reports the mode (GET) and changes it (PUT, the mode as the body);
// such requests are not recorded.
const ModePath = "/stand-in/mode"

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
		"message":  "stand-in: " + exception + " " + BodyMarker,
	})
}

// failREST answers as GitHub's REST API does.
func failREST(w http.ResponseWriter, status int, message string) {
	reply(w, status, map[string]string{"message": message + " " + BodyMarker, "documentation_url": "https://docs.github.com/rest"})
}

func pathID(r *http.Request) int {
	id, err := strconv.Atoi(r.PathValue("id"))
	if err != nil {
		return -1 // no such thing has this id
	}
	return id
}
