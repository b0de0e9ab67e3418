package hook

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"text/template"

	"github.com/Masterminds/sprig/v3"
	"go.yaml.in/yaml/v3"
	sigsyaml "sigs.k8s.io/yaml"

	"github.com/arc-cleanup/arc-cleanup/charts"
)

// The chart is rendered with what Helm's engine is made of, text/template and
// Sprig, and not with the engine itself: that links every API of Kubernetes, and to
// start takes a post-renderer twice as long as all it does. A test renders every
// variant of the chart with Helm's engine, too, and has the same come out.

// metadata is as much of Chart.yaml as templates ask for.
type metadata struct {
	Name, Version string
	AppVersion    string `yaml:"appVersion"`
}

// enrolData is what the template of the enroller finds under .Files.
type enrolData string

// Get is Helm's .Files.Get.
func (d enrolData) Get(name string) (string, error) {
	if name != EnrolData {
		return "", fmt.Errorf("there is no file %s", name)
	}
	return string(d), nil
}

// render renders the embedded chart with more templates for a release, by kind.
func render(r Release, values map[string]any, more map[string]string, data string) ([]Object, error) {
	if len(r.Name) > maxReleaseName || !releaseName.MatchString(r.Name) {
		return nil, fmt.Errorf("release name %q: must be lower case letters, digits, \"-\" and \".\", beginning and ending with a letter or digit, and no longer than %d", r.Name, maxReleaseName)
	}
	var chart metadata
	if err := read("Chart.yaml", yaml.Unmarshal, &chart); err != nil {
		return nil, err
	}
	all, err := withDefaults(values)
	if err != nil {
		return nil, err
	}
	templates, err := parse(more)
	if err != nil {
		return nil, fmt.Errorf("the embedded chart %s: %w", Name, err)
	}
	scope := map[string]any{
		"Values": all, "Chart": chart, "Files": enrolData(data),
		"Release":  map[string]any{"Name": r.Name, "Namespace": r.Namespace, "Service": "Helm"},
		"Template": map[string]any{"BasePath": Name + "/templates"},
	}
	var objects []Object
	for _, t := range templates {
		var out strings.Builder
		if err := t.Execute(&out, scope); err != nil {
			return nil, fmt.Errorf("chart %s: %w", Name, cause(err))
		}
		found, err := split(t.Name(), out.String())
		if err != nil {
			return nil, fmt.Errorf("chart %s: %s: %w", Name, t.Name(), err)
		}
		objects = append(objects, found...)
	}
	slices.SortStableFunc(objects, func(a, b Object) int {
		return cmp.Compare(slices.Index(installOrder, a.Kind), slices.Index(installOrder, b.Kind))
	})
	return objects, nil
}

// Helm's rule for the name of a release (helm.sh/helm/v3
// pkg/chartutil/validate_name.go).
const maxReleaseName = 53

var releaseName = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`)

// installOrder are the kinds there are in the order in which Helm creates them
// (helm.sh/helm/v3 pkg/releaseutil/kind_sorter.go).
var installOrder = []string{"ServiceAccount", "ConfigMap", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding", "Deployment", "Job"}

// parse returns the templates that render to something, by name. Those whose name
// begins with an underscore are only included by others.
func parse(more map[string]string) ([]*template.Template, error) {
	texts := map[string]string{}
	maps.Copy(texts, more)
	err := fs.WalkDir(charts.ArcCleanup, Name+"/templates", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || path.Base(name) == "NOTES.txt" {
			return err
		}
		data, err := charts.ArcCleanup.ReadFile(name)
		texts[strings.TrimPrefix(name, Name+"/")] = string(data)
		return err
	})
	if err != nil {
		return nil, err
	}
	// As Helm's engine does it (helm.sh/helm/v3 pkg/engine), as far as the chart asks,
	// and without what would differ from one time or machine to the next.
	root := template.New(Name).Option("missingkey=zero")
	root.Funcs(sprig.HermeticTxtFuncMap()).Funcs(template.FuncMap{
		"include": func(name string, data any) (string, error) {
			var out strings.Builder
			err := root.ExecuteTemplate(&out, name, data)
			return out.String(), err
		},
		"toYaml": func(v any) (string, error) {
			data, err := sigsyaml.Marshal(v)
			return strings.TrimSuffix(string(data), "\n"), err
		},
		"fromYaml": func(text string) (out map[string]any, err error) {
			err = sigsyaml.Unmarshal([]byte(text), &out)
			return out, err
		},
		"fromYamlArray": func(text string) (out []any, err error) {
			err = sigsyaml.Unmarshal([]byte(text), &out)
			return out, err
		},
	})
	var out []*template.Template
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		t, err := root.New(Name + "/" + name).Parse(texts[name])
		if err != nil {
			return nil, err
		}
		if !strings.HasPrefix(path.Base(name), "_") {
			out = append(out, t)
		}
	}
	return out, nil
}

// cause is what a template has refused with, without the templates on the way to
// it.
func cause(err error) error {
	for next := errors.Unwrap(err); next != nil; next = errors.Unwrap(next) {
		err = next
	}
	return err
}

// separator is between two documents (helm.sh/helm/v3 pkg/releaseutil/manifest.go).
var separator = regexp.MustCompile(`(?:^|\s*\n)---\s*`)

// split returns the objects in the output of a template.
func split(file, text string) (out []Object, err error) {
	for _, document := range separator.Split(strings.TrimSpace(text), -1) {
		if document == "" {
			continue
		}
		var head struct {
			Kind     string
			Metadata struct {
				Name        string
				Annotations map[string]string
			}
		}
		if err := yaml.Unmarshal([]byte(document), &head); err != nil {
			return nil, err
		}
		if !slices.Contains(installOrder, head.Kind) {
			return nil, fmt.Errorf("unknown kind %q", head.Kind)
		}
		out = append(out, Object{head.Kind, head.Metadata.Name, file, document, head.Metadata.Annotations})
	}
	return out, nil
}
