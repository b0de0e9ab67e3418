package plan_test

import (
	"testing"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/kube/kubetest"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
	"github.com/arc-cleanup/arc-cleanup/internal/plan/plantest"
)

func TestWhereThingsAreLookedFor(t *testing.T) {
	t.Parallel()
	all, set := []string{""}, plantest.WithNames(plantest.OfSet, "set")
	change := func(o plan.Options, f func(*plan.Options)) plan.Options { f(&o); return o }
	runners := func(o *plan.Options) { o.RunnerNamespaces = []string{"a", "b"} }
	tests := map[string]struct {
		options                              plan.Options
		sets, listeners, core, listenersOnly []string
	}{
		"by hand":                        {plantest.ByHand, all, all, all, nil},
		"a controller":                   {plantest.AsHook, all, all, all, nil},
		"of one namespace":               {plantest.OnlyRuns, all, all, []string{"runners"}, []string{"systems"}},
		"with runners apart":             {change(plantest.OnlyRuns, runners), all, all, []string{"a", "b"}, []string{"systems"}},
		"a controller elsewhere":         {change(plantest.OnlyRuns, func(o *plan.Options) { o.ControllerNamespaces = []string{"c", "runners"} }), all, all, []string{"runners"}, []string{"c"}},
		"by hand, without a namespace":   {plan.Options{Scope: plan.ScopeController, WatchNamespaces: []string{"runners"}}, all, all, []string{"runners"}, nil},
		"a scale set":                    {set, []string{"runners"}, []string{"systems"}, []string{"runners"}, nil},
		"beside its controller":          {plan.Options{Scope: plan.ScopeScaleSet, ReleaseNamespace: "runners"}, []string{"runners"}, []string{"runners"}, []string{"runners"}, nil},
		"a scale set with runners apart": {change(set, runners), []string{"a", "b", "runners"}, []string{"systems"}, []string{"a", "b", "runners"}, nil},
		"a rescue":                       {plan.Options{Scope: plan.ScopeNamespace, Namespace: "x"}, []string{"x"}, all, []string{"x"}, nil},
		"a legacy controller":            {change(plantest.AsLegacyHook, func(o *plan.Options) { o.WatchNamespaces = []string{"ci"} }), all, all, []string{"ci"}, nil},
	}
	for name, test := range tests {
		o := test.options
		kubetest.ExpectStrings(t, name+": sets", o.CustomNamespaces(arc.AutoscalingRunnerSets), test.sets...)
		kubetest.ExpectStrings(t, name+": listeners", o.CustomNamespaces(arc.AutoscalingListeners), test.listeners...)
		kubetest.ExpectStrings(t, name+": core", o.CoreNamespaces(), test.core...)
		if got := o.OtherListenerNamespaces(); len(got) > 0 || len(test.listenersOnly) > 0 {
			kubetest.ExpectStrings(t, name+": listeners' belongings", got, test.listenersOnly...)
		}
	}
}

// Only a listener in a namespace whose core objects may not be read is deleted in the foreground.
func TestForeground(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		options plan.Options
		object  *object.Object
		want    bool
	}{
		"a scale set's listener":          {plantest.OfSet, kubetest.Object("al systems/l"), true},
		"beside its runners":              {plantest.OfSet, kubetest.Object("al runners/l"), false},
		"a runner":                        {plantest.OfSet, kubetest.Object("er systems/r"), false},
		"a controller's listener":         {plantest.OnlyRuns, kubetest.Object("al systems/l"), false},
		"a rescue's, in a live namespace": {plan.Options{Scope: plan.ScopeNamespace, Namespace: "runners"}, kubetest.Object("al systems/l"), true},
	} {
		if got := test.options.Foreground(test.object); got != test.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}
