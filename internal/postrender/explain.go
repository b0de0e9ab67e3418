package postrender

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/arc-cleanup/arc-cleanup/internal/anchor"
	"github.com/arc-cleanup/arc-cleanup/internal/hook"
)

// explain says what is added to a stream, and why. The enroller is what is added
// under Helm 3 in the place of the hooks.
func explain(a *anchor.Anchor, helm Helm, target hook.Release, taken map[string]any, hooks []hook.Hook, enroller []hook.Object) string {
	var out strings.Builder
	fmt.Fprintf(&out, "Found the %s, line %d of the input, on its way to Helm %s.\n", a, a.Document.Line(), helm)
	if len(enroller) > 0 {
		fmt.Fprintf(&out, "Helm 3 takes no hook from a post-renderer. What enrols it once the release is deployed is added:\n")
		for _, o := range enroller {
			fmt.Fprintf(&out, "  %s %s\n", o.Kind, o.Name)
		}
	}
	fmt.Fprintf(&out, "The hook of the release %s in the namespace %s is added:\n", target.Name, target.Namespace)
	for _, h := range hooks {
		for _, o := range h.Objects {
			fmt.Fprintf(&out, "  %s %s\n", o.Kind, o.Name)
		}
	}
	var values []string
	for _, name := range slices.Sorted(maps.Keys(taken)) {
		if places, ok := taken[name].([]string); ok {
			name += " (" + strings.Join(places, ", ") + ")"
		}
		values = append(values, name)
	}
	fmt.Fprintf(&out, "Values taken from ARC's objects: %s.\n", strings.Join(values, ", "))
	return out.String()
}
