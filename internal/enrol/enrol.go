// Package enrol puts the hook into the record of a release that exists, and
// takes it out again, without an upgrade. What runs is not touched.
package enrol

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"

	"sigs.k8s.io/yaml"

	"github.com/arc-cleanup/arc-cleanup/internal/anchor"
	"github.com/arc-cleanup/arc-cleanup/internal/hook"
	"github.com/arc-cleanup/arc-cleanup/internal/kube"
	"github.com/arc-cleanup/arc-cleanup/internal/release"
)

// Outcome is what was done to a release's hooks, or would be.
type Outcome struct {
	Revision int
	// Changed is false when everything was as it should be.
	Changed bool
	// Before and After are the hooks of ours in the record.
	Before, After []release.Hook
}

// Enrol gives the newest revision of a release the hook that the chart
// describes, with values over those which follow from the release's own
// manifest. A hook of ours that is there and differs is replaced. With dryRun
// nothing is written.
//
// Errors: a release.Unfit; a release.NotEditable; release.ErrNotFound; values the
// chart refuses.
func Enrol(ctx context.Context, c *kube.Client, target hook.Release, values map[string]any, dryRun bool) (*Outcome, error) {
	return edit(ctx, c, target, dryRun, func(r *release.Revision) ([]release.Hook, error) {
		return Render(r, values)
	})
}

// Put gives the newest revision of a release a hook which another one had,
// unless it has one already, as where its chart brings it along.
func Put(ctx context.Context, c *kube.Client, target hook.Release, hooks []release.Hook, dryRun bool) (*Outcome, error) {
	return edit(ctx, c, target, dryRun, func(r *release.Revision) ([]release.Hook, error) {
		if has := Ours(r.Hooks); len(has) > 0 {
			return has, nil
		}
		return hooks, nil
	})
}

// Of returns the hook of a revision: the one in its record, or the one that
// its enroller is about to put there.
func Of(r *release.Revision) ([]release.Hook, error) {
	if hooks := Ours(r.Hooks); len(hooks) > 0 {
		return hooks, nil
	}
	o, err := findConfigMap(r.Manifest)
	if err != nil || o == nil {
		return nil, err
	}
	return parse([]byte(o.Data[hook.EnrolData]))
}

// Unenrol takes the hook out of the newest revision of a release.
func Unenrol(ctx context.Context, c *kube.Client, target hook.Release, dryRun bool) (*Outcome, error) {
	return edit(ctx, c, target, dryRun, func(*release.Revision) ([]release.Hook, error) { return nil, nil })
}

// Flux names the HelmRelease of Flux that a revision was installed for; "" if none.
// Flux labels every object of a release with it, and compares a digest of the
// record, hooks among it, with what it has written itself
// (github.com/fluxcd/helm-controller internal/postrender/common_renderer.go,
// internal/action/verify.go). Nobody else who installs with Helm does.
func Flux(r *release.Revision) string { return r.Label("helm.toolkit.fluxcd.io/name") }

// edit makes what wanted returns the hooks of ours in a record.
func edit(ctx context.Context, c *kube.Client, target hook.Release, dryRun bool, wanted func(*release.Revision) ([]release.Hook, error)) (*Outcome, error) {
	var out *Outcome
	err := release.Edit(ctx, c, target.Namespace, target.Name, func(r *release.Revision) ([]release.Hook, bool, error) {
		ours, err := wanted(r)
		if err != nil {
			return nil, false, err
		}
		before := Ours(r.Hooks)
		out = &Outcome{Revision: r.Revision, Changed: !same(before, ours), Before: before, After: ours}
		if of := Flux(r); out.Changed && of != "" {
			return nil, false, release.Unfit{Why: fmt.Sprintf("release %s in namespace %s is of Flux's HelmRelease %q: Flux takes an edited record for tampered with, and upgrades to a revision without the edit; have its chart depend on arc-cleanup instead", r.Name, r.Namespace, of)}
		}
		return replace(r.Hooks, ours), out.Changed && !dryRun, nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// Render returns the hook of a release, as its record holds it. What ARC's
// objects in the manifest say (scope, namespaces, scheduling, pull secrets) goes
// under the values given.
func Render(r *release.Revision, values map[string]any) ([]release.Hook, error) {
	a, _, err := anchor.Find([]byte(r.Manifest))
	if err != nil {
		return nil, fmt.Errorf("the manifest of release %s: %w", r.Name, err)
	}
	if a == nil {
		return nil, release.Unfit{Why: fmt.Sprintf("release %s in namespace %s installs neither ARC's controller nor a scale set", r.Name, r.Namespace)}
	}
	hooks, err := hook.Render(hook.Release{Name: r.Name, Namespace: r.Namespace}, hook.Merge(a.In(r.Namespace), values))
	if err != nil {
		return nil, err
	}
	if len(hooks) == 0 {
		return nil, release.Unfit{Why: "the hook is switched off (enabled=false)"}
	}
	data, err := json.Marshal(hooks)
	if err != nil {
		return nil, fmt.Errorf("the hook as JSON: %w", err)
	}
	return parse(data)
}

// Parse reads a hook of ours in the form in which Helm stores it.
func Parse(data []byte) ([]release.Hook, error) {
	hooks, err := parse(data)
	if err != nil {
		return nil, err
	}
	if len(hooks) == 0 || slices.ContainsFunc(hooks, func(h release.Hook) bool { return !isOurs(h) }) {
		return nil, fmt.Errorf("reading the hook: it is not one of %s", hook.Name)
	}
	return hooks, nil
}

// parse reads hooks in the form in which Helm stores them.
func parse(data []byte) ([]release.Hook, error) {
	var hooks []release.Hook
	if err := json.Unmarshal(data, &hooks); err != nil {
		return nil, fmt.Errorf("reading the hook: %w", err)
	}
	return hooks, nil
}

// Ours returns those hooks which belong to the hook of arc-cleanup, whoever put
// them into the record.
func Ours(hooks []release.Hook) []release.Hook {
	return slices.DeleteFunc(slices.Clone(hooks), func(h release.Hook) bool { return !isOurs(h) })
}

func isOurs(h release.Hook) bool {
	m := Metadata(h)
	return hook.IsOurs(m.Labels, m.Annotations)
}

// ObjectMeta is what is read of a hook's object.
type ObjectMeta struct{ Labels, Annotations map[string]string }

// maxObject bounds the manifests that are parsed, of which a parser makes a hundred
// times as much: ours have some 20 KB, and somebody else's may be anything.
const maxObject = 256 << 10

// Metadata reads labels and annotations of a hook's object; a manifest that is
// no YAML has none.
func Metadata(h release.Hook) ObjectMeta {
	var object struct{ Metadata ObjectMeta }
	if len(h.Manifest) <= maxObject {
		_ = yaml.Unmarshal([]byte(h.Manifest), &object)
	}
	return object.Metadata
}

// replace puts ours in the place of the hooks of ours there are, and leaves the
// others as they are, in their order.
func replace(hooks, ours []release.Hook) []release.Hook {
	others := slices.DeleteFunc(slices.Clone(hooks), isOurs)
	return append(others, ours...)
}

// same reports whether two sets of hooks are the same objects. Helm 4 writes
// every manifest anew and sorts differently, so neither layout nor order counts;
// everything that Helm itself reads of a hook is in its annotations.
func same(a, b []release.Hook) bool {
	if len(a) != len(b) {
		return false
	}
	order := func(hooks []release.Hook) []release.Hook {
		return slices.SortedFunc(slices.Values(hooks), func(a, b release.Hook) int {
			return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name))
		})
	}
	a, b = order(a), order(b)
	for i := range a {
		var x, y any
		if yaml.Unmarshal([]byte(a[i].Manifest), &x) != nil || yaml.Unmarshal([]byte(b[i].Manifest), &y) != nil || !reflect.DeepEqual(x, y) {
			return false
		}
	}
	return true
}
