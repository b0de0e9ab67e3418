package github

import (
	"net"
	"net/http"
	"strings"
	"time"
)

// Rule is a failure of one kind of request.
type Rule struct {
	Request Request // "" is every kind
	ID      int     // of one scale set or runner; 0 is every one
	Times   int     // for so many requests; 0 is for all of them. A client's own retries count.

	// Delay is how long the answer takes. Without a status and a fault, the answer is
	// then the usual one. The delay ends when the client leaves.
	Delay time.Duration

	Status    int               // 0 is the usual answer; 200 with a Fault that sends a status
	Exception string            // the Actions service's name for it; "" makes one of the status
	Body      string            // instead of an error's usual body: NullBody, HTMLBody, ...
	Header    map[string]string // such as Retry-After

	Fault Fault
}

// Fault is an answer that does not arrive whole.
type Fault string

const (
	// ResetConnection ends the connection before the answer. Go's transport asks again by
	// itself when the connection was not new and the request was a GET.
	ResetConnection Fault = "reset"
	// LoseAnswer does what was asked, and then ends the connection.
	LoseAnswer Fault = "lose-answer"
	// CutBody ends the connection in the middle of the body.
	CutBody Fault = "cut-body"
	// EndlessBody does not end, until the client leaves.
	EndlessBody Fault = "endless-body"
)

// Exceptions of the Actions service.
const (
	JobStillRunningException          = "JobStillRunningException"
	AgentNotFoundException            = "AgentNotFoundException"
	RunnerScaleSetNotFoundException   = "RunnerScaleSetNotFoundException"
	TaskAgentSessionConflictException = "TaskAgentSessionConflictException"
)

// BodyMarker is in the body of every error, so that a test can prove that no body is printed.
const BodyMarker = "TheStandInBodyMarker"

// Bodies for a Rule.
const (
	EmptyBody = "{}"
	NullBody  = "null"
	HTMLBody  = "<html><head><title>404 Not Found</title></head><body>" + BodyMarker + "</body></html>" // what a proxy in between answers
	// CountOnly is a list that counts one item and has none.
	CountOnly = `{"count":1,"value":[]}`
)

// Fail adds rules. The first that matches a request answers it.
func (s *StandIn) Fail(rules ...Rule) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, rule := range rules {
		s.rules = append(s.rules, &rule)
	}
}

// Mend removes every rule.
func (s *StandIn) Mend() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rules = nil
}

// takeRule finds the rule for a request and counts it. The caller holds the lock.
func (s *StandIn) takeRule(kind Request, r *http.Request) *Rule {
	for i, rule := range s.rules {
		if (rule.Request != "" && rule.Request != kind) || (rule.ID != 0 && rule.ID != pathID(r)) {
			continue
		}
		taken := *rule
		if rule.Times > 0 {
			if rule.Times--; rule.Times == 0 {
				s.rules = append(s.rules[:i:i], s.rules[i+1:]...)
			}
		}
		return &taken
	}
	return nil
}

func (rule *Rule) answer(w http.ResponseWriter, r *http.Request, next http.HandlerFunc) {
	if !wait(r, rule.Delay) {
		return
	}
	switch rule.Fault {
	case ResetConnection:
		reset(w)
	case LoseAnswer:
		next(discard{}, r)
		reset(w)
	case CutBody:
		w.Header().Set("Content-Length", "4096")
		write(w, rule.status(), `{"token":"`+BodyMarker)
	case EndlessBody:
		endless(w, r, rule.status())
	default:
		if rule.Status == 0 {
			next(w, r)
			return
		}
		rule.reply(w, r)
	}
}

func (rule *Rule) status() int {
	if rule.Status == 0 {
		return http.StatusOK
	}
	return rule.Status
}

func (rule *Rule) reply(w http.ResponseWriter, r *http.Request) {
	for name, value := range rule.Header {
		w.Header().Set(name, value)
	}
	exception := rule.Exception
	if exception == "" {
		exception = strings.ReplaceAll(http.StatusText(rule.Status), " ", "") + "Exception"
	}
	switch {
	case rule.Body != "":
		write(w, rule.Status, rule.Body)
	case strings.HasPrefix(r.URL.Path, restAPI):
		failREST(w, rule.Status, exception)
	default:
		fail(w, rule.Status, exception)
	}
}

// wait is false when the client has gone first.
func wait(r *http.Request, d time.Duration) bool {
	if d == 0 {
		return true
	}
	select {
	case <-r.Context().Done():
		return false
	case <-time.After(d):
		return true
	}
}

// write answers with a body that may be no JSON.
func write(w http.ResponseWriter, status int, body string) {
	kind := "application/json"
	if strings.HasPrefix(body, "<") {
		kind = "text/html"
	}
	if w.Header().Get("Content-Type") == "" {
		w.Header().Set("Content-Type", kind)
	}
	w.WriteHeader(status)
	w.Write([]byte(body)) //nolint:errcheck // the client has gone
}

// reset ends a connection so that the client sees "connection reset by peer".
func reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if secured, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = secured.NetConn() // without TLS's goodbye
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		tcp.SetLinger(0) //nolint:errcheck // the connection is closed in any case
	}
	conn.Close() //nolint:errcheck // the client sees it
}

// endless sends a few megabytes a second: enough to reach any limit, and too few to
// fill the memory before a client without a limit runs into its timeout.
func endless(w http.ResponseWriter, r *http.Request, status int) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	chunk := []byte(strings.Repeat(BodyMarker+" ", 64<<10/(len(BodyMarker)+1)))
	control := http.NewResponseController(w)
	for wait(r, 10*time.Millisecond) {
		if _, err := w.Write(chunk); err != nil {
			return
		}
		if err := control.Flush(); err != nil {
			return
		}
	}
}

// discard is an answer that gets lost.
type discard struct{}

func (discard) Header() http.Header         { return http.Header{} }
func (discard) Write(p []byte) (int, error) { return len(p), nil }
func (discard) WriteHeader(int)             {}
