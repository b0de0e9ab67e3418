package attack

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/arc-cleanup/arc-cleanup/test/harness"
)

// A picture is the whole cluster without the actor's namespace: every object as text that is
// the same in two runs. Generated names become one name, so a name may have several texts.
type picture map[harness.Object][]string

// look takes the picture, without the objects in not: those that the actor created in other namespaces.
func look(ctx context.Context, l *lab, not []*unstructured.Unstructured) (picture, error) {
	kinds, err := harness.Kinds(l.Config())
	if err != nil {
		return nil, err
	}
	type found struct {
		resource string
		o        *unstructured.Unstructured
	}
	var all []found
	for _, k := range kinds {
		var options metav1.ListOptions
		if k.Namespaced {
			options.FieldSelector = "metadata.namespace!=" + tenantNamespace
		}
		list, err := l.dynamic.Resource(k.GroupVersionResource).List(ctx, options)
		if apierrors.IsBadRequest(err) { // of a kind that cannot be selected so
			list, err = l.dynamic.Resource(k.GroupVersionResource).List(ctx, metav1.ListOptions{})
		}
		if apierrors.IsNotFound(err) {
			continue // its CRD went meanwhile
		}
		if err != nil {
			return nil, fmt.Errorf("listing %s: %w", k.Resource, err)
		}
		for i := range list.Items {
			o := &list.Items[i]
			if o.GetNamespace() == tenantNamespace || harness.InEvery(k.Resource, o.GetName()) || slices.ContainsFunc(not, func(n *unstructured.Unstructured) bool {
				return n.GetKind() == o.GetKind() && n.GetNamespace() == o.GetNamespace() && n.GetName() == o.GetName()
			}) {
				continue
			}
			all = append(all, found{k.Resource, o})
		}
	}
	generated := map[string]string{}
	for _, f := range all {
		if g := f.o.GetGenerateName(); g != "" {
			generated[f.o.GetName()] = g
		}
	}
	// The prefix of a generated name may itself be a generated name.
	names := map[string]string{}
	for _, name := range slices.SortedFunc(maps.Keys(generated), func(a, b string) int { return len(a) - len(b) }) {
		names[name] = replacer(names).Replace(generated[name]) + "*"
	}
	rename := replacer(names)
	uids := map[string]string{}
	for _, f := range all {
		uids[string(f.o.GetUID())] = "uid of " + harness.Object{Resource: f.resource, Namespace: f.o.GetNamespace(), Name: rename.Replace(f.o.GetName())}.String()
	}
	identify := replacer(uids)
	p := picture{}
	for _, f := range all {
		key := harness.Object{Resource: f.resource, Namespace: f.o.GetNamespace(), Name: times.Replace(rename.Replace(f.o.GetName()))}
		normalise(f.resource, f.o)
		text, err := json.MarshalIndent(readable(f.o.Object, f.resource == "secrets"), "", "  ")
		if err != nil {
			return nil, err
		}
		p[key] = append(p[key], times.Replace(identify.Replace(rename.Replace(string(text)))))
	}
	for _, texts := range p {
		slices.Sort(texts)
	}
	return p, nil
}

// replacer replaces keys by their values, the longest first, because one name may begin
// with another.
func replacer(pairs map[string]string) *strings.Replacer {
	keys := slices.SortedFunc(maps.Keys(pairs), func(a, b string) int { return len(b) - len(a) })
	var list []string
	for _, k := range keys {
		list = append(list, k, pairs[k])
	}
	return strings.NewReplacer(list...)
}

// varying matches text that differs between any two runs, with its replacement.
type varying []struct {
	pattern *regexp.Regexp
	by      string
}

func (v varying) Replace(text string) string {
	for _, x := range v {
		text = x.pattern.ReplaceAllString(text, x.by)
	}
	return text
}

var times = varying{
	{regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)`), "TIME"},
	{regexp.MustCompile(`\b\d{8}-\d{6}\b`), "TIME"},
	{regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`), "UUID"},
	// The volume of a Pod's token, and counters of Kubernetes.
	{regexp.MustCompile(`kube-api-access-[a-z0-9]{5}`), "kube-api-access-*"},
	{regexp.MustCompile(`"(generation|observedGeneration|restartCount)": \d+`), `"$1": N`},
}

// normalise removes fields that differ in every run.
func normalise(resource string, o *unstructured.Unstructured) {
	o.SetManagedFields(nil)
	o.SetResourceVersion("")
	labels := o.GetLabels()
	delete(labels, "modifiedAt")             // of Helm's records
	delete(labels, "role-policy-rules-hash") // of rules with a generated name in them
	if resource == "pods" {
		delete(labels, "pod-template-hash") // of a runner: its configuration from GitHub is in it
	}
	o.SetLabels(labels)
	switch resource {
	case "pods":
		phase, _, _ := unstructured.NestedString(o.Object, "status", "phase")
		o.Object["status"] = phase
	case "ephemeralrunners":
		delete(o.Object, "status") // its number and token at GitHub
	case "nodes":
		delete(o.Object, "status") // its heartbeats
		o.SetAnnotations(nil)
	}
}

// readable decodes compressed text in Secrets and ConfigMaps, for example Helm's records.
func readable(value any, inSecret bool) any {
	switch v := value.(type) {
	case map[string]any:
		out := map[string]any{}
		for k, x := range v {
			if inSecret && k == "data" {
				out[k] = decodeAll(x)
			} else {
				out[k] = readable(x, inSecret)
			}
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, x := range v {
			out[i] = readable(x, inSecret)
		}
		return out
	case string:
		return unpacked(v)
	}
	return value
}

func decodeAll(data any) any {
	m, _ := data.(map[string]any)
	out := map[string]any{}
	for k, x := range m {
		if k == "jitToken" {
			continue // a runner's, each time another
		}
		text, _ := x.(string)
		if raw, err := base64.StdEncoding.DecodeString(text); err == nil && utf8.Valid(raw) {
			text = string(raw)
		}
		out[k] = unpacked(text)
	}
	return out
}

// unpacked decodes base64 with compressed text in it, and returns any other text unchanged.
func unpacked(text string) any {
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil || !bytes.HasPrefix(raw, []byte{0x1f, 0x8b}) {
		return text
	}
	z, err := gzip.NewReader(bytes.NewReader(raw))
	if err != nil {
		return text
	}
	if raw, err = io.ReadAll(z); err != nil {
		return text
	}
	var document any
	if json.Unmarshal(raw, &document) == nil {
		return document
	}
	return string(raw)
}

// differences lists how a picture differs from the one without the actor.
func differences(without, with picture) []string {
	var out []string
	for _, o := range sorted(without) {
		if !slices.Equal(without[o], with[o]) {
			out = append(out, difference(o, without[o], with[o]))
		}
	}
	for _, o := range sorted(with) {
		if without[o] == nil {
			out = append(out, difference(o, nil, with[o]))
		}
	}
	return out
}

func sorted(p picture) []harness.Object {
	return slices.SortedFunc(maps.Keys(p), func(a, b harness.Object) int { return strings.Compare(a.String(), b.String()) })
}

// These limits bound how much of a difference is printed.
const (
	differingLines   = 30
	differingColumns = 300
)

func difference(o harness.Object, without, with []string) string {
	switch {
	case len(with) == 0:
		return fmt.Sprintf("%s is missing", o)
	case len(without) == 0:
		return fmt.Sprintf("%s is there, and would not be:\n%s", o, head(with[0]))
	case len(without) != len(with):
		return fmt.Sprintf("of %s there are %d and would be %d", o, len(with), len(without))
	}
	var lines []string
	for i := range without {
		a, b := strings.Split(without[i], "\n"), strings.Split(with[i], "\n")
		for _, line := range a {
			if !slices.Contains(b, line) {
				lines = append(lines, "- "+line)
			}
		}
		for _, line := range b {
			if !slices.Contains(a, line) {
				lines = append(lines, "+ "+line)
			}
		}
	}
	if len(lines) == 0 {
		lines = []string{"(the same lines in another order)"}
	}
	return fmt.Sprintf("%s is another (- without the actor, + with it):\n%s", o, head(strings.Join(lines, "\n")))
}

func head(text string) string {
	lines := strings.Split(text, "\n")
	if len(lines) > differingLines {
		lines = append(lines[:differingLines], fmt.Sprintf("... %d more lines", len(lines)-differingLines))
	}
	for i, line := range lines {
		if len(line) > differingColumns {
			lines[i] = line[:differingColumns] + "..."
		}
	}
	return indented(strings.Join(lines, "\n"))
}
