package plan

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/identity"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
)

// Registration is a scale set or a runner that is registered at GitHub.
type Registration struct {
	Object *object.Object
	// Set is the scale set, or that of the runner. Its ID is empty if the cluster does not know it.
	Set ScaleSetInfo
}

// IsSet reports whether it is a scale set, and not a runner.
func (r Registration) IsSet() bool {
	return r.Object.Resource == arc.Resource(arc.AutoscalingRunnerSets)
}

// Planned returns a scale set as a plan names it: a person who confirms the plan has read this.
func (r Registration) Planned() string {
	return fmt.Sprintf("scale set %s (id %s) of %s", r.Set.Name, r.Set.ID, r.Set.URL)
}

// RegistrationDocument is the JSON form of a Registration, in plans and reports. `deregister --from` reads it.
type RegistrationDocument struct {
	Kind      string `json:"kind"` // scale-set or runner
	Namespace string `json:"namespace"`
	Name      string `json:"name"` // at GitHub
	// ID is that of the scale set, for its runners too.
	ID  string `json:"id,omitempty"`
	URL string `json:"url,omitempty"`
	// The rest is there for a scale set only.
	Group  string `json:"group,omitempty"`
	Secret string `json:"secret,omitempty"`
	Proxy  string `json:"proxy,omitempty"`
	CA     string `json:"ca,omitempty"`
}

// The kinds of a RegistrationDocument.
const (
	KindScaleSet = "scale-set"
	KindRunner   = "runner"
)

// Document returns the JSON form.
func (r Registration) Document() RegistrationDocument {
	d := RegistrationDocument{Kind: KindRunner, Namespace: r.Object.Namespace, Name: r.Object.Name, ID: r.Set.ID, URL: r.Set.URL}
	if r.IsSet() {
		d.Kind, d.Name, d.Group, d.Secret, d.Proxy, d.CA = KindScaleSet, r.Set.Name, r.Set.Group, r.Set.Secret, r.Set.Proxy, r.Set.CA
	}
	return d
}

// MarshalJSON implements json.Marshaler.
func (r Registration) MarshalJSON() ([]byte, error) { return json.Marshal(r.Document()) }

// SetsByName returns what the AutoscalingRunnerSets of a survey say, by name.
func (s *Survey) SetsByName() map[identity.Set]ScaleSetInfo {
	sets := map[identity.Set]ScaleSetInfo{}
	for _, o := range s.Custom {
		if info, ok := s.Sets[o.UID]; ok {
			sets[o.ScaleSet] = info
		}
	}
	return sets
}

// RegistrationOf returns the registration of an object of ARC, if it has one. sets is SetsByName, also of earlier surveys.
func (s *Survey) RegistrationOf(o *object.Object, sets map[identity.Set]ScaleSetInfo) (Registration, bool) {
	switch {
	case o.Resource == arc.Resource(arc.AutoscalingRunnerSets):
		info := s.Sets[o.UID]
		return Registration{o, info}, info.ID != ""
	case slices.Contains(o.Finalizers, arc.RunnerRegistrationFinalizer):
		return Registration{o, sets[o.ScaleSet]}, true
	}
	return Registration{Object: o}, s.Registered[o.UID]
}

// Registrations returns what is registered at GitHub of the objects that a plan is about. A plan for the whole cluster is about
// what works there, too: a cluster that will be deleted needs no uninstall.
func Registrations(s *Survey, o Options) (out List[Registration]) {
	p := newPlanner(s, o, History{})
	sets := s.SetsByName()
	about := s.Custom
	if !o.wholeCluster() {
		about = p.inScope(about)
	}
	for _, obj := range about {
		if r, is := s.RegistrationOf(obj, sets); is {
			out = append(out, r)
		}
	}
	p.recorded()
	return append(out, RecordedRegistrations(p.plan.Recorded)...)
}

// deregister plans the removal of what this plan frees, and what no controller has removed, at GitHub.
// With KeepRegistered it notes what stays.
func (p *planner) deregister() {
	var steps []Step
	runners := 0
	freed := p.plan.Steps(PhaseFree)
	for _, set := range p.plan.Bare {
		freed = append(freed, Step{Free, set, ""})
	}
	for _, step := range freed {
		r, is := p.s.RegistrationOf(step.Object, nil)
		switch {
		case step.Action != Free || !is || p.hasFinisher(step.Object):
		case r.IsSet():
			steps = append(steps, Step{Unregister, step.Object, r.Planned()})
		default:
			runners++
		}
	}
	switch {
	case p.o.GitHub == Deregister:
		p.phase(PhaseDeregister, steps)
	case len(steps)+runners > 0 && p.o.Scope != ScopeLegacy:
		p.plan.LeftAtGitHub = len(steps)
		p.plan.Notes = append(p.plan.Notes, fmt.Sprintf(
			"%d scale sets and %d runners stay registered at GitHub, which removes them after some days; with --github deregister, this run removes them",
			len(steps), runners))
	}
}

// ControllerOf returns a controller of any release that runs and works in a namespace; nil if there is none. It, and nobody
// else, removes at GitHub what it manages.
func (s *Survey) ControllerOf(o Options, namespace string) *Controller {
	p := newPlanner(s, o, History{})
	for i, c := range s.Controllers {
		if !c.Legacy && c.Down == "" && !c.LockedOut[namespace] && !p.leaving(c) && p.claims(c).Sees(namespace) {
			return &s.Controllers[i]
		}
	}
	return nil
}
