package github

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// defaultGroup is the runner group with id 1, which always exists.
const defaultGroup = "Default"

type scaleSet struct {
	ID              int       `json:"id"`
	Name            string    `json:"name"`
	RunnerGroupID   int       `json:"runnerGroupId"`
	RunnerGroupName string    `json:"runnerGroupName"`
	CreatedOn       time.Time `json:"createdOn"`

	statistics *Statistics // instead of those of its runners
	session    *session
}

// Statistics is what GitHub says of a scale set.
type Statistics struct {
	TotalAvailableJobs     int `json:"totalAvailableJobs"`
	TotalAcquiredJobs      int `json:"totalAcquiredJobs"`
	TotalAssignedJobs      int `json:"totalAssignedJobs"`
	TotalRunningJobs       int `json:"totalRunningJobs"`
	TotalRegisteredRunners int `json:"totalRegisteredRunners"`
	TotalBusyRunners       int `json:"totalBusyRunners"`
	TotalIdleRunners       int `json:"totalIdleRunners"`
}

// AddGroup makes a runner group and returns its id. Default has the id 1.
func (s *StandIn) AddGroup(name string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.groupID(name, true)
}

// AddScaleSet registers a scale set and returns its id. It makes the group where there
// is none of that name.
func (s *StandIn) AddScaleSet(name, group string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	set := &scaleSet{Name: name, RunnerGroupID: s.groupID(group, true)}
	s.register(set)
	return set.ID
}

// AddScaleSetRunner registers a runner of a scale set, as another cluster does that has
// taken the set over. While it is busy, GitHub removes neither it nor the set.
func (s *StandIn) AddScaleSetRunner(set, name string, busy bool) error {
	return s.change(set, func(set *scaleSet) {
		id := s.nextID()
		s.runners[id] = &runner{ID: id, Name: name, ScaleSetID: set.ID, Busy: busy}
	})
}

// SetStatistics replaces a scale set's statistics; nil counts its runners again.
func (s *StandIn) SetStatistics(set string, statistics *Statistics) error {
	return s.change(set, func(set *scaleSet) { set.statistics = statistics })
}

func (s *StandIn) change(name string, change func(*scaleSet)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	set := s.find(name)
	if set == nil {
		return fmt.Errorf("no scale set %s is registered", name)
	}
	change(set)
	return nil
}

// find returns a scale set of a name, in any group, or nil. The caller holds the lock.
func (s *StandIn) find(name string) *scaleSet {
	for _, set := range s.scaleSets {
		if set.Name == name {
			return set
		}
	}
	return nil
}

// register adds a scale set. The caller holds the lock.
func (s *StandIn) register(set *scaleSet) {
	set.ID, set.CreatedOn = s.nextID(), time.Now().UTC()
	s.nameGroup(set)
	s.scaleSets[set.ID] = set
}

func (s *StandIn) nameGroup(set *scaleSet) {
	if i := set.RunnerGroupID - 1; i >= 0 && i < len(s.groups) {
		set.RunnerGroupName = s.groups[i]
	}
}

// groupID is 0 for a group that does not exist, unless create makes it. The caller
// holds the lock.
func (s *StandIn) groupID(name string, create bool) int {
	i := slices.IndexFunc(s.groups, func(known string) bool { return strings.EqualFold(known, name) })
	if i < 0 && create {
		i = len(s.groups)
		s.groups = append(s.groups, name)
	}
	return i + 1
}

// described is a scale set as GitHub answers it.
type described struct {
	scaleSet
	Statistics Statistics `json:"statistics"`
}

// describe counts a scale set's runners. The caller holds the lock.
func (s *StandIn) describe(set *scaleSet) described {
	if set.statistics != nil {
		return described{*set, *set.statistics}
	}
	counted := Statistics{}
	for _, r := range s.runners {
		if r.ScaleSetID != set.ID {
			continue
		}
		counted.TotalRegisteredRunners++
		if r.Busy {
			counted.TotalBusyRunners++
			counted.TotalAssignedJobs++
			counted.TotalRunningJobs++
		} else {
			counted.TotalIdleRunners++
		}
	}
	return described{*set, counted}
}

func (s *StandIn) getGroup(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := s.groupID(r.URL.Query().Get("groupName"), false)
	if id == 0 {
		reply(w, http.StatusOK, list[any]())
		return
	}
	reply(w, http.StatusOK, list(map[string]any{"id": id, "name": s.groups[id-1], "isDefaultGroup": id == 1}))
}

func (s *StandIn) findScaleSet(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name, group := r.URL.Query().Get("name"), r.URL.Query().Get("runnerGroupId")
	for _, set := range s.scaleSets {
		if set.Name == name && (group == "" || group == strconv.Itoa(set.RunnerGroupID)) {
			reply(w, http.StatusOK, list(s.describe(set)))
			return
		}
	}
	reply(w, http.StatusOK, list[scaleSet]())
}

func (s *StandIn) createScaleSet(w http.ResponseWriter, r *http.Request) {
	set := &scaleSet{RunnerGroupID: 1}
	if !decode(w, r, set) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, other := range s.scaleSets {
		if other.Name == set.Name && other.RunnerGroupID == set.RunnerGroupID {
			fail(w, http.StatusConflict, "RunnerScaleSetExistsException")
			return
		}
	}
	s.register(set)
	reply(w, http.StatusOK, s.describe(set))
}

// asked returns the set that a request is about, or answers that there is none. The caller holds the lock.
func (s *StandIn) asked(w http.ResponseWriter, r *http.Request) *scaleSet {
	set, ok := s.scaleSets[pathID(r)]
	if !ok {
		fail(w, http.StatusNotFound, RunnerScaleSetNotFoundException)
	}
	return set
}

func (s *StandIn) getScaleSet(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	set := s.asked(w, r)
	if set == nil {
		return
	}
	reply(w, http.StatusOK, s.describe(set))
}

func (s *StandIn) updateScaleSet(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	set := s.asked(w, r)
	if set == nil {
		return
	}
	updated := *set
	if !decode(w, r, &updated) {
		return
	}
	updated.ID, updated.CreatedOn = set.ID, set.CreatedOn
	s.nameGroup(&updated)
	*set = updated
	reply(w, http.StatusOK, s.describe(set))
}

func (s *StandIn) deleteScaleSet(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	set, ok := s.scaleSets[pathID(r)]
	switch {
	case !ok, s.mode == NotFoundOnDelete:
		fail(w, http.StatusNotFound, RunnerScaleSetNotFoundException)
	case s.describe(set).Statistics.TotalBusyRunners > 0:
		fail(w, http.StatusBadRequest, JobStillRunningException)
	default:
		delete(s.scaleSets, set.ID)
		w.WriteHeader(http.StatusNoContent)
	}
}
