package github

import (
	"bytes"
	"io"
	"net/http"
	"slices"
	"sync"
)

// Request is a kind of request: what a Rule breaks, and what a Call was.
type Request string

const (
	RegistrationToken  Request = "registration-token"  // of an organisation, a repository or an enterprise
	AppAccessToken     Request = "app-access-token"    // of an App's installation
	RunnerRegistration Request = "runner-registration" // hands out the service's address and its JWT
	GetGroup           Request = "get-group"
	FindScaleSet       Request = "find-scale-set" // by name and group
	CreateScaleSet     Request = "create-scale-set"
	GetScaleSet        Request = "get-scale-set" // by id
	UpdateScaleSet     Request = "update-scale-set"
	DeleteScaleSet     Request = "delete-scale-set"
	CreateRunner       Request = "create-runner"
	FindRunner         Request = "find-runner" // by name
	GetRunner          Request = "get-runner"  // by id
	DeleteRunner       Request = "delete-runner"
	CreateSession      Request = "create-session"
	RefreshSession     Request = "refresh-session"
	DeleteSession      Request = "delete-session"
	PollMessages       Request = "poll-messages"
	DeleteMessage      Request = "delete-message"
	AcquirableJobs     Request = "acquirable-jobs"
	AcquireJobs        Request = "acquire-jobs"
	ListLegacyRunners  Request = "list-legacy-runners"
	DeleteLegacyRunner Request = "delete-legacy-runner"
	Unknown            Request = "unknown"
)

// Call is a request that arrived.
type Call struct {
	Request       Request
	Method        string
	Path          string
	Status        int    // 0: not answered, or not yet
	Authorization string // the header, with its secret
}

// journal holds every call. Its lock is its own: handlers answer while they hold the stand-in's.
type journal struct {
	mu    sync.Mutex
	calls []*Call
}

func (j *journal) arrived(kind Request, r *http.Request) *Call {
	j.mu.Lock()
	defer j.mu.Unlock()
	call := &Call{Request: kind, Method: r.Method, Path: r.URL.Path, Authorization: r.Header.Get("Authorization")}
	j.calls = append(j.calls, call)
	return call
}

func (j *journal) answered(call *Call, status int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	call.Status = status
}

func (j *journal) list() []Call {
	j.mu.Lock()
	defer j.mu.Unlock()
	calls := make([]Call, 0, len(j.calls))
	for _, call := range j.calls {
		calls = append(calls, *call)
	}
	return calls
}

func (j *journal) clear() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.calls = nil
}

// answer notes the status before the client can see it.
type answer struct {
	http.ResponseWriter
	journal *journal
	call    *Call
}

func (a *answer) WriteHeader(status int) {
	a.journal.answered(a.call, status)
	a.ResponseWriter.WriteHeader(status)
}

// Unwrap is for http.ResponseController.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// serve records a request and answers it: as the mode says, else as a rule says,
// else as GitHub does.
func (s *StandIn) serve(kind Request, next http.HandlerFunc) http.HandlerFunc {
	next = s.authorised(kind, next)
	return func(w http.ResponseWriter, r *http.Request) {
		a := &answer{ResponseWriter: w, journal: &s.journal, call: s.journal.arrived(kind, r)}
		// A server notices that the client has left only after it has read the body.
		body, err := io.ReadAll(http.MaxBytesReader(a, r.Body, maxBody))
		if err != nil {
			fail(a, http.StatusBadRequest, "UnreadableRequestException")
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))

		s.mu.Lock()
		mode, rule := s.mode, s.takeRule(kind, r)
		s.mu.Unlock()
		switch {
		case mode == Down:
			fail(a, http.StatusServiceUnavailable, "ServiceUnavailableException")
		case mode == Unauthorized:
			fail(a, http.StatusUnauthorized, "UnauthorizedException")
		case rule != nil:
			rule.answer(a, r, next)
		default:
			next(a, r)
		}
	}
}

// maxBody is the largest request that is read.
const maxBody = 1 << 20

// CallsOf returns the calls of some kinds, oldest first.
func (s *StandIn) CallsOf(kinds ...Request) []Call {
	return slices.DeleteFunc(s.Calls(), func(c Call) bool { return !slices.Contains(kinds, c.Request) })
}
