package plan

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/english"
	"github.com/arc-cleanup/arc-cleanup/internal/gzip"
	"github.com/arc-cleanup/arc-cleanup/internal/identity"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
)

// RecordLabel selects the Secrets in which runs write down what is registered at GitHub.
const RecordLabel = "app.kubernetes.io/name=arc-cleanup,app.kubernetes.io/component=registered"

// recordBytes limits a record, unpacked, and RecordNames how many scale sets and runners it names, and all that a run reads: short names take little room in
// it and much in memory. A hook reads a few records in 128 MiB.
const (
	recordBytes = 2 << 20
	RecordNames = 50_000
)

// Record is a scale set and some of its runners that are registered at GitHub. A run writes it down before it frees them: if the
// run is killed, nothing else in the cluster knows them.
type Record struct {
	Set     Registration
	Runners []string
	// In is the Secret that holds the record; nil if it is not written yet.
	In *object.Object
}

// key identifies the scale set of a record. A set that was installed again has another one.
func (r Record) key() string {
	return r.Set.Object.Namespace + "/" + r.Set.Object.Name + " " + r.Set.Planned()
}

// Registrations returns the scale set and its runners.
func (r Record) Registrations() []Registration {
	all := []Registration{r.Set}
	for _, name := range r.Runners {
		runner := &object.Object{
			Resource: arc.Resource(arc.EphemeralRunners), Namespace: r.Set.Object.Namespace, Name: name, ScaleSet: r.Set.Object.ScaleSet,
		}
		all = append(all, Registration{runner, r.Set.Set})
	}
	return all
}

// RecordedRegistrations returns what several records name, each once.
func RecordedRegistrations(records []Record) (out []Registration) {
	seen := map[string]bool{}
	for _, r := range records {
		for _, reg := range r.Registrations() {
			if key := reg.Object.String() + " " + r.key(); !seen[key] {
				seen[key] = true
				out = append(out, reg)
			}
		}
	}
	return out
}

// storedRecord is the JSON form of a Record. It holds the names of Secrets and no credentials.
type storedRecord struct {
	RegistrationDocument
	Object  string    `json:"object"` // the AutoscalingRunnerSet
	UID     types.UID `json:"uid"`
	Runners []string  `json:"runners"`
}

// PackRecords returns the form in which records are stored.
func PackRecords(records []Record) ([]byte, error) {
	var stored List[storedRecord]
	for _, r := range records {
		stored = append(stored, storedRecord{r.Set.Document(), r.Set.Object.Name, r.Set.Object.UID, r.Runners})
	}
	text, err := json.Marshal(stored)
	if names := countNames(stored); err == nil && names > RecordNames {
		err = fmt.Errorf("the names of what is registered at GitHub are %d, more than a record holds", names)
	}
	if err == nil && len(text) > recordBytes {
		err = fmt.Errorf("the names of what is registered at GitHub are %d bytes, more than a record holds", len(text))
	}
	return gzip.Pack(text), err
}

func countNames(stored []storedRecord) (n int) {
	for _, s := range stored {
		n += 1 + len(s.Runners)
	}
	return n
}

// UnpackRecords undoes PackRecords. Whoever may write the Secret has chosen the data.
func UnpackRecords(data []byte, in *object.Object) ([]Record, error) {
	text, err := gzip.Unpack(data, recordBytes)
	if err != nil {
		return nil, err
	}
	var stored []storedRecord
	if err := json.Unmarshal(text, &stored); err != nil {
		return nil, err
	}
	if countNames(stored) > RecordNames {
		return nil, fmt.Errorf("it has more names of scale sets and runners than %d", RecordNames)
	}
	var records []Record
	for _, s := range stored {
		if slices.ContainsFunc(s.Runners, func(name string) bool { return len(validation.IsDNS1123Subdomain(name)) > 0 }) {
			return nil, errors.New("it names something that is not a runner")
		}
		if s.UID == "" || s.ID == "" || len(validation.IsDNS1123Subdomain(s.Object)) > 0 || len(validation.IsDNS1123Label(s.Namespace)) > 0 {
			return nil, errors.New("it names something that is not a scale set")
		}
		set := &object.Object{
			Resource: arc.Resource(arc.AutoscalingRunnerSets), Namespace: s.Namespace, Name: s.Object, UID: s.UID,
			ScaleSet: identity.Set{Namespace: s.Namespace, Name: arc.ScaleSetName(s.Object)},
		}
		info := ScaleSetInfo{ID: s.ID, Name: s.Name, Group: s.Group, URL: s.URL, Secret: s.Secret, Proxy: s.Proxy, CA: s.CA}
		records = append(records, Record{Registration{set, info}, s.Runners, in})
	}
	return records, nil
}

// record plans to write down what this plan frees and what stays registered at GitHub then, unless a run has written it down.
func (p *planner) record() {
	if p.o.Record.Name == "" || p.o.GitHub != Deregister || len(p.plan.Phases) == 0 {
		return
	}
	records := p.unrecorded()
	if len(records) == 0 {
		return
	}
	if _, terminating := p.s.Terminating[p.o.Record.Namespace]; terminating {
		p.plan.Notes = append(p.plan.Notes, fmt.Sprintf(
			"namespace %s is being deleted, so what is registered at GitHub is not written down: if this run is killed, the next one does not know it",
			p.o.Record.Namespace))
		return
	}
	p.plan.ToRecord = records
	secret := &object.Object{Resource: object.Secrets, Namespace: p.o.Record.Namespace, Name: p.o.Record.Name}
	rank := []Step{{WriteDown, secret, fmt.Sprintf("names %s registered at GitHub, until GitHub has removed %s", english.Count(len(records), "scale set"), english.Agree(len(records), "it", "them"))}}
	if p.plan.Phases[0].Name == PhaseBackUp {
		p.plan.Phases[0].Ranks = append(p.plan.Phases[0].Ranks, rank)
		return
	}
	p.plan.Phases = slices.Insert(p.plan.Phases, 0, Phase{Name: PhaseBackUp, Ranks: [][]Step{rank}})
}

// unrecorded returns what the plan frees, by scale set, without what is written down already.
func (p *planner) unrecorded() (out []Record) {
	known := map[string]bool{}
	for _, r := range p.s.Records {
		for _, reg := range r.Registrations() {
			known[reg.Object.String()+" "+r.key()] = true
		}
	}
	sets := map[identity.Set]Registration{}
	for _, o := range p.s.Custom {
		if reg, is := p.s.RegistrationOf(o, nil); is && reg.IsSet() {
			sets[o.ScaleSet] = reg
		}
	}
	at := map[identity.Set]int{}
	for _, o := range p.freed() {
		set, is := sets[o.ScaleSet]
		if _, registered := p.s.RegistrationOf(o, nil); !is || !registered {
			continue
		}
		key := o.String() + " " + Record{Set: set}.key()
		if known[key] {
			continue
		}
		known[key] = true // a nudge and a free may be for the same object
		i, begun := at[o.ScaleSet]
		if !begun {
			i, at[o.ScaleSet] = len(out), len(out)
			out = append(out, Record{Set: set})
		}
		if o != set.Object {
			out[i].Runners = append(out[i].Runners, o.Name)
		}
	}
	return out
}

// freed returns the objects that a plan takes from the controllers.
func (p *planner) freed() (out []*object.Object) {
	for _, step := range slices.Concat(p.plan.Steps(PhaseNudge), p.plan.Steps(PhaseFree)) {
		if step.Action == Nudge || step.Action == Free {
			out = append(out, step.Object)
		}
	}
	return append(out, p.plan.Bare...)
}

// atGitHub returns a scale set's place and id in one form: a record may name the place of a set that works in other letters, or
// with other slashes, and GitHub would remove that set.
func atGitHub(info ScaleSetInfo) string {
	place := info.URL
	if u, err := url.Parse(strings.Trim(place, "/")); err == nil {
		place = strings.TrimPrefix(strings.ToLower(u.Host), "www.") + "/" + strings.Trim(u.Path, "/")
	}
	return info.ID + " " + strings.ToLower(place)
}

// recorded plans the removal of what earlier runs have freed and not removed at GitHub: they have written it down, and nothing of
// that scale set is in the cluster any more. A set that was installed again may use the registration.
func (p *planner) recorded() {
	inUse := map[string]bool{}
	for _, info := range p.s.Sets {
		inUse[atGitHub(info)] = true
	}
	there := map[identity.Set]bool{}
	for _, o := range p.s.Custom {
		there[o.ScaleSet] = true
	}
	var steps []Step
	for _, r := range p.s.Records {
		if !p.o.readsCore(r.Set.Object.Namespace) || there[r.Set.Object.ScaleSet] || inUse[atGitHub(r.Set.Set)] {
			continue
		}
		known := slices.ContainsFunc(p.plan.Recorded, func(o Record) bool { return o.key() == r.key() })
		if p.plan.Recorded = append(p.plan.Recorded, r); !known {
			steps = append(steps, Step{Unregister, r.Set.Object, r.Set.Planned()})
		}
	}
	p.plan.Kept = append(p.plan.Kept, p.s.BadRecords...)
	last := len(p.plan.Phases) - 1
	switch {
	case len(steps) == 0:
	case p.o.GitHub != Deregister:
		p.plan.LeftAtGitHub += len(steps)
		p.plan.Notes = append(p.plan.Notes, fmt.Sprintf(
			"%s that an earlier run has freed may be registered at GitHub still; with --github deregister, this run removes %s",
			english.Count(len(steps), "scale set"), english.Agree(len(steps), "it", "them")))
	case last >= 0 && p.plan.Phases[last].Name == PhaseDeregister:
		p.plan.Phases[last].Ranks = append(p.plan.Phases[last].Ranks, steps)
	default:
		p.phase(PhaseDeregister, steps)
	}
}

// Over reports whether a plan does nothing in the cluster: what earlier runs have written down is at GitHub.
func (p *Plan) Over() bool {
	return len(p.Phases) == 0 || len(p.Phases) == 1 && p.Phases[0].Name == PhaseDeregister && len(p.OwnSteps()) == 0
}

// OwnSteps returns the scale sets to remove at GitHub that this run frees, and no earlier one has.
func (p *Plan) OwnSteps() []Step {
	return slices.DeleteFunc(p.Steps(PhaseDeregister), p.isRecorded)
}

func (p *Plan) isRecorded(s Step) bool {
	return slices.ContainsFunc(p.Recorded, func(r Record) bool { return r.Set.Object == s.Object })
}
