// Package upgrade takes ARC to another version of its charts, in the gentlest way that is proved: by Helm
// alone, by a swap under a stopped controller, or, as ARC's documentation asks for, by uninstalling
// everything, the CRDs included, and installing it again with the same values. It first saves in Secrets
// what it needs to go on, so that you can stop it at any point and run it again.
package upgrade

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/english"
	"github.com/arc-cleanup/arc-cleanup/internal/helm"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
)

// Situation is all that a plan depends on.
type Situation struct {
	// Namespace is where the user says that the controller's release is.
	Namespace string
	// Now is the time of the survey.
	Now time.Time
	// Saved is the state that an unfinished upgrade has saved; nil if there is none.
	Saved *State
	// Found are ARC's Helm releases.
	Found []Found
	// Unmanaged are the scale sets that no Helm release has installed.
	Unmanaged []Unmanaged
	// Target is what to install: what the user asks for, or what was saved.
	Target Target
	// PostRenderer is the user's, with its arguments.
	PostRenderer []string
	// Strategy is what the user asks for; "" is Auto.
	Strategy Strategy
	// AllowExperimental allows ways that were only tried with a preview.
	AllowExperimental bool

	// running are the controllers that run, and live are the scale sets in the cluster.
	running, live []claimant
	secrets       map[string]secret
	// lacking are the CRDs that are not those of the installed chart, and unknownCRDs says why that is not known.
	lacking     []arc.LackingCRD
	unknownCRDs string
}

// Kind says what a step does.
type Kind string

// The kinds of steps.
const (
	Save            Kind = "save"             // saves values, hooks and versions in Secrets
	Clean           Kind = "clean"            // drains and uninstalls scale sets, and deletes the CRDs
	Uninstall       Kind = "uninstall"        // uninstalls the controller, by Helm
	MarkUninstalled Kind = "mark-uninstalled" // records that the first half is done
	Remove          Kind = "remove"           // removes what a broken installation has left
	Install         Kind = "install"          // installs a release, by Helm
	Ready           Kind = "ready"            // waits until the API server serves the new CRDs
	Enrol           Kind = "enrol"            // puts the same hook into the new release's record
	Forget          Kind = "forget"           // deletes the Secrets

	// Of an upgrade in place.
	Freeze         Kind = "freeze"    // stops the controller
	CRDs           Kind = "crds"      // changes the CRDs to those of the new chart
	Unlock         Kind = "unlock"    // ends an upgrade that Helm was stopped at
	UpgradeRelease Kind = "upgrade"   // upgrades a release, by Helm
	Forward        Kind = "forward"   // records that the new controller may start
	Listeners      Kind = "listeners" // replaces listeners of an old image

	// Of taking a swap back.
	Rollback    Kind = "rollback"     // takes a release back, by Helm
	RestoreCRDs Kind = "restore-crds" // puts the CRDs back
	Thaw        Kind = "thaw"         // starts the old controller
)

// Step is one step of an upgrade. It is about one release.
type Step struct {
	Kind    Kind
	Release Release
	What    string
}

// Plan lists what will be done, in order.
type Plan struct {
	// State is what the first step saves. Why says why it is done in its way.
	State State
	Why   string
	// Refusals say why nothing is done.
	Refusals []plan.Refusal
	// Confirm is what the user has to agree to, and Notes is what the user should know.
	Confirm []plan.Refusal
	Notes   []string
	Steps   []Step
	// Cleanup is what the step Clean does; nil without that step.
	Cleanup *plan.Plan

	untold bool // whether the new controller would tolerate the scale sets
}

// Has reports whether the plan has a step of a kind.
func (p *Plan) Has(kind Kind) bool {
	return slices.ContainsFunc(p.Steps, func(s Step) bool { return s.Kind == kind })
}

// Charts returns the charts that are installed: none if an upgrade is taken back.
func (p *Plan) Charts() []Chart {
	if p.Has(Thaw) {
		return nil
	}
	charts := []Chart{p.State.Target.Controller}
	if p.State.Target.ScaleSets.Ref != "" {
		charts = append(charts, p.State.Target.ScaleSets)
	}
	return charts
}

func (p *Plan) refuse(message string, do ...string) {
	p.Refusals = append(p.Refusals, plan.Refusal{Verdict: plan.Refused, Message: message, Do: do})
}

func (p *Plan) confirm(message string, do ...string) {
	p.Confirm = append(p.Confirm, plan.Refusal{Verdict: plan.Refused, Message: message, Do: do})
}

func (p *Plan) note(format string, args ...any) {
	p.Notes = append(p.Notes, fmt.Sprintf(format, args...))
}

// newPlan decides what to do. It is a pure function.
func newPlan(s Situation) *Plan {
	p := &planner{
		Plan: Plan{State: State{Target: s.Target, PostRenderer: s.PostRenderer, secrets: s.secrets}},
		s:    s, found: map[types.NamespacedName]Found{}, saved: map[types.NamespacedName]Release{},
	}
	for _, f := range s.Found {
		p.found[f.key()] = f
	}
	if s.Saved != nil {
		p.resume()
	}
	switch {
	case s.Saved != nil && s.Saved.Way == BySwap:
		p.resumeSwap()
	case s.Saved != nil && s.Saved.Uninstalled && s.Saved.Target.same(s.Target):
		p.State.Way, p.Why = ByReinstall, "an upgrade has begun that uninstalls everything"
		p.State.Releases = p.restorable()
		p.refuseControllers()
		p.planRest()
	default:
		p.planNew()
	}
	p.State.dropped = p.dropped
	if len(p.Refusals) > 0 {
		p.Steps = nil
	}
	return &p.Plan
}

type planner struct {
	Plan
	s     Situation
	found map[types.NamespacedName]Found
	saved map[types.NamespacedName]Release // the saved releases that can be installed again

	dropped []string // the namespaces of saved releases that are gone
}

// planNew plans an upgrade that is not half done.
func (p *planner) planNew() {
	p.State.Releases = p.releases()
	p.State.Way = ByReinstall
	current := p.current() || len(p.State.Releases) == 0
	if !current {
		p.chooseWay()
	}
	p.refuseControllers()
	p.refuseReleases()
	if p.State.Way.inPlace() {
		p.refuseInPlace()
	} else {
		p.refuseScaleSets()
	}
	p.refuseState()
	switch {
	case current:
	case p.State.Way == ByHelm:
		p.planByHelm()
	case p.State.Way == BySwap:
		p.planSwap()
	default:
		p.planAll()
	}
}

// restorable returns the saved releases that can be installed again, in their order.
func (p *planner) restorable() (out []Release) {
	for _, r := range p.s.Saved.Releases {
		if _, can := p.saved[r.key()]; can {
			out = append(out, r)
		}
	}
	return out
}

// releases returns the releases to upgrade, the controller's first: those that are deployed, and those
// that only the saved state knows.
func (p *planner) releases() []Release {
	var out []Release
	if p.s.Saved != nil {
		for _, r := range p.restorable() {
			if f, there := p.found[r.key()]; !there || f.Status != helm.Deployed {
				out = append(out, r)
			}
		}
	}
	for _, f := range p.s.Found {
		saved, known := p.saved[f.key()]
		switch {
		case f.Status == helm.Deployed:
			if len(f.Hooks) == 0 {
				// It was installed again and not enrolled yet.
				f.Hooks = saved.Hooks
			}
			if f.HookErr != nil {
				p.note("release %s gets no hook: its present hook cannot be read: %s", f, printable(f.HookErr.Error()))
			}
			out = append(out, f.Release)
		case known:
		case f.Status == helm.Uninstalling && !f.Controller:
			p.note("release %s is being uninstalled, and does not come back", f)
		default:
			status := printable(string(f.Status))
			p.refuse(fmt.Sprintf("release %s is %s: only a deployed release can be installed again as it was", f, status), f.wayOut())
		}
	}
	rank := func(r Release) int {
		if r.Controller {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(out, func(a, b Release) int { return cmp.Compare(rank(a), rank(b)) })
	return out
}

// current reports whether all releases have the target's version, and the CRDs are those of the chart.
func (p *planner) current() bool {
	return p.s.Saved == nil && !p.mayRenewCRDs() && !slices.ContainsFunc(p.State.Releases, func(r Release) bool {
		return r.Chart.Version != p.s.Target.of(r).Metadata.Version
	})
}

// saves says what the first step saves, and also what else.
func (p *planner) saves(also string) string {
	n := len(p.State.Releases)
	return fmt.Sprintf("saves values, hooks and versions of %s%s in %s and in %s",
		english.Count(n, "release"), also, secretOf(p.State), english.Agree(n, "its own namespace", "their own namespaces"))
}

// planAll plans both halves.
func (p *planner) planAll() {
	releases := p.State.Releases
	controller := releases[0]
	p.add(Save, controller, p.saves(""))
	p.add(Clean, controller, fmt.Sprintf("drains and uninstalls the scale sets of %s, and deletes the CRDs", english.Count(len(releases)-1, "release")))
	if _, there := p.found[controller.key()]; there {
		p.add(Uninstall, controller, "uninstalls "+version(controller.Chart))
	}
	p.add(MarkUninstalled, controller, "waits until the old controller's Pods are gone, and records that everything is uninstalled")
	for _, r := range releases {
		p.install(r)
		if len(r.Hooks) > 0 {
			p.enrol(r)
		}
	}
	p.forget()
}

// planRest plans what remains to be done of the second half.
func (p *planner) planRest() {
	for _, r := range p.State.Releases {
		f, there := p.found[r.key()]
		deployed := there && f.Status == helm.Deployed
		if there && !deployed {
			p.add(Remove, r, fmt.Sprintf("removes a broken installation, which is %s", printable(string(f.Status))))
		}
		if deployed {
			p.ready(r)
		} else {
			p.install(r)
		}
		if len(r.Hooks) > 0 && (!deployed || len(f.Hooks) == 0) {
			p.enrol(r)
		}
	}
	if len(p.State.Releases) > 0 {
		p.forget()
	}
}

func (p *planner) install(r Release) {
	what := "installs " + version(p.s.Target.of(r).Metadata) + " with the same values"
	if _, there := p.found[r.key()]; !there {
		what += ", which only the saved state knows"
	}
	p.add(Install, r, what)
	p.ready(r)
}

func (p *planner) ready(r Release) {
	if r.Controller {
		p.add(Ready, r, "waits until the API server serves the new CRDs")
	}
}

func (p *planner) enrol(r Release) {
	p.add(Enrol, r, "puts the same hook into the release's record")
}

func (p *planner) forget() {
	p.add(Forget, p.State.Releases[0], "deletes "+secretOf(p.State)+" and those in the other namespaces")
}

func (p *planner) add(kind Kind, r Release, what string) {
	p.Steps = append(p.Steps, Step{kind, r, what})
}
