package sweep

import (
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/identity"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
	"github.com/arc-cleanup/arc-cleanup/internal/shell"
)

// decider holds what the parts of one decision share.
type decider struct {
	*facts
	Decision
	// freed holds, by UID, the RoleBindings whose finalizer goes.
	freed map[types.UID]bool
}

// decide says what goes and what stays. It is a pure function.
func decide(f *facts) *Decision {
	d := &decider{facts: f, freed: map[types.UID]bool{}}
	if d.refuse(); len(d.Refusals) > 0 {
		return &d.Decision
	}
	for _, l := range d.listeners {
		if d.covers(l.set.Namespace) {
			d.listener(l)
		}
	}
	for _, s := range d.runnerSets {
		d.runnerSet(s)
	}
	d.listenerRights()
	d.protected()
	return &d.Decision
}

// refuse says why nothing is swept: a failed read, or no controller that lives.
func (d *decider) refuse() {
	if d.unserved {
		d.Refusals = append(d.Refusals, plan.Refusal{
			Verdict: plan.Refused, Message: "this cluster has no CRD of ARC (" + arc.Group + ")" + needsController, Do: whatIsThere,
		})
		return
	}
	for _, u := range plan.MergeUnknown(d.unknown) {
		d.Refusals = append(d.Refusals, u.Refusal())
	}
	for _, namespace := range d.absent {
		d.Refusals = append(d.Refusals, plan.Refusal{
			Verdict: plan.Refused, Message: fmt.Sprintf("the namespace %s does not exist", namespace), Do: []string{"kubectl get namespaces"},
		})
	}
	if len(d.Refusals) > 0 {
		return
	}
	for _, c := range d.controllers {
		if c.idle == "" {
			d.Refusals = nil
			return
		}
		d.Refusals = append(d.Refusals, c.refusal(d.now))
	}
	if len(d.controllers) == 0 {
		d.Refusals = append(d.Refusals, plan.Refusal{
			Verdict: plan.Refused, Message: "no controller of ARC was found" + needsController, Do: whatIsThere,
		})
	}
}

const needsController = "; sweep needs a controller that works and finishes the deletions"

var whatIsThere = []string{"arc-cleanup status   # what is there of ARC"}

// refusal says why a controller that is idle keeps sweep from its work, and what to do.
func (c controller) refusal(now time.Time) plan.Refusal {
	r := plan.Refusal{Verdict: plan.Refused, Message: fmt.Sprintf("the controller %s/%s %s", c.Namespace, c.Name, c.idle)}
	if c.until.IsZero() {
		r.Message += needsController
		r.Do = []string{shell.Command("kubectl", "describe", "deployment", c.Name, "--namespace", c.Namespace)}
		return r
	}
	r.Message += "; an old one may still work"
	left := (c.until.Sub(now) + time.Second - 1).Truncate(time.Second) // never too short
	r.Do = []string{fmt.Sprintf("run it again in %s", left)}
	return r
}

// covers reports whether a namespace of scale sets is in scope.
func (f *facts) covers(namespace string) bool {
	return len(f.scope.Namespaces) == 0 || slices.Contains(f.scope.Namespaces, namespace)
}

// young says that an object is too young to go; "" if it is old enough.
func (f *facts) young(t thing) string {
	since := t.created
	if t.Deleting {
		since = t.deleted
	}
	if least := f.scope.least(); f.now.Sub(since) < least {
		return fmt.Sprintf("younger than %s", least)
	}
	return ""
}

// controllerOf returns the one controller that works on a namespace, or says why there is none.
func (f *facts) controllerOf(namespace string) (controller, string) {
	var found []controller
	for _, c := range f.controllers {
		if (identity.Controller{Watches: c.Watches}).Sees(namespace) {
			found = append(found, c)
		}
	}
	switch {
	case len(found) == 0:
		return controller{}, "no controller watches the namespace " + namespace
	case len(found) > 1:
		return controller{}, fmt.Sprintf("%d controllers watch the namespace %s", len(found), namespace)
	case found[0].idle != "":
		return controller{}, fmt.Sprintf("the controller %s/%s %s", found[0].Namespace, found[0].Name, found[0].idle)
	}
	return found[0], ""
}

// find returns the scale set of a name; nil if there is none.
func (f *facts) find(set types.NamespacedName) *scaleSet {
	i := slices.IndexFunc(f.sets, func(s scaleSet) bool { return s.key() == set })
	if i < 0 {
		return nil
	}
	return &f.sets[i]
}

// names returns the names that a set's current listener may have: one, unless the controller's version is
// not known.
func names(s *scaleSet, c controller) []string {
	if name := arc.ListenerName(c.version, s.Namespace, s.Name, s.group, s.url); name != "" {
		return []string{name}
	}
	before, since := arc.ListenerNames(s.Namespace, s.Name, s.group, s.url)
	return []string{before, since}
}

// newest returns the set's newest runner set, which a controller up to 0.14 takes for the current one, and
// which a later one has made last; nil if two are of the same age.
func (f *facts) newest(s *scaleSet) *runnerSet {
	var found *runnerSet
	tie := false
	for i, r := range f.runnerSets {
		if r.Namespace != s.Namespace || r.Owner != s.UID {
			continue
		}
		switch {
		case found == nil || r.created.After(found.created):
			found, tie = &f.runnerSets[i], false
		case r.created.Equal(found.created):
			tie = true
		}
	}
	if tie {
		return nil
	}
	return found
}

// currents returns the listeners that may be a set's current one.
func (f *facts) currents(s *scaleSet, c controller) (found []*listener) {
	for i, l := range f.listeners {
		if l.set == s.key() && l.Namespace == c.Namespace && !l.Deleting && slices.Contains(names(s, c), l.Name) && l.image == c.image {
			found = append(found, &f.listeners[i])
		}
	}
	return found
}

// settled returns the current listener and runner set of a set that its controller has finished with, or
// says why there is no such thing: then the controller is in the middle of something.
func (f *facts) settled(s *scaleSet, c controller) (*listener, *runnerSet, string) {
	if s.Deleting {
		return nil, nil, fmt.Sprintf("its scale set %s is being deleted", s.key())
	}
	current := f.currents(s, c)
	if len(current) != 1 {
		return nil, nil, fmt.Sprintf("the scale set %s has %d listeners that may be its current one", s.key(), len(current))
	}
	newest := f.newest(s)
	if newest == nil || newest.Deleting || current[0].runnerSet != newest.Name {
		return nil, nil, fmt.Sprintf("the listener %s does not serve the newest runner set of the scale set %s", current[0].Name, s.key())
	}
	return current[0], newest, ""
}

// listener decides about one listener.
func (d *decider) listener(l listener) {
	c, why := d.controllerOf(l.set.Namespace)
	foreign := why == "" && l.Namespace != c.Namespace
	if foreign {
		why = fmt.Sprintf("it is not in the namespace of the controller %s/%s, which makes the listeners of %s", c.Namespace, c.Name, l.set.Namespace)
	}
	set := d.find(l.set)
	switch {
	case set == nil:
		d.remove(l.thing, why, fmt.Sprintf("its scale set %s is gone", l.set))
	case foreign:
		d.keep(l.thing, why)
	case why != "", set.Deleting:
	case !slices.Contains(names(set, c), l.Name):
		current, _, why := d.settled(set, c)
		evidence := ""
		switch {
		case why != "":
		case arc.ListenersShare(c.version):
			why = fmt.Sprintf("the controller, before 0.13.1 or of an unknown version, would delete objects of the current listener %s with it", current.Name)
		default:
			evidence = fmt.Sprintf("the scale set %s has another listener now, %s", l.set, current.Name)
		}
		d.remove(l.thing, why, evidence)
	case l.image != c.image:
		d.replace(l, set, c)
	}
}

// replace has the controller make a listener again that has the image of an older controller. Controllers
// up to 0.14 never do so by themselves.
func (d *decider) replace(l listener, s *scaleSet, c controller) {
	newest := d.newest(s)
	switch {
	case c.image == "" || l.Deleting:
		return
	case d.another(l, s, c):
		d.keep(l.thing, fmt.Sprintf("it or another may be the current listener of the scale set %s: the controller's version is not known", l.set))
		return
	case newest == nil || newest.Deleting || newest.Name != l.runnerSet:
		d.keep(l.thing, fmt.Sprintf("it has an old image, and does not serve the newest runner set of the scale set %s", l.set))
		return
	case c.late:
		d.keep(l.thing, "it has an old image, and the controller, with --update-strategy eventual, makes no other while a runner is active: delete it when none is")
		return
	case s.pending != "":
		d.keep(l.thing, fmt.Sprintf("it has an old image, and the controller would make no other before it has changed the scale set %s at GitHub: %s", l.set, s.pending))
		return
	}
	before := len(d.Steps)
	d.remove(l.thing, "", fmt.Sprintf("its image is %s, the controller's is %s; the controller creates it again", l.image, c.image))
	if len(d.Steps) > before {
		d.Steps[before].replaced = c.image
	}
}

// another reports whether a set has another listener that may be its current one.
func (f *facts) another(l listener, s *scaleSet, c controller) bool {
	return slices.ContainsFunc(f.listeners, func(o listener) bool {
		return o.UID != l.UID && o.set == s.key() && o.Namespace == c.Namespace && slices.Contains(names(s, c), o.Name)
	})
}

// runnerSet decides about one runner set.
func (d *decider) runnerSet(r runnerSet) {
	i := slices.IndexFunc(d.sets, func(s scaleSet) bool { return s.UID == r.Owner && s.Namespace == r.Namespace })
	if i < 0 {
		_, why := d.controllerOf(r.Namespace)
		if r.Owner == "" {
			why = "no scale set owns it"
		}
		d.oldRunnerSet(r, why, "the scale set that owns it is gone", nil)
		return
	}
	set := &d.sets[i]
	newest := d.newest(set)
	if set.Deleting || newest != nil && newest.UID == r.UID {
		return
	}
	c, why := d.controllerOf(r.Namespace)
	if why == "" {
		_, newest, why = d.settled(set, c)
	}
	evidence := ""
	if newest != nil {
		evidence = fmt.Sprintf("the scale set %s has another runner set now, %s", set.key(), newest.Name)
	}
	d.oldRunnerSet(r, why, evidence, newest)
}

// oldRunnerSet decides about a runner set that is not its scale set's current one. Its controller
// de-registers its runners; only then may a finalizer go that the controller does not know.
func (d *decider) oldRunnerSet(r runnerSet, why, evidence string, newest *runnerSet) {
	if why != "" {
		d.keep(r.thing, why)
		return
	}
	var left []runner
	for _, runner := range d.runners {
		if runner.Owner == r.UID && runner.Namespace == r.Namespace {
			left = append(left, runner)
		}
	}
	for _, runner := range left {
		if job, busy := d.busy[runner.UID]; busy {
			d.keep(r.thing, fmt.Sprintf("its runner %s has %s", runner.Name, job))
			return
		}
	}
	forgotten := forgotten(r, newest)
	switch {
	case !r.Deleting || len(forgotten) == 0:
		d.remove(r.thing, "", evidence)
	case len(left) > 0:
		d.keep(r.thing, fmt.Sprintf("it is being deleted, with a finalizer that the controller does not know, and its runner %s is left; delete the runner when it has no job", left[0].Name))
	default:
		d.free(r.thing, forgotten, fmt.Sprintf("%s, its runners are gone, and the controller does not use this finalizer on %s", evidence, newest.Name))
	}
}

// forgotten returns the finalizers of a runner set that its controller does not know. Which it knows is
// seen from the current runner set, on which it has put its own. Nothing is forgotten as long as one that
// the controller knows is there.
func forgotten(r runnerSet, newest *runnerSet) []string {
	both := []string{arc.EphemeralRunnerFinalizer, arc.EphemeralRunnerSetFinalizer}
	if newest == nil {
		return nil
	}
	var known, unknown []string
	for _, finalizer := range both {
		switch {
		case slices.Contains(newest.Finalizers, finalizer):
			known = append(known, finalizer)
		case slices.Contains(r.Finalizers, finalizer):
			unknown = append(unknown, finalizer)
		}
	}
	if len(known) != 1 || slices.Contains(r.Finalizers, known[0]) {
		return nil
	}
	return unknown
}

// keep says that a thing stays, and why.
func (d *decider) keep(t thing, why string) {
	d.Kept = append(d.Kept, plan.Finding{Object: t.Object, Why: why})
}

// remove has a thing deleted, unless something says why not, and waits for the controller once it is.
func (d *decider) remove(t thing, why, evidence string) {
	action := plan.Delete
	switch {
	case t.Deleting:
		action, evidence = plan.Await, evidence+"; it is being deleted already, and the controller finishes it"
	case why == "":
		why = d.young(t)
	}
	if why != "" {
		d.keep(t, why)
		return
	}
	d.Steps = append(d.Steps, Step{Step: plan.Step{Action: action, Object: t.Object, Why: evidence}, version: t.version})
}

// free has finalizers removed from a thing that is being deleted.
func (d *decider) free(t thing, finalizers []string, evidence string) {
	d.Steps = append(d.Steps, Step{Step: plan.Step{Action: plan.Free, Object: t.Object, Why: evidence}, Finalizers: finalizers, version: t.version})
}
