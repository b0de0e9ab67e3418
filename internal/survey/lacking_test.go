package survey

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/kube/kubetest"
)

// crdWith is one of ARC's CRDs with these fields.
func crdWith(name string, fields ...string) map[string]any {
	properties := map[string]any{}
	for _, field := range fields {
		properties[field] = map[string]any{"type": "string"}
	}
	return map[string]any{
		"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": map[string]any{"name": name},
		"spec": map[string]any{"versions": []any{map[string]any{
			"name": "v1alpha1", "served": true, "storage": true,
			"schema": map[string]any{"openAPIV3Schema": map[string]any{"type": "object", "properties": properties}},
		}}},
	}
}

// Only ARC's CRDs are compared, each that exists. A failed read is unknown.
func TestLackingCRDs(t *testing.T) {
	t.Parallel()
	names := arc.CRDs()
	a, c := kubetest.New(t, kubetest.Stored(crdWith(names[0], "a", "b"), crdWith(names[1], "a"), crdWith("x.example.com"))...)
	of := []map[string]any{
		crdWith("x.example.com", "a"), crdWith(names[2], "a"), crdWith(names[1], "a", "b"), crdWith(names[0], "a"), {},
	}
	got, err := LackingCRDs(t.Context(), c, of)
	if diff := cmp.Diff([]arc.LackingCRD{{Name: names[1], Lacks: []string{"no b"}}}, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if got, err = LackingCRDs(t.Context(), c, nil); got != nil || err != nil {
		t.Errorf("with nothing: %v, %v", got, err)
	}
	a.Fault = func(string) int { return http.StatusForbidden }
	if _, err = LackingCRDs(t.Context(), c, of); err == nil || !strings.Contains(err.Error(), names[0]) {
		t.Errorf("without the right: %v", err)
	}
}
