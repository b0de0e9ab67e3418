package postrender

import (
	"errors"
	"fmt"
	"strings"

	"github.com/arc-cleanup/arc-cleanup/internal/chart"
	"github.com/arc-cleanup/arc-cleanup/internal/detect"
	"github.com/arc-cleanup/arc-cleanup/internal/helm"
	"github.com/arc-cleanup/arc-cleanup/internal/manifest"
)

// Helm is the major version of the Helm that reads the output.
type Helm string

// The Helms that have post-renderers.
const (
	HelmUnknown Helm = ""
	Helm3       Helm = "3"
	Helm4       Helm = "4"
)

var (
	// errHelm3 is no failure: the release gets its hook in another way.
	errHelm3 = errors.New("Helm 3 takes no hook from a post-renderer: it has sorted out the hooks before, " +
		"and would create the cleanup Job during the installation, as an ordinary object")

	errHelmUnknown = fmt.Errorf("which Helm reads the output is not known: ARC's object has neither the annotation %s of Helm 4 "+
		"nor the comment \"# Source:\" of Helm 3; say --helm 3 or --helm 4", manifest.FilenameAnnotation)

	errNotHelm4 = errors.New(`the input is not from Helm 4, as --helm 4 says: it has the comments "# Source:" of Helm 3 ` +
		"or of \"helm template\", and Helm 3 would create the hook's Job during the installation")
)

// A hookReader proves that a hook in the output will be a hook to the Helm that reads it: to Helm 4. Only
// proveHookReader makes one, and only its method documents writes hooks. So no document with a hook
// annotation can leave this package under Helm 3.
type hookReader struct{ helm Helm }

// proveHookReader looks for the marks that Helm 4 and Helm 3 leave on every document. It returns errHelm3
// if Helm 3 reads the output. What the user says decides if the anchor has no mark. The user may say Helm 3
// of any input, but never Helm 4 of an input with the marks of Helm 3, unless nothing is written.
func proveHookReader(a *detect.Anchor, o Options) (*hookReader, error) {
	told := o.Helm
	switch told {
	case HelmUnknown, Helm3, Helm4:
	default:
		return nil, fmt.Errorf("unknown Helm %q: 3 or 4", told)
	}
	annotated := a.Root.Annotations()[manifest.FilenameAnnotation] != ""
	commented := a.Document.HasSourceComment()
	switch {
	case told == Helm3, told == HelmUnknown && commented && !annotated:
		return nil, errHelm3
	case commented && told == Helm4 && !o.Check:
		return nil, errNotHelm4
	case annotated && !commented, told == Helm4:
		return &hookReader{helm: Helm4}, nil
	default:
		return nil, errHelmUnknown
	}
}

// documents returns the hooks as documents that can follow the stream. Each names its file; without the
// name, Helm 4 would call it "generated-by-postrender-7.yaml".
func (h *hookReader) documents(hooks []helm.Hook) (string, error) {
	// The line in the chart's own manifests. The annotations of a Pod template are indented deeper.
	const annotations = "\n  annotations:\n"
	var out strings.Builder
	for _, hook := range hooks {
		before, after, ok := strings.Cut(hook.Manifest, annotations)
		if !ok {
			return "", fmt.Errorf("%s: %s %s has no annotations", hook.Path, hook.Kind, hook.Name)
		}
		fmt.Fprintf(&out, "---\n%s%s    %s: %s\n%s\n", before, annotations, manifest.FilenameAnnotation, hook.Path, after)
	}
	return out.String(), nil
}

// ordinaryDocuments returns the enroller's objects, which are no hooks, as documents that can follow the
// stream, in the form of Helm 3.
func ordinaryDocuments(objects []chart.Object) string {
	var out strings.Builder
	for _, o := range objects {
		out.WriteString("---\n# Source: " + o.Path + "\n" + o.Manifest + "\n")
	}
	return out.String()
}
