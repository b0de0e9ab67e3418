package release

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	sigsyaml "sigs.k8s.io/yaml"

	"github.com/arc-cleanup/arc-cleanup/internal/gzip"
)

// A record may come from anybody who may write a Secret somewhere, and is read where
// memory is short. These are far above what Helm can have written: 1 MiB of its gzip
// are some 10 MiB of YAML.
const (
	// maxSize is what Kubernetes stores of a Secret's or ConfigMap's data
	// (k8s.io/api core/v1, MaxSecretSize).
	maxSize = 1 << 20
	// maxRaw bounds a record once it is unpacked.
	maxRaw = 16 << 20
	// maxItems bounds the objects of a manifest, and the hooks.
	maxItems = 10_000
	// maxHead bounds what is read of an object: Kubernetes takes 256 KiB of
	// annotations (k8s.io/apimachinery pkg/api/validation, TotalAnnotationSizeLimitB).
	maxHead = 512 << 10
	// maxName bounds what is kept of a name: no object that Helm has applied has a longer
	// one.
	maxName = 253
	// maxHeads bounds what is parsed of a manifest, at half a second for a MiB: what says
	// which objects they are, of some thousands.
	maxHeads = 2 << 20
)

// serverSide is how Helm 4 says that it applied a revision on the server's side
// (helm.sh/helm/v4 pkg/release/v1/release.go). Helm 3 says nothing.
const serverSide = "ssa"

// decode reads the record that an object holds. Only the few fields needed are
// understood, so one of a later Helm stays readable. The error is errForeign where
// outside and inside do not agree.
func decode(o *unstructured.Unstructured) (*Revision, error) {
	name, revision, ok := outside(o)
	kind, _, _ := unstructured.NestedString(o.Object, "type")
	if !ok || o.GetKind() == "Secret" && kind != secretType {
		return nil, errForeign
	}
	raw, err := unpack(o)
	if err != nil {
		return nil, err
	}
	var rec struct {
		Name, Namespace string
		Version         int
		Info            struct{ Status Status }
		Chart           struct{ Metadata Chart }
		Config          json.RawMessage
		Hooks           hooks
		Manifest        string
		ApplyMethod     string `json:"apply_method"`
	}
	if err := json.Unmarshal(raw, &rec); err != nil {
		return nil, err
	}
	if rec.Name != name || rec.Version != revision {
		return nil, errForeign
	}
	installs, err := objects(rec.Manifest, rec.Namespace)
	if err != nil {
		return nil, err
	}
	r := &Revision{
		Manifest: rec.Manifest, Hooks: rec.Hooks, raw: raw, Config: rec.Config,
		Driver: strings.ToLower(o.GetKind()), ServerSide: rec.ApplyMethod == serverSide,
	}
	r.Record = Record{
		Name: name, Namespace: rec.Namespace, StorageNamespace: o.GetNamespace(),
		Revision: revision, Status: rec.Info.Status, Chart: rec.Chart.Metadata, Objects: installs,
	}
	for _, h := range rec.Hooks {
		if strings.EqualFold(h.Kind, "Job") {
			r.HookJobs = append(r.HookJobs, h.Name)
		}
	}
	return r, nil
}

// unpack undoes what helm.sh/helm pkg/storage/driver/util.go does: gzip, base64; a
// Secret's data is base64 once more.
func unpack(o *unstructured.Unstructured) ([]byte, error) {
	data, _, err := unstructured.NestedString(o.Object, "data", "release")
	if err != nil {
		return nil, err
	}
	raw := []byte(data)
	if o.GetKind() == "Secret" {
		if raw, err = base64.StdEncoding.DecodeString(data); err != nil {
			return nil, err
		}
	}
	if len(raw) > maxSize {
		return nil, fmt.Errorf("it has %d bytes, and Kubernetes stores %d", len(raw), maxSize)
	}
	if raw, err = base64.StdEncoding.DecodeString(string(raw)); err != nil {
		return nil, err
	}
	// Helm 2's records were not always compressed; Helm still looks for the magic.
	if !gzip.Is(raw) {
		return raw, nil
	}
	return gzip.Unpack(raw, maxRaw)
}

// hooks reads hooks one by one, so that a list of nothings does not become large.
type hooks []Hook

func (h *hooks) UnmarshalJSON(data []byte) error {
	d := json.NewDecoder(bytes.NewReader(data))
	switch t, _ := d.Token(); t { // of what is JSON already
	case nil: // null, where there are none
		return nil
	case json.Delim('['):
	default:
		return fmt.Errorf("hooks are %v, and not a list", t)
	}
	for d.More() {
		if len(*h) == maxItems {
			return fmt.Errorf("it has more than %d hooks", maxItems)
		}
		var one Hook
		if err := d.Decode(&one); err != nil {
			return err
		}
		*h = append(*h, one)
	}
	return nil
}

// objects lists what a manifest installs, as far as it can be read: Helm has
// applied it, so what cannot is nothing that we look for.
func objects(manifest, namespace string) (out []Object, err error) {
	n, parsed := 0, 0
	read := func(text string, into any) bool {
		if len(text) <= maxHead {
			parsed += len(text)
		}
		return parsed <= maxHeads && parse(text, into)
	}
	for document := range documents(manifest) {
		text := head(document)
		if text == "" {
			continue
		}
		if n++; n > maxItems {
			return nil, fmt.Errorf("its manifest has more than %d objects", maxItems)
		}
		var o struct {
			APIVersion, Kind string
			Metadata         struct {
				Namespace, Name string
				Annotations     map[string]any
			}
		}
		// What is at the head may be an alias of something below.
		is := read(text, &o) || len(document) > len(text) && read(document, &o)
		if parsed > maxHeads {
			return nil, fmt.Errorf("what names the objects of its manifest is more than %d MiB", maxHeads>>20)
		}
		if is && o.Kind != "" {
			out = append(out, Object{cut(o.APIVersion), cut(o.Kind), cut(cmp.Or(o.Metadata.Namespace, namespace)), cut(o.Metadata.Name), keeps(o.Metadata.Annotations)})
		}
	}
	return out, nil
}

// keeps reports whether Helm leaves an object that has these annotations in the manifest
// (helm.sh/helm pkg/action/resource_policy.go).
func keeps(annotations map[string]any) bool {
	policy, _ := annotations["helm.sh/resource-policy"].(string)
	return strings.ToLower(strings.TrimSpace(policy)) == "keep"
}

func cut(name string) string { return strings.Clone(name[:min(len(name), maxName)]) }

// documents splits a manifest where Helm does (helm.sh/helm pkg/releaseutil, sep).
func documents(manifest string) iter.Seq[string] {
	return func(yield func(string) bool) {
		start, end := 0, 0
		for line := range strings.Lines(manifest) {
			if strings.HasPrefix(line, "---") {
				if !yield(manifest[start:end]) {
					return
				}
				start = end + len("---")
			}
			end += len(line)
		}
		yield(manifest[start:])
	}
}

// head is what of a document says which object it is; "" if nothing does. The rest
// may be large, and a parser makes a hundred times as much of it. What has its keys
// not at the margin, JSON above all, is its own head.
func head(document string) string {
	document = strings.TrimLeft(document, " \t")
	var out strings.Builder
	keep := false
	for line := range strings.Lines(document) {
		if strings.HasPrefix(line, "{") {
			return document
		}
		if key, _, isKey := strings.Cut(line, ":"); isKey && !strings.ContainsAny(line[:1], " \t#-") {
			keep = slices.Contains([]string{"apiVersion", "kind", "metadata"}, strings.Trim(key, " \"'\ufeff"))
		}
		if keep {
			out.WriteString(line)
		}
	}
	return out.String()
}

// parse reads a text that is no longer than an object's head can be.
func parse(text string, into any) bool {
	return len(text) <= maxHead && sigsyaml.Unmarshal([]byte(text), into) == nil
}
