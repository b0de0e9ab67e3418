package hook

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Render returns the hook of a release in the order in which Helm creates it:
// by weight, then by kind. It is Helm's own form of a hook, as it stands in a
// release's record. The same input gives the same bytes.
//
// The values go over the chart's defaults. Values which the chart's schema or
// its templates refuse are an error that names them. With enabled=false there
// is no hook and no error.
func Render(r Release, values map[string]any) ([]Hook, error) {
	objects, err := render(r, values, "")
	if err != nil {
		return nil, err
	}
	var hooks []Hook
	for _, o := range objects {
		h, err := o.hook()
		if err != nil {
			// As an ordinary object it would be created at install. Nothing of ours may be.
			return nil, fmt.Errorf("chart %s: %s: %w", Name, o.Path, err)
		}
		hooks = append(hooks, h)
	}
	slices.SortStableFunc(hooks, func(a, b Hook) int { return cmp.Compare(a.Weight, b.Weight) })
	return hooks, nil
}

// Object is an ordinary object which a release installs.
type Object struct {
	Kind, Name, Path, Manifest string

	annotations map[string]string
	items       []Named // of a List
}

// Enroller returns the objects that put hooks of Render into the record of a
// release from inside the cluster, in the order in which Helm creates them. None
// of them is a hook. The same input gives the same bytes.
func Enroller(r Release, values map[string]any, hooks []Hook) ([]Object, error) {
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

// ordinary is an error if one of the objects is a hook: Helm 3 would create it at
// install, and not know it for one.
func ordinary(objects []Object) error {
	for _, o := range objects {
		if o.annotations[Annotation] != "" {
			return fmt.Errorf("chart %s: %s: %s %s is a hook, and must not be", Name, o.Path, o.Kind, o.Name)
		}
	}
	return nil
}

// hook reads an object's annotations as Helm does (helm.sh/helm/v3
// pkg/releaseutil/manifest_sorter.go).
func (o Object) hook() (Hook, error) {
	weight, err := strconv.Atoi(o.annotations[annotationWeight])
	if o.annotations[Annotation] != preDelete || err != nil {
		return Hook{}, fmt.Errorf("%s %s is no pre-delete hook with a weight", o.Kind, o.Name)
	}
	h := Hook{Name: o.Name, Kind: o.Kind, Path: o.Path, Manifest: o.Manifest, Weight: weight, Events: []string{preDelete}, Objects: o.items}
	if len(o.items) == 0 {
		h.Objects = []Named{{o.Kind, o.Name}}
	}
	for annotation, policies := range map[string]*[]string{annotationDelete: &h.DeletePolicies, annotationLog: &h.OutputLogPolicies} {
		if text, ok := o.annotations[annotation]; ok {
			*policies = strings.Split(text, ",")
		}
	}
	return h, nil
}
