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

// digestForm is what a plan's digest looks like.
var digestForm = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

// IsDigest reports whether the text may be a plan's digest.
func IsDigest(text string) bool { return digestForm.MatchString(text) }

// Digest is the same for two plans that do the same to the same objects in the same
// order, and for no others. The order within a rank means nothing, nor does the name
// of a backup, in which the time is. A plan that does nothing has none.
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
				if s.Action == Create {
					name = ""
				}
				lines = append(lines, strings.Join([]string{string(s.Action), o.Resource.Group, o.Resource.Resource, o.Namespace, name, string(o.UID)}, "\x00"))
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

// write adds words to a hash, so that no two lists of words are the same to it.
func write(h hash.Hash, words ...string) {
	for _, w := range words {
		fmt.Fprintf(h, "%d:%s", len(w), w)
	}
	h.Write([]byte{'\n'})
}

const lookAgain = "look at the plan as it is now, and confirm that: `arc-cleanup plan`, with the flags of this run"

// Confirmed is what a person has seen, and what came of it since. Only the first plan
// can be compared; the rounds that follow are for what it leaves.
type Confirmed struct {
	uids map[types.UID]bool
	sets map[types.NamespacedName]bool
	// owners are the objects by which others are known that name them as their owner, in
	// the same namespace: anybody can write an owner elsewhere.
	owners map[Owning]bool
}

// Confirm compares the first plan of a run with the confirmed one. Where nothing is to
// be done, nothing unseen is.
func (c *Confirmed) Confirm(p *Plan, digest string) []Refusal {
	c.uids, c.sets, c.owners = map[types.UID]bool{}, map[types.NamespacedName]bool{}, map[Owning]bool{}
	for _, o := range append(p.objects(func(Action) bool { return true }), p.Taken...) {
		c.add(o)
		if o.ScaleSet.Name != "" {
			c.sets[o.ScaleSet] = true
		}
	}
	if got := p.Digest(); got != "" && got != digest {
		return []Refusal{{
			Verdict: Refused,
			Message: fmt.Sprintf("the plan is not the one that was confirmed: its digest is %s, that one's was %s", got, digest),
			Do:      []string{lookAgain},
		}}
	}
	return nil
}

func (c *Confirmed) add(o *object.Object) {
	if o.UID != "" { // of a backup, which is not there yet
		c.uids[o.UID], c.owners[Owning{o.Namespace, o.UID}] = true, true
	}
}

// objects are those with an action of that sort in a plan.
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

// Bound refuses a later plan that writes to anything but the objects of the confirmed
// one, what these own, and what else is of their scale sets. A scale set itself and a
// CRD are what people make: one that is new is nobody's.
func (c *Confirmed) Bound(p *Plan) []Refusal {
	var refused []Refusal
	// To wait is no write, nor does a backup say what its sets do not.
	written := p.objects(func(a Action) bool { return a != Await && a != Create })
	for _, o := range append(written, p.Taken...) {
		isSet := o.Resource == arc.Resource(arc.AutoscalingRunnerSets)
		switch {
		case c.uids[o.UID], !isSet && (c.owners[Owning{o.Namespace, o.Owner}] || c.sets[o.ScaleSet]):
			c.add(o)
		default:
			refused = append(refused, Refusal{
				Verdict: Refused,
				Message: fmt.Sprintf("%s is not in the plan that was confirmed", o),
				Do:      []string{lookAgain},
			})
		}
	}
	return refused
}
