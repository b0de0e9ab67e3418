package helm

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"strings"

	sigsyaml "sigs.k8s.io/yaml"

	"github.com/arc-cleanup/arc-cleanup/internal/gzip"
)

// Whoever may create a Secret can write a record, and the hook that reads it has little memory. These
// limits are far above what Helm can have written: 1 MiB of its gzip is some 10 MiB of YAML.
const (
	// MaxSize is the most that Kubernetes stores in a Secret or ConfigMap (k8s.io/api core/v1, MaxSecretSize).
	MaxSize = 1 << 20
	// maxRaw bounds an unpacked record.
	maxRaw = 16 << 20
	// maxItems bounds the objects of a manifest, and the hooks.
	maxItems = 10_000
	// maxHead bounds how much of an object is parsed. Kubernetes takes 256 KiB of annotations
	// (k8s.io/apimachinery pkg/api/validation, TotalAnnotationSizeLimitB).
	maxHead = 512 << 10
	// maxName bounds how much of a name is kept. No object in a cluster has a longer name.
	maxName = 253
	// maxHeads bounds how much of a manifest is parsed, at half a second for a MiB. It is enough for the
	// heads of some thousand objects.
	maxHeads = 2 << 20
)

// serverSide is Helm 4's word for a server-side apply (helm.sh/helm/v4 pkg/release/v1/release.go). Helm 3
// has no such field.
const serverSide = "ssa"

// Decode reads a record as Helm stores it (helm.sh/helm pkg/storage/driver/util.go): gzip and base64. It
// reads only the few fields that it needs, so a later Helm's record stays readable.
func Decode(stored []byte) (*Record, error) {
	raw, err := unpack(stored)
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
	installs, err := objects(rec.Manifest, rec.Namespace)
	if err != nil {
		return nil, err
	}
	r := &Record{
		Name: rec.Name, Namespace: rec.Namespace, Revision: rec.Version, Status: rec.Info.Status, Chart: rec.Chart.Metadata,
		Objects: installs, ServerSide: rec.ApplyMethod == serverSide,
		Manifest: rec.Manifest, Hooks: rec.Hooks, Config: rec.Config, raw: raw,
	}
	for _, h := range rec.Hooks {
		if strings.EqualFold(h.Kind, "Job") {
			r.HookJobs = append(r.HookJobs, h.Name)
		}
	}
	return r, nil
}

func unpack(stored []byte) ([]byte, error) {
	if len(stored) > MaxSize {
		return nil, fmt.Errorf("it has %d bytes, and Kubernetes stores %d", len(stored), MaxSize)
	}
	raw, err := base64.StdEncoding.DecodeString(string(stored))
	if err != nil {
		return nil, err
	}
	// Helm 2's records were not always compressed, and Helm still accepts that.
	if !gzip.Is(raw) {
		return raw, nil
	}
	return gzip.Unpack(raw, maxRaw)
}

// Encode returns the record with these hooks, as Helm stores it. It may be larger than MaxSize.
func (r *Record) Encode(hooks []Hook) ([]byte, error) {
	return r.encode(func(record map[string]json.RawMessage) error {
		delete(record, "hooks") // as Helm does if there are none
		if len(hooks) == 0 {
			return nil
		}
		all, err := json.Marshal(hooks)
		if err != nil {
			return fmt.Errorf("writing the hooks of release %s: %w", r.Name, err)
		}
		record["hooks"] = all
		return nil
	})
}

// EncodeAs returns the record with this status, as Helm stores it.
func (r *Record) EncodeAs(status Status) ([]byte, error) {
	return r.encode(func(record map[string]json.RawMessage) error {
		var info map[string]json.RawMessage
		if err := json.Unmarshal(record["info"], &info); err != nil {
			return fmt.Errorf("reading the status of release %s: %w", r.Name, err)
		}
		text, err := json.Marshal(status)
		if err != nil {
			return fmt.Errorf("writing the status of release %s: %w", r.Name, err)
		}
		info["status"] = text
		record["info"], err = json.Marshal(info)
		return err
	})
}

func (r *Record) encode(change func(record map[string]json.RawMessage) error) ([]byte, error) {
	// Field by field, so that fields of a later Helm stay.
	var record map[string]json.RawMessage
	if err := json.Unmarshal(r.raw, &record); err != nil {
		return nil, fmt.Errorf("reading the record of release %s: %w", r.Name, err)
	}
	if err := change(record); err != nil {
		return nil, err
	}
	raw, err := json.Marshal(record)
	if err != nil {
		return nil, fmt.Errorf("writing the record of release %s: %w", r.Name, err)
	}
	return []byte(base64.StdEncoding.EncodeToString(gzip.Pack(raw))), nil
}

// hooks reads hooks one by one, so that a long list of empty hooks does not take much memory.
type hooks []Hook

func (h *hooks) UnmarshalJSON(data []byte) error {
	d := json.NewDecoder(bytes.NewReader(data))
	switch t, _ := d.Token(); t { // the data is valid JSON
	case nil: // null: there are none
		return nil
	case json.Delim('['):
	default:
		return fmt.Errorf("hooks are %v, and not a list", t)
	}
	for d.More() {
		if len(*h) == maxItems {
			return fmt.Errorf("it has more hooks than %d", maxItems)
		}
		var one Hook
		if err := d.Decode(&one); err != nil {
			return err
		}
		*h = append(*h, one)
	}
	return nil
}

// objects lists the objects of a manifest that can be read. Helm has applied the manifest, so an object
// that cannot be read is not one of ARC's.
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
			return nil, fmt.Errorf("its manifest has more objects than %d", maxItems)
		}
		var o struct {
			APIVersion, Kind string
			Metadata         struct {
				Namespace, Name string
				Annotations     map[string]any
			}
		}
		// The head may have an alias of something below.
		is := read(text, &o) || len(document) > len(text) && read(document, &o)
		if parsed > maxHeads {
			return nil, fmt.Errorf("the names, labels and annotations in its manifest have more than %d MiB", maxHeads>>20)
		}
		if is && o.Kind != "" {
			m := o.Metadata
			out = append(out, Object{cut(o.APIVersion), cut(o.Kind), cut(cmp.Or(m.Namespace, namespace)), cut(m.Name), keeps(m.Annotations)})
		}
	}
	return out, nil
}

// keeps reports whether Helm keeps an object with these annotations in the manifest
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

// head returns the part of a document that says which object it is: apiVersion, kind and metadata; "" if
// there is none. The rest may be large, and a parser takes a hundred times its size. A JSON document is
// its own head.
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

// parse reads a text, unless it is longer than an object's head can be.
func parse(text string, into any) bool {
	return len(text) <= maxHead && sigsyaml.Unmarshal([]byte(text), into) == nil
}
