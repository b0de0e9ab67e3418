package upgrade

import (
	"fmt"
	"slices"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/shell"
)

// refuseOtherControllers refuses a controller that this run neither stops nor upgrades. It may be of no Helm
// release. It would delete every scale set that gets another version.
func (p *planner) refuseOtherControllers() {
	release := p.State.Releases[0]
	for _, c := range p.s.running {
		own := func(o Controller) bool { return o.key() == c.NamespacedName }
		if c.of == release.key() && slices.ContainsFunc(release.Controllers, own) {
			continue
		}
		p.refuse(fmt.Sprintf("controller %s in namespace %s is not in the record of release %s: it would go on, and delete scale sets of another version",
			c.Name, c.Namespace, release), "delete it, if no scale set needs it:",
			shell.Command("kubectl", "delete", "deployment", c.Name, "--namespace", c.Namespace))
	}
}

// refuseSets refuses scale sets that the new controller would delete.
func (p *planner) refuseSets() {
	to := p.s.Target.Controller.Metadata.AppVersion
	for _, set := range p.s.live {
		p.refuseGitOps("autoscalingrunnerset", "scale set", set)
		r := p.State.release(set.of)
		upgraded := r != nil && slices.Contains(r.Sets, set.NamespacedName)
		switch {
		case !watched(p.State.Releases[0], set.Namespace):
		case set.deleting && p.State.Way == BySwap && p.s.Saved == nil:
			p.refuse(fmt.Sprintf("scale set %s in namespace %s is being deleted", set.Name, set.Namespace), "wait until it is gone")
		case set.deleting, p.s.Saved.forward():
		case p.State.Way == ByHelm && !sameMinor(set.version, to):
			p.refuse(fmt.Sprintf("scale set %s in namespace %s has the version %q, and a controller %s would delete it",
				set.Name, set.Namespace, printable(set.version), to), "find out why no controller has deleted it:",
				shell.Command("kubectl", "get", arc.AutoscalingRunnerSets, "--all-namespaces", "--label-columns", arc.LabelVersion))
		case upgraded:
		case p.State.Way == ByHelm:
			p.note("scale set %s in namespace %s stays as it is: no release that is upgraded has it", set.Name, set.Namespace)
		default:
			p.refuse(fmt.Sprintf("scale set %s in namespace %s is of no release that is upgraded: the new controller would delete it",
				set.Name, set.Namespace), "install it with Helm, or delete it:",
				shell.Command("kubectl", "delete", "autoscalingrunnerset", set.Name, "--namespace", set.Namespace))
		}
	}
}
