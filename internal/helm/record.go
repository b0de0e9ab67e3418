// Package helm reads and edits the text of Helm's records, and knows Helm's words. The format is the
// one that Helm 3 and Helm 4 share. It does no I/O: package release finds, reads and writes the objects
// that hold records.
//
// Helm's own types are not used. Those of one major version drop fields of the other (Helm 4's
// apply_method).
package helm

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/arc-cleanup/arc-cleanup/internal/object"
)

// Record is Helm's record of one revision of a release.
type Record struct {
	Name, Namespace string
	Revision        int
	Status          Status
	Chart           Chart
	// HookJobs names the Jobs among the revision's hooks.
	HookJobs []string
	// Objects are those of the revision's manifest, without hooks.
	Objects []Object
	// ServerSide says that Helm used a server-side apply.
	ServerSide bool

	// StorageNamespace is where Helm keeps the record. It is Namespace, except with Flux and other tools
	// that embed Helm.
	StorageNamespace string
	// Driver is the HELM_DRIVER with which Helm finds the record: secret or configmap.
	Driver string
	// Storage are the objects in which Helm keeps the release, one for each revision, the oldest first.
	Storage []object.Object

	// Manifest is what the revision installs, without hooks. It may have 16 MiB; see Shrink.
	Manifest string
	Hooks    []Hook
	// Config holds the user's values, as JSON.
	Config json.RawMessage
	raw    []byte // all of the record, as JSON
}

// Chart is the chart a revision was rendered from.
type Chart struct {
	Name       string `json:"name"`
	Version    string `json:"version"`
	AppVersion string `json:"appVersion"`
}

// Object is one object of a manifest. If the manifest names no namespace, it is the release's, as for Helm.
// For a cluster-scoped object the namespace means nothing.
type Object struct {
	APIVersion, Kind, Namespace, Name string
	// Keep says that the manifest tells Helm not to delete it.
	Keep bool
}

// StoredElsewhere reports whether the record is in another namespace than the release. Then it proves
// nothing, unless the caller knows that namespace.
func (r *Record) StoredElsewhere() bool { return r.StorageNamespace != r.Namespace }

// Shrink drops the texts of a record that is kept beside others: whoever may create Secrets can write
// many large ones.
func (r *Record) Shrink() { r.Manifest, r.Hooks, r.Config, r.raw = "", nil, nil, nil }

// Source returns the chart in the record, as JSON: metadata, templates, values and files. Helm stores no
// dependencies (helm.sh/helm pkg/chart, Chart).
func (r *Record) Source() (json.RawMessage, error) {
	var record struct{ Chart json.RawMessage }
	if err := json.Unmarshal(r.raw, &record); err != nil {
		return nil, fmt.Errorf("reading the chart in the record of release %s: %w", r.Name, err)
	}
	return record.Chart, nil
}

// ChartAnnotation returns the value of an annotation of the chart; "" if it has none.
func (r *Record) ChartAnnotation(key string) string {
	var record struct {
		Chart struct {
			Metadata struct{ Annotations map[string]string }
		}
	}
	if json.Unmarshal(r.raw, &record) != nil { // it may be what anybody has written
		return ""
	}
	return record.Chart.Metadata.Annotations[key]
}

// Label returns the value of a label, from the first object of the manifest that has it; "" if none has.
func (r *Record) Label(key string) string {
	for document := range documents(r.Manifest) {
		if !strings.Contains(document, key) {
			continue
		}
		var o struct {
			Metadata struct{ Labels map[string]string }
		}
		if (parse(head(document), &o) || parse(document, &o)) && o.Metadata.Labels[key] != "" {
			return o.Metadata.Labels[key]
		}
	}
	return ""
}
