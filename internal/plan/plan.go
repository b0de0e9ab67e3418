// Package plan decides what an uninstall of ARC does. New is a pure function of a survey of the
// cluster, the options and the history of the run; it uses no client and no clock. Its result names
// every object and what happens to it, in order, or the reasons why the run does not begin.
package plan

import (
	"fmt"
	"slices"
	"time"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/identity"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
	"github.com/arc-cleanup/arc-cleanup/internal/shell"
)

// Plan says what a run will do, in order. A plan with refusals, or one that is switched off, does
// nothing.
type Plan struct {
	// Off is set if the off switch is on. Then all other fields are empty.
	Off      bool          `json:"-"`
	Refusals List[Refusal] `json:"refusals"`
	Phases   List[Phase]   `json:"phases"`
	// Kept lists the objects that are left alone on purpose.
	Kept List[Finding] `json:"kept"`
	// Notes tell a person what to know before the run. They do not prevent it.
	Notes List[string] `json:"notes"`
	// Obstacles may prevent the phases from finishing. ObstaclesErr says why the survey could not
	// search for them.
	Obstacles    List[Finding] `json:"obstacles"`
	ObstaclesErr error         `json:"-"`
	// Remains lists the parts of ARC that this uninstall does not cover and that stay. Only a
	// preview has it.
	Remains List[Remain] `json:"remains"`

	// Registered lists what is registered at GitHub, according to the cluster. Only a preview has it.
	Registered List[Registration] `json:"registered"`

	// Controllers are those that the survey found, of any release, and Unread says that it could not read everything. Only a
	// preview has them.
	Controllers []Controller `json:"-"`
	Unread      bool         `json:"-"`

	// Backup lists the AutoscalingRunnerSets to back up.
	Backup []*object.Object `json:"-"`
	// ToRecord is what to write down before anything is freed.
	ToRecord []Record `json:"-"`
	// Recorded is what earlier runs have written down, and nothing in the cluster uses any more. The list Registered holds it too.
	Recorded []Record `json:"-"`
	// Jobs are the refusals of a run that has no more time to wait for busy runners.
	Jobs []Refusal `json:"-"`
	// Taken lists the CRDs that a later round deletes, and the custom resources that are removed with their CRDs, whether or not they have
	// steps of their own.
	Taken []*object.Object `json:"-"`
	// Owned lists the existing dependents of this uninstall's custom resources.
	Owned []*object.Object `json:"-"`
	// Stage is the stage that the plan is for. New skips a stage in which nothing is to be done.
	Stage Stage `json:"-"`
	// ToGo is the next value of History.ToGo.
	ToGo int `json:"-"`
	// Bare lists the scale sets that lost ARC's finalizers before the run, and that no controller will finish: they go with no
	// step that frees them, and stay registered all the same.
	Bare []*object.Object `json:"-"`
	// LeftAtGitHub counts the scale sets that the plan leaves registered, and that a plan with Deregister removes.
	LeftAtGitHub int `json:"-"`
}

// planner holds what the parts of one plan share.
type planner struct {
	s *Survey
	o Options
	// release is the release that is being uninstalled, as far as it is known.
	release identity.Release
	// others are the controllers of other releases.
	others []Controller
	// sets are the scale sets of the release, for Scope ScaleSet.
	sets map[identity.Set]bool
	// reinstalled names the CRDs that were installed again after this run deleted them.
	reinstalled map[string]bool
	// existing holds the AutoscalingRunnerSets that exist.
	existing map[identity.Set]bool
	// handedOver holds the scale sets that the controller finishes once their runners have no more
	// jobs.
	handedOver map[identity.Set]bool
	history    History
	// patience is how long the controller may show no progress in the drain.
	patience time.Duration
	plan     Plan
}

// New decides what to do from a survey, the options and the run's history. It is a pure function.
func New(s *Survey, o Options, h History) *Plan {
	if s.Off {
		return &Plan{Off: true}
	}
	p := newPlanner(s, o, h)
	p.refuse()
	p.leaveBusy()
	custom := p.inScope(s.Custom)
	p.controllersPart(custom)
	p.waitForBusy()
	p.webhooks()
	p.jobPods()
	p.free(custom, p.inScope(s.Protected))
	p.listeners()
	p.uninstall()
	if o.RemovesCRDs() && !p.mixed() {
		p.crds()
	}
	p.collect()
	p.listenerDependents(custom)
	if p.mixed() {
		p.crds()
	}
	p.namespaces()
	p.deregister()
	p.backUp()
	p.record()
	p.recorded()
	p.installed()
	if len(p.plan.Phases) > 0 {
		p.plan.Obstacles, p.plan.ObstaclesErr = s.Obstacles, s.ObstaclesErr
	}
	return &p.plan
}

func newPlanner(s *Survey, o Options, h History) *planner {
	p := &planner{
		s: s, o: o, release: Uninstalled(s, o), history: h, sets: map[identity.Set]bool{},
		reinstalled: map[string]bool{}, existing: map[identity.Set]bool{}, handedOver: map[identity.Set]bool{},
	}
	for _, c := range s.Controllers {
		if o.RemovesCRDs() && p.release.IsOther(p.claims(c), o.namespaces()) {
			p.others = append(p.others, c)
		}
	}
	for _, crd := range s.CRDs {
		if uid, deleted := h.Deleted[crd.Name]; deleted && uid != crd.UID {
			p.reinstalled[crd.Name] = true
		}
	}
	for _, set := range ScaleSets(s, o) {
		p.sets[set] = true
	}
	for _, obj := range s.Custom {
		if obj.Resource.Resource == arc.AutoscalingRunnerSets {
			p.existing[obj.ScaleSet] = true
		}
	}
	return p
}

// standIn is the smallest CRD that can stand in for that of AutoscalingRunnerSets. It contains no
// double quotes, because Helm 4 prints them with a backslash.
const standIn = "{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: autoscalingrunnersets.actions.github.com}, " +
	"spec: {group: actions.github.com, scope: Namespaced, names: {plural: autoscalingrunnersets, singular: autoscalingrunnerset, kind: AutoscalingRunnerSet, listKind: AutoscalingRunnerSetList}, " +
	"versions: [{name: v1alpha1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}]}}"

// installed notes, for the whole cluster, which controllers work: what belongs to them is left alone, and their uninstall is
// another plan.
func (p *planner) installed() {
	if !p.o.wholeCluster() {
		return
	}
	for _, c := range p.others {
		note := fmt.Sprintf("the controller %s/%s is installed, so everything that belongs to it is left alone", c.Namespace, c.Name)
		if c.Release.Name != "" {
			note += "; to see what its uninstall would do: " +
				shell.Command("arc-cleanup", "plan", "--release", c.Release.Name, "--release-namespace", c.Release.Namespace)
		}
		p.plan.Notes = append(p.plan.Notes, note)
	}
}

// phase adds a phase unless it is empty.
func (p *planner) phase(name PhaseName, ranks ...[]Step) {
	ranks = slices.DeleteFunc(ranks, func(r []Step) bool { return len(r) == 0 })
	if len(ranks) > 0 {
		p.plan.Phases = append(p.plan.Phases, Phase{name, ranks, p.wait(name, ranks)})
	}
}

// Verdict returns how a run of a plan with refusals ends. Refused comes before NotPermitted, and
// that before Failed, because the earlier ones say more about the cluster.
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

// Steps returns the steps of one phase.
func (p *Plan) Steps(name PhaseName) (out []Step) {
	for _, phase := range p.Phases {
		if phase.Name == name {
			out = append(out, phase.Steps()...)
		}
	}
	return out
}
