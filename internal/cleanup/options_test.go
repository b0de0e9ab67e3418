package cleanup

import (
	"testing"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
)

func TestWhereThingsAreLookedFor(t *testing.T) {
	t.Parallel()
	all, set := []string{""}, withNames(ofSet, "set")
	change := func(o Options, f func(*Options)) Options { f(&o); return o }
	runners := func(o *Options) { o.RunnerNamespaces = []string{"a", "b"} }
	tests := map[string]struct {
		options                              Options
		sets, listeners, core, listenersOnly []string
	}{
		"by hand":                          {byHand, all, all, all, nil},
		"a controller":                     {asHook, all, all, all, nil},
		"of one namespace":                 {onlyRuns, all, all, []string{"runners"}, []string{"systems"}},
		"with runners apart":               {change(onlyRuns, runners), all, all, []string{"a", "b"}, []string{"systems"}},
		"a controller elsewhere":           {change(onlyRuns, func(o *Options) { o.ControllerNamespaces = []string{"c", "runners"} }), all, all, []string{"runners"}, []string{"c"}},
		"by hand, nobody says where it is": {Options{Scope: Controller, WatchNamespaces: []string{"runners"}}, all, all, []string{"runners"}, nil},
		"a scale set":                      {set, []string{"runners"}, []string{"systems"}, []string{"runners"}, nil},
		"beside its controller":            {Options{Scope: ScaleSet, ReleaseNamespace: "runners"}, []string{"runners"}, []string{"runners"}, []string{"runners"}, nil},
		"a scale set with runners apart":   {change(set, runners), []string{"a", "b", "runners"}, []string{"systems"}, []string{"a", "b", "runners"}, nil},
		"a rescue":                         {Options{Scope: Namespace, Namespace: "x"}, []string{"x"}, all, []string{"x"}, nil},
		"a legacy controller":              {change(asLegacyHook, func(o *Options) { o.WatchNamespaces = []string{"ci"} }), all, all, []string{"ci"}, nil},
	}
	for name, test := range tests {
		o := test.options
		expectStrings(t, name+": sets", o.customNamespaces(arc.AutoscalingRunnerSets), test.sets...)
		expectStrings(t, name+": listeners", o.customNamespaces(arc.AutoscalingListeners), test.listeners...)
		expectStrings(t, name+": core", o.coreNamespaces(), test.core...)
		if got := o.listenersApart(); len(got) > 0 || len(test.listenersOnly) > 0 {
			expectStrings(t, name+": listeners' belongings", got, test.listenersOnly...)
		}
	}
}

// Only a listener where nothing else may be read is deleted in the foreground.
func TestForeground(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		options Options
		object  *object.Object
		want    bool
	}{
		"a scale set's listener":          {ofSet, obj("al systems/l"), true},
		"beside its runners":              {ofSet, obj("al runners/l"), false},
		"a runner":                        {ofSet, obj("er systems/r"), false},
		"a controller's listener":         {onlyRuns, obj("al systems/l"), false},
		"a rescue's, in a live namespace": {Options{Scope: Namespace, Namespace: "runners"}, obj("al systems/l"), true},
	} {
		if got := test.options.foreground(test.object); got != test.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}
