package github

import (
	"net/http"
	"time"

	"github.com/google/uuid"
)

const (
	// pollTime is how long a listener's poll for messages stays open.
	pollTime = 30 * time.Second
	// pollGap is how long a session stays open between two polls, and before the
	// first. When a listener is killed, its connection closes and its session ends at once.
	pollGap = 10 * time.Second
)

// session is a scale set's message session.
type session struct {
	id    string
	held  bool // open until it is deleted, with or without polls
	polls int  // under way
	until time.Time
}

func (s *session) open() bool {
	return s != nil && (s.held || s.polls > 0 || time.Now().Before(s.until))
}

// HoldSession opens a session for another client. It stays open, and no client can
// open a second one, until a client deletes it or the test calls ReleaseSession.
func (s *StandIn) HoldSession(set string) error {
	return s.change(set, func(set *scaleSet) { set.session = &session{id: uuid.NewString(), held: true} })
}

// ReleaseSession ends a scale set's session, whichever client opened it.
func (s *StandIn) ReleaseSession(set string) error {
	return s.change(set, func(set *scaleSet) { set.session = nil })
}

// ExclusiveSessions makes the stand-in refuse a second session while one is open, as
// GitHub does. By default it refuses one only beside that of HoldSession, so that a
// new listener never waits for one that was killed.
//
// A session that a client opened is open while the client polls, and for pollGap
// after it was opened and between two polls.
func (s *StandIn) ExclusiveSessions(exclusive bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.exclusive = exclusive
}

// SessionOpen says that a scale set's session is open (see ExclusiveSessions).
func (s *StandIn) SessionOpen(set string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	known := s.find(set)
	return known != nil && known.session.open()
}

// createSession also refreshes one: a new token is all that a listener needs.
func (s *StandIn) createSession(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	set := s.asked(w, r)
	if set == nil {
		return
	}
	id := r.PathValue("session")
	if id == "" {
		if set.session.open() && (s.exclusive || set.session.held) {
			fail(w, http.StatusConflict, TaskAgentSessionConflictException)
			return
		}
		id = uuid.NewString()
		set.session = &session{id: id, until: time.Now().Add(pollGap)}
	}
	reply(w, http.StatusOK, map[string]any{
		"sessionId":               id,
		"ownerName":               "listener",
		"runnerScaleSet":          *set,
		"messageQueueUrl":         s.base(r) + messages + "?sessionId=" + id,
		"messageQueueAccessToken": s.credentials.issueService(),
		"statistics":              Statistics{}, // no jobs
	})
}

func (s *StandIn) deleteSession(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if set := s.scaleSets[pathID(r)]; set != nil && set.session != nil && set.session.id == r.PathValue("session") {
		set.session = nil
	}
	w.WriteHeader(http.StatusNoContent)
}

// pollMessages holds the request as GitHub does, and has nothing to say.
func (s *StandIn) pollMessages(w http.ResponseWriter, r *http.Request) {
	polled := s.sessionOf(r)
	if polled == nil {
		polled = &session{} // registered before the last Reset
	}
	s.mu.Lock()
	polled.polls++
	s.mu.Unlock()

	until := time.Time{}
	if wait(r, pollTime) {
		until = time.Now().Add(pollGap)
	}
	s.mu.Lock()
	polled.polls--
	polled.until = until
	s.mu.Unlock()
	w.WriteHeader(http.StatusAccepted)
}

func (s *StandIn) sessionOf(r *http.Request) *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, set := range s.scaleSets {
		if set.session != nil && set.session.id == r.URL.Query().Get("sessionId") {
			return set.session
		}
	}
	return nil
}
