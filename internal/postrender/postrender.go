// Package postrender adds the hook to a stream of rendered manifests that
// installs ARC. What came in goes out byte for byte; the hook's documents
// follow it.
package postrender

import (
	"cmp"
	"errors"
	"fmt"
	"io"

	"github.com/arc-cleanup/arc-cleanup/internal/anchor"
	"github.com/arc-cleanup/arc-cleanup/internal/hook"
)

// Options are the user's words; each is "" or nil if not given.
type Options struct {
	// Release and Namespace win over what the anchor says. A scale set knows its
	// own name only, which need not be the release's.
	Release   string
	Namespace string
	// DefaultNamespace is taken when neither Namespace nor the anchor has one.
	DefaultNamespace string
	// Helm decides where the stream does not tell which Helm reads the output.
	Helm Helm
	// Values of the chart, over those taken from the anchor.
	Values map[string]any
	// Check explains, and adds nothing. What cannot leave may be said to be
	// Helm 4's even where it has the marks of helm template.
	Check bool
}

// Result is the output: the input, and what follows it.
type Result struct {
	Input []byte
	Added string
	// Explanation says in plain words what was added and why, or why nothing.
	Explanation string
}

// WriteTo writes the output.
func (r Result) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(r.Input)
	if err != nil || r.Added == "" {
		return int64(n), err
	}
	m, err := io.WriteString(w, r.Added)
	return int64(n + m), err
}

// Inject adds the hook to a stream, once, if it holds an anchor: the Deployment
// of ARC's controller or an AutoscalingRunnerSet; the controller wins where both
// are. On its way to Helm 3, which takes no hook from a post-renderer, it adds
// what enrols the hook afterwards, from inside the cluster. A stream without ARC, or with the hook in it, comes back as it is: Helm
// 4's strategy "separate" calls a post-renderer for hooks and for manifests, and
// only the latter have the anchor.
//
// Errors: a *manifest.SyntaxError for broken YAML; an anchor with a Helm that
// cannot be told; an anchor without a namespace; values the chart refuses. Then there is no output.
func Inject(stream []byte, o Options) (Result, error) {
	unchanged := Result{Input: stream}
	a, hooked, err := anchor.Find(stream)
	if err != nil {
		return Result{}, err
	}
	switch {
	case hooked:
		unchanged.Explanation = "Nothing to add: the hook is in the input already.\n"
		return unchanged, nil
	case a == nil:
		unchanged.Explanation = "Nothing to add: the input installs neither ARC's controller nor a scale set.\n"
		return unchanged, nil
	}

	reader, err := proveHookReader(a, o)
	helm3 := errors.Is(err, errHelm3)
	if err != nil && !helm3 {
		return Result{}, fmt.Errorf("found the %s: %w", a, err)
	}
	target := hook.Release{
		Name:      cmp.Or(o.Release, a.Release),
		Namespace: cmp.Or(o.Namespace, a.Namespace, o.DefaultNamespace),
	}
	if target.Name == "" {
		return Result{}, fmt.Errorf("the %s does not say its release; give --release", a)
	}
	if target.Namespace == "" {
		return Result{}, fmt.Errorf("the %s has no namespace; give --namespace, or set HELM_NAMESPACE", a)
	}
	values := hook.Merge(a.Values, o.Values)
	hooks, err := hook.Render(target, values)
	if err != nil {
		return Result{}, err
	}
	if len(hooks) == 0 {
		unchanged.Explanation = "Nothing to add: the hook is switched off (enabled=false).\n"
		return unchanged, nil
	}
	result := Result{Input: stream}
	if helm3 {
		enroller, err := hook.Enroller(target, values, hooks)
		if err != nil {
			return Result{}, err
		}
		result.Added = ordinaryDocuments(enroller)
		result.Explanation = explain(a, Helm3, target, hooks, enroller)
	} else {
		if result.Added, err = reader.documents(hooks); err != nil {
			return Result{}, err
		}
		result.Explanation = explain(a, reader.helm, target, hooks, nil)
	}
	if o.Check {
		result.Added = ""
		return result, nil
	}
	result.Added = separator(stream) + result.Added
	return result, nil
}

// separator is what has to stand between the stream and a "---": a line break,
// if the last line has none.
func separator(stream []byte) string {
	if n := len(stream); n > 0 && stream[n-1] != '\n' && stream[n-1] != '\r' {
		return "\n"
	}
	return ""
}
