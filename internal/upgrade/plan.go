// Package upgrade takes ARC from one version of its charts to another, the way
// ARC's documentation asks for: everything is uninstalled, the CRDs included,
// and installed again with the values it had. What it needs for the second half
// it saves in a Secret first, so that it can be stopped and run again at any
// point.
package upgrade

import (
	"encoding/json"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/internal/cleanup"
	"github.com/arc-cleanup/arc-cleanup/internal/release"
)

// Release is a Helm release of ARC, and what is needed to install it again.
type Release struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	// Controller tells the controller's release from one of scale sets.
	Controller bool `json:"controller,omitempty"`
	// WatchNamespace is the one namespace that a single-namespace controller watches.
	WatchNamespace string `json:"watchNamespace,omitempty"`
	// Chart is what it was installed from.
	Chart release.Chart `json:"chart"`
	// Driver is the HELM_DRIVER under which Helm finds it.
	Driver string `json:"driver"`
	// ServerSide says that Helm applied it on the server's side.
	ServerSide bool `json:"serverSide,omitempty"`
	// OtherHooks says that it has deletion hooks which are not ours.
	OtherHooks bool `json:"otherHooks,omitempty"`
	// Values are the user's, as JSON, and Hooks is the hook of ours it had. They may
	// hold secrets, or be large, and are saved apart.
	Values json.RawMessage `json:"-"`
	Hooks  []release.Hook  `json:"-"`
}

func (r Release) key() types.NamespacedName {
	return types.NamespacedName{Namespace: r.Namespace, Name: r.Name}
}

// watches are the namespaces that the controller watches; none is all.
func (r Release) watches() []string {
	if r.WatchNamespace == "" {
		return nil
	}
	return []string{r.WatchNamespace}
}

func (r Release) String() string { return fmt.Sprintf("%s in namespace %s", r.Name, r.Namespace) }

// Found is a release as it is now.
type Found struct {
	Release
	Status   release.Status
	Revision int
	// Mixed says that it installs the controller and scale sets.
	Mixed bool
}

// Chart is a chart to install from.
type Chart struct {
	// Ref is what Helm is given: a folder, an archive, or an oci:// reference, to
	// which Version, unless it is empty, belongs.
	Ref     string `json:"ref"`
	Version string `json:"version,omitempty"`
	// Is is what Chart.yaml says.
	Is release.Chart `json:"is"`

	path string // where it is at hand
}

// Target is what is to be installed. Without scale sets there is no chart for them.
type Target struct {
	Controller Chart `json:"controller"`
	ScaleSets  Chart `json:"scaleSets"`
}

func (t Target) of(r Release) Chart {
	if r.Controller {
		return t.Controller
	}
	return t.ScaleSets
}

// same reports whether the same charts are meant, wherever they come from.
func (t Target) same(other Target) bool {
	return t.Controller.Is == other.Controller.Is && t.ScaleSets.Is == other.ScaleSets.Is
}

// State is what an upgrade saves in the cluster.
type State struct {
	Target Target `json:"target"`
	// Uninstalled says that the first half is over: what is there now was
	// installed since.
	Uninstalled bool `json:"uninstalled"`
	// Releases are what has to be installed in the end, the controller first.
	Releases []Release `json:"releases"`
}

// Situation is all that a plan depends on.
type Situation struct {
	// Saved is what an upgrade that is not over has saved; nil without one.
	Saved *State
	// Found are ARC's Helm releases.
	Found []Found
	// Loose are scale sets which no Helm release installed.
	Loose []types.NamespacedName
	// Target is what is asked for, or what was saved.
	Target Target
}

// Kind is what a step does.
type Kind string

// The kinds of steps.
const (
	Save      Kind = "save"      // values and versions are written into the Secret
	Clean     Kind = "clean"     // the engine drains and uninstalls scale sets, and deletes the CRDs
	Uninstall Kind = "uninstall" // Helm uninstalls the controller
	Note      Kind = "note"      // that nothing of before is left
	Remove    Kind = "remove"    // what an installation that broke off has left goes
	Install   Kind = "install"   // Helm installs a release
	Ready     Kind = "ready"     // the API server serves the new CRDs
	Enrol     Kind = "enrol"     // the hook of before is put into the release's record
	Forget    Kind = "forget"    // the Secret goes
)

// Step is one step of an upgrade. Release is the one it is about.
type Step struct {
	Kind    Kind
	Release Release
	What    string
}

// Plan is what will be done, in order. With a refusal nothing is.
type Plan struct {
	// State is what is saved at first.
	State    State
	Refusals []cleanup.Refusal
	Steps    []Step
}

// Has reports whether the plan has a step of a kind.
func (p *Plan) Has(kind Kind) bool {
	return slices.ContainsFunc(p.Steps, func(s Step) bool { return s.Kind == kind })
}

// NewPlan decides what to do. It is a pure function.
func NewPlan(s Situation) *Plan {
	p := &planner{s: s, found: map[types.NamespacedName]Found{}, plan: Plan{State: State{Target: s.Target}}}
	for _, f := range s.Found {
		p.found[f.key()] = f
	}
	if s.Saved != nil && s.Saved.Uninstalled && s.Saved.Target.same(s.Target) {
		p.plan.State.Uninstalled = true
		p.plan.State.Releases = s.Saved.Releases
		p.again()
	} else {
		p.plan.State.Releases = p.releases()
		p.refuse()
		p.everything()
	}
	if len(p.plan.Refusals) > 0 {
		p.plan.Steps = nil
	}
	return &p.plan
}

type planner struct {
	s     Situation
	found map[types.NamespacedName]Found
	plan  Plan
}

// releases are those that are there, and those of which only the saved state
// knows.
func (p *planner) releases() []Release {
	var out []Release
	saved := map[types.NamespacedName]Release{}
	if p.s.Saved != nil {
		for _, r := range p.s.Saved.Releases {
			saved[r.key()] = r
			if f, there := p.found[r.key()]; !there || f.Status != release.Deployed {
				out = append(out, r)
			}
		}
	}
	for _, f := range p.s.Found {
		if f.Status != release.Deployed {
			if _, known := saved[f.key()]; !known {
				p.refusal(fmt.Sprintf("release %s is %s, and what is not deployed cannot be installed again as it was", f, f.Status),
					fmt.Sprintf("helm history %s --namespace %s", f.Name, f.Namespace))
			}
			continue
		}
		if len(f.Hooks) == 0 {
			// Installed again, and not enrolled yet.
			f.Hooks = saved[f.key()].Hooks
		}
		out = append(out, f.Release)
	}
	slices.SortStableFunc(out, func(a, b Release) int {
		switch {
		case a.Controller && !b.Controller:
			return -1
		case b.Controller && !a.Controller:
			return 1
		}
		return 0
	})
	return out
}

func (p *planner) refusal(message string, do ...string) {
	p.plan.Refusals = append(p.plan.Refusals, cleanup.Refusal{Verdict: cleanup.Refused, Message: message, Do: do})
}

// refuse names what stands in the way of the first half.
func (p *planner) refuse() {
	var controllers []Release
	for _, r := range p.plan.State.Releases {
		if r.Controller {
			controllers = append(controllers, r)
		}
		if chart := p.s.Target.of(r).Is; chart.Name != r.Chart.Name {
			p.refusal(fmt.Sprintf("release %s was installed from the chart %s, and would be from the chart %s: its values would mean something else", r, r.Chart.Name, chart.Name),
				"give the chart it is of with --chart or --scale-set-chart")
		}
	}
	switch len(controllers) {
	case 0:
		p.refusal("no Helm release of ARC's controller is installed: there is nothing to upgrade")
	case 1:
	default:
		for _, r := range controllers[1:] {
			p.refusal(fmt.Sprintf("the controllers of the releases %s and %s share the CRDs, which have to go: only one can be upgraded", controllers[0], r),
				fmt.Sprintf("helm uninstall %s --namespace %s", r.Name, r.Namespace))
		}
	}
	for _, f := range p.s.Found {
		if f.Mixed {
			// helm.sh/helm pkg/action/uninstall.go, deleteRelease
			p.refusal(fmt.Sprintf("release %s installs the controller and scale sets: Helm could not uninstall it once their CRD is gone", f),
				"install the scale sets as releases of their own")
		}
	}
	if _, err := encode(p.plan.State); err != nil {
		p.refusal(err.Error())
	}
	for _, set := range p.s.Loose {
		p.refusal(fmt.Sprintf("scale set %s in namespace %s was not installed by Helm, and would not come back", set.Name, set.Namespace),
			fmt.Sprintf("kubectl delete autoscalingrunnerset %s --namespace %s", set.Name, set.Namespace))
	}
}

// current reports whether all that is asked for is there.
func (p *planner) current() bool {
	return p.s.Saved == nil && !slices.ContainsFunc(p.plan.State.Releases, func(r Release) bool {
		return r.Chart.Version != p.s.Target.of(r).Is.Version
	})
}

// everything plans both halves.
func (p *planner) everything() {
	releases := p.plan.State.Releases
	if p.current() || len(releases) == 0 {
		return
	}
	controller := releases[0]
	p.add(Save, controller, fmt.Sprintf("values, hooks and versions of %d releases are saved in %s", len(releases), secretOf(p.plan.State)))
	p.add(Clean, controller, fmt.Sprintf("the scale sets of %d releases are drained and uninstalled, and the CRDs deleted", len(releases)-1))
	if _, there := p.found[controller.key()]; there {
		p.add(Uninstall, controller, version(controller.Chart)+" goes, and its Pods")
	}
	p.add(Note, controller, "nothing of before is left: from here on it is installed")
	for _, r := range releases {
		p.install(r)
		if len(r.Hooks) > 0 {
			p.enrol(r)
		}
	}
	p.forget()
}

// again plans what of the second half is still to be done.
func (p *planner) again() {
	for _, r := range p.plan.State.Releases {
		f, there := p.found[r.key()]
		whole := there && f.Status == release.Deployed
		if there && !whole {
			p.add(Remove, r, fmt.Sprintf("an installation that broke off goes: it is %s", f.Status))
		}
		if whole {
			p.ready(r)
		} else {
			p.install(r)
		}
		if len(r.Hooks) > 0 && (!whole || len(f.Hooks) == 0) {
			p.enrol(r)
		}
	}
	p.forget()
}

func (p *planner) install(r Release) {
	p.add(Install, r, version(p.s.Target.of(r).Is)+" is installed with the values of before")
	p.ready(r)
}

func (p *planner) ready(r Release) {
	if r.Controller {
		p.add(Ready, r, "the API server serves the new CRDs")
	}
}

func (p *planner) enrol(r Release) {
	p.add(Enrol, r, "the hook is put into its record as it was")
}

func (p *planner) forget() {
	p.add(Forget, p.plan.State.Releases[0], secretOf(p.plan.State)+" is deleted")
}

func (p *planner) add(kind Kind, r Release, what string) {
	p.plan.Steps = append(p.plan.Steps, Step{kind, r, what})
}

func version(c release.Chart) string { return c.Name + " " + c.Version }

func secretOf(s State) string {
	return fmt.Sprintf("Secret %s in namespace %s", SecretName, s.namespace())
}
