package upgrade

import (
	"context"
	"fmt"
	"slices"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/helm"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
	"github.com/arc-cleanup/arc-cleanup/internal/shell"
)

// chooseWay decides how to upgrade. An upgrade that has begun to uninstall goes on with that.
func (p *planner) chooseWay() {
	if p.s.Saved != nil && !p.s.Saved.Way.inPlace() {
		p.State.Way, p.Why = ByReinstall, "an upgrade has begun that uninstalls everything"
		if p.s.Strategy == InPlace {
			p.refuse("--strategy in-place: "+p.Why, "leave --strategy out, to go on with that")
		}
		return
	}
	d, refused := choose(p.s.Strategy, p.installed(), p.s.Target.Controller.Metadata.AppVersion, p.s.AllowExperimental)
	p.State.Way, p.Why = d.way, d.why
	if p.s.Saved == nil && p.s.Strategy != Reinstall {
		p.refuseFalseRecords()
	}
	if refused != "" {
		p.refuse(refused, "leave --strategy out: it then uninstalls everything, and installs it again")
	}
}

// installed returns the versions of ARC that the releases have.
func (p *planner) installed() (versions []string) {
	for _, r := range p.State.Releases {
		versions = append(versions, r.Chart.AppVersion)
	}
	return versions
}

// refuseInPlace refuses what an upgrade in place cannot do, or would lose.
func (p *planner) refuseInPlace() {
	for _, r := range p.State.toUpgrade() {
		if f, there := p.found[r.key()]; there && !upgradable(f.Status) {
			p.refuse(fmt.Sprintf("release %s is %s", r, printable(string(f.Status))), f.wayOut())
		}
		p.refuseForeign(r, p.found[r.key()].record)
	}
	for _, c := range p.s.running {
		p.refuseGitOps("deployment", "controller", c)
	}
	p.refuseOtherControllers()
	p.refuseSets()
}

// refuseGitOps refuses an object that a GitOps tool would take back to the old version. The new controller
// would delete such a scale set.
func (p *planner) refuseGitOps(resource, what string, of claimant) {
	if of.gitops.key != "" {
		p.refuse(fmt.Sprintf("%s %s in namespace %s belongs to %s, which would take it back to the old version",
			what, of.Name, of.Namespace, of.gitops), of.gitops.wayOut(resource, of)...)
	}
}

// planByHelm plans an upgrade within a minor version.
func (p *planner) planByHelm() {
	controller := p.State.Releases[0]
	p.add(Save, controller, p.saves(""))
	if len(p.s.lacking) > 0 {
		p.add(CRDs, controller, "changes the CRDs to those of the new chart")
	}
	p.noteCRDs()
	for _, r := range p.State.Releases {
		p.upgrade(r)
	}
	p.add(Listeners, controller, "replaces the listeners of the old image, one after the other")
	p.forget()
}

// planSwap plans a freeze and swap.
func (p *planner) planSwap() {
	controller := p.State.Releases[0]
	if p.State.Swap == nil {
		p.refuseUnstoppable()
		p.refuseLackingCRDs(controller)
		p.State.Swap = p.newSwap()
		p.add(Save, controller, p.saves(", and the CRDs,"))
	}
	if pair, ok := pairOf(controller.Chart.AppVersion, p.s.Target.Controller.Metadata.AppVersion); ok && experimental[pair] != "" {
		p.note("under a controller %s the runner sets of %s go on beside the new ones: afterwards, run `arc-cleanup sweep --all-namespaces` "+
			"until it has nothing to do", pair[1], pair[0])
	}
	forward := p.State.Swap.Forward
	if !forward {
		p.add(Freeze, controller, "stops the controller; running jobs go on")
		p.add(CRDs, controller, "changes the CRDs to those of the new chart")
	}
	for _, r := range p.State.toUpgrade()[1:] {
		p.upgrade(r)
	}
	if !forward {
		p.add(Forward, controller, "makes sure that the new controller deletes no scale set; from here on there is no way back")
	}
	p.upgrade(controller)
	p.add(Listeners, controller, "waits until every scale set has a listener of the new image, and deletes older ones")
	p.forget()
}

// resumeSwap plans the rest of a freeze and swap.
func (p *planner) resumeSwap() {
	saved := p.s.Saved
	p.Why = "an upgrade in this way has begun"
	p.State = *saved
	p.State.secrets = p.s.secrets
	p.State.Releases = p.restorable()
	for i, r := range p.State.Releases {
		if f := p.found[r.key()]; r.lost != nil { // it is deployed: only its Secret is gone, as within forget
			p.State.Releases[i].Values, p.State.Releases[i].Hooks = f.Values, f.Hooks
		}
	}
	if !saved.goesOnTo(p.s.Target) || p.s.Strategy == Reinstall {
		do := []string{"go on with it: give the same version or charts, and no --strategy"}
		if !saved.forward() {
			do = append(do, "or take it back: "+shell.Command("arc-cleanup", "upgrade", "--abort", "--namespace", saved.namespace()))
		}
		p.refuse(fmt.Sprintf("an upgrade to %s has begun, and %s", version(saved.Target.Controller.Metadata), p.howFar()), do...)
	}
	if saved.forward() && !saved.Target.same(p.s.Target) {
		p.note("the scale sets keep the version of %s: afterwards, run the same command again, which upgrades them", version(saved.Target.ScaleSets.Metadata))
	}
	p.State.Target, p.State.PostRenderer = p.s.Target, p.s.PostRenderer
	p.refuseControllers()
	if len(p.Refusals) == 0 {
		p.refuseStopped(p.State.Releases[0])
		p.refuseInPlace()
		p.refuseState()
		p.planSwap()
	}
}

// goesOnTo reports whether a swap may go on with the charts of a target. Once it is forward, only the controller
// is left, which may be of another patch version: the one that was begun with may not come up.
func (s *State) goesOnTo(t Target) bool {
	is, to := s.Target.Controller.Metadata, t.Controller.Metadata
	return s.Target.same(t) || s.forward() && is.Name == to.Name && sameMinor(is.AppVersion, to.AppVersion)
}

// howFar says what has happened to the controller of a swap that has begun.
func (p *planner) howFar() string {
	runs := func(c claimant) bool { return c.of == p.s.Saved.Releases[0].key() && c.replicas > 0 }
	switch {
	case p.s.Saved.forward():
		return "the new controller may have started"
	case slices.ContainsFunc(p.s.running, runs):
		return "the controller still runs"
	}
	return "the controller is stopped"
}

// upgrade plans what is left to do for a release.
func (p *planner) upgrade(r Release) {
	f := p.found[r.key()]
	to := p.s.Target.of(r).Metadata
	// A chart of the same version may install another version of ARC.
	current := f.Status == helm.Deployed && f.Chart == to
	if f.Status.Pending() {
		p.add(Unlock, r, fmt.Sprintf("ends a broken upgrade, which is %s", printable(string(f.Status))))
	}
	if !current {
		p.add(UpgradeRelease, r, "upgrades to "+version(to)+" with the same values")
	}
	if len(r.Hooks) > 0 && (!current || len(f.Hooks) == 0) {
		p.enrol(r)
	}
}

// checkInPlace tries all of an upgrade in place that can be tried before the first write.
func (u *Upgrade) checkInPlace(ctx context.Context, s Situation, p *Plan) error {
	releases := p.State.toUpgrade()
	results := u.render(ctx, p.State.Target, releases)
	refusals := judge(p.State.Target, releases, results)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	p.Refusals = append(p.Refusals, refusals...)
	switch is, to := results[0].controller, p.State.Target.Controller.Metadata.AppVersion; {
	case results[0].err != nil || sameMinor(is, to):
	case is == "":
		p.untold = true
		p.refuse(fmt.Sprintf("release %s would run a controller whose image names no version: it could delete every scale set", p.State.Releases[0]),
			"give the image a tag with the version, or give --strategy reinstall")
	default:
		p.refuse(fmt.Sprintf("release %s would run a controller of the version %q by its image, and not %s: it could delete every scale set",
			p.State.Releases[0], printable(is), to),
			"take image.tag out of its values, or give --strategy reinstall")
	}
	for i, r := range releases {
		if results[i].err == nil && results[i].scope != "" {
			p.refuseLosses(r, results[i].installs, p.State.Target.Controller.Metadata.AppVersion)
		}
	}
	if p.Has(UpgradeRelease) && !p.State.forward() {
		u.explain(ctx, s, p)
	}
	if p.Has(CRDs) {
		if err := u.checkCRDs(ctx, p); err != nil {
			return err
		}
	}
	if len(p.Refusals) > 0 {
		p.Steps = nil
	}
	return nil
}

// checkCRDs makes sure that the new CRDs can be applied and the old ones be saved.
func (u *Upgrade) checkCRDs(ctx context.Context, p *Plan) error {
	ctx, cancel := context.WithTimeout(ctx, writeTime)
	defer cancel()
	crds, err := u.Helm.crds(ctx, p.State.Target.Controller)
	if err != nil {
		if ctx.Err() != nil {
			return err
		}
		p.refuse(err.Error())
		return nil
	}
	for _, crd := range crds {
		if err := u.Client.DryRun().Apply(ctx, object.CRDs, &crd, fieldManager); err != nil {
			p.refuse(err.Error())
		}
	}
	if !p.Has(Save) {
		return nil
	}
	if err := u.refuseCRDs(ctx, p); err != nil || p.State.Way != BySwap {
		return err
	}
	if p.State.Swap.crds, err = readCRDs(ctx, u.Client); err != nil {
		return err
	}
	if _, err := encode(p.State); err != nil {
		p.refuse(err.Error(), "give --strategy reinstall, which saves no CRDs")
	}
	return nil
}

// controllerVersion returns the version of the controller that a rendered release would run.
func controllerVersion(stream []byte) string {
	for d := range controllerDeployments(stream) {
		return arc.ImageVersion(arc.ControllerImage(d.Spec.Template.Spec.Containers))
	}
	return ""
}
