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
// It ignores the order within a rank, which means nothing, and the name of the backup, which
// contains the time. A plan that does nothing has no digest.
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

// write adds words to a hash. Different lists of words never write the same bytes.
func write(h hash.Hash, words ...string) {
	for _, w := range words {
		fmt.Fprintf(h, "%d:%s", len(w), w)
	}
	h.Write([]byte{'\n'})
}

const planAgain = "read the current plan and confirm that one: `arc-cleanup plan`, with the flags of this run"

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
}

// CheckFirst compares the first plan of a run with the confirmed digest. A plan that does nothing
// always passes.
func (c *Confirmed) CheckFirst(p *Plan, digest string) []Refusal {
	c.uids, c.sets, c.owners = map[types.UID]bool{}, map[types.NamespacedName]bool{}, map[OwnerKey]bool{}
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
// owned by an object in it, nor part of a scale set in it. A new AutoscalingRunnerSet or CRD is
// always refused: people create these.
func (c *Confirmed) CheckLater(p *Plan) []Refusal {
	var refused []Refusal
	// Await does not write, and a backup contains only sets that are checked themselves.
	written := p.objects(func(a Action) bool { return a != Await && a != Create })
	for _, o := range append(written, p.Taken...) {
		isSet := o.Resource == arc.Resource(arc.AutoscalingRunnerSets)
		switch {
		case c.uids[o.UID], !isSet && (c.owners[OwnerKey{o.Namespace, o.Owner}] || c.sets[o.ScaleSet]):
			c.add(o)
		default:
			refused = append(refused, Refusal{
				Verdict: Refused,
				Message: fmt.Sprintf("%s is not in the plan that was confirmed", o),
				Do:      []string{planAgain},
			})
		}
	}
	return refused
}
