// Package plan decides what an uninstall of ARC does. New is a pure function of a survey
// of the cluster, of options, and of what the run knows from before: no client, no
// clock. Its result names every object and what happens to it, in order, or why nothing
// is begun.
package plan

import (
	"slices"
	"time"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/identity"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
)

// Plan is what will be done, in order. With a Refusal, or switched off, nothing is.
type Plan struct {
	// Off is set when the off switch is thrown; then there is nothing else.
	Off      bool
	Refusals []Refusal
	// Kept is what is deliberately left alone.
	Kept   []Finding
	Phases []Phase
	// Notes are what to know before it is begun, and no reason not to.
	Notes []string
	// Obstacles are likely to be in the way of the phases; ObstaclesErr says why
	// they could not be looked for.
	Obstacles    []Finding
	ObstaclesErr error
	// Remains is what there is of ARC beside, and stays. Only a preview has it.
	Remains []Remain

	// Backup holds the AutoscalingRunnerSets to back up.
	Backup []*object.Object
	// Jobs are what a run refuses with that cannot wait for busy runners any longer.
	Jobs []Refusal
	// Taken are the custom resources that go with their CRDs, with steps of their own or
	// without.
	Taken []*object.Object
	// Owned is what custom resources of this uninstall own that are there.
	Owned []*object.Object
	// Stage is the one that the plan is for: those without anything to do are passed over.
	Stage Stage
	// ToGo is History.ToGo for what comes after the plan.
	ToGo int
}

// planner holds what the parts of one plan share.
type planner struct {
	s *Survey
	o Options
	// release is what is being uninstalled, as far as that is known.
	release identity.Release
	// others are the controllers that are not the release's.
	others []Controller
	// sets are the scale sets of the release, for Scope ScaleSet.
	sets map[identity.Set]bool
	// reinstalled names the CRDs that somebody has installed again since this
	// run deleted them.
	reinstalled map[string]bool
	// existing holds the AutoscalingRunnerSets there are.
	existing map[identity.Set]bool
	// left holds the scale sets that are left alone until their runners have
	// finished their jobs.
	handedOver map[identity.Set]bool
	history    History
	// patience is how long the controller may show no progress in the drain.
	patience time.Duration
	plan     Plan
}

// New decides from a survey, and what went before, what to do. It is a pure
// function.
func New(s *Survey, o Options, h History) *Plan {
	if s.Off {
		return &Plan{Off: true}
	}
	p := &planner{
		s: s, o: o, release: Uninstalled(s, o), history: h, sets: map[identity.Set]bool{},
		reinstalled: map[string]bool{}, existing: map[identity.Set]bool{}, handedOver: map[identity.Set]bool{},
	}
	for _, c := range s.Controllers {
		if o.RemovesCRDs() && p.release.IsOther(p.claims(c), o.hook()) {
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
	p.backUp()
	if len(p.plan.Phases) > 0 {
		p.plan.Obstacles, p.plan.ObstaclesErr = s.Obstacles, s.ObstaclesErr
	}
	return &p.plan
}

// standIn is the least that serves as the CRD of AutoscalingRunnerSets. It is without
// double quotes, which Helm 4 prints with a backslash.
const standIn = "{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: autoscalingrunnersets.actions.github.com}, " +
	"spec: {group: actions.github.com, scope: Namespaced, names: {plural: autoscalingrunnersets, singular: autoscalingrunnerset, kind: AutoscalingRunnerSet, listKind: AutoscalingRunnerSetList}, " +
	"versions: [{name: v1alpha1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}]}}"

// leaves reports whether a busy runner's scale set is left to a controller: only to
// one that is there to finish it.
func (p *planner) leaves(o *object.Object) bool {
	return p.o.busyRunners() == LeaveBusy && p.hasFinisher(o)
}

// phase adds a phase unless it is empty.
func (p *planner) phase(name PhaseName, ranks ...[]Step) {
	ranks = slices.DeleteFunc(ranks, func(r []Step) bool { return len(r) == 0 })
	if len(ranks) > 0 {
		p.plan.Phases = append(p.plan.Phases, Phase{name, ranks, p.wait(name, ranks)})
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

// Steps returns those of one phase.
func (p *Plan) Steps(name PhaseName) (out []Step) {
	for _, phase := range p.Phases {
		if phase.Name == name {
			out = append(out, phase.Steps()...)
		}
	}
	return out
}
