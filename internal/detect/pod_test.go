package detect

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The hook's Pod takes nothing from a template for another operating system.
func TestSystem(t *testing.T) {
	const tolerations = "tolerations: [{key: ci, operator: Exists}], imagePullSecrets: [{name: registry}]"
	taken := map[string]any{
		"scope": "scale-set", "tolerations": []any{map[string]any{"key": "ci", "operator": "Exists"}},
		"imagePullSecrets": []any{map[string]any{"name": "registry"}},
	}
	nothing := map[string]any{"scope": "scale-set"}
	affinity := func(terms string) string {
		return "affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [" + terms + "]}}}"
	}
	const (
		windows    = "{matchExpressions: [{key: kubernetes.io/os, operator: In, values: [windows]}]}"
		notLinux   = "{matchExpressions: [{key: pool, operator: Exists}, {key: beta.kubernetes.io/os, operator: NotIn, values: [linux]}]}"
		either     = "{matchExpressions: [{key: kubernetes.io/os, operator: In, values: [windows, linux]}]}"
		notWindows = "{matchExpressions: [{key: kubernetes.io/os, operator: NotIn, values: [windows]}]}"
		pool       = "{matchExpressions: [{key: pool, operator: In, values: [ci]}]}"
	)
	for asks, want := range map[string]map[string]any{
		"nodeSelector: {pool: ci}":                                     taken,
		"nodeSelector: {kubernetes.io/os: linux}":                      taken,
		"nodeSelector: {kubernetes.io/os: windows}":                    nothing,
		"nodeSelector: {beta.kubernetes.io/os: windows}":               nothing,
		"nodeSelector: {node.kubernetes.io/windows-build: 10.0.20348}": nothing,
		"os: {name: linux}":                                            taken,
		"os: {name: windows}":                                          nothing,
		affinity(windows):                                              nothing,
		affinity(notLinux):                                             nothing,
		affinity(windows + ", " + notLinux):                            nothing,
		affinity(windows + ", " + pool):                                taken,
		affinity(either):                                               taken,
		affinity(notWindows):                                           taken,
		affinity(pool):                                                 taken,
	} {
		stream := "apiVersion: actions.github.com/v1alpha1\nkind: AutoscalingRunnerSet\nmetadata: {name: x, namespace: runners}\n" +
			"spec: {template: {spec: {" + tolerations + ", " + asks + "}}}\n"
		a, _, err := Find([]byte(stream))
		if err != nil {
			t.Fatalf("%s: %v", asks, err)
		}
		if diff := cmp.Diff(want, a.In("runners")); diff != "" {
			t.Errorf("%s: %s", asks, diff)
		}
	}
}
