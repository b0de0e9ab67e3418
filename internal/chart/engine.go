package chart

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"
	"text/template"

	"github.com/google/jsonschema-go/jsonschema"
	"go.yaml.in/yaml/v3"

	"github.com/arc-cleanup/arc-cleanup/charts"
	"github.com/arc-cleanup/arc-cleanup/internal/helm"
)

// The chart is rendered with text/template and Sprig, of which Helm's engine is made, and not with the
// engine: the engine links every Kubernetes API, and starting it takes several times as long as the work of
// a post-renderer. A test renders every variant of the chart with Helm's engine too, and compares.

// imageDigest is the digest of the hook's image. A release of arc-cleanup sets it with -ldflags "-X", and
// the rendered hook then takes the image by it. The binary in the image cannot know it, and renders nothing.
var imageDigest string

// A preparedChart is the embedded chart, ready to be rendered.
type preparedChart struct {
	metadata struct {
		Name, Version string
		AppVersion    string `yaml:"appVersion"`
	}
	defaults  map[string]any
	schema    *jsonschema.Resolved
	templates *template.Template
	files     []string // the templates that render objects, without the enroller's
}

// prepared reads the embedded chart once.
var prepared = sync.OnceValues(func() (*preparedChart, error) {
	var c preparedChart
	var schema jsonschema.Schema
	err := errors.Join(
		read("Chart.yaml", yaml.Unmarshal, &c.metadata),
		read("values.yaml", yaml.Unmarshal, &c.defaults),
		read("values.schema.json", json.Unmarshal, &schema),
		c.parse(),
	)
	if err == nil {
		c.schema, err = schema.Resolve(nil)
	}
	if image, ok := c.defaults["image"].(map[string]any); ok && imageDigest != "" {
		image["digest"] = imageDigest
	}
	if err != nil {
		return nil, fmt.Errorf("the embedded chart %s: %w", Name, err)
	}
	return &c, nil
})

// read reads a file of the embedded chart.
func read(name string, unmarshal func([]byte, any) error, into any) error {
	data, err := charts.ArcCleanup.ReadFile(Name + "/" + name)
	if err == nil {
		err = unmarshal(data, into)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// enrolData is .Files for the enroller's template.
type enrolData string

// Get is Helm's .Files.Get.
func (d enrolData) Get(name string) (string, error) {
	if name != EnrolData {
		return "", fmt.Errorf("there is no file %s", name)
	}
	return string(d), nil
}

// render renders files of the embedded chart for a release; without files, all but the enroller's. It
// returns the objects in the order in which Helm creates their kinds.
func render(r Release, values map[string]any, data string, files ...string) ([]Object, error) {
	if !IsReleaseName(r.Name) {
		return nil, fmt.Errorf("release name %q: must have only lower case letters, digits, \"-\" and \".\", "+
			"begin and end with a letter or digit, and be no longer than %d", r.Name, maxReleaseName)
	}
	chart, err := prepared()
	if err != nil {
		return nil, err
	}
	all, err := chart.withDefaults(values)
	if err != nil {
		return nil, err
	}
	scope := map[string]any{
		"Values": all, "Chart": chart.metadata, "Files": enrolData(data),
		"Release":  map[string]any{"Name": r.Name, "Namespace": r.Namespace, "Service": "Helm"},
		"Template": map[string]any{"BasePath": Name + "/templates"},
	}
	var objects []Object
	if len(files) == 0 {
		files = chart.files
	}
	for _, file := range files {
		var out strings.Builder
		if err := chart.templates.ExecuteTemplate(&out, file, scope); err != nil {
			return nil, fmt.Errorf("chart %s: %w", Name, cause(err))
		}
		found, err := split(file, out.String())
		if err != nil {
			return nil, fmt.Errorf("chart %s: %s: %w", Name, file, err)
		}
		objects = append(objects, found...)
	}
	slices.SortStableFunc(objects, func(a, b Object) int {
		return cmp.Compare(slices.Index(installOrder, a.Kind), slices.Index(installOrder, b.Kind))
	})
	return objects, nil
}

// maxReleaseName and releaseName are Helm's rule for the name of a release
// (helm.sh/helm/v3 pkg/chartutil/validate_name.go).
const maxReleaseName = 53

// IsReleaseName reports whether Helm accepts a text as the name of a release.
func IsReleaseName(text string) bool {
	return len(text) <= maxReleaseName && releaseName.MatchString(text)
}

var releaseName = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`)

// installOrder lists the kinds of the chart in the order in which Helm creates them
// (helm.sh/helm/v3 pkg/releaseutil/kind_sorter.go).
var installOrder = []string{
	"ServiceAccount", "ConfigMap", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding", "Deployment", "Job", "CronJob", "List",
}

// parse parses the templates. As for Helm, a file whose name begins with an underscore renders no objects;
// others include it.
func (c *preparedChart) parse() error {
	root := template.New(Name).Option("missingkey=zero").Funcs(functions())
	root.Funcs(template.FuncMap{"include": func(name string, data any) (string, error) {
		var out strings.Builder
		err := root.ExecuteTemplate(&out, name, data)
		return out.String(), err
	}})
	c.templates = root
	if _, err := root.New(enrollerFile).Parse(enrollerTemplate); err != nil {
		return err
	}
	return fs.WalkDir(charts.ArcCleanup, Name+"/templates", func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || path.Base(file) == "NOTES.txt" {
			return err
		}
		data, err := charts.ArcCleanup.ReadFile(file)
		if err != nil {
			return err
		}
		if !strings.HasPrefix(path.Base(file), "_") {
			c.files = append(c.files, file)
		}
		_, err = root.New(file).Parse(string(data))
		return err
	})
}

// cause returns the innermost error: what a template fails with, without the templates that include it.
func cause(err error) error {
	for next := errors.Unwrap(err); next != nil; next = errors.Unwrap(next) {
		err = next
	}
	return err
}

// separator stands between two documents (helm.sh/helm/v3 pkg/releaseutil/manifest.go).
var separator = regexp.MustCompile(`(?:^|\s*\n)---\s*`)

// split returns the objects in the output of a template.
func split(file, text string) (out []Object, err error) {
	for _, document := range separator.Split(strings.TrimSpace(text), -1) {
		if document == "" {
			continue
		}
		type object struct {
			Kind     string
			Metadata struct {
				Name        string
				Annotations map[string]string
			}
		}
		var head struct {
			object `yaml:",inline"`
			Items  []object
		}
		if err := yaml.Unmarshal([]byte(document), &head); err != nil {
			return nil, err
		}
		if !slices.Contains(installOrder, head.Kind) {
			return nil, fmt.Errorf("unknown kind %q", head.Kind)
		}
		o := Object{Kind: head.Kind, Name: head.Metadata.Name, Path: file, Manifest: document, annotations: head.Metadata.Annotations}
		for _, item := range head.Items {
			o.items = append(o.items, helm.Object{Kind: item.Kind, Name: item.Metadata.Name})
		}
		out = append(out, o)
	}
	return out, nil
}
