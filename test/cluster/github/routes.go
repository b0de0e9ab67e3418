package github

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/google/uuid"
)

// pollTime is how long a listener's poll for messages stays open.
const pollTime = 30 * time.Second

// The paths of the Actions service, behind the tenant's address which the
// registration hands out.
const (
	tenant    = "/tenant/123/"
	sets      = tenant + "_apis/runtime/runnerscalesets"
	groups    = tenant + "_apis/runtime/runnergroups/"
	agents    = tenant + "_apis/distributedtask/pools/0/agents"
	messages  = tenant + "messages"
	tokenPath = "/actions/runners/registration-token"
)

// repository is where legacy runners are registered, in GitHub's REST API.
const repository = "/api/v3/repos/{owner}/{repo}/actions/runners"

func (s *StandIn) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+ModePath, s.getMode)
	mux.HandleFunc("PUT "+ModePath, s.putMode)

	mux.HandleFunc("POST /api/v3/orgs/{org}"+tokenPath, registrationToken)
	mux.HandleFunc("POST /api/v3/repos/{owner}/{repo}"+tokenPath, registrationToken)
	mux.HandleFunc("POST /api/v3/enterprises/{enterprise}"+tokenPath, registrationToken)
	mux.HandleFunc("POST /api/v3/app/installations/{id}/access_tokens", registrationToken)
	mux.HandleFunc("POST /api/v3/actions/runner-registration", s.runnerRegistration)

	mux.HandleFunc("GET "+groups, getGroup)
	mux.HandleFunc("GET "+sets, s.findScaleSet)
	mux.HandleFunc("POST "+sets, s.createScaleSet)
	mux.HandleFunc("GET "+sets+"/{id}", s.getScaleSet)
	mux.HandleFunc("PATCH "+sets+"/{id}", s.updateScaleSet)
	mux.HandleFunc("DELETE "+sets+"/{id}", s.deleteScaleSet)
	mux.HandleFunc("POST "+sets+"/{id}/generatejitconfig", s.createRunner)
	mux.HandleFunc("POST "+sets+"/{id}/sessions", s.createSession)
	mux.HandleFunc("PATCH "+sets+"/{id}/sessions/{session}", s.createSession)
	mux.HandleFunc("DELETE "+sets+"/{id}/sessions/{session}", noContent)
	mux.HandleFunc("GET "+sets+"/{id}/acquirablejobs", noContent)
	mux.HandleFunc("POST "+sets+"/{id}/acquirejobs", acquireNothing)
	mux.HandleFunc("GET "+messages, pollMessages)
	mux.HandleFunc("DELETE "+messages+"/{id}", noContent)

	mux.HandleFunc("GET "+agents, s.findRunner)
	mux.HandleFunc("GET "+agents+"/{id}", s.getRunner)
	mux.HandleFunc("DELETE "+agents+"/{id}", s.deleteRunner)

	mux.HandleFunc("GET "+repository, s.listRunners)
	mux.HandleFunc("DELETE "+repository+"/{id}", s.removeRunner)
	return mux
}

func (s *StandIn) getMode(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	io.WriteString(w, string(s.mode)+"\n") //nolint:errcheck // the client has gone
}

func (s *StandIn) putMode(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 64))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	switch mode := Mode(body); mode {
	case OK, NotFoundOnDelete, JobStillRunning, Unauthorized, Down:
		s.SetMode(mode)
	default:
		http.Error(w, "no such mode", http.StatusBadRequest)
	}
}

func registrationToken(w http.ResponseWriter, _ *http.Request) {
	reply(w, http.StatusCreated, map[string]any{"token": "token", "expires_at": time.Now().Add(time.Hour)})
}

func (s *StandIn) runnerRegistration(w http.ResponseWriter, _ *http.Request) {
	reply(w, http.StatusOK, map[string]string{"url": s.URL() + tenant, "token": token()})
}

func getGroup(w http.ResponseWriter, r *http.Request) {
	reply(w, http.StatusOK, list(map[string]any{"id": 2, "name": r.URL.Query().Get("groupName")}))
}

func (s *StandIn) findScaleSet(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, set := range s.scaleSets {
		if set.Name == r.URL.Query().Get("name") {
			reply(w, http.StatusOK, list(*set))
			return
		}
	}
	reply(w, http.StatusOK, list[scaleSet]())
}

func (s *StandIn) createScaleSet(w http.ResponseWriter, r *http.Request) {
	set := &scaleSet{RunnerGroupID: 1, RunnerGroupName: "Default"}
	if !decode(w, r, set) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, other := range s.scaleSets {
		if other.Name == set.Name {
			fail(w, http.StatusConflict, "RunnerScaleSetExistsException")
			return
		}
	}
	set.ID = s.nextID()
	s.scaleSets[set.ID] = set
	reply(w, http.StatusOK, *set)
}

func (s *StandIn) getScaleSet(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	set, ok := s.scaleSets[pathID(r)]
	if !ok {
		fail(w, http.StatusNotFound, "RunnerScaleSetNotFoundException")
		return
	}
	reply(w, http.StatusOK, *set)
}

func (s *StandIn) updateScaleSet(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	set, ok := s.scaleSets[pathID(r)]
	if !ok {
		fail(w, http.StatusNotFound, "RunnerScaleSetNotFoundException")
		return
	}
	updated := *set
	if !decode(w, r, &updated) {
		return
	}
	updated.ID = set.ID
	*set = updated
	reply(w, http.StatusOK, updated)
}

func (s *StandIn) deleteScaleSet(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.scaleSets[pathID(r)]; !ok || s.mode == NotFoundOnDelete {
		fail(w, http.StatusNotFound, "RunnerScaleSetNotFoundException")
		return
	}
	delete(s.scaleSets, pathID(r))
	w.WriteHeader(http.StatusNoContent)
}

func (s *StandIn) createRunner(w http.ResponseWriter, r *http.Request) {
	added := &runner{}
	if !decode(w, r, added) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, other := range s.runners {
		if other.Name == added.Name {
			fail(w, http.StatusConflict, "AgentExistsException")
			return
		}
	}
	added.ID, added.ScaleSetID = s.nextID(), pathID(r)
	s.runners[added.ID] = added
	reply(w, http.StatusOK, map[string]any{"runner": *added, "encodedJITConfig": "eA=="})
}

func (s *StandIn) findRunner(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, known := range s.runners {
		if known.Name == r.URL.Query().Get("agentName") {
			reply(w, http.StatusOK, list(*known))
			return
		}
	}
	reply(w, http.StatusOK, list[runner]())
}

func (s *StandIn) getRunner(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	known, ok := s.runners[pathID(r)]
	if !ok {
		fail(w, http.StatusNotFound, "AgentNotFoundException")
		return
	}
	reply(w, http.StatusOK, *known)
}

func (s *StandIn) deleteRunner(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch s.mode {
	case JobStillRunning:
		fail(w, http.StatusBadRequest, "JobStillRunningException")
	case NotFoundOnDelete:
		fail(w, http.StatusNotFound, "AgentNotFoundException")
	default:
		// Removing one that has gone is a success too: ARC removes every
		// runner twice, for the set and then for the runner itself.
		delete(s.runners, pathID(r))
		w.WriteHeader(http.StatusNoContent)
	}
}

func (s *StandIn) listRunners(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	reply(w, http.StatusOK, map[string]any{"total_count": len(s.runners), "runners": slices.Collect(maps.Values(s.runners))})
}

// removeRunner is deleteRunner of the REST API, which refuses in another way.
func (s *StandIn) removeRunner(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	known, ok := s.runners[pathID(r)]
	switch {
	case !ok, s.mode == NotFoundOnDelete:
		reply(w, http.StatusNotFound, map[string]string{"message": "Not Found"})
	case known.Busy, s.mode == JobStillRunning:
		reply(w, http.StatusUnprocessableEntity, map[string]string{
			"message": "Runner \"" + known.Name + "\" is currently running a job and cannot be deleted.",
		})
	default:
		delete(s.runners, known.ID)
		w.WriteHeader(http.StatusNoContent)
	}
}

// createSession also refreshes one: a new token is all that a listener needs.
func (s *StandIn) createSession(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	set, ok := s.scaleSets[pathID(r)]
	if !ok {
		fail(w, http.StatusNotFound, "RunnerScaleSetNotFoundException")
		return
	}
	session := r.PathValue("session")
	if session == "" {
		session = uuid.NewString()
	}
	reply(w, http.StatusOK, map[string]any{
		"sessionId":               session,
		"ownerName":               "listener",
		"runnerScaleSet":          *set,
		"messageQueueUrl":         s.URL() + messages,
		"messageQueueAccessToken": token(),
		"statistics":              map[string]int{}, // no jobs
	})
}

// pollMessages holds the request as GitHub does, and has nothing to say.
func pollMessages(w http.ResponseWriter, r *http.Request) {
	select {
	case <-r.Context().Done():
	case <-time.After(pollTime):
	}
	w.WriteHeader(http.StatusAccepted)
}

func acquireNothing(w http.ResponseWriter, _ *http.Request) {
	reply(w, http.StatusOK, list[int64]())
}

func noContent(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }

// nextID hands out the id of something new. The caller holds the lock.
func (s *StandIn) nextID() int {
	s.seen = true
	s.lastID++
	return s.lastID
}

func list[T any](items ...T) map[string]any {
	if items == nil {
		items = []T{}
	}
	return map[string]any{"count": len(items), "value": items}
}

func decode(w http.ResponseWriter, r *http.Request, into any) bool {
	if err := json.NewDecoder(r.Body).Decode(into); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return false
	}
	return true
}
