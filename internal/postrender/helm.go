package postrender

import (
	"errors"
	"fmt"
	"strings"

	"github.com/arc-cleanup/arc-cleanup/internal/anchor"
	"github.com/arc-cleanup/arc-cleanup/internal/hook"
	"github.com/arc-cleanup/arc-cleanup/internal/manifest"
)

// Helm is the major version of the Helm that reads our output.
type Helm string

// The two Helms that have post-renderers, and the state before we know.
const (
	HelmUnknown Helm = ""
	Helm3       Helm = "3"
	Helm4       Helm = "4"
)

var (
	// errHelm3 is no failure: the hook goes another way then.
	errHelm3 = errors.New("Helm 3 takes no hook from a post-renderer: it has set the hooks aside before, and would create the cleanup Job during the install, as an ordinary object")

	errHelmUnknown = fmt.Errorf("cannot tell which Helm reads this output: there is neither the annotation %s of Helm 4 nor a comment \"# Source:\" of Helm 3 on the anchor. Nothing is added; say --helm 3 or --helm 4", manifest.FilenameAnnotation)

	errNotHelm4 = errors.New(`--helm 4 does not fit: the input has the comments "# Source:" of Helm 3 (or of helm template), and Helm 3 would create the hook's Job during the install`)
)

// hookReader is the proof that hooks in our output will be hooks. Helm 4 alone
// reads them, and only proveHookReader makes one, so that under Helm 3 no
// document with a hook annotation can leave this package: documents, the one
// way to write a hook, needs the proof.
type hookReader struct{ helm Helm }

// proveHookReader looks at the anchor for what Helm 4 and Helm 3 leave on every
// document; errHelm3 says that Helm 3 reads the output. The user's word decides
// where the anchor is silent, and can always forbid, but never overrule the marks
// of Helm 3, unless nothing is written.
func proveHookReader(a *anchor.Anchor, o Options) (*hookReader, error) {
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

// documents returns the hooks as documents to follow the stream. Each says
// which file it is, or Helm 4 would name it "generated-by-postrender-7.yaml".
func (h *hookReader) documents(hooks []hook.Hook) (string, error) {
	// The line in the chart's own manifests; that of a Pod's template stands deeper.
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

// ordinaryDocuments returns the objects of hook.Enroller, which are no hooks, as
// documents to follow the stream, in Helm 3's own form.
func ordinaryDocuments(objects []hook.Object) string {
	var out strings.Builder
	for _, o := range objects {
		out.WriteString("---\n# Source: " + o.Path + "\n" + o.Manifest + "\n")
	}
	return out.String()
}
