package cleanup

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/identity"
	"github.com/arc-cleanup/arc-cleanup/internal/release"
	"github.com/arc-cleanup/arc-cleanup/internal/shell"
)

// Action is what a step does to an object.
type Action string

const (
	// Delete asks for the object's deletion.
	Delete Action = "delete"
	// Release removes ARC's finalizers from the object, and no others.
	Release Action = "release"
	// Wake has a live controller look at the object at once, by a change that means
	// nothing.
	Wake Action = "wake"
	// Nudge takes away what makes a live controller wait for GitHub: a scale set's
	// id, or a runner's registration finalizer. The controller does the rest.
	Nudge Action = "nudge"
	// Await waits until somebody else has removed the object: ARC's controller,
	// or Kubernetes' garbage collector.
	Await Action = "await"
	// Create makes the Secret of a backup.
	Create Action = "create"
	// Relax makes a CRD's schema accept every object. It is not planned: that it is
	// needed shows when a patch is refused.
	Relax Action = "relax"
	// Stop scales the runners of a legacy object to zero.
	Stop Action = "stop"
)

// Step is one action on one object.
type Step struct {
	Action Action
	Object *Object
	Why    string
}

// PhaseName names a phase, in the order of an uninstall.
type PhaseName string

// The phases. A phase begins when the one before it is over.
const (
	BackUp    PhaseName = "backup"    // what people wrote is kept in a Secret
	HandOver  PhaseName = "hand-over" // scale sets with busy runners are left to the controller
	Drain     PhaseName = "drain"     // the live controller deletes what is its own
	Rouse     PhaseName = "wake"      // the controller is made to try at once
	Unblock   PhaseName = "nudge"     // GitHub, or a Pod, is in the controller's way
	Busy      PhaseName = "busy"      // runners finish their jobs
	Free      PhaseName = "release"   // ARC's finalizers go
	Listeners PhaseName = "listeners" // what has no owner goes
	Releases  PhaseName = "releases"  // the Helm releases of scale sets go
	CRDs      PhaseName = "crds"      // the definitions go
	Collect   PhaseName = "collect"   // what the objects owned follows

	Belongings PhaseName = "belongings" // what listeners own where nothing may be read is gone

	Linked       PhaseName = "linked"   // Pods and Secrets of legacy runners' jobs go
	DeadWebhooks PhaseName = "webhooks" // of the legacy controller, which nobody answers
	StopRunners  PhaseName = "stop"     // the live legacy controller lets runners finish

	Namespaces PhaseName = "namespaces" // those that hung in Terminating are gone
)

// Phase is a set of steps that may run concurrently, in ranks: all steps of one
// rank are over before the next begins.
type Phase struct {
	Name  PhaseName
	Ranks [][]Step
}

// Steps returns the phase's steps in order.
func (p Phase) Steps() []Step { return slices.Concat(p.Ranks...) }

// Refusal is a reason not to begin.
type Refusal struct {
	// Verdict is Refused, or a more exact one.
	Verdict Verdict
	// Message says what is wrong; Do what to do about it, a command where there
	// is one.
	Message string
	Do      []string
}

// Kept is something deliberately left alone.
type Kept struct {
	Object *Object
	Why    string
}

// Plan is what will be done, in order. With a Refusal, or switched off, nothing is.
type Plan struct {
	// Off is set when the off switch is thrown; then there is nothing else.
	Off      bool
	Refusals []Refusal
	Kept     []Kept
	Phases   []Phase
	// Notes are what to know before it is begun, and no reason not to.
	Notes []string
	// Obstacles are likely to be in the way of the phases; ObstaclesErr says why
	// they could not be looked for.
	Obstacles    []Obstacle
	ObstaclesErr error
	// Remains is what there is of ARC beside, and stays. Only a preview has it.
	Remains []Remain

	// backup holds the AutoscalingRunnerSets to back up.
	backup []*Object
	// jobs are what a run refuses with that cannot wait for busy runners any longer.
	jobs []Refusal
	// taken are the custom resources that go with their CRDs, with steps of their own or
	// without.
	taken []*Object
	// owned is what custom resources of this uninstall own that are there.
	owned []*Object
	// stage is the one that the plan is for: those without anything to do are passed over.
	stage Stage
	// patience is how long the controller may show no progress in the drain.
	patience time.Duration
	// toGo is History.ToGo for what comes after the plan.
	toGo int
}

// planner holds what the parts of one plan share.
type planner struct {
	s *Survey
	o Options
	// release is what is being uninstalled, as far as that is known.
	release identity.Release
	// others are the controllers that are not the release's.
	others []ARC
	// sets are the scale sets of the release, for Scope ScaleSet.
	sets map[identity.Set]bool
	// reinstalled names the CRDs that somebody has installed again since this
	// run deleted them.
	reinstalled map[string]bool
	// existing holds the AutoscalingRunnerSets there are.
	existing map[identity.Set]bool
	// left holds the scale sets that are left alone until their runners have
	// finished their jobs.
	left    map[identity.Set]bool
	history History
	plan    Plan
}

// History is what a run knows beyond its last survey.
type History struct {
	// Stage says what of the controller is still expected.
	Stage Stage
	// ToGo is how many steps the objects were from gone when the controller was woken
	// last; 0 says that it was not.
	ToGo int
	// Deleted holds the CRDs that were deleted, by name.
	Deleted map[string]types.UID
	// Held names the Terminating namespaces that were held by objects of ARC, and
	// Waited those which have been waited for.
	Held, Waited map[string]bool
	// BackedUp holds the AutoscalingRunnerSets that are in a backup.
	BackedUp map[types.UID]bool
	// Sets holds the AutoscalingRunnerSets that were seen, and their releases: what
	// others' finalizers hold of them is left of this uninstall.
	Sets map[identity.Set]identity.Name
	// Runners holds the EphemeralRunners that were seen: by their names, and nothing
	// else, Pods and Secrets of jobs are known.
	Runners map[types.NamespacedName]*Object
	// Jobs holds what was to go with a runner: once it is gone nothing proves that.
	Jobs map[types.UID]bool
	// Ours holds what custom resources of this uninstall owned when they were still
	// there: a runner's Secret says by nothing but its owner whose it is.
	Ours map[types.UID]bool
}

// Stage says what of the controller is still expected.
type Stage int

const (
	// Fresh is the beginning: the controller gets its time.
	Fresh Stage = iota
	// Slow says that it made no progress: it may only be waiting until it tries again. It
	// is woken, and again as often as that brought something on.
	Slow
	// Stuck says that it made no progress although it tried; as often as there is
	// something to nudge it gets its time again.
	Stuck
	// Over says that nothing more is expected of it.
	Over
)

// NewPlan decides from a survey, and what went before, what to do. It is a pure
// function.
func NewPlan(s *Survey, o Options, h History) *Plan {
	if s.Off {
		return &Plan{Off: true}
	}
	p := &planner{
		s: s, o: o, release: uninstalled(s, o), history: h, sets: map[identity.Set]bool{},
		reinstalled: map[string]bool{}, existing: map[identity.Set]bool{}, left: map[identity.Set]bool{},
	}
	for _, c := range s.Controllers {
		if o.ofController() && p.release.IsOther(p.claims(c), o.hook()) {
			p.others = append(p.others, c)
		}
	}
	for _, crd := range s.CRDs {
		if uid, deleted := h.Deleted[crd.Name]; deleted && uid != crd.UID {
			p.reinstalled[crd.Name] = true
		}
	}
	for _, set := range scaleSets(s, o) {
		p.sets[set] = true
	}
	for _, obj := range s.Custom {
		if obj.Resource.Resource == arc.AutoscalingRunnerSets {
			p.existing[obj.ScaleSet] = true
		}
	}
	p.refuse()
	p.leaveBusy()
	custom := p.reachable(s.Custom)
	p.controllersPart(custom)
	p.waitForBusy()
	p.webhooks()
	p.linked()
	p.free(custom, p.reachable(s.Protected))
	p.listeners()
	p.uninstall()
	if o.ofController() && !p.mixed() {
		p.crds()
	}
	p.collect()
	p.belongings(custom)
	if p.mixed() {
		p.crds()
	}
	p.namespaces()
	p.backUp()
	if len(p.plan.Phases) > 0 {
		p.plan.Obstacles, p.plan.ObstaclesErr = s.Obstacles, s.ObstaclesErr
	}
	return &p.plan
}

// uninstalled is the Helm release being uninstalled, as far as it is known: by
// hand it is named, and its record may be gone already.
func uninstalled(s *Survey, o Options) identity.Release {
	if s.Record == nil {
		return identity.Release{Name: o.Release, Namespace: o.ReleaseNamespace}
	}
	r := identity.Release{Name: s.Record.Name, Namespace: s.Record.Namespace, Recorded: true}
	for _, obj := range s.Record.Objects {
		name := types.NamespacedName{Namespace: cmp.Or(obj.Namespace, r.Namespace), Name: obj.Name}
		switch {
		case isScaleSet(obj):
			r.Sets = append(r.Sets, name)
		case obj.Kind == "Deployment":
			r.Deployments = append(r.Deployments, name)
		}
	}
	return r
}

// hook is what the hook was rendered for.
func (o Options) hook() identity.Hook {
	return identity.Hook{ControllerNamespaces: o.ControllerNamespaces, WatchNamespaces: o.WatchNamespaces}
}

// scaleSets are those of the release, whether they still exist (by what Helm has
// recorded) or objects of them say so, and those named in the options.
func scaleSets(s *Survey, o Options) []identity.Set {
	of := uninstalled(s, o)
	var claimed []identity.Set
	existing := map[identity.Set]identity.Name{}
	for _, obj := range slices.Concat(s.Custom, s.Protected) {
		if obj.Resource.Resource == arc.AutoscalingRunnerSets {
			existing[obj.ScaleSet] = obj.Release
		}
		if obj.ScaleSet.Name != "" && of.Installed(obj.Release) {
			claimed = append(claimed, obj.ScaleSet)
		}
	}
	return of.ScaleSets(o.Sets, claimed, existing)
}

// claims are what a controller says of itself, and what is known of it.
func (p *planner) claims(c ARC) identity.Controller {
	return identity.Controller{
		NamespacedName: types.NamespacedName{Namespace: c.Namespace, Name: c.Name},
		Release:        c.Release, Watches: c.Watches, Leaving: p.leaving(c),
	}
}

// ours reports whether a controller is the release's.
func (p *planner) ours(c ARC) bool { return p.release.Owns(p.claims(c), p.o.hook()) }

// leaving reports whether a controller is on its way out: it neither finishes
// anything nor has a claim on anything.
func (p *planner) leaving(c ARC) bool {
	_, terminating := p.s.Terminating[c.Namespace]
	return c.Deleting || terminating
}

// inRelease reports whether Helm installed the object with the release that is
// being uninstalled.
func (p *planner) inRelease(o *Object) bool { return p.release.Installed(o.Release) }

// unreachable says why an object is none of this uninstall's business; "" means
// that it is.
func (p *planner) unreachable(o *Object) string {
	// A listener, and what it owns, is beside its controller.
	ns := cmp.Or(o.ScaleSet.Namespace, o.Namespace)
	if p.o.Scope == ScaleSet {
		if p.sets[o.ScaleSet] || p.inRelease(o) {
			return ""
		}
		return "not a scale set of this release"
	}
	if p.o.Scope == Namespace {
		if ns == p.o.Namespace || o.Namespace == p.o.Namespace {
			return ""
		}
		return fmt.Sprintf("outside namespace %s", p.o.Namespace)
	}
	if gvr := o.Resource.GroupResource().String(); p.reinstalled[gvr] {
		return fmt.Sprintf("the CRD %s was installed again", gvr)
	}
	for _, c := range p.others {
		if p.claims(c).Sees(ns) {
			return fmt.Sprintf("watched by the controller %s/%s", c.Namespace, c.Name)
		}
	}
	if watched := p.o.WatchNamespaces; len(watched) > 0 && !slices.Contains(watched, ns) {
		return fmt.Sprintf("outside the namespaces which this release's controllers watch: %s", strings.Join(watched, ", "))
	}
	return ""
}

func (p *planner) reachable(objects []*Object) []*Object {
	return slices.DeleteFunc(slices.Clone(objects), func(o *Object) bool { return p.unreachable(o) != "" })
}

// helped reports whether a controller is alive that will finish what is deleted
// in the object's place: its own namespace or, of a listener, its scale set's.
func (p *planner) helped(o *Object) bool {
	return p.helpedIn(cmp.Or(o.ScaleSet.Namespace, o.Namespace), isLegacy(o))
}

// isLegacy reports whether a custom resource, or a runner's Pod among them, is for the
// legacy controller to finish.
func isLegacy(o *Object) bool {
	return o.Resource.Group == arc.LegacyGroup || o.Resource == podResource
}

// helpedIn reports whether a controller of a group is alive that finishes what is
// deleted in a namespace.
func (p *planner) helpedIn(namespace string, legacy bool) bool {
	return slices.ContainsFunc(p.s.Controllers, func(c ARC) bool {
		if c.Legacy != legacy || c.Down != "" || p.leaving(c) || c.LockedOut[namespace] || !p.claims(c).Sees(namespace) {
			return false
		}
		return !p.o.ofController() || p.ours(c)
	})
}

// helpless says why no controller will finish it.
func (p *planner) helpless(o *Object) string {
	for _, c := range p.s.Controllers {
		switch {
		case c.Legacy != isLegacy(o), p.o.ofController() && !p.ours(c), p.leaving(c):
		case c.Down != "":
			return fmt.Sprintf("the controller %s/%s %s", c.Namespace, c.Name, c.Down)
		case c.LockedOut[cmp.Or(o.ScaleSet.Namespace, o.Namespace)]:
			return fmt.Sprintf("the controller %s/%s has no rights there any more", c.Namespace, c.Name)
		}
	}
	return "no controller to do it"
}

func (p *planner) refuse() {
	switch {
	case p.o.RequireUninstalling:
		p.refuseWithoutProof()
	case p.o.Job != "":
		p.refuseWithoutArgoCD()
	default:
		p.noteRelease()
	}
	for _, u := range p.s.asked() {
		r := Refusal{Verdict: Failed, Message: fmt.Sprintf("could not read %s: %v", u.What, u.Err)}
		if apierrors.IsForbidden(u.Err) {
			r.Verdict = NotPermitted
			r.Do = []string{"grant the right named above; nothing is taken for absent that could not be read"}
		}
		p.plan.Refusals = append(p.plan.Refusals, r)
	}
	if p.o.busyRunners() == RefuseBusy {
		for _, o := range p.busy() {
			p.plan.Refusals = append(p.plan.Refusals, busyRefusal(p.s.Busy[o.UID]))
		}
	}
	if p.o.Scope == Namespace {
		p.refuseLiveNamespace()
	}
	p.refuseOutOfReach()
	p.refuseUnbuildable()
	if !p.o.ofController() || p.o.ScaleSets == DeleteScaleSets {
		return
	}
	if p.o.uninstalls() {
		if len(p.s.Unknown) == 0 { // else a release that was not read would be said not to exist
			p.refuseUninstall()
		}
		return
	}
	for _, o := range p.reachable(p.s.Custom) {
		switch {
		case o.Deleting || p.inRelease(o) || p.doomed(o):
		case o.Resource.Resource == arc.AutoscalingRunnerSets:
			p.plan.Refusals = append(p.plan.Refusals, p.liveScaleSet(o))
		case isLegacyRoot(o):
			p.plan.Refusals = append(p.plan.Refusals, p.liveRunners(o))
		}
	}
}

func (p *planner) refuseWithoutProof() {
	r, none := p.s.Record, p.s.ProofErr
	if r == nil && none == nil && len(p.s.Unknown) == 0 {
		none = errors.New("no release is named")
	}
	switch {
	case none != nil:
		p.plan.Refusals = append(p.plan.Refusals, Refusal{
			Verdict: Refused,
			Message: fmt.Sprintf("no proof that anything is being uninstalled: %v", none),
			Do:      p.elsewhere(),
		})
	case r != nil && r.Status != release.Uninstalling:
		p.plan.Refusals = append(p.plan.Refusals, Refusal{
			Verdict: Refused,
			Message: fmt.Sprintf("release %s in namespace %s is %s, not %s: nobody is uninstalling it", r.Name, r.Namespace, r.Status, release.Uninstalling),
			Do:      []string{shell.Command("helm", "uninstall", r.Name, "--namespace", r.Namespace)},
		})
	}
}

// refuseWithoutArgoCD is for a hook that need not find a record: Argo CD keeps none.
// Any other tool that makes an ordinary Job of the hook runs it at the installation.
func (p *planner) refuseWithoutArgoCD() {
	uninstalling := p.s.Record != nil && p.s.Record.Status == release.Uninstalling
	if p.s.ByArgoCD || uninstalling || len(p.s.Unknown) > 0 {
		return
	}
	p.plan.Refusals = append(p.plan.Refusals, Refusal{
		Verdict: Refused,
		Message: fmt.Sprintf("no proof that anything is being uninstalled: the Job %s was made neither by Argo CD, for the deletion of an Application, nor by `helm uninstall`", p.o.Job),
		Do:      []string{"where neither deletes the release, take the hook out: enabled: false; by hand, use `arc-cleanup run --yes`"},
	})
}

// noteRelease says what Helm's record says of a release that was named by hand, where
// that is not what it says during an uninstall.
func (p *planner) noteRelease() {
	of := fmt.Sprintf("release %s in namespace %s", p.o.Release, p.o.ReleaseNamespace)
	switch r := p.s.Record; {
	case p.s.ProofErr != nil:
		p.plan.Notes = append(p.plan.Notes, fmt.Sprintf("Helm has no record of %s", of))
	case r != nil && r.Status != release.Uninstalling:
		p.plan.Notes = append(p.plan.Notes, fmt.Sprintf("%s is %s: nobody is uninstalling it", of, r.Status))
	}
}

// elsewhere says where the proof may be, from what the controllers beside the hook
// say of themselves. It is advice; nothing is taken from there.
func (p *planner) elsewhere() []string {
	var do []string
	for _, c := range p.s.Controllers {
		if !slices.Contains(p.o.hook().Controllers(p.release), c.Namespace) {
			continue
		}
		if c.Flux != "" && c.Flux != cmp.Or(p.o.StorageNamespace, p.o.ReleaseNamespace) {
			do = append(do, fmt.Sprintf("Flux manages the controller %s/%s, and keeps Helm's record beside its HelmRelease unless told otherwise: set storageNamespace to %s", c.Namespace, c.Name, shell.Quote(c.Flux)))
		}
		if !p.o.ofController() || c.Release.Name == "" || c.Release.Namespace == p.o.ReleaseNamespace || c.Release.Namespace == c.Namespace {
			continue // another release's, or a scale set's own controller
		}
		do = append(do, fmt.Sprintf("the controller %s/%s is not in the namespace of its release (namespaceOverride): give the post-renderer --namespace=%s", c.Namespace, c.Name, shell.Quote(c.Release.Namespace)))
		if p.s.Proven[c.UID] {
			do = append(do, "to uninstall it now: "+shell.Command("arc-cleanup", "run", "--release", c.Release.Name, "--release-namespace", c.Release.Namespace, "--controller-namespace", c.Namespace)+
				" && "+shell.Command("helm", "uninstall", c.Release.Name, "--namespace", c.Release.Namespace, "--no-hooks"))
		}
	}
	return append(do, "this runs as a pre-delete hook of `helm uninstall`; by hand, use `arc-cleanup run --yes`")
}

// refuseOutOfReach names what is this uninstall's and not within the namespaces for
// which its hook was rendered: to call that done would be a lie.
func (p *planner) refuseOutOfReach() {
	if !p.o.ofController() {
		return
	}
	if watched := p.o.WatchNamespaces; len(watched) > 0 {
		for _, c := range p.s.Controllers {
			unwatched := slices.DeleteFunc(slices.Clone(c.Watches), func(ns string) bool { return slices.Contains(watched, ns) })
			if p.ours(c) && (len(c.Watches) == 0 || len(unwatched) > 0) {
				p.plan.Refusals = append(p.plan.Refusals, Refusal{
					Verdict: Refused,
					Message: fmt.Sprintf("the controller %s/%s of this release watches %s, and the hook was rendered for %s", c.Namespace, c.Name, cmp.Or(strings.Join(c.Watches, ", "), "all namespaces"), strings.Join(watched, ", ")),
					Do:      []string{"set watchNamespaces to all that the controllers of the release watch, none if one of them watches all"},
				})
			}
		}
	}
	outside := map[string]int{}
	for _, o := range p.reachable(p.s.Custom) {
		beside := o.Resource.Resource == arc.AutoscalingListeners && slices.Contains(p.o.controllerNamespaces(), o.Namespace)
		if ns := cmp.Or(o.ScaleSet.Namespace, o.Namespace); !beside && !p.o.readsCore(ns) {
			outside[ns]++
		}
	}
	for _, ns := range slices.Sorted(maps.Keys(outside)) {
		p.plan.Refusals = append(p.plan.Refusals, Refusal{
			Verdict: Refused,
			Message: fmt.Sprintf("%d custom resources of ARC in namespace %s are outside the hook's runner namespaces: %s", outside[ns], ns, strings.Join(p.o.RunnerNamespaces, ", ")),
			Do:      []string{"add the namespace to runnerNamespaces"},
		})
	}
}

// lastCRD is the one that Helm needs to uninstall a release which holds scale sets
// beside the controller: without it Helm cannot build the objects that it deletes
// (helm.sh/helm pkg/action/uninstall.go, deleteRelease).
const lastCRD = arc.AutoscalingRunnerSets + "." + arc.Group

// mixed reports whether the release that takes the CRDs along holds scale sets.
func (p *planner) mixed() bool { return p.o.Scope == Controller && len(p.release.Sets) > 0 }

// refuseUnbuildable is for a release that holds scale sets whose CRD is gone: to call
// that done would send Helm into an error from which no second uninstall leads out.
// A run that has deleted the CRD itself goes on: within one uninstall Helm remembers.
func (p *planner) refuseUnbuildable() {
	if !p.mixed() || len(p.s.Unknown) > 0 || len(p.history.Deleted) > 0 {
		return
	}
	if slices.ContainsFunc(p.s.CRDs, func(o *Object) bool { return o.Name == lastCRD }) {
		return
	}
	r := p.release
	refusal := Refusal{
		Verdict: Refused,
		Message: fmt.Sprintf("release %s in namespace %s holds scale sets, and the CRD %s is gone: Helm cannot uninstall it as long as it is", r.Name, r.Namespace, lastCRD),
		Do: []string{
			"a stand-in for the CRD lets Helm finish, and arc-cleanup removes what is left and the stand-in:",
			"echo " + shell.Quote(standIn) + " | kubectl create --filename -",
			shell.Command("kubectl", "wait", "--for", "condition=Established", "crd", lastCRD),
			// Its hook would delete the stand-in before Helm has looked.
			shell.Command("helm", "uninstall", r.Name, "--namespace", r.Namespace, "--no-hooks"),
			shell.Command("arc-cleanup", "run", "--release", r.Name, "--release-namespace", r.Namespace),
		},
	}
	if p.o.Job != "" {
		refusal.Do = append(refusal.Do, shell.Command("kubectl", "delete", "job", p.o.Job, "--namespace", p.o.ReleaseNamespace))
	}
	p.plan.Refusals = append(p.plan.Refusals, refusal)
}

// standIn is the least that serves as the CRD of AutoscalingRunnerSets. It is without
// double quotes, which Helm 4 prints with a backslash.
const standIn = "{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: autoscalingrunnersets.actions.github.com}, " +
	"spec: {group: actions.github.com, scope: Namespaced, names: {plural: autoscalingrunnersets, singular: autoscalingrunnerset, kind: AutoscalingRunnerSet, listKind: AutoscalingRunnerSetList}, " +
	"versions: [{name: v1alpha1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}]}}"

func (p *planner) liveScaleSet(o *Object) Refusal {
	runners := p.s.Sets[o.UID]
	r := Refusal{
		Verdict: Refused,
		Message: fmt.Sprintf("scale set %s in namespace %s is still installed (runners: %d, busy: %d)", o.Name, o.Namespace, runners.Current, runners.Running),
		Do:      []string{deletion("autoscalingrunnerset", o.Name, o.Namespace)},
	}
	p.byRelease(o, &r)
	return r
}

// deletion is the command with which a person deletes an object. It does not wait:
// where no controller lives to clear its finalizers, it would for ever.
func deletion(kind, name, namespace string) string {
	return shell.Command("kubectl", "delete", kind, name, "--namespace", namespace, "--wait=false")
}

// byRelease has a refusal name the Helm release of an object that is still installed,
// where that release's record proves it: the object's annotations may name any.
func (p *planner) byRelease(o *Object, r *Refusal) {
	if p.s.Proven[o.UID] {
		r.Message += fmt.Sprintf(", by Helm release %s", o.Release.Name)
		args := []string{"helm", "uninstall", o.Release.Name, "--namespace", o.Release.Namespace}
		if p.unhookable(o) {
			args = append(args, "--no-hooks")
		}
		r.Do = []string{shell.Command(args...)}
	}
}

// busy returns the reachable runners that have a job.
func (p *planner) busy() []*Object {
	return slices.DeleteFunc(p.reachable(p.s.Custom), func(o *Object) bool {
		_, busy := p.s.Busy[o.UID]
		return !busy
	})
}

// leaves reports whether a busy runner's scale set is left to a controller: only to
// one that is there to finish it.
func (p *planner) leaves(o *Object) bool { return p.o.busyRunners() == LeaveBusy && p.helped(o) }

// leaveBusy marks the scale sets with busy runners as left alone: what the
// controller needs to finish them (their finalizers, its own rights) stays.
func (p *planner) leaveBusy() {
	for _, o := range p.busy() {
		if !p.leaves(o) {
			continue
		}
		set := o.ScaleSet
		if set.Name == "" {
			set.Namespace = o.Namespace // as of legacy runners
		}
		p.left[set] = true
		p.plan.Kept = append(p.plan.Kept, Kept{o, fmt.Sprintf("runner %s is busy with %s, after which the controller removes it", o.Name, p.s.Busy[o.UID])})
	}
}

// isLeft reports whether an object belongs to a scale set that is left alone.
// Where charts put no labels, the namespace decides.
func (p *planner) isLeft(o *Object) bool {
	if o.ScaleSet.Name != "" {
		return p.left[o.ScaleSet]
	}
	for set := range p.left {
		if set.Namespace == o.Namespace {
			return true
		}
	}
	return false
}

// waitForBusy waits for the jobs which no controller will see to their end.
func (p *planner) waitForBusy() {
	policy := p.o.busyRunners()
	if policy != WaitForBusy && policy != LeaveBusy {
		return
	}
	var steps []Step
	for _, o := range p.busy() {
		if p.leaves(o) {
			continue
		}
		j := p.s.Busy[o.UID]
		steps = append(steps, Step{Await, j.Pod, "busy with " + j.String()})
		p.plan.jobs = append(p.plan.jobs, busyRefusal(j))
	}
	p.phase(Busy, steps)
}

// drain deletes what nobody has deleted yet and leaves the rest to the
// controller: it stops the runners and de-registers at GitHub.
func (p *planner) drain(custom []*Object) {
	var handOver, steps []Step
	for _, o := range custom {
		switch {
		case p.isLeft(o):
			// Not awaited: it takes as long as the job.
			if !o.Deleting && o.Resource.Resource == arc.AutoscalingRunnerSets {
				handOver = append(handOver, Step{Delete, o, "the controller finishes it when its jobs are over"})
			}
		case o.Deleting, o.Owner != "":
			steps = append(steps, Step{Await, o, "the controller deletes it"})
		case o.Resource.Resource == arc.AutoscalingRunnerSets && p.doomed(o):
			steps = append(steps, Step{Delete, o, "its namespace is being deleted"})
		case o.Resource.Resource == arc.AutoscalingRunnerSets && p.o.Scope == Controller && !p.inRelease(o):
			// Refused, unless the policy is another one.
			steps = append(steps, Step{Delete, o, "scaleSets=" + string(p.o.ScaleSets)})
		case o.Resource.Resource == arc.AutoscalingRunnerSets:
			steps = append(steps, Step{Delete, o, "a scale set of the release"})
		case isLegacy(o): // of a namespace that is being deleted
			steps = append(steps, Step{Delete, o, "its namespace is being deleted"})
		case p.existing[o.ScaleSet]:
			steps = append(steps, Step{Await, o, "goes with its scale set"})
		default:
			steps = append(steps, Step{Delete, o, "its scale set is gone"})
		}
	}
	p.phase(HandOver, handOver)
	p.phase(Drain, steps)
}

// controllersPart is what is left to a live controller, and what it is helped with.
// It is waited for again only where something was done meanwhile; woken, a short time,
// and its whole time only where that brought something on.
func (p *planner) controllersPart(custom []*Object) {
	helped := slices.DeleteFunc(slices.Clone(custom), func(o *Object) bool { return !p.helped(o) })
	p.plan.patience = p.o.Grace
	if p.o.Scope != Legacy {
		if p.history.Stage == Slow && !p.wake(helped) {
			p.history.Stage = Stuck
		}
		if p.history.Stage == Stuck && !p.nudge(helped) {
			p.history.Stage = Over
		}
	}
	switch p.plan.stage = p.history.Stage; {
	case p.plan.stage == Over:
	case p.o.Scope == Legacy:
		p.stop(helped)
	default:
		p.drain(helped)
	}
}

// afterDrain is the stage that follows when a drain is over. What has nothing to do in
// it is passed over then. Legacy runners and their owners have a drain each.
func (s Stage) afterDrain(scope Scope) Stage {
	switch {
	case scope == Legacy && s == Fresh:
		return Stuck
	case scope == Legacy:
		return Over
	case s == Fresh:
		return Slow
	default:
		return s
	}
}

// working holds the scale sets whose runners have jobs that are not to be cut off:
// it is these that their controller waits for.
func (p *planner) working() map[identity.Set]bool {
	busy := map[identity.Set]bool{}
	if p.o.busyRunners() != ForceBusy {
		for _, o := range p.busy() {
			busy[o.ScaleSet] = true
		}
	}
	return busy
}

// wake has the controller look at once at what is being deleted. One that has failed
// over an object waits ever longer, minutes in the end, before it tries again, also when
// what was in its way is gone. What is not being deleted yet, its owner's turn decides.
// It reports whether there is anything to wake: not what has been woken in vain.
func (p *planner) wake(custom []*Object) bool {
	working := p.working()
	var steps []Step
	toGo := 0
	for _, o := range custom {
		toGo += 1 + len(o.Finalizers)
		if !o.Deleting {
			toGo++
		}
		if o.Deleting && !working[o.ScaleSet] {
			steps = append(steps, Step{Wake, o, "the controller may be waiting until it tries again"})
		}
	}
	first := p.history.ToGo == 0
	if len(steps) == 0 || !first && toGo >= p.history.ToGo {
		return false
	}
	p.phase(Rouse, steps)
	p.plan.toGo = toGo
	if first {
		p.plan.patience = min(p.o.Grace, wakePatience)
	}
	return true
}

// nudge uses the controller's own ways out when GitHub is what it waits for:
// without its id a scale set is not de-registered, and a runner that is being
// deleted goes without its registration finalizer. In this order: on a runner that
// is not being deleted the controller puts the finalizer back
// (controllers/actions.github.com/autoscalingrunnerset_controller.go,
// ephemeralrunner_controller.go). It reports whether there is anything to nudge.
func (p *planner) nudge(custom []*Object) bool {
	var deletes, nudges []Step
	deleting := map[types.UID]bool{}
	for _, o := range custom {
		deleting[o.UID] = o.Deleting
	}
	working := p.working()
	var ends []Step
	ending := map[identity.Set]bool{}
	for _, o := range p.ending(custom) {
		if !working[o.ScaleSet] {
			ending[o.ScaleSet] = true
			// What the controller would delete before: without the runner nothing proves it.
			for _, j := range p.s.OfJobs {
				if j.Namespace == o.Namespace && j.Runner == o.Name && !j.Deleting {
					deletes = append(deletes, Step{Delete, j.Object, ofAJob})
				}
			}
			ends = append(ends, Step{Release, o, "GitHub knows of it, and its Pod does not end"})
		}
	}
	for _, o := range custom {
		switch {
		case working[o.ScaleSet]:
		case o.Resource.Resource == arc.AutoscalingRunnerSets && ending[o.ScaleSet]:
			// Without these runners the controller comes to de-register it.
		case o.Resource.Resource == arc.AutoscalingRunnerSets && p.s.Sets[o.UID].ID != "":
			nudges = append(nudges, Step{Nudge, o, "GitHub does not let the controller de-register it"})
		case slices.Contains(o.Finalizers, arc.RunnerRegistrationFinalizer) && (deleting[o.Owner] || o.Deleting):
			// A set that is not being deleted yet would replace its runners.
			if !o.Deleting {
				deletes = append(deletes, Step{Delete, o, "its scale set is being deleted"})
			}
			nudges = append(nudges, Step{Nudge, o, "GitHub does not let the controller de-register it"})
		}
	}
	p.phase(Unblock, deletes, nudges, ends)
	return len(nudges)+len(ends) > 0
}

// free removes ARC's finalizers from what is left: children before their
// owners, and the controller's own Role and RoleBinding last, since a
// controller that still lives needs them.
func (p *planner) free(custom, protected []*Object) {
	// All deletions come first, owners before children: a controller that lives
	// replaces a runner as long as its set is not being deleted, and puts a
	// finalizer back on what is not.
	kinds := p.o.kinds()
	releases := len(kinds)
	ranks := make([][]Step, 2*len(kinds)+2)
	// Deleted with its CRD, an object needs no request of its own, unless a
	// controller is there that would not let go of it until then.
	each := !p.o.ofController() || p.mixed() || p.crdsKept() != "" ||
		slices.ContainsFunc(p.s.CRDs, func(o *Object) bool { return p.crdKept(o) != "" })
	for _, o := range custom {
		if p.isLeft(o) {
			continue
		}
		i := slices.Index(kinds, o.Resource)
		helped, why := p.helped(o), "the controller did not"
		if !helped {
			why = p.helpless(o)
		}
		// A legacy runner's Pod that nothing owns goes with nothing.
		orphan := o.Resource == podResource && o.Owner == ""
		foreground := p.o.foreground(o)
		begun := o.Deleting && (!foreground || slices.Contains(o.Finalizers, metav1.FinalizerDeleteDependents))
		if !begun && (each || orphan || helped && p.history.Stage == Over) {
			last := releases - 1
			ranks[last-i] = append(ranks[last-i], Step{Delete, o, "left behind"})
		}
		if own, _ := arc.Finalizers(o.Finalizers); len(own) > 0 {
			ranks[releases+i] = append(ranks[releases+i], Step{Release, o, why})
		} else if o.Deleting && !foreground {
			ranks[releases+i] = append(ranks[releases+i], Step{Await, o, "already being deleted"})
		}
	}
	for _, o := range protected {
		if p.isLeft(o) {
			continue
		}
		i := 2 * len(kinds)
		if arc.IsManager(o.Name) {
			i++
		}
		ranks[i] = append(ranks[i], Step{Release, o, "its scale set is gone"})
	}
	p.phase(Free, ranks...)
}

// listeners deletes the Roles and RoleBindings of listeners: they have no owner,
// and only a controller would.
func (p *planner) listeners() {
	var steps []Step
	for _, o := range p.reachable(p.s.ListenerRBAC) {
		if !o.Deleting && !p.isLeft(o) {
			steps = append(steps, Step{Delete, o, "a listener's, which nothing owns"})
		}
	}
	p.phase(Listeners, steps)
}

// collect takes care of what custom resources own. The garbage collector removes
// it when its owner goes, unless the owner's kind goes before the collector has
// learned of it, which takes it half a minute and more: then it stays for ever.
// What is garbage by the collector's own rule, all owners gone, is deleted here.
func (p *planner) collect() {
	mine := map[owning]bool{} // whether a custom resource is this uninstall's
	for _, o := range p.s.Custom {
		mine[owning{o.Namespace, o.UID}] = p.unreachable(o) == "" && !p.isLeft(o)
	}
	var steps []Step
	for _, o := range slices.Concat(p.s.Held, p.s.ListenerRBAC) {
		switch {
		case !o.Deleting || p.unreachable(o) != "" || p.isLeft(o):
		case p.known(o):
			steps = append(steps, Step{Await, o, "already being deleted"})
		case o.ScaleSet.Name != "":
			p.keepHeld(o)
		}
	}
	for _, o := range p.s.Dependents {
		reachable, present := mine[owning{o.Namespace, o.Owner}]
		// A listener's Secret with its configuration has no labels. It is beside its
		// controller, where nobody else is.
		lost := slices.Contains(p.o.listenersApart(), o.Namespace) && o.ScaleSet.Name == ""
		ours := p.history.Ours[o.UID] || p.unreachable(o) == "" || lost
		// Where another controller lives, what does not say whose it is may be its.
		anybodys := o.ScaleSet.Name == "" && len(p.others) > 0 && !p.history.Ours[o.UID]
		switch {
		case present && reachable:
			p.plan.owned = append(p.plan.owned, o)
			steps = append(steps, Step{Await, o, "garbage collection follows its owner"})
		case present, !ours, anybodys, p.isLeft(o):
		case (o.Deleting || len(o.Finalizers) > 0) && !p.history.Ours[o.UID] && !p.known(o):
			p.keepHeld(o)
		case !o.Deleting:
			steps = append(steps, Step{Delete, o, ownerGone})
		default:
			steps = append(steps, Step{Await, o, "already being deleted"})
		}
	}
	p.phase(Collect, steps)
}

// owning is an owner, where it can own: what is in a namespace owns nothing in
// another one, whatever an object there says (k8s.io/kubernetes
// pkg/controller/garbagecollector).
type owning struct {
	namespace string
	uid       types.UID
}

// keepHeld names what does not go, and says of itself alone that it is ARC's. Whoever
// may write there can have put the label or the owner on it: that is no reason for the
// uninstall to wait for it, nor to fail.
func (p *planner) keepHeld(o *Object) {
	why := held(o)
	if o.Deleting && len(o.Finalizers) > 0 {
		why = "it is being deleted, and " + why
	}
	p.plan.Kept = append(p.plan.Kept, Kept{o, why})
}

// known reports whether an object is of a scale set that was seen, by its label or by
// its release: a set is made by whoever may make one, the rest by any tenant. That it is
// a listener's, and so of a set in another namespace, the label alone cannot say.
func (p *planner) known(o *Object) bool {
	if o.ScaleSet.Name != "" {
		if o.ScaleSet.Namespace != o.Namespace {
			return false
		}
		_, seen := p.history.Sets[o.ScaleSet]
		return seen || p.existing[o.ScaleSet] || p.sets[o.ScaleSet]
	}
	for set, of := range p.history.Sets {
		if set.Namespace == o.Namespace && of.Name != "" && of == o.Release {
			return true
		}
	}
	return false
}

// ownerGone is why an orphan is deleted. Its owner is looked for once more before.
const ownerGone = "its owner is gone"

// belongings waits for the listeners that are kept until what they own is gone.
func (p *planner) belongings(custom []*Object) {
	var steps []Step
	for _, o := range custom {
		if p.o.foreground(o) && !p.isLeft(o) {
			steps = append(steps, Step{Await, o, "goes when the garbage collector has deleted what it owns"})
		}
	}
	p.phase(Belongings, steps)
}

// crdsKept says why the CRDs have to stay; "" means that they can go.
func (p *planner) crdsKept() string {
	var why []string
	for _, c := range p.others {
		why = append(why, fmt.Sprintf("the controller %s/%s uses them", c.Namespace, c.Name))
	}
	if len(p.reinstalled) > 0 {
		why = append(why, "somebody has installed them again since this uninstall deleted them")
	}
	for set := range p.left {
		if set.Name == "" {
			why = append(why, fmt.Sprintf("namespace %s has busy runners", set.Namespace))
			continue
		}
		why = append(why, fmt.Sprintf("scale set %s in namespace %s has busy runners", set.Name, set.Namespace))
	}
	left := map[string]int{}
	for _, o := range p.s.Custom {
		if p.unreachable(o) != "" {
			left[o.Namespace]++
		}
	}
	if len(why) == 0 {
		for ns, n := range left {
			why = append(why, fmt.Sprintf("%d custom resources in namespace %s are not this release's", n, ns))
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
			p.plan.Kept = append(p.plan.Kept, Kept{o, kept})
		case !p.mixed():
			steps = append(steps, step)
		case len(p.plan.Phases) > 0:
			// Helm needs them for its own part, and a hook that fails after they are gone
			// leaves a release which it cannot uninstall: they go when nothing else is left.
		case o.Name == lastCRD:
			last = append(last, step)
		default:
			steps = append(steps, step)
		}
	}
	if len(steps) == 0 {
		steps = last
	}
	p.phase(CRDs, steps)
	for _, step := range steps {
		for _, o := range p.s.Custom {
			if o.Resource.GroupResource().String() == step.Object.Name {
				p.plan.taken = append(p.plan.taken, o)
			}
		}
	}
}

// crdKept says why this CRD is kept; "" means that it can go. What Helm or somebody
// else was told to keep is theirs.
func (p *planner) crdKept(o *Object) string {
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

// phase adds a phase unless it is empty.
func (p *planner) phase(name PhaseName, ranks ...[]Step) {
	ranks = slices.DeleteFunc(ranks, func(r []Step) bool { return len(r) == 0 })
	if len(ranks) > 0 {
		p.plan.Phases = append(p.plan.Phases, Phase{name, ranks})
	}
}

// Verdict is how a run of a plan with refusals ends: a refusal proper says more
// about the cluster than a missing right, and that more than a failed read.
func (p *Plan) Verdict() Verdict {
	for _, v := range []Verdict{Refused, NotPermitted} {
		for _, r := range p.Refusals {
			if r.Verdict == v {
				return v
			}
		}
	}
	return Failed
}

// steps returns those of one phase.
func (p *Plan) steps(name PhaseName) (out []Step) {
	for _, phase := range p.Phases {
		if phase.Name == name {
			out = append(out, phase.Steps()...)
		}
	}
	return out
}

// busyRefusal names the runner by its Pod, which has its name.
func busyRefusal(j Job) Refusal {
	r := Refusal{
		Verdict: Refused,
		Message: fmt.Sprintf("runner %s in namespace %s is busy with %s", j.Pod.Name, j.Pod.Namespace, j),
		Do:      []string{"wait for the job or cancel it, then try again; busyRunners=force would kill it"},
	}
	if j.Alone {
		// The Pod too: where no controller ends it, it would look busy the next time.
		r.Do = append(r.Do, "it does not end with its job; once it has none: "+deletion("runner."+arc.LegacyGroup+",pod", j.Pod.Name, j.Pod.Namespace))
	}
	return r
}
