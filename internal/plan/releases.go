package plan

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/identity"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
	"github.com/arc-cleanup/arc-cleanup/internal/shell"
)

// uninstallable returns the Helm releases of scale sets that this run uninstalls.
func (p *planner) uninstallable() []ScaleSetRelease {
	return slices.DeleteFunc(slices.Clone(p.s.Installed), func(i ScaleSetRelease) bool {
		left := slices.ContainsFunc(i.Sets, func(set identity.Set) bool { return p.handedOver[set] })
		outside := slices.ContainsFunc(i.Sets, func(set identity.Set) bool {
			return p.outOfScope(&object.Object{Namespace: set.Namespace}) != ""
		})
		return left || outside || i.Release == p.release.Key() || (i.Pending || len(i.Others) > 0) && !p.installs(i)
	})
}

// installs reports whether a scale set of the release exists and names the release itself. A record
// alone does not count: anyone who administers a namespace can write one, and could block the
// uninstall of every other team's ARC.
func (p *planner) installs(i ScaleSetRelease) bool {
	return slices.ContainsFunc(p.s.Custom, func(o *object.Object) bool {
		return o.Resource.Resource == arc.AutoscalingRunnerSets && o.Release == i.Release && slices.Contains(i.Sets, o.ScaleSet)
	})
}

// refuseUninstall names what scaleSets=uninstall cannot uninstall: a release that holds more than
// scale sets, a release that Helm is changing, and a scale set that no record holds.
func (p *planner) refuseUninstall() {
	known := map[types.NamespacedName]bool{}
	for _, i := range p.uninstallable() {
		known[i.Release] = true
		if len(i.Others) > 0 {
			p.plan.Refusals = append(p.plan.Refusals, Refusal{
				Verdict: Refused,
				Message: fmt.Sprintf("Helm release %s in namespace %s holds more than scale sets: %s", i.Release.Name, i.Release.Namespace, strings.Join(i.Others, ", ")),
				Do:      []string{shell.Command("helm", "uninstall", i.Release.Name, "--namespace", i.Release.Namespace)},
			})
		}
		if i.Pending {
			p.plan.Refusals = append(p.plan.Refusals, Refusal{
				Verdict: Refused,
				Message: fmt.Sprintf("Helm release %s in namespace %s is pending: Helm is at work on it, or was stopped in the middle", i.Release.Name, i.Release.Namespace),
				Do:      []string{"wait for Helm; where it was stopped: " + shell.Command("helm", "uninstall", i.Release.Name, "--namespace", i.Release.Namespace)},
			})
		}
	}
	for _, o := range p.inScope(p.s.Custom) {
		if o.Resource.Resource == arc.AutoscalingRunnerSets && !o.Deleting && !p.inTerminating(o) && !p.inRelease(o) && o.Release.Name != "" && !known[o.Release] {
			r := p.liveScaleSet(o)
			if slices.ContainsFunc(p.s.Installed, func(i ScaleSetRelease) bool { return i.Release == o.Release }) {
				r.Message += ", and its release cannot be uninstalled with it: other scale sets of the release stay, or the release's record does not hold this one"
			} else {
				r.Message += ", and Helm has no record of the release that it names"
			}
			p.plan.Refusals = append(p.plan.Refusals, r)
		}
	}
}

// uninstall removes the releases of scale sets as `helm uninstall` does once the sets are gone:
// first their objects, then Helm's records.
func (p *planner) uninstall() {
	var objects, records []Step
	for _, i := range p.uninstallable() {
		of := fmt.Sprintf("of Helm release %s", i.Release.Name)
		for _, o := range i.Objects {
			action := Delete
			if o.Deleting {
				action = Await
			}
			objects = append(objects, Step{action, o, of})
		}
		for _, o := range i.Records {
			records = append(records, Step{Delete, o, "Helm's record " + of})
		}
	}
	p.phase(PhaseReleases, objects, records)
}
