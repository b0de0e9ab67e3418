package helm

import (
	"bytes"
	"encoding/json"

	sigsyaml "sigs.k8s.io/yaml"
)

// These annotations make an object a hook (helm.sh/helm/v3 pkg/release/hook.go).
const (
	AnnotationHook   = "helm.sh/hook"
	AnnotationWeight = AnnotationHook + "-weight"
	AnnotationDelete = AnnotationHook + "-delete-policy"
	AnnotationLog    = AnnotationHook + "-output-log-policy"
)

// A Hook is a hook as the record of a release has it. As JSON it equals Helm's own type
// (helm.sh/helm/v3 pkg/release, Hook), which links the API machinery of Kubernetes and would make the
// post-renderer a quarter slower.
//
// Of a hook that was read from JSON, only name, kind and manifest are set. The other fields may differ in a
// later Helm; they are written again as they were read.
type Hook struct {
	Name              string   `json:"name"`
	Kind              string   `json:"kind"`
	Path              string   `json:"path"`
	Manifest          string   `json:"manifest"`
	Events            []string `json:"events"`
	LastRun           notRun   `json:"last_run"`
	Weight            int      `json:"weight,omitempty"`
	DeletePolicies    []string `json:"delete_policies,omitempty"`
	OutputLogPolicies []string `json:"output_log_policies,omitempty"`

	// Objects are what Helm creates for a hook of the chart: one object, or the items of a List.
	Objects []Object `json:"-"`

	read json.RawMessage
}

// notRun is what Helm records for a hook that has never run.
type notRun struct {
	StartedAt   string `json:"started_at"`
	CompletedAt string `json:"completed_at"`
	Phase       string `json:"phase"`
}

// UnmarshalJSON reads a hook as Helm stores it.
func (h *Hook) UnmarshalJSON(data []byte) error {
	var read struct{ Name, Kind, Manifest string }
	if err := json.Unmarshal(data, &read); err != nil {
		return err
	}
	*h = Hook{Name: read.Name, Kind: read.Kind, Manifest: read.Manifest, read: bytes.Clone(data)}
	return nil
}

// MarshalJSON writes a hook as Helm stores it.
func (h Hook) MarshalJSON() ([]byte, error) {
	if h.read != nil {
		return h.read, nil
	}
	type fields Hook
	return json.Marshal(fields(h))
}

// MaxObject bounds the manifests that are parsed: a parser takes a hundred times their size. Those of
// arc-cleanup have some 20 KB; others may have any size.
const MaxObject = 256 << 10

// Metadata reads the labels and annotations of the hook's object. A manifest that is not YAML has none.
func (h Hook) Metadata() (labels, annotations map[string]string) {
	var object struct {
		Metadata struct{ Labels, Annotations map[string]string }
	}
	if len(h.Manifest) <= MaxObject {
		_ = sigsyaml.Unmarshal([]byte(h.Manifest), &object)
	}
	return object.Metadata.Labels, object.Metadata.Annotations
}
