// Package postrender adds the hook to a stream of rendered manifests that installs ARC. The output is the
// input byte for byte, followed by the documents of the hook.
package postrender

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/arc-cleanup/arc-cleanup/internal/chart"
	"github.com/arc-cleanup/arc-cleanup/internal/detect"
	"github.com/arc-cleanup/arc-cleanup/internal/manifest"
)

// Options are what the user says. Every field may be empty.
type Options struct {
	// Release and Namespace override what the anchor says. A scale set knows its own name only, and the
	// release may have another name, and be in another namespace.
	Release   string
	Namespace string
	// HelmNamespace is Helm's default for the namespace. It counts if nothing in the stream contradicts it.
	HelmNamespace string
	// Helm says which Helm reads the output if the stream does not say it.
	Helm Helm
	// Values of the chart override the values that follow from the anchor.
	Values map[string]any
	// Check asks for the explanation only. Then Helm may be 4 even if the stream comes from "helm template",
	// which marks it like Helm 3.
	Check bool
}

// Result is the output: Input, followed by Added.
type Result struct {
	Input []byte
	Added string
	// Explanation says what was added and why, or why nothing was added.
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

// A Class tells where to look for the cause of an error.
type Class int

// Errors of reading and writing have no class.
const (
	// BadInput: the input is too large, is not valid YAML, or has an object of ARC of an unknown form.
	BadInput Class = iota + 1
	// BadHelm: which Helm reads the output is not known, or is not the one that the user says.
	BadHelm
	// BadTarget: the name or the namespace of the release is not known.
	BadTarget
	// BadValues: the chart of the hook rejects a value.
	BadValues
)

// An Error is an error that the user can correct. Nothing was added.
type Error struct {
	Class Class
	err   error
}

func (e *Error) Error() string { return e.err.Error() }

func (e *Error) Unwrap() error { return e.err }

// MaxInput limits what Copy reads, so that a stream without an end does not fill the memory. No Helm
// release is as large: its record is 1 MiB at most, compressed, which is some 10 MiB of YAML.
const MaxInput = 32 << 20

// Copy writes to out what it reads from in, and what Inject adds. It reads everything before it writes
// anything, and with an error or with o.Check it writes nothing. It returns the explanation of a Result.
func Copy(out io.Writer, in io.Reader, o Options) (explanation string, err error) {
	// A buffer that grew would take more than twice the input. The pages of this one take memory only once
	// they are written to.
	buffer := make([]byte, MaxInput+1)
	n, err := io.ReadFull(in, buffer)
	switch {
	case err == nil:
		return "", &Error{BadInput, fmt.Errorf("the input is larger than %d MiB, and no Helm release can be", MaxInput>>20)}
	case !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF):
		return "", fmt.Errorf("reading stdin: %w", err)
	}
	result, err := Inject(buffer[:n], o)
	if err != nil {
		return "", err
	}
	if o.Check {
		return result.Explanation, nil
	}
	if _, err := result.WriteTo(out); err != nil {
		return "", fmt.Errorf("writing stdout: %w", err)
	}
	return result.Explanation, nil
}

// Inject adds the hook to a stream if the stream has an anchor: the Deployment of ARC's controller or of
// the legacy controller, or an AutoscalingRunnerSet. If it has several, the first in this order counts.
// Helm 3 takes no hook from a post-renderer. For Helm 3, Inject adds the enroller instead, which puts the
// hook into the release's record from inside the cluster.
//
// A stream without an anchor, or with the hook in it, stays as it is: Helm 4's strategy "separate" calls a
// post-renderer once for hooks and once for manifests, and only the manifests have the anchor.
//
// Whatever is wrong with the input is an *Error, with a *manifest.SyntaxError in it if the YAML is not
// valid. With an error there is no output.
func Inject(stream []byte, o Options) (Result, error) {
	a, hooked, err := detect.Search(stream, len(stream)) // no limit: the user has rendered it
	if err != nil {
		return Result{}, &Error{BadInput, err}
	}
	result := Result{Input: stream}
	switch {
	case hooked:
		result.Explanation = "Nothing to add: the hook is in the input already.\n"
		return result, nil
	case a == nil:
		result.Explanation = "Nothing to add: the input installs neither ARC's controller nor a scale set.\n"
		return result, nil
	}
	result.Added, result.Explanation, err = addition(a, o)
	if err != nil {
		return Result{}, err
	}
	if o.Check {
		result.Added = ""
	}
	if result.Added == "" {
		return result, nil
	}
	before, err := separator(stream)
	if err != nil {
		return Result{}, &Error{BadInput, err}
	}
	result.Added = before + result.Added
	return result, nil
}

// addition returns the documents that an anchor calls for, and the explanation.
func addition(a *detect.Anchor, o Options) (added, explanation string, err error) {
	reader, err := proveHookReader(a, o)
	helm3 := errors.Is(err, errHelm3)
	if err != nil && !helm3 {
		return "", "", &Error{BadHelm, fmt.Errorf("found the %s: %w", a, err)}
	}
	target, err := targetOf(a, o)
	if err != nil {
		return "", "", &Error{BadTarget, err}
	}
	taken := a.In(target.Namespace)
	values := chart.Merge(taken, o.Values)
	hooks, err := chart.Render(target, values)
	if err != nil {
		return "", "", &Error{BadValues, err}
	}
	if len(hooks) == 0 {
		return "", "Nothing to add: the hook is switched off (enabled=false).\n", nil
	}
	if helm3 {
		enroller, err := chart.Enroller(target, values, hooks)
		if err != nil {
			return "", "", &Error{BadValues, err}
		}
		return ordinaryDocuments(enroller), explain(a, Helm3, target, taken, hooks, enroller), nil
	}
	if added, err = reader.documents(hooks); err != nil {
		return "", "", err
	}
	return added, explain(a, reader.helm, target, taken, hooks, nil), nil
}

// targetOf returns the release that the hook is for. ARC's objects may be in another namespace than their
// release (namespaceOverride of ARC's charts). If the namespaces that the objects and Helm name differ, the
// user has to give the release's namespace: in another namespace the hook would never find its release.
func targetOf(a *detect.Anchor, o Options) (chart.Release, error) {
	target := chart.Release{Name: cmp.Or(o.Release, a.Release), Namespace: o.Namespace}
	switch {
	case target.Name == "":
		return target, fmt.Errorf("the %s does not name its release; give --release", a)
	case o.Release == "" && !chart.IsReleaseName(target.Name):
		return target, fmt.Errorf("the %s names its release %q, which Helm does not accept as a name; give --release", a, target.Name)
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
	return target, fmt.Errorf("the namespace of the release is not known: ARC's objects and HELM_NAMESPACE name %s, "+
		"as with namespaceOverride; give --namespace", strings.Join(namespaces, ", "))
}

// separator returns what has to follow the stream before a "---" can: a line break if the last line has
// none. It fails if the line break would change the last document.
func separator(stream []byte) (string, error) {
	if n := len(stream); stream[n-1] == '\n' || stream[n-1] == '\r' {
		return "", nil
	}
	var last manifest.Document
	for d := range manifest.Documents(stream) {
		last = d
	}
	if last.EndsOpen() {
		return "", errors.New("the input ends within a block scalar, without a line break; " +
			"the line break that has to follow would become part of its text: end the input with a line break")
	}
	return "\n", nil
}
