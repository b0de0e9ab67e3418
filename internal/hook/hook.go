// Package hook renders the chart arc-cleanup, the only description of the hook,
// for one release.
package hook

import (
	"cmp"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"helm.sh/helm/v3/pkg/release"
	"helm.sh/helm/v3/pkg/releaseutil"

	"github.com/arc-cleanup/arc-cleanup/charts"
)

// Name is the chart's name, and the value of the label LabelName on every
// object of the hook, whatever the object is called.
const (
	Name      = "arc-cleanup"
	LabelName = "app.kubernetes.io/name"
)

// Annotation makes a hook of an object, for Helm.
const Annotation = release.HookAnnotation

// IsOurs reports whether an object with these labels and annotations belongs to
// the hook, whoever put it where it is and whatever it is called.
func IsOurs(labels, annotations map[string]string) bool {
	return labels[LabelName] == Name && annotations[Annotation] != ""
}

// Release says whose hook it is.
type Release struct {
	Name      string
	Namespace string
}

// Render returns the hook of a release in the order in which Helm creates it:
// by weight, then by kind. It is Helm's own form of a hook, as it stands in a
// release's record. The same input gives the same bytes.
//
// The values go over the chart's defaults. Values which the chart's schema or
// its templates refuse are an error that names them. With enabled=false there
// is no hook and no error.
func Render(r Release, values map[string]any) ([]*release.Hook, error) {
	c, err := load()
	if err != nil {
		return nil, err
	}
	hooks, others, err := render(c, r, values)
	if err != nil {
		return nil, err
	}
	if len(others) > 0 {
		// Such an object would be created at install. Nothing of ours may be.
		return nil, fmt.Errorf("chart %s: %s holds something that is no hook", Name, others[0].Name)
	}
	return hooks, nil
}

// render renders a chart for a release: its hooks by weight, then by kind, and
// its other objects by kind.
func render(c *chart.Chart, r Release, values map[string]any) ([]*release.Hook, []releaseutil.Manifest, error) {
	if err := chartutil.ValidateReleaseName(r.Name); err != nil {
		return nil, nil, fmt.Errorf("release name %q: %w", r.Name, err)
	}
	options := chartutil.ReleaseOptions{Name: r.Name, Namespace: r.Namespace, Revision: 1, IsInstall: true}
	scope, err := chartutil.ToRenderValues(c, values, options, chartutil.DefaultCapabilities)
	if err != nil {
		return nil, nil, fmt.Errorf("values of the chart %s: %w", Name, err)
	}
	files, err := engine.Render(c, scope)
	if err != nil {
		return nil, nil, fmt.Errorf("chart %s: %w", Name, err)
	}
	maps.DeleteFunc(files, func(name, _ string) bool { return path.Base(name) == "NOTES.txt" })

	hooks, others, err := releaseutil.SortManifests(files, nil, releaseutil.InstallOrder)
	if err != nil {
		return nil, nil, fmt.Errorf("chart %s: %w", Name, err)
	}
	slices.SortStableFunc(hooks, func(a, b *release.Hook) int { return cmp.Compare(a.Weight, b.Weight) })
	return hooks, others, nil
}

// load reads the embedded chart with Helm's own loader.
func load() (*chart.Chart, error) {
	var files []*loader.BufferedFile
	err := fs.WalkDir(charts.ArcCleanup, Name, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := charts.ArcCleanup.ReadFile(name)
		files = append(files, &loader.BufferedFile{Name: strings.TrimPrefix(name, Name+"/"), Data: data})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("the embedded chart %s: %w", Name, err)
	}
	c, err := loader.LoadFiles(files)
	if err != nil {
		return nil, fmt.Errorf("the embedded chart %s: %w", Name, err)
	}
	return c, nil
}
