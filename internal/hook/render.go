//go:build !image

package hook

import (
	"cmp"
	"encoding/json"
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

// Object is an ordinary object which a release installs.
type Object struct{ Kind, Name, Path, Manifest string }

// Enroller returns the objects that put hooks of Render into the record of a
// release from inside the cluster, in the order in which Helm creates them. None
// of them is a hook. The same input gives the same bytes.
func Enroller(r Release, values map[string]any, hooks []*release.Hook) ([]Object, error) {
	c, err := load()
	if err != nil {
		return nil, err
	}
	data, err := json.Marshal(hooks)
	if err != nil {
		return nil, fmt.Errorf("the hook as JSON: %w", err)
	}
	const file = "templates/enroller.yaml"
	c.Templates = append(c.Templates, &chart.File{Name: file, Data: charts.Enroller})
	c.Files = append(c.Files, &chart.File{Name: EnrolData, Data: data})
	// Helm's own code has put aside whatever is a hook: none of the others is.
	_, others, err := render(c, r, values)
	if err != nil {
		return nil, err
	}
	var out []Object
	for _, m := range others {
		out = append(out, Object{m.Head.Kind, m.Head.Metadata.Name, m.Name, m.Content})
	}
	return out, nil
}
