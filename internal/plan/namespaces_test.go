package plan_test

import (
	"errors"
	"maps"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/arc-cleanup/arc-cleanup/internal/kube/kubetest"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
	"github.com/arc-cleanup/arc-cleanup/internal/plan/plantest"
)

func because(why string, found map[string]plan.Terminating) map[string]plan.Terminating {
	for name, t := range found {
		t.Why = why
		found[name] = t
	}
	return found
}

func waitsFor(found map[string]plan.Terminating, pods ...*object.Object) map[string]plan.Terminating {
	for name, t := range found {
		t.Pods = pods
		found[name] = t
	}
	return found
}

func TestPlanWaitsForNamespacesItFreed(t *testing.T) {
	runners := []*object.Object{kubetest.Protected("role runners/set-manager")}
	waited := func(names ...string) (out plan.History) {
		out.Held, out.Waited = map[string]bool{}, map[string]bool{}
		for _, n := range names {
			out.Held[n], out.Waited[n] = true, true
		}
		return out
	}
	rescue := plan.Options{Scope: plan.ScopeNamespace, Namespace: "runners"}
	both := plantest.Gone("runners")
	maps.Copy(both, plantest.Gone("shop"))
	tests := map[string]struct {
		survey  plan.Survey
		options plan.Options
		history plan.History
		want    []string
	}{
		"one with ARC's objects, and one without": {
			plan.Survey{Terminating: both, Protected: runners},
			plantest.ByHand,
			plan.History{},
			[]string{"free: free role runners/set-manager", "namespaces: await ns runners"},
		},
		"one that was freed before": {
			plan.Survey{Terminating: both},
			plantest.ByHand,
			plan.History{Held: map[string]bool{"runners": true}},
			[]string{"namespaces: await ns runners"},
		},
		"one with objects of another controller's": {
			plan.Survey{Terminating: plantest.Gone("runners"), Protected: runners, Controllers: []plan.Controller{plantest.Ctrl("team/other", "runners")}}, plantest.ByHand, plan.History{}, nil,
		},
		"not the hook's own": {
			plan.Survey{Record: plantest.Uninstalling(), Terminating: plantest.Gone("systems"), Protected: []*object.Object{kubetest.Protected("role systems/set-manager")}},
			plantest.AsHook,
			plan.History{},
			[]string{"free: free role systems/set-manager"},
		},
		"a finalizer that is not ARC's holds it": {
			plan.Survey{Terminating: because("example.com/f in 1 resource instances", plantest.Gone("runners"))},
			plantest.ByHand, waited("runners"),
			[]string{"keep: still Terminating: example.com/f in 1 resource instances"},
		},
		"another tool's finalizer holds it": {
			plan.Survey{Terminating: because("x; "+plan.FinalizersRemain+"actions.github.com/cleanup-protection in 4 resource instances, example.com/f in 1 resource instances", plantest.Gone("runners")), Protected: runners},
			plantest.ByHand,
			plan.History{},
			[]string{"free: free role runners/set-manager", "keep: still Terminating: x; " + plan.FinalizersRemain + "actions.github.com/cleanup-protection in 4 resource instances, example.com/f in 1 resource instances"},
		},
		"another tool's finalizer holds a Pod, which Kubernetes deletes first": {
			plan.Survey{Terminating: waitsFor(plantest.Gone("runners"), kubetest.Object("pod runners/p", kubetest.Deleting, kubetest.Finalizers("example.com/f"))), Protected: runners},
			plantest.ByHand,
			plan.History{},
			[]string{"free: free role runners/set-manager", "keep: still Terminating: Kubernetes deletes nothing else before its Pods are gone: p held by finalizers which are not ARC's: example.com/f"},
		},
		"a Pod that ends by itself is waited for": {
			plan.Survey{Terminating: waitsFor(plantest.Gone("runners"), kubetest.Object("pod runners/p", kubetest.Deleting)), Protected: runners},
			plantest.ByHand,
			plan.History{},
			[]string{"free: free role runners/set-manager", "namespaces: await ns runners"},
		},
		"and named when it does not": {
			plan.Survey{Terminating: waitsFor(plantest.Gone("runners"), kubetest.Object("pod runners/a", kubetest.Deleting), kubetest.Object("pod runners/b", kubetest.Deleting), kubetest.Object("pod runners/c", kubetest.Deleting), kubetest.Object("pod runners/d", kubetest.Deleting))},
			plantest.ByHand, waited("runners"),
			[]string{"keep: still Terminating: Kubernetes deletes nothing else before its Pods are gone: a is being deleted, and not gone yet; b is being deleted, and not gone yet; c is being deleted, and not gone yet; and 1 more"},
		},
		"objects that Kubernetes has not deleted yet count as being deleted": {
			plan.Survey{
				Record: plantest.Uninstalling(), Terminating: waitsFor(plantest.Gone("runners"), kubetest.Object("pod runners/p", kubetest.Deleting)),
				Custom: []*object.Object{kubetest.Object("ars runners/set", kubetest.By("runners/gpu"))}, Controllers: []plan.Controller{plantest.Ctrl("systems/arc", "", kubetest.By("systems/arc"))},
			},
			plantest.AsHook,
			plan.History{},
			[]string{"drain: delete ars runners/set", "free: free ars runners/set", "namespaces: await ns runners"},
		},
		"ARC's finalizers hold it": {
			plan.Survey{Terminating: because(plan.FinalizersRemain+"actions.github.com/cleanup-protection in 4 resource instances", plantest.Gone("runners")), Protected: runners},
			plantest.ByHand,
			plan.History{},
			[]string{"free: free role runners/set-manager", "namespaces: await ns runners"},
		},
		"a rescue frees that namespace, with its listener, and nothing else": {
			plan.Survey{
				Terminating: both, CRDs: kubetest.CRDs(),
				Custom:    []*object.Object{kubetest.Object("er runners/r", kubetest.Deleting), kubetest.Object("er shop/r", kubetest.Deleting), kubetest.Object("al systems/l", kubetest.Of("runners/set")), kubetest.Object("al systems/theirs", kubetest.Of("shop/set"))},
				Protected: append(runners, kubetest.Protected("role shop/set-manager")),
			},
			rescue,
			plan.History{},
			[]string{
				"free: delete al systems/l", "free: free er runners/r", "free: free al systems/l",
				"free: free role runners/set-manager", "listener-dependents: await al systems/l", "namespaces: await ns runners",
			},
		},
		"a rescue of a controller's namespace frees listeners of scale sets elsewhere": {
			plan.Survey{Terminating: plantest.Gone("runners"), Custom: []*object.Object{kubetest.Object("al runners/l", kubetest.Of("shop/set"), kubetest.Deleting), kubetest.Object("ars shop/set")}},
			rescue,
			plan.History{},
			[]string{"free: free al runners/l", "namespaces: await ns runners"},
		},
		"a rescue also waits for a namespace that ARC does not hold, and says what does": {
			plan.Survey{Terminating: because(plan.FinalizersRemain+"example.com/f in 1 resource instances", plantest.Gone("runners"))},
			rescue,
			plan.History{},
			[]string{"namespaces: await ns runners"},
		},
		"a rescue deletes orphans, whichever controllers there are": {
			plan.Survey{Terminating: plantest.Gone("runners"), Controllers: []plan.Controller{plantest.Ctrl("systems/arc", "")}, Dependents: []*object.Object{kubetest.Object("secret runners/jit", kubetest.Owned("er runners/r"))}},
			rescue,
			plan.History{},
			[]string{"collect: delete secret runners/jit", "namespaces: await ns runners"},
		},
		"a rescue waits for the controller that lives": {
			plan.Survey{Terminating: plantest.Gone("runners"), Custom: []*object.Object{kubetest.Object("ars runners/set", kubetest.Deleting)}, Controllers: []plan.Controller{plantest.Ctrl("systems/arc", "")}},
			rescue,
			plan.History{},
			[]string{"drain: await ars runners/set", "free: free ars runners/set", "namespaces: await ns runners"},
		},
		"it is not being deleted": {
			plan.Survey{Live: true},
			rescue,
			plan.History{},
			[]string{"refused: namespace runners is not being deleted: there is nothing to rescue", "  arc-cleanup status --all-namespaces"},
		},
		"it is gone": {plan.Survey{}, rescue, plan.History{}, nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, plantest.Lines(plan.New(&test.survey, test.options, test.history))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// A namespace that does not exist may be mistyped: "nothing to do" alone would hide that.
func TestARescueSaysThatThereIsNoNamespace(t *testing.T) {
	for name, test := range map[string]struct {
		survey plan.Survey
		want   []string
	}{
		"there is none":       {plan.Survey{}, []string{"there is no namespace runners"}},
		"it is being deleted": {plan.Survey{Terminating: plantest.Gone("runners")}, nil},
		"it lives":            {plan.Survey{Live: true}, nil},
		"it is not known":     {plan.Survey{Unknown: []plan.Unknown{{What: "namespaces", Err: errors.New("no answer")}}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			p := plan.New(&test.survey, plan.Options{Scope: plan.ScopeNamespace, Namespace: "runners"}, plan.History{})
			if diff := cmp.Diff(test.want, []string(p.Notes)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
