// Package postrender adds the hook to a stream of rendered manifests that
// installs ARC. What came in goes out byte for byte; the hook's documents
// follow it.
package postrender

import (
	"cmp"
	"fmt"
	"io"

	"github.com/arc-cleanup/arc-cleanup/internal/hook"
	"github.com/arc-cleanup/arc-cleanup/internal/manifest"
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

// wholeBelow is the size up to which every document of a stream is parsed, and
// not only those that matter here. Helm reports broken YAML itself, before and
// after a post-renderer, so this is for those who call us in another way; and it
// would be the one slow thing on a large stream.
const wholeBelow = 1 << 20

// Inject adds the hook to a stream, once, if it holds an anchor: the Deployment
// of ARC's controller or of the legacy one, or an AutoscalingRunnerSet; the first
// of these wins where several are. A stream without ARC, or with the hook in it, comes back as it is: Helm
// 4's strategy "separate" calls a post-renderer for hooks and for manifests, and
// only the latter have the anchor.
//
// Errors: a *manifest.SyntaxError for broken YAML; an anchor under Helm 3, or
// with a Helm that cannot be told; an anchor without a namespace; values the
// chart refuses. Then there is no output.
func Inject(stream []byte, o Options) (Result, error) {
	unchanged := Result{Input: stream}
	a, hooked, err := survey(stream)
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
	if err != nil {
		return Result{}, fmt.Errorf("found the %s: %w", a, err)
	}
	target := hook.Release{
		Name:      cmp.Or(o.Release, a.release),
		Namespace: cmp.Or(o.Namespace, a.namespace, o.DefaultNamespace),
	}
	if target.Name == "" {
		return Result{}, fmt.Errorf("the %s does not say its release; give --release", a)
	}
	if target.Namespace == "" {
		return Result{}, fmt.Errorf("the %s has no namespace; give --namespace, or set HELM_NAMESPACE", a)
	}
	hooks, err := hook.Render(target, hook.Merge(a.values, o.Values))
	if err != nil {
		return Result{}, err
	}
	if len(hooks) == 0 {
		unchanged.Explanation = "Nothing to add: the hook is switched off (enabled=false).\n"
		return unchanged, nil
	}
	explanation := explain(a, reader, target, hooks)
	if o.Check {
		return Result{Input: stream, Explanation: explanation}, nil
	}
	documents, err := reader.documents(hooks)
	if err != nil {
		return Result{}, err
	}
	return Result{
		Input:       stream,
		Added:       separator(stream) + documents,
		Explanation: explanation,
	}, nil
}

// survey goes through the stream for the anchor, and for a hook of ours. It
// parses the documents that may be either and, of a small stream, all.
func survey(stream []byte) (found *anchor, hooked bool, err error) {
	var controller, legacy, scaleSet *anchor
	var bindings []manifest.Document
	for d := range manifest.Documents(stream) {
		if controller == nil && mayBe(d, managerBindingMarks) {
			bindings = append(bindings, d)
		}
		// What is found need not be looked for again: a large stream may hold
		// thousands of scale sets.
		if len(stream) > wholeBelow && !mayBe(d, hookMarks) &&
			(controller != nil || !mayBe(d, controllerMarks)) &&
			(controller != nil || legacy != nil || !mayBe(d, legacyMarks)) &&
			(controller != nil || scaleSet != nil || !mayBe(d, scaleSetMarks)) {
			continue
		}
		root, err := d.Parse()
		if err != nil {
			return nil, false, err
		}
		for _, o := range objects(root) {
			switch {
			case isHook(o):
				hooked = true
			case controller == nil && isController(o):
				controller, err = newAnchor(d, root, o, scopeController)
			case legacy == nil && isLegacy(o):
				legacy, err = newAnchor(d, root, o, scopeLegacy)
			case scaleSet == nil && isScaleSet(o):
				scaleSet, err = newAnchor(d, root, o, scopeScaleSet)
			}
			if err != nil {
				return nil, false, err
			}
		}
	}
	switch {
	case controller != nil:
		return controller, hooked, nil
	case legacy != nil:
		return legacy, hooked, nil
	case scaleSet == nil:
		return nil, hooked, nil
	}
	err = scaleSet.findController(bindings)
	return scaleSet, hooked, err
}

// separator is what has to stand between the stream and a "---": a line break,
// if the last line has none.
func separator(stream []byte) string {
	if n := len(stream); n > 0 && stream[n-1] != '\n' && stream[n-1] != '\r' {
		return "\n"
	}
	return ""
}
