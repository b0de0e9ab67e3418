// Package upgrade takes ARC from one version of its charts to another, the way
// ARC's documentation asks for: everything is uninstalled, the CRDs included,
// and installed again with the values it had. What it needs for the second half
// it saves in a Secret first, so that it can be stopped and run again at any
// point.
package upgrade

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/internal/plan"
	"github.com/arc-cleanup/arc-cleanup/internal/release"
	"github.com/arc-cleanup/arc-cleanup/internal/shell"
)

// Release is a Helm release of ARC, and what is needed to install it again.
type Release struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	// Controller tells the controller's release from one of scale sets.
	Controller bool `json:"controller,omitempty"`
	// Controllers and Sets are what it installs, in whichever namespaces.
	Controllers []Controller           `json:"controllers,omitempty"`
	Sets        []types.NamespacedName `json:"sets,omitempty"`
	// Chart is what it was installed from.
	Chart release.Chart `json:"chart"`
	// Driver is the HELM_DRIVER under which Helm finds it.
	Driver string `json:"driver"`
	// ServerSide says that Helm applied it on the server's side.
	ServerSide bool `json:"serverSide,omitempty"`
	// OtherHooks are its deletion hooks which are not ours.
	OtherHooks []string `json:"otherHooks,omitempty"`
	// Values are the user's, as JSON, and Hooks is the hook of ours it had. They may
	// hold secrets, or be large, and are saved apart.
	Values json.RawMessage `json:"-"`
	Hooks  []release.Hook  `json:"-"`

	lost error // why the saved values cannot be had
}

// Controller is a Deployment of ARC's controller.
type Controller struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	// Watches are the namespaces it watches; none is all.
	Watches []string `json:"watches,omitempty"`
	// Selector selects its Pods, whatever their labels.
	Selector metav1.LabelSelector `json:"selector"`
}

func (c Controller) key() types.NamespacedName {
	return types.NamespacedName{Namespace: c.Namespace, Name: c.Name}
}

func (r Release) key() types.NamespacedName {
	return types.NamespacedName{Namespace: r.Namespace, Name: r.Name}
}

func (r Release) String() string { return fmt.Sprintf("%s in namespace %s", r.Name, r.Namespace) }

// watches are the namespaces that the release's controllers watch; none is all.
func (r Release) watches() (out []string) {
	for _, c := range r.Controllers {
		if len(c.Watches) == 0 {
			return nil
		}
		out = append(out, c.Watches...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// namespaces are those of the release's objects of ARC.
func (r Release) namespaces() []string {
	var out []string
	for _, c := range r.Controllers {
		out = append(out, c.Namespace)
	}
	for _, set := range r.Sets {
		out = append(out, set.Namespace)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Found is a release as it is now.
type Found struct {
	Release
	Status   release.Status
	Revision int
	// Mixed says that it installs the controller and scale sets.
	Mixed bool
	// HookErr is why its hook cannot be read.
	HookErr error

	record *release.Revision
}

// Loose is a scale set which would not come back.
type Loose struct {
	types.NamespacedName
	// Flux is the HelmRelease that installed it, where it was Flux.
	Flux string
}

// Chart is a chart to install from.
type Chart struct {
	// Ref is what Helm is given: a folder, an archive, or an oci:// reference, to
	// which Version, unless it is empty, belongs.
	Ref     string `json:"ref"`
	Version string `json:"version,omitempty"`
	// Digest is that of its content, see digest.
	Digest string `json:"digest,omitempty"`
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
	// Written is when it was saved.
	Written time.Time `json:"written"`
	// Uninstalled says that the first half is over: what is there now was
	// installed since.
	Uninstalled bool `json:"uninstalled"`
	// PostRenderer is what it began with, to be compared; it is never run.
	PostRenderer []string `json:"postRenderer,omitempty"`
	// Releases are what has to be installed in the end, the controller first.
	Releases []Release `json:"releases"`

	secrets map[string]secret // those there are, by namespace
}

// Situation is all that a plan depends on.
type Situation struct {
	// Namespace is where the user says that the controller's release is.
	Namespace string
	// Now is when it was looked at.
	Now time.Time
	// Saved is what an upgrade that is not over has saved; nil without one.
	Saved *State
	// Found are ARC's Helm releases.
	Found []Found
	// Loose are scale sets which no Helm release installed.
	Loose []Loose
	// Target is what is asked for, or what was saved, and PostRenderer the user's.
	Target       Target
	PostRenderer []string

	secrets map[string]secret
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
	Refusals []plan.Refusal
	// Confirm is what a person has to say yes to, Notes what a person should know.
	Confirm []plan.Refusal
	Notes   []string
	Steps   []Step
}

// Has reports whether the plan has a step of a kind.
func (p *Plan) Has(kind Kind) bool {
	return slices.ContainsFunc(p.Steps, func(s Step) bool { return s.Kind == kind })
}

// Charts are those that are installed.
func (p *Plan) Charts() []Chart {
	charts := []Chart{p.State.Target.Controller}
	if p.State.Target.ScaleSets.Ref != "" {
		charts = append(charts, p.State.Target.ScaleSets)
	}
	return charts
}

// fresh is how long after it was written a state is that of an upgrade which goes on.
// After it, whoever misses a release may have uninstalled it.
const fresh = time.Hour

// NewPlan decides what to do. It is a pure function.
func NewPlan(s Situation) *Plan {
	p := &planner{
		s: s, found: map[types.NamespacedName]Found{}, saved: map[types.NamespacedName]Release{},
		plan: Plan{State: State{Target: s.Target, PostRenderer: s.PostRenderer, secrets: s.secrets}},
	}
	for _, f := range s.Found {
		p.found[f.key()] = f
	}
	if s.Saved != nil {
		p.goesOn()
	}
	if s.Saved != nil && s.Saved.Uninstalled && s.Saved.Target.same(s.Target) {
		p.plan.State.Releases = p.lasting()
		p.refuseControllers()
		p.again()
	} else {
		p.plan.State.Releases = p.releases()
		p.refuseControllers()
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
	saved map[types.NamespacedName]Release // those which can be installed again
	plan  Plan
}

func (p *planner) refusal(message string, do ...string) {
	p.plan.Refusals = append(p.plan.Refusals, plan.Refusal{Verdict: plan.Refused, Message: message, Do: do})
}

func (p *planner) confirm(message string, do ...string) {
	p.plan.Confirm = append(p.plan.Confirm, plan.Refusal{Verdict: plan.Refused, Message: message, Do: do})
}

func (p *planner) note(format string, args ...any) {
	p.plan.Notes = append(p.plan.Notes, fmt.Sprintf(format, args...))
}

// goesOn says what a saved state adds: where it is, how old, and what of it counts.
func (p *planner) goesOn() {
	s := p.s.Saved
	p.note("%s was written %s (%s ago)", secretOf(*s), s.Written.Format(time.RFC3339), p.s.Now.Sub(s.Written).Round(time.Second))
	for i, chart := range []Chart{s.Target.Controller, s.Target.ScaleSets} {
		now := []Chart{p.s.Target.Controller, p.s.Target.ScaleSets}[i]
		if chart.Is == now.Is && chart.Digest != "" && now.Digest != "" && chart.Digest != now.Digest {
			p.note("the chart %s was %s when the upgrade began", now.Ref, chart.Digest)
		}
	}
	if !slices.Equal(s.PostRenderer, p.s.PostRenderer) {
		p.confirm(fmt.Sprintf("the upgrade began with the post-renderer %q, and goes on with %q", shell.Command(s.PostRenderer...), shell.Command(p.s.PostRenderer...)),
			"give the same --post-renderer and --post-renderer-args")
	}
	var missing []string
	for _, r := range s.Releases {
		f, there := p.found[r.key()]
		if r.lost != nil && (!there || f.Status != release.Deployed) {
			if r.Controller {
				p.refusal(fmt.Sprintf("what was saved of release %s is lost: %s", r, printable(r.lost.Error())))
			} else {
				p.note("release %s does not come back, what was saved of it is lost: %s", r, printable(r.lost.Error()))
			}
			continue
		}
		p.saved[r.key()] = r
		if !there {
			missing = append(missing, r.String())
		}
	}
	if age := p.s.Now.Sub(s.Written); len(missing) > 0 && age > fresh {
		var do []string
		for _, namespace := range s.namespaces() {
			if at, is := p.s.secrets[namespace]; is && !at.foreign {
				do = append(do, shell.Command("kubectl", "delete", "secret", SecretName, "--namespace", namespace))
			}
		}
		p.confirm(fmt.Sprintf("only the saved state, of %s, knows %s: what was uninstalled since on purpose would come back",
			s.Written.Format(time.RFC3339), strings.Join(missing, ", ")), append([]string{"where all of them are to stay away, have it forgotten:"}, do...)...)
	}
}

// lasting are the saved releases which can be installed again, in their order.
func (p *planner) lasting() (out []Release) {
	for _, r := range p.s.Saved.Releases {
		if _, lasts := p.saved[r.key()]; lasts {
			out = append(out, r)
		}
	}
	return out
}

// releases are those that are there, and those of which only the saved state
// knows.
func (p *planner) releases() []Release {
	var out []Release
	if p.s.Saved != nil {
		for _, r := range p.lasting() {
			if f, there := p.found[r.key()]; !there || f.Status != release.Deployed {
				out = append(out, r)
			}
		}
	}
	for _, f := range p.s.Found {
		saved, known := p.saved[f.key()]
		switch {
		case f.Status == release.Deployed:
			if len(f.Hooks) == 0 {
				// Installed again, and not enrolled yet.
				f.Hooks = saved.Hooks
			}
			if f.HookErr != nil {
				p.note("release %s gets no hook, since that which it has cannot be read: %s", f, printable(f.HookErr.Error()))
			}
			out = append(out, f.Release)
		case known:
		case f.Status == release.Uninstalling && !f.Controller:
			p.note("release %s is being uninstalled, and does not come back", f)
		default:
			p.refusal(fmt.Sprintf("release %s is %s, and what is not deployed cannot be installed again as it was", f, printable(string(f.Status))), f.wayOut())
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

// wayOut is the command that ends the state in which a release is: back to the revision
// before, or away where there is none.
func (f Found) wayOut() string {
	words := []string{"helm", "rollback"}
	if f.Revision == 1 || f.Status == release.Uninstalling {
		words = []string{"helm", "uninstall"}
	}
	command := shell.Command(append(words, f.Name, "--namespace", f.Namespace)...)
	if f.Driver == "configmap" {
		command = "HELM_DRIVER=configmap " + command
	}
	return command
}

// refuseControllers: there has to be one release of controllers, where the user says.
func (p *planner) refuseControllers() {
	var controllers []Release
	for _, r := range p.plan.State.Releases {
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
			p.refusal(fmt.Sprintf("--namespace %s: the controller's release is %s", p.s.Namespace, r), "give the namespace of the controller's release, or none")
		}
	}
	switch len(controllers) {
	case 0:
		p.refusal("no controller runs which a Helm release has installed: there is nothing to upgrade",
			"where one was, or an upgrade has stopped, give the namespace of its release with --namespace")
	case 1:
	default:
		for _, r := range controllers[1:] {
			p.refusal(fmt.Sprintf("the controllers of the releases %s and %s share the CRDs, which have to go: only one can be upgraded", controllers[0], r),
				Found{Release: r, Status: release.Uninstalling}.wayOut())
		}
	}
}

// refuse names what stands in the way of the first half.
func (p *planner) refuse() {
	for _, r := range p.plan.State.Releases {
		if chart := p.s.Target.of(r).Is; chart.Name != r.Chart.Name {
			p.refusal(fmt.Sprintf("release %s was installed from the chart %q, and would be from the chart %q: its values would mean something else", r, r.Chart.Name, chart.Name),
				"give the chart it is of with --chart or --scale-set-chart")
		}
		if !r.Controller && len(r.OtherHooks) > 0 {
			p.note("release %s has hooks of its own for its deletion, which are not run: %q", r, r.OtherHooks)
		}
	}
	for _, f := range p.s.Found {
		if f.Mixed {
			// helm.sh/helm pkg/action/uninstall.go, deleteRelease
			p.refusal(fmt.Sprintf("release %s installs the controller and scale sets: Helm could not uninstall it once their CRD is gone", f),
				"install the scale sets as releases of their own")
		}
	}
	for _, set := range p.s.Loose {
		if set.Flux != "" {
			p.refusal(fmt.Sprintf("scale set %s in namespace %s is of Flux's HelmRelease %q, which would not come back", set.Name, set.Namespace, set.Flux),
				"change the version of the chart there, or suspend and uninstall it")
			continue
		}
		p.refusal(fmt.Sprintf("no Helm release has installed the scale set %s in namespace %s, as its record would say: it would not come back", set.Name, set.Namespace),
			shell.Command("kubectl", "delete", "autoscalingrunnerset", set.Name, "--namespace", set.Namespace))
	}
	if len(p.plan.State.Releases) == 0 {
		return
	}
	if _, err := encode(p.plan.State); err != nil {
		p.refusal(err.Error())
	}
	for _, namespace := range p.plan.State.namespaces() {
		if p.s.secrets[namespace].foreign {
			p.refusal(fmt.Sprintf("there is a Secret %s in namespace %s which is not the state of an upgrade: values could not be saved there", SecretName, namespace),
				shell.Command("kubectl", "delete", "secret", SecretName, "--namespace", namespace))
		}
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
	p.add(Save, controller, fmt.Sprintf("values, hooks and versions of %d releases are saved in %s, and their own namespaces", len(releases), secretOf(p.plan.State)))
	p.add(Clean, controller, fmt.Sprintf("the scale sets of %d releases are drained and uninstalled, and the CRDs deleted", len(releases)-1))
	if _, there := p.found[controller.key()]; there {
		p.add(Uninstall, controller, version(controller.Chart)+" goes")
	}
	p.add(Note, controller, "nothing of before is left, no Pod of its either: from here on it is installed")
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
			p.add(Remove, r, fmt.Sprintf("an installation that broke off goes: it is %s", printable(string(f.Status))))
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
	if len(p.plan.State.Releases) > 0 {
		p.forget()
	}
}

func (p *planner) install(r Release) {
	what := version(p.s.Target.of(r).Is) + " is installed with the values of before"
	if _, there := p.found[r.key()]; !there {
		what += ", which only the saved state knows"
	}
	p.add(Install, r, what)
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
	p.add(Forget, p.plan.State.Releases[0], secretOf(p.plan.State)+" is deleted, and those in the other namespaces")
}

func (p *planner) add(kind Kind, r Release, what string) {
	p.plan.Steps = append(p.plan.Steps, Step{kind, r, what})
}

func version(c release.Chart) string { return printable(c.Name + " " + c.Version) }

// printableRunes is how much is printed of a text that a tenant may have written.
const printableRunes = 300

// printable is a text as a terminal can show it, and a line can hold it.
func printable(text string) string {
	out := []rune(strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, text))
	if len(out) > printableRunes {
		return string(out[:printableRunes]) + "..."
	}
	return string(out)
}

func secretOf(s State) string {
	return fmt.Sprintf("Secret %s in namespace %s", SecretName, s.namespace())
}
