package chart

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

// schema is the part of JSON schema that the chart's schema uses.
type schema struct {
	Ref                  string            `json:"$ref"`
	Properties           map[string]schema `json:"properties"`
	AdditionalProperties any               `json:"additionalProperties"`
}

// paths lists the properties of a schema. It fails for an object that names properties and allows others.
func (s schema) paths(t *testing.T, at string) []string {
	t.Helper()
	if s.Properties == nil {
		return []string{at}
	}
	if s.AdditionalProperties != false {
		t.Errorf("the schema lets unknown values through at %q", at)
	}
	var out []string
	for name, property := range s.Properties {
		out = append(out, property.paths(t, at+"."+name)...)
	}
	return out
}

// valuePaths lists the values, down to the depth of the schema.
func valuePaths(values map[string]any, s schema, at string) []string {
	var out []string
	for name, value := range values {
		property := s.Properties[name]
		if inner, ok := value.(map[string]any); ok && property.Properties != nil {
			out = append(out, valuePaths(inner, property, at+"."+name)...)
		} else {
			out = append(out, at+"."+name)
		}
	}
	return out
}

func chartValues(t *testing.T) map[string]any {
	t.Helper()
	values, err := Values([]string{filepath.Join(chartDir, "values.yaml")}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return values
}

func chartSchema(t *testing.T) schema {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(chartDir, "values.schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	var s schema
	if err := json.Unmarshal(data, &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// The values and the schema have the same names.
func TestSchemaIsOfTheValues(t *testing.T) {
	s := chartSchema(t)
	inSchema := slices.DeleteFunc(s.paths(t, ""), func(path string) bool {
		// Helm adds global; Kubernetes has claims, and the defaults do not.
		return path == ".global" || path == ".resources.claims"
	})
	inValues := valuePaths(chartValues(t), s, "")
	slices.Sort(inSchema)
	slices.Sort(inValues)
	if diff := cmp.Diff(inValues, inSchema); diff != "" {
		t.Errorf("values.yaml (-) and values.schema.json (+) differ:\n%s", diff)
	}
}

// The variant every-value sets every value, and none to its default.
func TestEveryValueIsTried(t *testing.T) {
	var same func(defaults, tried map[string]any, at string)
	same = func(defaults, tried map[string]any, at string) {
		for _, name := range slices.Sorted(maps.Keys(defaults)) {
			path, value := at+"."+name, tried[name]
			inner, isMap := defaults[name].(map[string]any)
			switch {
			case path == ".enabled", path == ".sweep.enabled":
			case value == nil:
				t.Errorf("ci/every-value-values.yaml has no %s", path)
			case isMap && len(inner) > 0:
				over, _ := value.(map[string]any)
				same(inner, over, path)
			case reflect.DeepEqual(defaults[name], value):
				t.Errorf("ci/every-value-values.yaml has %s at its default", path)
			}
		}
	}
	same(chartValues(t), variants(t)["every-value"], "")
}

// TestArtifactHub reads the annotations as Artifact Hub does
// (https://artifacthub.io/docs/topics/annotations/helm): each is a list in a string, and no other test would find
// it broken.
func TestArtifactHub(t *testing.T) {
	c := load(t)
	var images []struct {
		Name, Image string
		Platforms   []string
	}
	var links []struct{ Name, URL string }
	for key, into := range map[string]any{"images": &images, "links": &links} {
		if err := yaml.UnmarshalStrict([]byte(c.Metadata.Annotations["artifacthub.io/"+key]), into); err != nil {
			t.Errorf("artifacthub.io/%s: %v", key, err)
		}
	}
	image, _ := chartValues(t)["image"].(map[string]any)
	want, _ := image["repository"].(string)
	want += ":" + c.Metadata.AppVersion
	if len(images) != 1 || images[0].Image != want {
		t.Errorf("artifacthub.io/images is %+v, want the image of this version, %s", images, want)
	}
	if len(links) == 0 {
		t.Error("artifacthub.io/links is empty")
	}
}
