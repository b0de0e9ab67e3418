package chart

import (
	"strings"
	"testing"

	"github.com/arc-cleanup/arc-cleanup/internal/helm"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

func enroller(t *testing.T, values map[string]any) ([]helm.Hook, []Object) {
	t.Helper()
	hooks, err := Render(arcRelease, values)
	if err != nil {
		t.Fatal(err)
	}
	objects, err := Enroller(arcRelease, values, hooks)
	if err != nil {
		t.Fatal(err)
	}
	return hooks, objects
}

func TestEnroller(t *testing.T) {
	render := func() string {
		_, objects := enroller(t, map[string]any{"nodeSelector": map[string]any{"pool": "infra"}})
		var out strings.Builder
		for _, o := range objects {
			out.WriteString("---\n# Source: " + o.Path + "\n" + o.Manifest + "\n")
		}
		return out.String()
	}
	got := render()
	golden(t, "enroller", got)
	if again := render(); again != got {
		t.Errorf("rendered twice it differs:\n%s", cmp.Diff(got, again))
	}
}

// The whole hook is in the text of the ConfigMap. No reader of documents, however simple, can mistake it for
// an object.
func TestEnrollerCarriesTheHookAsData(t *testing.T) {
	hooks, objects := enroller(t, map[string]any{"watchNamespaces": []any{"runners"}})
	var data string
	for _, o := range objects {
		var object struct {
			Kind     string
			Metadata struct{ Annotations, Labels map[string]string }
			Data     map[string]string
		}
		if err := yaml.Unmarshal([]byte(o.Manifest), &object); err != nil {
			t.Fatal(err)
		}
		if len(object.Metadata.Annotations) > 0 {
			t.Errorf("%s %s has annotations: %v", o.Kind, o.Name, object.Metadata.Annotations)
		}
		if !IsEnroller(object.Metadata.Labels) || IsOurs(object.Metadata.Labels, object.Metadata.Annotations) {
			t.Errorf("%s %s is not recognised as the enroller's", o.Kind, o.Name)
		}
		if object.Kind == "ConfigMap" {
			data = object.Data[EnrolData]
		}
		for line := range strings.Lines(o.Manifest) {
			if strings.Contains(line, helm.AnnotationHook) && !strings.HasPrefix(line, "  "+EnrolData+`: "[`) {
				t.Errorf("%s %s: %s", o.Kind, o.Name, line)
			}
		}
	}
	if diff := cmp.Diff(asJSON(t, hooks), data); diff != "" {
		t.Error(diff)
	}
}

// A hook among the ordinary objects is an error.
func TestOrdinary(t *testing.T) {
	_, objects := enroller(t, nil)
	if err := ordinary(objects); err != nil {
		t.Error(err)
	}
	job := Object{Kind: "Job", Name: "x", annotations: map[string]string{helm.AnnotationHook: "pre-delete"}}
	if err := ordinary(append(objects, job)); err == nil || !strings.Contains(err.Error(), "Job x must not be a hook") {
		t.Errorf("got %v", err)
	}
}

// Kubernetes does not allow the selector to change, so it has nothing that an upgrade of arc-cleanup changes.
func TestEnrollerSelector(t *testing.T) {
	_, objects := enroller(t, nil)
	var deployment struct {
		Spec struct {
			Selector struct{ MatchLabels map[string]string }
		}
	}
	if err := yaml.Unmarshal([]byte(objects[len(objects)-1].Manifest), &deployment); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"app.kubernetes.io/name": Name, "app.kubernetes.io/instance": "arc", "app.kubernetes.io/component": "enroller"}
	if diff := cmp.Diff(want, deployment.Spec.Selector.MatchLabels); diff != "" {
		t.Error(diff)
	}
}
