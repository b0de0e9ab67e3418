package identity

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"k8s.io/apimachinery/pkg/types"
)

func n(text string) types.NamespacedName {
	namespace, name, _ := strings.Cut(text, "/")
	return types.NamespacedName{Namespace: namespace, Name: name}
}

func all(texts ...string) (out []types.NamespacedName) {
	for _, text := range texts {
		out = append(out, n(text))
	}
	return out
}

func TestSetOf(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		namespace string
		listeners bool
		labels    string
		want      Set
	}{
		"as its labels say":                          {"runners", false, "runners/gpu", n("runners/gpu")},
		"no label":                                   {"runners", false, "runners/", Set{}},
		"an underscore is a dash":                    {"runners", false, "runners/linux_x64", n("runners/linux-x64")},
		"another team's, it says":                    {"tenant", false, "runners/gpu", n("tenant/gpu")},
		"a listener's, beside the controller":        {"systems", true, "runners/linux_x64", n("runners/linux-x64")},
		"a listener's that does not say where":       {"systems", true, "/gpu", n("systems/gpu")},
		"a listener's without a name is nobody's":    {"systems", true, "runners/", Set{}},
		"one whose chart has put no namespace on it": {"runners", false, "/gpu", n("runners/gpu")},
	}
	for name, test := range tests {
		labels := n(test.labels)
		if got := SetOf(test.namespace, test.listeners, labels.Namespace, labels.Name); got != test.want {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func TestInstalled(t *testing.T) {
	t.Parallel()
	arc := Release{Name: "arc", Namespace: "systems"}
	tests := map[string]struct {
		release Release
		of      string
		want    bool
	}{
		"its own":                       {arc, "systems/arc", true},
		"a namesake's":                  {arc, "tenant/arc", false},
		"another's beside it":           {arc, "systems/web", false},
		"nobody's":                      {arc, "/", false},
		"nobody's, no release is known": {Release{}, "/", false},
		"no release is known":           {Release{Namespace: "systems"}, "systems/", false},
	}
	for name, test := range tests {
		if got := test.release.Installed(n(test.of)); got != test.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

func TestScaleSets(t *testing.T) {
	t.Parallel()
	gpu := Release{Name: "gpu", Namespace: "runners", Recorded: true, Sets: all("runners/set")}
	apart := Release{Name: "gpu", Namespace: "releases", Recorded: true, Sets: all("runners/set")}
	tests := map[string]struct {
		release        Release
		named, claimed []Set
		existing       map[Set]Name
		want           []Set
	}{
		"by its record":                      {gpu, nil, nil, map[Set]Name{n("runners/set"): n("runners/gpu")}, all("runners/set")},
		"by its record, though it is gone":   {gpu, nil, nil, nil, all("runners/set")},
		"a namesake of another release":      {gpu, nil, nil, map[Set]Name{n("runners/set"): n("runners/other")}, nil},
		"one of nobody, in its place":        {gpu, nil, nil, map[Set]Name{n("runners/set"): {}}, all("runners/set")},
		"elsewhere the record says nothing":  {apart, nil, nil, map[Set]Name{n("runners/set"): {}}, nil},
		"elsewhere it says so itself":        {apart, nil, all("runners/set"), map[Set]Name{n("runners/set"): n("releases/gpu")}, all("runners/set")},
		"gone, and what is left says so":     {apart, nil, all("runners/set"), nil, all("runners/set")},
		"something beside it says so":        {apart, nil, all("runners/set"), map[Set]Name{n("runners/set"): {}}, nil},
		"something beside another's says so": {apart, nil, all("runners/set"), map[Set]Name{n("runners/set"): n("runners/other")}, nil},
		"named, and found by the record":     {gpu, all("runners/z", "runners/set"), nil, nil, all("runners/set", "runners/z")},
		"named, and another release's":       {gpu, all("runners/z"), nil, map[Set]Name{n("runners/z"): n("runners/other")}, all("runners/set")},
		"named, and no release is known":     {Release{Namespace: "runners"}, all("runners/z"), nil, map[Set]Name{n("runners/z"): n("runners/other")}, all("runners/z")},
	}
	for name, test := range tests {
		if diff := cmp.Diff(test.want, test.release.ScaleSets(test.named, test.claimed, test.existing), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestWhoseAControllerIs(t *testing.T) {
	t.Parallel()
	recorded := Release{Name: "arc", Namespace: "systems", Recorded: true, Deployments: all("systems/arc", "control/arc")}
	named := Release{Name: "arc", Namespace: "systems"}
	rendered := Release{Namespace: "systems"}
	of := func(name, release string, watches ...string) Controller {
		return Controller{NamespacedName: n(name), Release: n(release), Watches: watches}
	}
	tests := map[string]struct {
		release    Release
		controller Controller
		hook       Namespaces
		want       bool
	}{
		"recorded":                               {recorded, of("systems/arc", "systems/arc"), Namespaces{}, true},
		"recorded, with namespaceOverride":       {recorded, of("control/arc", "systems/arc"), Namespaces{}, true},
		"recorded, watching what it may":         {recorded, of("systems/arc", "systems/arc", "other"), Namespaces{WatchNamespaces: []string{"runners"}}, true},
		"says to be, and is not in the record":   {recorded, of("tenant/arc", "systems/arc"), Namespaces{}, false},
		"is in the record, and says nothing":     {recorded, of("systems/arc", "/"), Namespaces{}, false},
		"a namesake's in its place":              {recorded, of("systems/arc", "tenant/arc"), Namespaces{}, false},
		"named by hand":                          {named, of("systems/arc", "systems/arc"), Namespaces{}, true},
		"named by hand, of nobody":               {named, of("systems/arc", "/"), Namespaces{}, true},
		"named by hand, another release's":       {named, of("systems/arc", "systems/other"), Namespaces{}, false},
		"named by hand, elsewhere":               {named, of("tenant/arc", "systems/arc"), Namespaces{}, false},
		"named by hand, where it was said to be": {named, of("control/arc", "systems/arc"), Namespaces{ControllerNamespaces: []string{"control"}}, true},
		"without a record":                       {rendered, of("systems/arc", "/"), Namespaces{}, true},
		"without a record, of Helm all the same": {rendered, of("systems/arc", "systems/x"), Namespaces{}, true},
		"without a record, of elsewhere":         {rendered, of("systems/arc", "tenant/x"), Namespaces{}, false},
		"without a record, elsewhere":            {rendered, of("tenant/arc", "/"), Namespaces{}, false},
		"without a record, watching the hook's":  {rendered, of("systems/arc", "/", "runners"), Namespaces{WatchNamespaces: []string{"a", "runners"}}, true},
		"without a record, watching another":     {rendered, of("systems/arc", "/", "team"), Namespaces{WatchNamespaces: []string{"runners"}}, false},
		"without a record, watching all":         {rendered, of("systems/arc", "/"), Namespaces{WatchNamespaces: []string{"runners"}}, true},
		"without a record, the hook of all":      {rendered, of("systems/arc", "/", "team"), Namespaces{}, true},
		"by hand, nothing is named":              {Release{}, of("systems/arc", "systems/arc"), Namespaces{}, false},
		"by hand, only where controllers are":    {Release{}, of("control/arc", "/"), Namespaces{ControllerNamespaces: []string{"control"}}, false},
	}
	for name, test := range tests {
		if got := test.release.Owns(test.controller, test.hook); got != test.want {
			t.Errorf("%s: %t", name, got)
		}
		if test.release.IsOther(test.controller, test.hook) == test.want {
			t.Errorf("%s: other, and the release's own, or neither", name)
		}
		test.controller.Leaving = true
		if test.release.IsOther(test.controller, test.hook) {
			t.Errorf("%s: on its way out it has a claim on something", name)
		}
	}
}

func TestWhatAControllerSees(t *testing.T) {
	t.Parallel()
	if c := (Controller{}); !c.Sees("any") {
		t.Error("it watches all namespaces")
	}
	if c := (Controller{Watches: []string{"a", "b"}}); !c.Sees("b") || c.Sees("c") {
		t.Error("it watches a and b")
	}
}
