package detect

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func testdata(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "postrender", "testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestFind(t *testing.T) {
	type facts struct {
		Anchor, Scope, Release string
		Values                 map[string]any
	}
	tests := map[string]facts{
		"controller.yaml": {"Deployment systems/arc-gha-rs-controller", "controller", "arc", map[string]any{
			"scope":             "controller",
			"imagePullSecrets":  []any{map[string]any{"name": "pull"}},
			"priorityClassName": "system-cluster-critical",
			"nodeSelector":      map[string]any{"pool": "7"},
			"tolerations": []any{map[string]any{
				"key": "infra", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300,
			}},
			"affinity": map[string]any{"nodeAffinity": map[string]any{
				"requiredDuringSchedulingIgnoredDuringExecution": map[string]any{
					"nodeSelectorTerms": []any{map[string]any{"matchExpressions": []any{map[string]any{
						"key": "arch", "operator": "In", "values": []any{"amd64"},
					}}}},
				},
			}},
		}},
		"controller-old.yaml":          {"Deployment systems/arc-gha-runner-scale-set-controller", "controller", "arc", map[string]any{"scope": "controller"}},
		"controller-experimental.yaml": {"Deployment systems/arc-gha-rs-controller", "controller", "arc", map[string]any{"scope": "controller"}},
		"controller-watch.yaml":        {"Deployment systems/arc-gha-rs-controller", "controller", "arc", map[string]any{"scope": "controller", "watchNamespaces": []string{"runners"}}},
		// The Deployments of its servers come first, and have the same labels.
		"legacy.yaml": {"Deployment systems/legacy-arc", "legacy", "legacy", map[string]any{"scope": "legacy", "watchNamespaces": []string{"ci"}, "priorityClassName": "high"}},
		"list.yaml":   {"Deployment systems/c", "controller", "arc", map[string]any{"scope": "controller", "nodeSelector": map[string]any{"pool": "infra"}}},
		// The controller is preferred, wherever it stands.
		"umbrella.yaml": {"Deployment systems/arc-gha-rs-controller", "controller", "arc", map[string]any{"scope": "controller", "watchNamespaces": []string{"runners"}}},
		// From the runners' Pod, only what gives the scheduler more choice.
		"scale-set.yaml": {"AutoscalingRunnerSet runners/set", "scale-set", "set", map[string]any{
			"scope":                "scale-set",
			"controllerNamespaces": []string{"systems"},
			"tolerations":          []any{map[string]any{"key": "gpu", "operator": "Exists"}},
			"imagePullSecrets":     []any{map[string]any{"name": "runner-pull"}},
		}},
		"scale-set-experimental.yaml": {"AutoscalingRunnerSet runners/set", "scale-set", "set", map[string]any{
			"scope":                "scale-set",
			"controllerNamespaces": []string{"systems"},
			"tolerations":          []any{map[string]any{"key": "infra", "operator": "Exists"}},
			"nodeSelector":         map[string]any{"pool": "infra"},
			"priorityClassName":    "high",
		}},
	}
	for file, want := range tests {
		// Of a large stream only a part is parsed, with the same result.
		for size, stream := range map[string][]byte{"small": testdata(t, file), "large": large(testdata(t, file))} {
			t.Run(file+" "+size, func(t *testing.T) {
				a, hooked, err := Find(stream)
				if err != nil || a == nil || hooked {
					t.Fatalf("got %v, %v, %v", a, hooked, err)
				}
				if diff := cmp.Diff(want, facts{a.String(), a.Scope, a.Release, a.In(a.Namespace)}); diff != "" {
					t.Error(diff)
				}
			})
		}
	}
}

func TestFindNotARC(t *testing.T) {
	for size, stream := range map[string][]byte{
		"small": testdata(t, "not-arc.yaml"), "large": large(testdata(t, "not-arc.yaml")), "empty": nil,
	} {
		if a, hooked, err := Find(stream); a != nil || hooked || err != nil {
			t.Errorf("%s: got %v, %v, %v", size, a, hooked, err)
		}
	}
}

// large puts documents before a stream, so that only a part of it is parsed.
func large(stream []byte) []byte { return append(filler(wholeBelow), stream...) }

// filler returns a stream above a size. Another document can follow it.
func filler(size int) []byte {
	document := []byte("kind: ConfigMap\ndata: {x: 0123456789}\n---\n")
	var out []byte
	for len(out) <= size {
		out = append(out, document...)
	}
	return out
}

// controllerIn and the functions below return documents as ARC's charts write them.
func controllerIn(namespace, watches string) string {
	args := `"--auto-scaling-runner-set-only"`
	if watches != "" {
		args += `, "--watch-single-namespace=` + watches + `"`
	}
	return "kind: Deployment\nmetadata:\n  name: c-" + namespace + watches + "\n" + in(namespace) +
		"  labels: {app.kubernetes.io/instance: arc}\nspec: {template: {spec: {containers: [{name: manager, args: [" + args + "]}]}}}\n"
}

func legacyIn(namespace, watches string) string {
	args := ""
	if watches != "" {
		args = `"--watch-namespace=` + watches + `"`
	}
	return "kind: Deployment\nmetadata:\n  name: l-" + namespace + watches + "\n" + in(namespace) +
		"  labels: {app.kubernetes.io/instance: old, helm.sh/chart: actions-runner-controller-0.23.7}\n" +
		"spec: {template: {spec: {containers: [{name: manager, command: [/manager], args: [" + args + "]}]}}}\n"
}

func setIn(namespace, name, manager string) string {
	binding := "kind: RoleBinding\nmetadata:\n  name: " + name + "-gha-rs-manager\n" + in(namespace) + "  finalizers: [actions.github.com/cleanup-protection]\n" +
		"subjects:\n- kind: ServiceAccount\n  name:\n    arc\n  namespace:\n    " + manager + "\n"
	return binding + "---\napiVersion: actions.github.com/v1alpha1\nkind: AutoscalingRunnerSet\nmetadata:\n  name: " + name + "\n" + in(namespace)
}

func in(namespace string) string {
	if namespace == "" {
		return ""
	}
	return "  namespace: " + namespace + "\n"
}

// All controllers and scale sets of a stream count, wherever they stand.
func TestIn(t *testing.T) {
	const scope, watch, controllers, runners = "scope", "watchNamespaces", "controllerNamespaces", "runnerNamespaces"
	list := func(names ...string) []string { return names }
	tests := map[string]struct {
		documents  []string
		release    string
		namespaces []string
		want       map[string]any
	}{
		"two controllers": {
			list(controllerIn("systems", "team-b"), controllerIn("systems", "team-a")), "systems", list("systems"),
			map[string]any{scope: "controller", watch: list("team-a", "team-b")},
		},
		"two controllers, one watches all": {
			list(controllerIn("systems", "team-a"), controllerIn("systems", "")), "systems", list("systems"),
			map[string]any{scope: "controller"},
		},
		"two controllers, the first watches all": {
			list(controllerIn("systems", ""), controllerIn("systems", "team-a")), "systems", list("systems"),
			map[string]any{scope: "controller"},
		},
		"two controllers, apart": {
			list(controllerIn("b", "team-b"), controllerIn("a", "team-a")), "platform", list("a", "b"),
			map[string]any{scope: "controller", watch: list("team-a", "team-b"), controllers: list("a", "b")},
		},
		"two controllers, one beside the release": {
			list(controllerIn("b", "team-b"), controllerIn("a", "team-a")), "a", list("a", "b"),
			map[string]any{scope: "controller", watch: list("team-a", "team-b"), controllers: list("a", "b")},
		},
		"a controller apart": {
			list(controllerIn("systems", "")), "platform", list("systems"),
			map[string]any{scope: "controller", controllers: list("systems")},
		},
		"a controller without a namespace": {
			list(controllerIn("", "")), "platform", nil,
			map[string]any{scope: "controller"},
		},
		"a controller without a namespace, another with": {
			list(controllerIn("", ""), controllerIn("systems", "")), "platform", list("systems"),
			map[string]any{scope: "controller", controllers: list("platform", "systems")},
		},
		"a controller and its set": {
			list(controllerIn("systems", ""), setIn("runners", "x", "systems")), "systems", list("runners", "systems"),
			map[string]any{scope: "controller"},
		},
		"a controller and another one's set": {
			list(setIn("runners", "x", "other"), controllerIn("systems", "")), "systems", list("runners", "systems"),
			map[string]any{scope: "controller", controllers: list("other", "systems")},
		},
		"a controller and a set that it watches": {
			list(controllerIn("systems", "runners"), setIn("runners", "x", "systems")), "systems", list("runners", "systems"),
			map[string]any{scope: "controller", watch: list("runners")},
		},
		"a controller and a set that it does not watch": {
			list(controllerIn("systems", "runners"), setIn("apart", "x", "systems")), "systems", list("apart", "systems"),
			map[string]any{scope: "controller", watch: list("runners"), runners: list("apart", "runners")},
		},
		"a controller and a set beside it that it does not watch": {
			list(controllerIn("", "runners"), setIn("", "x", "systems")), "systems", nil,
			map[string]any{scope: "controller", watch: list("runners"), runners: list("runners", "systems")},
		},
		"a set beside its controller": {
			list(setIn("runners", "x", "runners")), "runners", list("runners"),
			map[string]any{scope: "scale-set"},
		},
		"sets of several controllers": {
			list(setIn("runners", "x", "systems"), setIn("runners", "y", "other")), "runners", list("runners"),
			map[string]any{scope: "scale-set", controllers: list("other", "systems")},
		},
		"sets of several namespaces": {
			list(setIn("b", "x", "systems"), setIn("a", "y", "systems")), "a", list("a", "b"),
			map[string]any{scope: "scale-set", controllers: list("systems"), runners: list("a", "b")},
		},
		"a set apart": {
			list(setIn("runners", "x", "systems")), "systems", list("runners"),
			map[string]any{scope: "scale-set", runners: list("runners")},
		},
		"sets without a namespace and with": {
			list(setIn("runners", "x", "systems"), setIn("", "y", "systems")), "systems", list("runners"),
			map[string]any{scope: "scale-set", runners: list("runners", "systems")},
		},
		"two legacy controllers": {
			list(legacyIn("systems", "b"), legacyIn("systems", "a")), "systems", list("systems"),
			map[string]any{scope: "legacy", watch: list("a", "b")},
		},
		"two legacy controllers, one watches all": {
			list(legacyIn("systems", "b"), legacyIn("systems", "")), "elsewhere", list("systems"),
			map[string]any{scope: "legacy"},
		},
		"a legacy controller and a set": {
			list(legacyIn("systems", "b"), setIn("runners", "x", "other")), "systems", list("runners", "systems"),
			map[string]any{scope: "legacy", watch: list("b")},
		},
		"a controller and a legacy one": {
			list(legacyIn("old", "b"), controllerIn("systems", "a")), "systems", list("systems"),
			map[string]any{scope: "controller", watch: list("a")},
		},
	}
	for name, test := range tests {
		stream := []byte(strings.Join(test.documents, "---\n"))
		for size, stream := range map[string][]byte{"small": stream, "large": large(stream)} {
			t.Run(name+" "+size, func(t *testing.T) {
				a, _, err := Find(stream)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(test.want, a.In(test.release)); diff != "" {
					t.Error(diff)
				}
				if diff := cmp.Diff(test.namespaces, a.Namespaces(), cmpopts.EquateEmpty()); diff != "" {
					t.Error(diff)
				}
			})
		}
	}
}

// Only ARC's own RoleBindings tell where a controller is.
func TestManagers(t *testing.T) {
	set := setIn("runners", "x", "systems")
	for name, stream := range map[string]string{
		"another one's":         strings.Replace(set, "actions.github.com/cleanup-protection", "example.com/protection", 1),
		"without a finalizer":   strings.Replace(set, "  finalizers: [actions.github.com/cleanup-protection]\n", "", 1),
		"for another purpose":   strings.Replace(set, "-gha-rs-manager", "-gha-rs-kube-mode", 1),
		"without a subject":     strings.Replace(set, "subjects:", "others:", 1),
		"of another kind":       strings.Replace(set, "kind: RoleBinding", "kind: Role", 1),
		"subjects of no form":   strings.Replace(set, "---\n", "- 5\n---\n", 1),
		"finalizers of no form": strings.Replace(set, "[actions.github.com/cleanup-protection]", "{actions.github.com/cleanup-protection: 1}", 1),
	} {
		a, _, err := Find([]byte(stream))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(map[string]any{"scope": "scale-set"}, a.In("runners")); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// A Pod template that cannot be read is an error, in each kind of object.
func TestPodTemplates(t *testing.T) {
	set := setIn("runners", "x", "systems")
	for name, stream := range map[string]string{
		"the listener's":   set + "spec: {listenerTemplate: {spec: {tolerations: none}}}\n",
		"the runners'":     set + "spec: {template: {spec: {tolerations: none}}}\n",
		"the controller's": strings.Replace(controllerIn("systems", ""), "containers:", "tolerations: none, containers:", 1),
	} {
		if _, _, err := Find([]byte(stream)); err == nil || !strings.Contains(err.Error(), "the Pod template cannot be read") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// A stream may be a record that a tenant has written.
func TestDocumentsAreLimited(t *testing.T) {
	t.Parallel()
	large := strings.Repeat("a", maxDocument)
	set := "apiVersion: actions.github.com/v1alpha1\nkind: AutoscalingRunnerSet\nmetadata: {name: x}\n"
	_, _, err := Find([]byte("a: 1\n---\n" + set + "spec: {a: " + large + "}\n"))
	if err == nil || !strings.Contains(err.Error(), "the document in line 2 may be an object of ARC and is larger than 2 MiB") {
		t.Errorf("got %v", err)
	}
	// Find does not parse what is not of ARC, so that it may be large.
	if a, _, err := Find([]byte("kind: ConfigMap\ndata: {a: " + large + "}\n---\n" + set)); err != nil || a == nil {
		t.Errorf("%v, %v", a, err)
	}
}

// A tenant can write any number of records, each with any number of small documents.
func TestRecordsAreLimited(t *testing.T) {
	t.Parallel()
	set := "apiVersion: actions.github.com/v1alpha1\nkind: AutoscalingRunnerSet\nmetadata: {name: x}\nspec: {a: " + strings.Repeat("a", 1000) + "}\n---\n"
	many := []byte(strings.Repeat(set, maxRecord/1000))
	if a, _, err := Find(many); err == nil || !strings.Contains(err.Error(), "more than 2 MiB of it may be objects of ARC") {
		t.Errorf("found %v, %v", a, err)
	}
	// What the user renders has no such limit, and what is not of ARC does not count.
	if a, _, err := Search(many, len(many)); err != nil || a == nil {
		t.Errorf("%v, %v", a, err)
	}
	other := strings.Repeat("kind: ConfigMap\ndata: {a: "+strings.Repeat("a", 1000)+"}\n---\n", maxRecord/1000)
	if a, _, err := Find([]byte(other + set)); err != nil || a == nil {
		t.Errorf("%v, %v", a, err)
	}
}

// Of a key that is given twice in a Pod template the last counts, as for Helm.
func TestDuplicateKeysInPodTemplates(t *testing.T) {
	a, _, err := Find([]byte(strings.Replace(controllerIn("systems", ""), "containers:", "priorityClassName: low, priorityClassName: high, containers:", 1)))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]any{"scope": "controller", "priorityClassName": "high"}, a.In("systems")); diff != "" {
		t.Error(diff)
	}
}
