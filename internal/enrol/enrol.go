// Package enrol adds the hook to Helm's record of an installed release, and takes it out again. It
// needs no upgrade and changes nothing that runs.
package enrol

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"

	"sigs.k8s.io/yaml"

	"github.com/arc-cleanup/arc-cleanup/internal/chart"
	"github.com/arc-cleanup/arc-cleanup/internal/detect"
	"github.com/arc-cleanup/arc-cleanup/internal/helm"
	"github.com/arc-cleanup/arc-cleanup/internal/kube"
	"github.com/arc-cleanup/arc-cleanup/internal/release"
)

// Outcome is what was done to a release's hooks, or would be done.
type Outcome struct {
	Revision int
	// Changed is false if the record already was as it should be.
	Changed bool
	// Before and After are arc-cleanup's hooks in the record.
	Before, After []helm.Hook
}

// Enrol adds the chart's hook to the newest revision of a release. The values go over those that
// follow from the release's own manifest. It replaces a hook of arc-cleanup that differs. With dryRun
// it writes nothing.
//
// It returns a release.Unfit, a release.ErrNotFound, or an error for values that the chart refuses.
func Enrol(ctx context.Context, c *kube.Client, target chart.Release, values map[string]any, dryRun bool) (*Outcome, error) {
	return edit(ctx, c, target, dryRun, func(r *helm.Record) ([]helm.Hook, error) {
		return render(r, values)
	})
}

// Put adds a hook that another release or revision had to the newest revision of a release. A revision
// that already has the hook keeps its own: its chart may bring one.
func Put(ctx context.Context, c *kube.Client, target chart.Release, hooks []helm.Hook, dryRun bool) (*Outcome, error) {
	return edit(ctx, c, target, dryRun, func(r *helm.Record) ([]helm.Hook, error) {
		if has := Ours(r.Hooks); len(has) > 0 {
			return has, nil
		}
		return hooks, nil
	})
}

// Of returns the hook of a revision: the one in its record, or else the one that its enroller will add.
func Of(r *helm.Record) ([]helm.Hook, error) {
	if hooks := Ours(r.Hooks); len(hooks) > 0 {
		return hooks, nil
	}
	o, err := findConfigMap(r.Manifest)
	if err != nil || o == nil {
		return nil, err
	}
	return parse([]byte(o.Data[chart.EnrolData]))
}

// Unenrol removes the hook from the newest revision of a release.
func Unenrol(ctx context.Context, c *kube.Client, target chart.Release, dryRun bool) (*Outcome, error) {
	return edit(ctx, c, target, dryRun, func(*helm.Record) ([]helm.Hook, error) { return nil, nil })
}

// Flux names the HelmRelease of Flux that a revision was installed for; "" if there is none. Flux labels
// every object of a release with that name. Only Flux also compares a digest of the record, hooks
// included, with the record that it has written
// (github.com/fluxcd/helm-controller internal/postrender/common_renderer.go, internal/action/verify.go).
func Flux(r *helm.Record) string { return r.Label("helm.toolkit.fluxcd.io/name") }

// edit replaces arc-cleanup's hooks in a record by those that wanted returns.
func edit(
	ctx context.Context, c *kube.Client, target chart.Release, dryRun bool, wanted func(*helm.Record) ([]helm.Hook, error),
) (*Outcome, error) {
	var out *Outcome
	err := release.Edit(ctx, c, target.Namespace, target.Name, func(r *helm.Record) ([]helm.Hook, bool, error) {
		ours, err := wanted(r)
		if err != nil {
			return nil, false, err
		}
		before := Ours(r.Hooks)
		out = &Outcome{Revision: r.Revision, Changed: !same(before, ours), Before: before, After: ours}
		if of := Flux(r); out.Changed && of != "" {
			return nil, false, release.Unfit{Why: fmt.Sprintf("release %s in namespace %s belongs to Flux's HelmRelease %q: "+
				"Flux takes an edited record for tampered with, and upgrades to a revision without the edit; "+
				"make arc-cleanup a dependency of its chart instead", r.Name, r.Namespace, of)}
		}
		return replace(r.Hooks, ours), out.Changed && !dryRun, nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// render renders the hook of a release. The values go over what ARC's
// objects in the manifest say: scope, namespaces, scheduling, pull secrets.
func render(r *helm.Record, values map[string]any) ([]helm.Hook, error) {
	a, _, err := detect.Find([]byte(r.Manifest))
	if err != nil {
		return nil, fmt.Errorf("the manifest of release %s: %w", r.Name, err)
	}
	if a == nil {
		return nil, release.Unfit{
			Why: fmt.Sprintf("release %s in namespace %s installs neither ARC's controller nor a scale set", r.Name, r.Namespace),
		}
	}
	hooks, err := chart.Render(chart.Release{Name: r.Name, Namespace: r.Namespace}, chart.Merge(a.In(r.Namespace), values))
	if err == nil && len(hooks) == 0 {
		err = release.Unfit{Why: "the hook is switched off (enabled=false)"}
	}
	return hooks, err
}

// Parse reads a hook of arc-cleanup in the form in which Helm stores it.
func Parse(data []byte) ([]helm.Hook, error) {
	hooks, err := parse(data)
	if err != nil {
		return nil, err
	}
	if len(hooks) == 0 || slices.ContainsFunc(hooks, func(h helm.Hook) bool { return !isOurs(h) }) {
		return nil, fmt.Errorf("reading the hook: it is not a hook of %s", chart.Name)
	}
	return hooks, nil
}

// parse reads hooks in the form in which Helm stores them.
func parse(data []byte) ([]helm.Hook, error) {
	var hooks []helm.Hook
	if err := json.Unmarshal(data, &hooks); err != nil {
		return nil, fmt.Errorf("reading the hook: %w", err)
	}
	return hooks, nil
}

// Ours returns arc-cleanup's hooks, whoever added them to the record.
func Ours(hooks []helm.Hook) []helm.Hook {
	return slices.DeleteFunc(slices.Clone(hooks), func(h helm.Hook) bool { return !isOurs(h) })
}

func isOurs(h helm.Hook) bool { return chart.IsOurs(h.Metadata()) }

// replace replaces arc-cleanup's hooks by ours. All others keep their content and order.
func replace(hooks, ours []helm.Hook) []helm.Hook {
	others := slices.DeleteFunc(slices.Clone(hooks), isOurs)
	return append(others, ours...)
}

// same reports whether two sets of hooks are the same objects. Helm 4 formats and sorts manifests in
// its own way, so layout and order do not count. All that Helm reads of a hook is in its annotations.
func same(a, b []helm.Hook) bool {
	if len(a) != len(b) {
		return false
	}
	order := func(hooks []helm.Hook) []helm.Hook {
		return slices.SortedFunc(slices.Values(hooks), func(a, b helm.Hook) int {
			return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name))
		})
	}
	a, b = order(a), order(b)
	for i := range a {
		var x, y any
		broken := yaml.Unmarshal([]byte(a[i].Manifest), &x) != nil || yaml.Unmarshal([]byte(b[i].Manifest), &y) != nil
		if broken || !reflect.DeepEqual(x, y) {
			return false
		}
	}
	return true
}
