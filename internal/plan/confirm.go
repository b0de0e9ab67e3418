package plan

import (
	"crypto/sha256"
	"fmt"
	"hash"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
)

// digestForm is the form of a plan's digest.
var digestForm = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

// IsDigest reports whether the text has the form of a plan's digest.
func IsDigest(text string) bool { return digestForm.MatchString(text) }

// Digest is equal for two plans exactly if they do the same to the same objects in the same order.
// It ignores the order within a rank, which means nothing, and the names of the backup and of
// the record, which contain the time. A plan that does nothing has no digest.
func (p *Plan) Digest() string {
	if len(p.Phases) == 0 || len(p.Refusals) > 0 {
		return ""
	}
	h := sha256.New()
	for _, phase := range p.Phases {
		write(h, "phase", string(phase.Name))
		for _, rank := range phase.Ranks {
			var lines []string
			for _, s := range rank {
				o := s.Object
				name := o.Name
				if s.Action == Create || s.Action == WriteDown {
					name = ""
				}
				line := []string{string(s.Action), o.Resource.Group, o.Resource.Resource, o.Namespace, name, string(o.UID)}
				if s.Action == Unregister { // what this removes is not the object, and its team may change the id
					line = append(line, s.Why)
				}
				lines = append(lines, strings.Join(line, "\x00"))
			}
			slices.Sort(lines)
			write(h, append([]string{"rank"}, lines...)...)
		}
	}
	for _, o := range p.Backup {
		write(h, "backup", string(o.UID))
	}
	var taken []string
	for _, o := range p.Taken {
		taken = append(taken, string(o.UID))
	}
	slices.Sort(taken)
	write(h, append([]string{"taken"}, taken...)...)
	return fmt.Sprintf("sha256:%x", h.Sum(nil))
}

// write adds words to a hash. Different lists of words never write the same bytes.
func write(h hash.Hash, words ...string) {
	for _, w := range words {
		fmt.Fprintf(h, "%d:%s", len(w), w)
	}
	h.Write([]byte{'\n'})
}

const planAgain = "make the plan again with the flags of this run, read it, and confirm its digest"

// Confirmed remembers the objects of the plan that a person has confirmed, and the objects that
// later rounds derive from them. Only the first plan of a run has to match the confirmed one; later
// plans only finish it.
type Confirmed struct {
	uids map[types.UID]bool
	sets map[types.NamespacedName]bool
	// owners are the confirmed objects as owners: an object that names one of them as its owner, in
	// the same namespace, counts as confirmed. Anyone can name an owner in another namespace, so
	// that does not count.
	owners map[OwnerKey]bool
	// recorded are the registrations that confirmed records name, or that the run itself writes down.
	recorded map[string]bool
}

// CheckFirst compares the first plan of a run with the confirmed digest. A plan that does nothing
// always passes.
func (c *Confirmed) CheckFirst(p *Plan, digest string) []Refusal {
	c.uids, c.sets, c.owners = map[types.UID]bool{}, map[types.NamespacedName]bool{}, map[OwnerKey]bool{}
	c.recorded = map[string]bool{}
	for _, r := range slices.Concat(p.Recorded, p.ToRecord) {
		c.recorded[r.key()] = true
	}
	for _, o := range append(p.objects(func(Action) bool { return true }), p.Taken...) {
		c.add(o)
		if o.ScaleSet.Name != "" {
			c.sets[o.ScaleSet] = true
		}
	}
	if got := p.Digest(); got != "" && got != digest {
		return []Refusal{{
			Verdict: Refused,
			Message: fmt.Sprintf("the plan has changed since it was confirmed: its digest is %s, the confirmed digest is %s", got, digest),
			Do:      []string{planAgain},
		}}
	}
	return nil
}

func (c *Confirmed) add(o *object.Object) {
	if o.UID != "" { // the Secret of a backup does not exist yet
		c.uids[o.UID], c.owners[OwnerKey{o.Namespace, o.UID}] = true, true
	}
}

// objects returns the objects of a plan's steps whose action satisfies is.
func (p *Plan) objects(is func(Action) bool) (out []*object.Object) {
	for _, phase := range p.Phases {
		for _, s := range phase.Steps() {
			if is(s.Action) {
				out = append(out, s.Object)
			}
		}
	}
	return out
}

// CheckLater refuses a later plan that writes to an object which is neither in the confirmed plan, nor
// owned by an object in it, nor part of a scale set in it, nor left by a job of a runner in it. A new
// AutoscalingRunnerSet or CRD is always refused: people create these. An orphan that came up since is kept:
// any tenant can create one, and must not end somebody else's run. So is what a record names that came up since.
func (c *Confirmed) CheckLater(p *Plan) []Refusal {
	c.keepNewOrphans(p)
	c.keepNewRecords(p)
	var refused []Refusal
	for _, phase := range p.Phases {
		for _, s := range phase.Steps() {
			// Await does not write, and a backup or a record contains only sets that are checked themselves. What
			// proves an object of a job is a runner, which is checked itself.
			if s.Action != Await && s.Action != Create && s.Action != WriteDown && s.Why != jobLeftover && !c.allows(s.Object) {
				refused = append(refused, notConfirmed(s.Object))
			}
		}
	}
	for _, o := range p.Taken {
		if !c.allows(o) {
			refused = append(refused, notConfirmed(o))
		}
	}
	return refused
}

func notConfirmed(o *object.Object) Refusal {
	return Refusal{Verdict: Refused, Message: fmt.Sprintf("%s is not in the plan that was confirmed", o), Do: []string{planAgain}}
}

// allows reports whether a later plan may write to an object, and remembers it.
func (c *Confirmed) allows(o *object.Object) bool {
	isSet := o.Resource == arc.Resource(arc.AutoscalingRunnerSets)
	if !c.uids[o.UID] && (isSet || !c.owners[OwnerKey{o.Namespace, o.Owner}] && !c.sets[o.ScaleSet]) {
		return false
	}
	c.add(o)
	return true
}

// keepNewOrphans takes the orphans out of a later plan that are not confirmed. If CRDs wait for nothing else than
// them, they stay in the plan, and are refused: a plan that is empty would say that nothing is left.
func (c *Confirmed) keepNewOrphans(p *Plan) {
	i := slices.IndexFunc(p.Phases, func(phase Phase) bool { return phase.Name == PhaseCollect })
	if i < 0 {
		return
	}
	var ranks [][]Step
	var kept []Finding
	for _, rank := range p.Phases[i].Ranks {
		rank = slices.DeleteFunc(slices.Clone(rank), func(s Step) bool {
			isNew := s.Why == OwnerGone && !c.allows(s.Object)
			if isNew {
				kept = append(kept, Finding{s.Object, "its owner is gone, and it came up after the plan was confirmed"})
			}
			return isNew
		})
		if len(rank) > 0 {
			ranks = append(ranks, rank)
		}
	}
	crdsWait := slices.ContainsFunc(p.Taken, func(o *object.Object) bool { return o.Resource == object.CRDs })
	alone := !slices.ContainsFunc(p.Phases, func(phase Phase) bool { return phase.Name != PhaseCollect && phase.Name != PhaseDeregister })
	if len(ranks) == 0 && alone && crdsWait {
		return
	}
	p.Kept = append(p.Kept, kept...)
	if p.Phases[i].Ranks = ranks; len(ranks) == 0 {
		p.Phases = slices.Delete(p.Phases, i, i+1)
	}
}

// keepNewRecords takes what a later plan reads from records out of it, unless it is confirmed.
func (c *Confirmed) keepNewRecords(p *Plan) {
	for _, r := range p.ToRecord { // the sets in it are checked themselves
		c.recorded[r.key()] = true
	}
	isNew := func(r Record) bool { return !c.recorded[r.key()] }
	for i := range p.Phases {
		for j, rank := range p.Phases[i].Ranks {
			p.Phases[i].Ranks[j] = slices.DeleteFunc(slices.Clone(rank), func(s Step) bool {
				return s.Action == Unregister && slices.ContainsFunc(p.Recorded, func(r Record) bool { return r.Set.Object == s.Object && isNew(r) })
			})
		}
		p.Phases[i].Ranks = slices.DeleteFunc(p.Phases[i].Ranks, func(rank []Step) bool { return len(rank) == 0 })
	}
	p.Phases = slices.DeleteFunc(p.Phases, func(phase Phase) bool { return len(phase.Ranks) == 0 })
	for _, r := range p.Recorded {
		if isNew(r) {
			p.Kept = append(p.Kept, Finding{r.In, "it names " + r.Set.Planned() + ", and came up after the plan was confirmed"})
		}
	}
	p.Recorded = slices.DeleteFunc(p.Recorded, isNew)
}
