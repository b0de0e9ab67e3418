package upgrade

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/arc-cleanup/arc-cleanup/internal/helm"
	"github.com/arc-cleanup/arc-cleanup/internal/shell"
)

// fresh is how long a saved state counts as that of an upgrade which is still going on. After that time,
// a user may have uninstalled a release that it names.
const fresh = time.Hour

// resume says what is known of the upgrade that saved the state, and which saved releases can be
// installed again.
func (p *planner) resume() {
	s := p.s.Saved
	p.note("%s was written %s (%s ago)", secretOf(*s), s.Written.Format(time.RFC3339), p.s.Now.Sub(s.Written).Round(time.Second))
	p.noteCharts()
	p.confirmPostRenderer()
	var missing []string
	for _, r := range s.Releases {
		_, there := p.found[r.key()]
		if p.needs(r) && r.lost != nil {
			p.giveUp(r)
			continue
		}
		if !there && s.Way.inPlace() {
			p.note("release %s has been uninstalled since, and does not come back", r)
			p.dropped = append(p.dropped, r.Namespace)
			continue
		}
		if f := p.found[r.key()]; r.lost != nil && there && len(f.Hooks) == 0 {
			p.note("release %s has no hook, and whether it had one is not known: %s", r, printable(r.lost.Error()))
		}
		p.saved[r.key()] = r
		if !there {
			missing = append(missing, r.String())
		}
	}
	if len(missing) > 0 && p.s.Now.Sub(s.Written) > fresh {
		p.confirmMissing(missing)
	}
}

// noteCharts names charts of the same version whose content has changed since the upgrade began.
func (p *planner) noteCharts() {
	s := p.s.Saved
	for i, chart := range []Chart{s.Target.Controller, s.Target.ScaleSets} {
		now := []Chart{p.s.Target.Controller, p.s.Target.ScaleSets}[i]
		if chart.Metadata == now.Metadata && chart.Digest != "" && now.Digest != "" && chart.Digest != now.Digest {
			p.note("the chart %s was %s when the upgrade began", now.Ref, chart.Digest)
		}
	}
}

// needs reports whether a release needs what was saved of it. One of scale sets has its version once a swap
// is forward.
func (p *planner) needs(r Release) bool {
	f, there := p.found[r.key()]
	return (!there || f.Status != helm.Deployed) && (r.Controller || !p.s.Saved.forward())
}

// confirmPostRenderer asks about another post-renderer than that with which the upgrade began.
func (p *planner) confirmPostRenderer() {
	if s := p.s.Saved; !slices.Equal(s.PostRenderer, p.s.PostRenderer) {
		p.confirm(fmt.Sprintf("the upgrade began with the post-renderer %q, and goes on with %q",
			shell.Command(s.PostRenderer...), shell.Command(p.s.PostRenderer...)),
			"give the same --post-renderer and --post-renderer-args")
	}
}

// giveUp handles a release whose saved values cannot be read.
func (p *planner) giveUp(r Release) {
	why := printable(r.lost.Error())
	if r.Controller || p.s.Saved.Way.inPlace() {
		p.refuse(fmt.Sprintf("what was saved of release %s cannot be read: %s", r, why))
	} else {
		p.note("release %s does not come back: what was saved of it cannot be read: %s", r, why)
	}
}

// confirmMissing asks about releases that only an old state knows.
func (p *planner) confirmMissing(missing []string) {
	do := []string{"if all of them are to stay uninstalled, delete the saved state:"}
	for _, namespace := range p.s.Saved.namespaces() {
		if at, there := p.s.secrets[namespace]; there && !at.foreign {
			do = append(do, shell.Command("kubectl", "delete", "secret", SecretName, "--namespace", namespace))
		}
	}
	p.confirm(fmt.Sprintf("only the saved state, of %s, knows %s: if you have uninstalled them since, they would come back",
		p.s.Saved.Written.Format(time.RFC3339), strings.Join(missing, ", ")), do...)
}

// wayOut is the command that ends the state of a release that is not deployed: back to the revision
// before, or away if there is none.
func (f Found) wayOut() string {
	words := []string{"helm", "rollback"}
	if f.Revision == 1 || f.Status == helm.Uninstalling {
		words = []string{"helm", "uninstall"}
	}
	command := shell.Command(append(words, f.Name, "--namespace", f.Namespace)...)
	if f.Driver == "configmap" {
		command = "HELM_DRIVER=configmap " + command
	}
	return command
}

// refuseControllers refuses unless there is one release of controllers, in the namespace that the user
// has given.
func (p *planner) refuseControllers() {
	var controllers []Release
	for _, r := range p.State.Releases {
		if r.Controller {
			controllers = append(controllers, r)
		}
	}
	for _, f := range p.s.Found {
		if f.Controller && !slices.ContainsFunc(controllers, func(r Release) bool { return r.key() == f.key() }) {
			controllers = append(controllers, f.Release)
		}
	}
	for _, r := range controllers {
		if p.s.Namespace != "" && r.Namespace != p.s.Namespace {
			p.refuse(fmt.Sprintf("--namespace %s: the controller's release is %s", p.s.Namespace, r),
				"give the namespace of the controller's release, or none")
		}
	}
	if len(controllers) == 0 {
		p.refuse("no controller is running that a Helm release has installed: there is nothing to upgrade",
			"if an upgrade has stopped, or the controller is gone, give the namespace of its release with --namespace")
		return
	}
	for _, r := range controllers[1:] {
		p.refuse(fmt.Sprintf("the controllers of the releases %s and %s share the CRDs: only one can be upgraded",
			controllers[0], r), Found{Release: r, Status: helm.Uninstalling}.wayOut())
	}
}

// refuseReleases refuses releases that could not be uninstalled, or not installed again as they were.
func (p *planner) refuseReleases() {
	for _, r := range p.State.Releases {
		if chart := p.s.Target.of(r).Metadata; chart.Name != r.Chart.Name {
			p.refuse(fmt.Sprintf("release %s was installed from the chart %q, and would be from the chart %q: its values would mean something else",
				r, r.Chart.Name, chart.Name), "give its chart with --chart or --scale-set-chart")
		}
		if !r.Controller && len(r.OtherHooks) > 0 && !p.State.Way.inPlace() {
			p.note("release %s has deletion hooks of its own, which are not run: %q", r, r.OtherHooks)
		}
	}
	for _, f := range p.s.Found {
		if f.Mixed {
			// helm.sh/helm pkg/action/uninstall.go, deleteRelease
			why := "Helm could not uninstall it after their CRD is gone"
			if p.State.Way.inPlace() {
				why = "Helm could not upgrade one after the other"
			}
			p.refuse(fmt.Sprintf("release %s installs the controller and scale sets: %s", f, why),
				"install the scale sets as releases of their own")
		}
	}
}

// refuseScaleSets refuses scale sets that would not come back.
func (p *planner) refuseScaleSets() {
	for _, set := range p.s.Unmanaged {
		if set.Flux != "" {
			p.refuse(fmt.Sprintf("scale set %s in namespace %s belongs to Flux's HelmRelease %q, and would not come back",
				set.Name, set.Namespace, set.Flux), "change the version of the chart there, or suspend and uninstall it")
			continue
		}
		p.refuse(fmt.Sprintf("no record of a Helm release has the scale set %s in namespace %s: it would not come back", set.Name, set.Namespace),
			shell.Command("kubectl", "delete", "autoscalingrunnerset", set.Name, "--namespace", set.Namespace))
	}
}

// refuseState refuses a state that cannot be saved.
func (p *planner) refuseState() {
	if len(p.State.Releases) == 0 {
		return
	}
	if _, err := encode(p.State); err != nil {
		p.refuse(err.Error())
	}
	for _, namespace := range p.State.namespaces() {
		if p.s.secrets[namespace].foreign {
			p.refuse(fmt.Sprintf("the Secret %s in namespace %s is not the state of an upgrade: values could not be saved there",
				SecretName, namespace), shell.Command("kubectl", "delete", "secret", SecretName, "--namespace", namespace))
		}
	}
}
