package github

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"slices"
)

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

// restAPI is where GitHub's REST API is, on a server that is not github.com.
const restAPI = "/api/v3/"

// repository is where legacy runners are registered, in the REST API.
const repository = restAPI + "repos/{owner}/{repo}/actions/runners"

func (s *StandIn) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+ModePath, s.getMode)
	mux.HandleFunc("PUT "+ModePath, s.putMode)
	for _, route := range []struct {
		kind    Request
		pattern string
		answer  http.HandlerFunc
	}{
		{RegistrationToken, "POST " + restAPI + "orgs/{org}" + tokenPath, s.registrationToken},
		{RegistrationToken, "POST " + restAPI + "repos/{owner}/{repo}" + tokenPath, s.registrationToken},
		{RegistrationToken, "POST " + restAPI + "enterprises/{enterprise}" + tokenPath, s.registrationToken},
		{AppAccessToken, "POST " + restAPI + "app/installations/{installation}/access_tokens", s.appAccessToken},
		{RunnerRegistration, "POST " + restAPI + "actions/runner-registration", s.runnerRegistration},

		{GetGroup, "GET " + groups, s.getGroup},
		{FindScaleSet, "GET " + sets, s.findScaleSet},
		{CreateScaleSet, "POST " + sets, s.createScaleSet},
		{GetScaleSet, "GET " + sets + "/{id}", s.getScaleSet},
		{UpdateScaleSet, "PATCH " + sets + "/{id}", s.updateScaleSet},
		{DeleteScaleSet, "DELETE " + sets + "/{id}", s.deleteScaleSet},
		{CreateRunner, "POST " + sets + "/{id}/generatejitconfig", s.createRunner},
		{CreateSession, "POST " + sets + "/{id}/sessions", s.createSession},
		{RefreshSession, "PATCH " + sets + "/{id}/sessions/{session}", s.createSession},
		{DeleteSession, "DELETE " + sets + "/{id}/sessions/{session}", s.deleteSession},
		{AcquirableJobs, "GET " + sets + "/{id}/acquirablejobs", noContent},
		{AcquireJobs, "POST " + sets + "/{id}/acquirejobs", acquireNothing},
		{PollMessages, "GET " + messages, s.pollMessages},
		{DeleteMessage, "DELETE " + messages + "/{message}", noContent},

		{FindRunner, "GET " + agents, s.findRunner},
		{GetRunner, "GET " + agents + "/{id}", s.getRunner},
		{DeleteRunner, "DELETE " + agents + "/{id}", s.deleteRunner},

		{ListLegacyRunners, "GET " + repository, s.listRunners},
		{DeleteLegacyRunner, "DELETE " + repository + "/{id}", s.removeRunner},

		{Unknown, "/", unknown},
	} {
		mux.HandleFunc(route.pattern, s.serve(route.kind, route.answer))
	}
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
	reply(w, http.StatusOK, map[string]any{"runner": *added, "encodedJITConfig": s.credentials.issue(toRun)})
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
		fail(w, http.StatusNotFound, AgentNotFoundException)
		return
	}
	reply(w, http.StatusOK, *known)
}

func (s *StandIn) deleteRunner(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	known, ok := s.runners[pathID(r)]
	switch {
	case s.mode == JobStillRunning, ok && known.Busy:
		fail(w, http.StatusBadRequest, JobStillRunningException)
	case s.mode == NotFoundOnDelete:
		fail(w, http.StatusNotFound, AgentNotFoundException)
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
		failREST(w, http.StatusNotFound, "Not Found")
	case known.Busy, s.mode == JobStillRunning:
		failREST(w, http.StatusUnprocessableEntity, "Runner \""+known.Name+"\" is currently running a job and cannot be deleted.")
	default:
		delete(s.runners, known.ID)
		w.WriteHeader(http.StatusNoContent)
	}
}

func unknown(w http.ResponseWriter, _ *http.Request) { failREST(w, http.StatusNotFound, "Not Found") }

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
		fail(w, http.StatusBadRequest, "UnreadableRequestException")
		return false
	}
	return true
}
