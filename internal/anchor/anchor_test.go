package anchor

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
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
		"controller-watch.yaml":        {"Deployment systems/arc-gha-rs-controller", "controller", "arc", map[string]any{"scope": "controller", "watchNamespace": "runners"}},
		"list.yaml":                    {"Deployment systems/c", "controller", "arc", map[string]any{"scope": "controller", "nodeSelector": map[string]any{"pool": "infra"}}},
		// The controller wins, wherever it stands.
		"umbrella.yaml": {"Deployment systems/arc-gha-rs-controller", "controller", "arc", map[string]any{"scope": "controller", "watchNamespace": "runners"}},
		// Of the runners' Pod, only what widens the choice of nodes.
		"scale-set.yaml": {"AutoscalingRunnerSet runners/set", "scale-set", "set", map[string]any{
			"scope":               "scale-set",
			"controllerNamespace": "systems",
			"tolerations":         []any{map[string]any{"key": "gpu", "operator": "Exists"}},
			"imagePullSecrets":    []any{map[string]any{"name": "runner-pull"}},
		}},
		"scale-set-experimental.yaml": {"AutoscalingRunnerSet runners/set", "scale-set", "set", map[string]any{
			"scope":               "scale-set",
			"controllerNamespace": "systems",
			"tolerations":         []any{map[string]any{"key": "infra", "operator": "Exists"}},
			"nodeSelector":        map[string]any{"pool": "infra"},
			"priorityClassName":   "high",
		}},
	}
	for file, want := range tests {
		// A large stream is not parsed as a whole, and must be understood alike.
		for size, stream := range map[string][]byte{"small": testdata(t, file), "large": large(testdata(t, file))} {
			t.Run(file+" "+size, func(t *testing.T) {
				a, hooked, err := Find(stream)
				if err != nil || a == nil || hooked {
					t.Fatalf("got %v, %v, %v", a, hooked, err)
				}
				if diff := cmp.Diff(want, facts{a.String(), a.Scope, a.Release, a.Values}); diff != "" {
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

// large puts documents before a stream that make it too large to be parsed as
// a whole.
func large(stream []byte) []byte { return append(filler(wholeBelow), stream...) }

// filler is a stream above a size, to which a document can be added.
func filler(size int) []byte {
	document := []byte("kind: ConfigMap\ndata: {x: 0123456789}\n---\n")
	var out []byte
	for len(out) <= size {
		out = append(out, document...)
	}
	return out
}
