package plan

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/english"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
)

// LastCRD is the CRD that Helm needs to uninstall a release with scale sets and a controller:
// without it Helm cannot build the objects that it deletes (helm.sh/helm pkg/action/uninstall.go,
// deleteRelease).
const LastCRD = arc.AutoscalingRunnerSets + "." + arc.Group

// mixed reports whether the controller's release also installs scale sets.
func (p *planner) mixed() bool { return p.o.Scope == ScopeController && len(p.release.Sets) > 0 }

// crdsKept says why all CRDs must stay; "" if they may be deleted.
func (p *planner) crdsKept() string {
	var why []string
	for _, c := range p.others {
		why = append(why, fmt.Sprintf("the controller %s/%s uses them", c.Namespace, c.Name))
	}
	if len(p.reinstalled) > 0 {
		why = append(why, "they were installed again after this uninstall deleted them")
	}
	for set := range p.handedOver {
		if set.Name == "" {
			why = append(why, fmt.Sprintf("namespace %s has busy runners", set.Namespace))
			continue
		}
		why = append(why, fmt.Sprintf("scale set %s in namespace %s has busy runners", set.Name, set.Namespace))
	}
	left := map[string]int{}
	for _, o := range p.s.Custom {
		if p.outOfScope(o) != "" {
			left[o.Namespace]++
		}
	}
	if len(why) == 0 {
		for ns, n := range left {
			why = append(why, fmt.Sprintf("%s in namespace %s %s not this release's", english.Count(n, "custom resource"), ns, english.Agree(n, "is", "are")))
		}
		slices.Sort(why)
	}
	return strings.Join(why, "; ")
}

func (p *planner) crds() {
	why := p.crdsKept()
	var steps, last []Step
	for _, o := range p.s.CRDs {
		kept := cmp.Or(why, p.crdKept(o))
		step := Step{Delete, o, "Helm never deletes it"}
		if o.Deleting {
			step = Step{Await, o, "already being deleted"}
		}
		switch {
		case kept != "":
			p.plan.Kept = append(p.plan.Kept, Finding{o, kept})
		case !p.mixed():
			steps = append(steps, step)
		case len(p.plan.Phases) > 0:
			// Helm needs this CRD after the hook. If the hook failed after deleting it, Helm could
			// not uninstall the release any more. So the CRD is deleted last, when nothing else is
			// left. A person who confirms this plan confirms that, too.
			p.plan.Taken = append(p.plan.Taken, o)
			p.takenBy(o)
		case o.Name == LastCRD:
			last = append(last, step)
		default:
			steps = append(steps, step)
		}
	}
	if len(steps) == 0 {
		steps = last
	}
	p.phase(PhaseCRDs, steps)
	for _, step := range steps {
		p.takenBy(step.Object)
	}
}

// takenBy notes the custom resources that go with their CRD.
func (p *planner) takenBy(crd *object.Object) {
	for _, o := range p.s.Custom {
		if o.Resource.GroupResource().String() == crd.Name {
			p.plan.Taken = append(p.plan.Taken, o)
		}
	}
}

// crdKept says why this CRD must stay; "" if it may be deleted. A CRD that Helm or another tool was
// told to keep is not deleted.
func (p *planner) crdKept(o *object.Object) string {
	switch {
	case p.o.CRDs == KeepCRDs:
		return "crds=keep"
	case o.Keep:
		return "its annotation helm.sh/resource-policy says keep"
	case o.Release.Name != "" && o.Release != p.release.Key():
		return fmt.Sprintf("it is of the Helm release %s in namespace %s", o.Release.Name, o.Release.Namespace)
	}
	return ""
}
