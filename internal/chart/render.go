// Package chart renders the chart arc-cleanup, the only description of the hook, for one release.
package chart

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/arc-cleanup/arc-cleanup/internal/helm"
)

// Name is the chart's name, and the value of the label LabelName on every object of the hook.
const (
	Name      = "arc-cleanup"
	LabelName = "app.kubernetes.io/name"
)

const preDelete = "pre-delete"

// Release is the release that the hook is for.
type Release struct {
	Name      string
	Namespace string
}

// IsOurs reports whether an object with these labels and annotations belongs to a hook of arc-cleanup,
// whatever its name is and wherever it comes from.
func IsOurs(labels, annotations map[string]string) bool {
	return labels[LabelName] == Name && annotations[helm.AnnotationHook] != ""
}

// Render returns the hooks of a release in the order in which Helm creates them: by weight, then by kind.
// They have the form that they have in Helm's record of a release. The same input gives the same bytes.
//
// The values override the chart's defaults. If the chart's schema or its templates reject a value, the
// error names it. With enabled=false there is no hook and no error.
func Render(r Release, values map[string]any) ([]helm.Hook, error) {
	objects, err := render(r, values, "")
	if err != nil {
		return nil, err
	}
	var hooks []helm.Hook
	for _, o := range objects {
		if o.annotations[helm.AnnotationHook] == "" {
			return nil, fmt.Errorf("chart %s: %s: %s %s is no hook: the post-renderer and enrol add hooks only; "+
				"for sweep.enabled install the chart, as a dependency or as a release of its own", Name, o.Path, o.Kind, o.Name)
		}
		h, err := o.hook()
		if err != nil {
			// Helm would create it during the installation, as an ordinary object.
			return nil, fmt.Errorf("chart %s: %s: %w", Name, o.Path, err)
		}
		hooks = append(hooks, h)
	}
	slices.SortStableFunc(hooks, func(a, b helm.Hook) int { return cmp.Compare(a.Weight, b.Weight) })
	return hooks, nil
}

// An Object is an object that the chart renders.
type Object struct {
	Kind, Name, Path, Manifest string

	annotations map[string]string
	items       []helm.Object // of a List
}

// Enroller returns the objects that put the hooks of Render into a release's record from inside the
// cluster, in the order in which Helm creates them. None of them is a hook. The same input gives the same
// bytes.
func Enroller(r Release, values map[string]any, hooks []helm.Hook) ([]Object, error) {
	data, err := json.Marshal(hooks)
	if err != nil {
		return nil, fmt.Errorf("the hook as JSON: %w", err)
	}
	objects, err := render(r, values, string(data), enrollerFile)
	if err != nil {
		return nil, err
	}
	return objects, ordinary(objects)
}

// ordinary returns an error if an object is a hook: Helm 3 would create it during the installation, as an
// ordinary object.
func ordinary(objects []Object) error {
	for _, o := range objects {
		if o.annotations[helm.AnnotationHook] != "" {
			return fmt.Errorf("chart %s: %s: %s %s must not be a hook", Name, o.Path, o.Kind, o.Name)
		}
	}
	return nil
}

// hook makes a hook of an object as Helm does, from its annotations
// (helm.sh/helm/v3 pkg/releaseutil/manifest_sorter.go).
func (o Object) hook() (helm.Hook, error) {
	weight, err := strconv.Atoi(o.annotations[helm.AnnotationWeight])
	if o.annotations[helm.AnnotationHook] != preDelete || err != nil {
		return helm.Hook{}, fmt.Errorf("%s %s must be a pre-delete hook with a weight", o.Kind, o.Name)
	}
	h := helm.Hook{
		Name: o.Name, Kind: o.Kind, Path: o.Path, Manifest: o.Manifest, Objects: o.items,
		Events: []string{preDelete}, Weight: weight,
	}
	if len(o.items) == 0 {
		h.Objects = []helm.Object{{Kind: o.Kind, Name: o.Name}}
	}
	for annotation, policies := range map[string]*[]string{helm.AnnotationDelete: &h.DeletePolicies, helm.AnnotationLog: &h.OutputLogPolicies} {
		if text, ok := o.annotations[annotation]; ok {
			*policies = strings.Split(text, ",")
		}
	}
	return h, nil
}
