package arc

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

// A CRD lacks what another one has only if the API server would drop or refuse it.
func TestLacks(t *testing.T) {
	t.Parallel()
	const whole = `
type: object
description: of the chart
properties:
  spec:
    type: object
    required: [url]
    properties:
      url: {type: string}
      max: {type: integer, format: int32}
      port: {x-kubernetes-int-or-string: true}
      phase: {type: string, enum: [a, b]}
      labels: {type: object, additionalProperties: {type: string}}
      containers: {type: array, items: {type: object, properties: {name: {type: string}}}}
  status:
    type: object
    properties:
      failures: {type: object, additionalProperties: {type: string, format: date-time}}
`
	tests := map[string]struct {
		from, to string // what is different in the cluster
		want     []string
	}{
		"the same":            {"", "", nil},
		"another description": {"of the chart", "of the cluster", nil},
		"an additional field": {"url: {type: string}", "url: {type: string}\n      more: {type: string}", nil},
		"no field":            {"      url: {type: string}\n", "", []string{"no spec.url"}},
		"no field of a container": {
			"{type: object, properties: {name: {type: string}}}", "{type: object}", []string{"no spec.containers[].name"},
		},
		"no object":             {"  status:\n", "  other:\n", []string{"no status"}},
		"another type":          {"format: date-time", "format: uuid", []string{"another type of status.failures[]"}},
		"what was a bool":       {"{type: string, format: date-time}", "{type: boolean}", []string{"another type of status.failures[]"}},
		"a number, not either":  {"x-kubernetes-int-or-string: true", "type: integer", []string{"another type of spec.port"}},
		"another number":        {"format: int32", "format: int64", nil},
		"any text":              {", format: date-time", "", nil},
		"no labels":             {"additionalProperties: {type: string}", "properties: {}", []string{"another type of spec.labels[]"}},
		"all labels":            {"additionalProperties: {type: string}", "additionalProperties: true", nil},
		"everything":            {"type: object\ndescription: of the chart\nproperties:", "type: object\nx-kubernetes-preserve-unknown-fields: true\nothers:", nil},
		"any field":             {"properties: {name: {type: string}}", "additionalProperties: {type: string}", nil},
		"another required one":  {"required: [url]", "required: [url, max]", []string{"a required spec.max"}},
		"required, and default": {"required: [url]\n    properties:\n      url: {type: string}\n      max: {type: integer", "required: [url, max]\n    properties:\n      url: {type: string}\n      max: {default: 1, type: integer", nil},
		"required no more":      {"    required: [url]\n", "", nil},
		"a value is missing":    {"enum: [a, b]", "enum: [b, c]", []string{"fewer values of spec.phase"}},
		"any value":             {", enum: [a, b]", "", nil},
		"only some values":      {"{type: string, enum: [a, b]}", "{type: string, enum: [a, b, c]}", nil},
		"several, ARC's first":  {"      url: {type: string}\n      max: {type: integer, format: int32}\n", "", []string{"no spec.max", "no spec.url"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			changed := strings.Replace(whole, test.from, test.to, 1)
			if changed == whole && name != "the same" {
				t.Fatal("nothing is changed")
			}
			if diff := cmp.Diff(test.want, Lacks(crdOf(t, changed), crdOf(t, whole))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func crdOf(t *testing.T, schema string) map[string]any {
	t.Helper()
	var parsed map[string]any
	if err := yaml.Unmarshal([]byte(schema), &parsed); err != nil {
		t.Fatal(err)
	}
	return map[string]any{"spec": map[string]any{"versions": []any{map[string]any{
		"name": "v1alpha1", "served": true, "storage": true, "subresources": map[string]any{"status": map[string]any{}},
		"schema": map[string]any{"openAPIV3Schema": parsed},
	}}}}
}

func TestLacksVersions(t *testing.T) {
	t.Parallel()
	version := func(crd map[string]any) map[string]any { return versionsOf(crd)[0] }
	tests := map[string]struct {
		change func(is, want map[string]any)
		lacks  []string
	}{
		"another name":         {func(is, _ map[string]any) { version(is)["name"] = "v1" }, []string{"no version v1alpha1"}},
		"not served":           {func(is, _ map[string]any) { version(is)["served"] = false }, []string{"no version v1alpha1"}},
		"not needed":           {func(_, want map[string]any) { version(want)["name"], version(want)["served"] = "v1", false }, nil},
		"not stored":           {func(is, _ map[string]any) { version(is)["storage"] = false }, []string{"another stored version than v1alpha1"}},
		"without subresources": {func(is, _ map[string]any) { delete(version(is), "subresources") }, []string{"no subresource status"}},
		"no CRD":               {func(is, _ map[string]any) { delete(is, "spec") }, []string{"no version v1alpha1"}},
	}
	for name, test := range tests {
		is, want := crdOf(t, "type: object"), crdOf(t, "type: object")
		test.change(is, want)
		if diff := cmp.Diff(test.lacks, Lacks(is, want)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestLackingCRDIsNamed(t *testing.T) {
	t.Parallel()
	for want, lacks := range map[string][]string{
		"x has no spec.a":                       {"no spec.a"},
		"x has no spec.a, a required spec.b":    {"no spec.a", "a required spec.b"},
		"x has no spec.a, no spec.b and 2 more": {"no spec.a", "no spec.b", "no spec.c", "no spec.d"},
	} {
		if got := (LackingCRD{"x", lacks}).String(); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}
