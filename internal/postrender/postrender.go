// Package postrender adds the hook to a stream of rendered manifests that
// installs ARC. What came in goes out byte for byte; the hook's documents
// follow it.
package postrender

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/arc-cleanup/arc-cleanup/internal/anchor"
	"github.com/arc-cleanup/arc-cleanup/internal/hook"
	"github.com/arc-cleanup/arc-cleanup/internal/manifest"
)

// Options are the user's words; each is "" or nil if not given.
type Options struct {
	// Release and Namespace win over what the anchor says. A scale set knows its
	// own name only, which need not be the release's; and its namespace need not be.
	Release   string
	Namespace string
	// HelmNamespace is what Helm takes for the namespace unless it is told another.
	// It counts where nothing in the stream contradicts it.
	HelmNamespace string
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

// A Class is what an error is about, and so where to look for its cause.
type Class int

// Of no class are errors of reading and writing.
const (
	// BadInput is not valid YAML, or holds an object of ARC that is not like
	// any of ARC's.
	BadInput Class = iota + 1
	// BadHelm is one that cannot be told, or is not the one that was said.
	BadHelm
	// BadTarget is a release whose name or namespace nobody says.
	BadTarget
	// BadValues are refused by the chart of the hook.
	BadValues
)

// An Error is one that somebody can do something about. Nothing was added.
type Error struct {
	Class Class
	err   error
}

func (e *Error) Error() string { return e.err.Error() }

func (e *Error) Unwrap() error { return e.err }

// heldBelow is the size up to which a stream is read to its end before any of it
// goes out.
const heldBelow = 1 << 20

// Copy copies in to out with what Inject adds, or writes nothing with o.Check.
// The explanation is that of a Result.
//
// With an error nothing went out, unless the stream is larger than heldBelow:
// that goes out as it comes in, so that memory does not grow with it. All of it
// does, also after an error, since half a manifest may be a valid one; only the
// hook is missing. Both Helms drop the output of a post-renderer that fails
// (helm.sh/helm/v3 pkg/postrender/exec.go, Run; helm.sh/helm/v4
// internal/plugin/runtime_subprocess.go, runPostrenderer).
func Copy(out io.Writer, in io.Reader, o Options) (explanation string, err error) {
	if o.Check {
		out = io.Discard
	}
	go hook.Prepare() // Helm, too, takes its time
	head, err := io.ReadAll(io.LimitReader(in, heldBelow+1))
	if err != nil {
		return "", fmt.Errorf("reading stdin: %w", err)
	}
	var result Result
	if len(head) <= heldBelow {
		if result, err = Inject(head, o); err != nil {
			return "", err
		}
	} else {
		var s anchor.Search
		var last manifest.Document
		var failed error
		t := &tee{in: io.MultiReader(bytes.NewReader(head), in), out: out}
		for d, err := range manifest.Read(t, s.Wants) {
			if err != nil {
				return "", err
			}
			last = d
			if failed == nil {
				failed = s.Look(d)
			}
		}
		if failed != nil {
			return "", &Error{BadInput, failed}
		}
		if result, err = add(last, s.Found(), s.Hooked, o); err != nil {
			return "", err
		}
	}
	if _, err := result.WriteTo(out); err != nil {
		return "", fmt.Errorf("writing stdout: %w", err)
	}
	return result.Explanation, nil
}

// tee writes what is read from it. Unlike an io.TeeReader it tells which of the
// two failed.
type tee struct {
	in  io.Reader
	out io.Writer
}

func (t *tee) Read(p []byte) (int, error) {
	n, err := t.in.Read(p)
	if err != nil && err != io.EOF {
		return n, fmt.Errorf("reading stdin: %w", err)
	}
	if _, err := t.out.Write(p[:n]); err != nil {
		return n, fmt.Errorf("writing stdout: %w", err)
	}
	return n, err
}

// Inject adds the hook to a stream, once, if it holds an anchor: the Deployment
// of ARC's controller or of the legacy one, or an AutoscalingRunnerSet; the first
// of these wins where several are. On its way to Helm 3, which takes no hook from a post-renderer, it adds
// what enrols the hook afterwards, from inside the cluster. A stream without ARC,
// or with the hook in it, comes back as it is: Helm 4's strategy "separate" calls
// a post-renderer for hooks and for manifests, and only the latter have the
// anchor.
//
// What is wrong with the input is an *Error, and broken YAML a *manifest.SyntaxError
// in it. Then there is no output.
func Inject(stream []byte, o Options) (Result, error) {
	a, hooked, err := anchor.Find(stream)
	if err != nil {
		return Result{}, &Error{BadInput, err}
	}
	var last manifest.Document
	for d := range manifest.Documents(stream) {
		last = d
	}
	result, err := add(last, a, hooked, o)
	if err == nil {
		result.Input = stream
	}
	return result, err
}

// add does Inject's work when the stream was searched. Of the stream it needs the
// last document only.
func add(last manifest.Document, a *anchor.Anchor, hooked bool, o Options) (Result, error) {
	switch {
	case hooked:
		return Result{Explanation: "Nothing to add: the hook is in the input already.\n"}, nil
	case a == nil:
		return Result{Explanation: "Nothing to add: the input installs neither ARC's controller nor a scale set.\n"}, nil
	}

	reader, err := proveHookReader(a, o)
	helm3 := errors.Is(err, errHelm3)
	if err != nil && !helm3 {
		return Result{}, &Error{BadHelm, fmt.Errorf("found the %s: %w", a, err)}
	}
	target, err := targetOf(a, o)
	if err != nil {
		return Result{}, &Error{BadTarget, err}
	}
	taken := a.In(target.Namespace)
	values := hook.Merge(taken, o.Values)
	hooks, err := hook.Render(target, values)
	if err != nil {
		return Result{}, &Error{BadValues, err}
	}
	if len(hooks) == 0 {
		return Result{Explanation: "Nothing to add: the hook is switched off (enabled=false).\n"}, nil
	}
	var result Result
	if helm3 {
		enroller, err := hook.Enroller(target, values, hooks)
		if err != nil {
			return Result{}, &Error{BadValues, err}
		}
		result.Added = ordinaryDocuments(enroller)
		result.Explanation = explain(a, Helm3, target, taken, hooks, enroller)
	} else {
		if result.Added, err = reader.documents(hooks); err != nil {
			return Result{}, err
		}
		result.Explanation = explain(a, reader.helm, target, taken, hooks, nil)
	}
	if o.Check {
		result.Added = ""
		return result, nil
	}
	before, err := separator(last)
	if err != nil {
		return Result{}, &Error{BadInput, err}
	}
	result.Added = before + result.Added
	return result, nil
}

// targetOf finds out whose hook it is. ARC's own objects need not be in the namespace
// of their release (namespaceOverride of its charts), so where what is known of that
// is not the same, somebody has to say it: in another namespace the hook would never
// find its release.
func targetOf(a *anchor.Anchor, o Options) (hook.Release, error) {
	target := hook.Release{Name: cmp.Or(o.Release, a.Release), Namespace: o.Namespace}
	switch {
	case target.Name == "":
		return target, fmt.Errorf("the %s does not say its release; give --release", a)
	case o.Release == "" && !hook.IsReleaseName(target.Name):
		return target, fmt.Errorf("the %s says that its release is %q, which is no release's name; give --release", a, target.Name)
	case target.Namespace != "":
		return target, nil
	}
	namespaces := a.Namespaces()
	if o.HelmNamespace != "" && !slices.Contains(namespaces, o.HelmNamespace) {
		namespaces = append(namespaces, o.HelmNamespace)
	}
	switch len(namespaces) {
	case 0:
		return target, fmt.Errorf("the %s has no namespace; give --namespace, or set HELM_NAMESPACE", a)
	case 1:
		target.Namespace = namespaces[0]
		return target, nil
	}
	return target, fmt.Errorf("the namespace of the release is not known: ARC's objects and HELM_NAMESPACE name %s, as with namespaceOverride; give --namespace", strings.Join(namespaces, ", "))
}

// separator is what has to stand between the last document and a "---": a line break,
// if its last line has none. It is an error where that would change the document.
func separator(last manifest.Document) (string, error) {
	if text := last.Bytes(); len(text) == 0 || text[len(text)-1] == '\n' || text[len(text)-1] == '\r' {
		return "", nil
	}
	if last.EndsOpen() {
		return "", errors.New("the last line of the input is one of a block scalar and has no line break; the one that would have to follow it would change that text: end the input with it")
	}
	return "\n", nil
}
