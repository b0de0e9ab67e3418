package postrender

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/arc-cleanup/arc-cleanup/internal/chart"
	"github.com/arc-cleanup/arc-cleanup/internal/detect"
	"github.com/arc-cleanup/arc-cleanup/internal/helm"
)

// explain says what is added to a stream, and why. Under Helm 3 that is the enroller; else it is empty.
func explain(
	a *detect.Anchor, reader Helm, target chart.Release, taken map[string]any, hooks []helm.Hook, enroller []chart.Object,
) string {
	var out strings.Builder
	fmt.Fprintf(&out, "Found the %s in line %d of the input. Helm %s reads the output.\n", a, a.Document.Line(), reader)
	if len(enroller) > 0 {
		out.WriteString("Helm 3 takes no hook from a post-renderer. These objects are added, " +
			"and put the hook into the release's record once it is deployed:\n")
		for _, o := range enroller {
			fmt.Fprintf(&out, "  %s %s\n", o.Kind, o.Name)
		}
	}
	fmt.Fprintf(&out, "The hook of release %s in namespace %s:\n", target.Name, target.Namespace)
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
