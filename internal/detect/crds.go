package detect

import (
	"encoding/json"
	"fmt"
	"path"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/arc-cleanup/arc-cleanup/internal/helm"
	"github.com/arc-cleanup/arc-cleanup/internal/manifest"
)

// maxCRDs limits how much of the crds/ in a record is parsed: ARC's four CRDs have 3 MiB.
const maxCRDs = 8 << 20

// CRDs returns the CRDs in the folder crds/ of the chart in a record. Helm installs them with the release,
// and never changes them.
func CRDs(r *helm.Record) (out []map[string]any, err error) {
	text, err := r.Source()
	if err != nil || len(text) == 0 { // Helm always stores the chart
		return nil, err
	}
	var chart struct {
		Files []struct {
			Name string
			Data []byte
		}
	}
	if err := json.Unmarshal(text, &chart); err != nil {
		return nil, fmt.Errorf("reading the chart in the record of release %s: %w", r.Name, err)
	}
	size := 0
	for _, file := range chart.Files {
		if !strings.HasPrefix(file.Name, "crds/") || !isManifest(file.Name) {
			continue
		}
		if size += len(file.Data); size > maxCRDs {
			return nil, fmt.Errorf("the CRDs in the record of release %s have more than %d MiB", r.Name, maxCRDs>>20)
		}
		for d := range manifest.Documents(file.Data) {
			var o map[string]any
			if err := yaml.Unmarshal(d.Bytes(), &o); err != nil {
				return nil, fmt.Errorf("the CRDs in the record of release %s: %w", r.Name, err)
			}
			if o["kind"] == "CustomResourceDefinition" {
				out = append(out, o)
			}
		}
	}
	return out, nil
}

// isManifest reports whether Helm installs a file of crds/ (helm.sh/helm pkg/chart, hasManifestExtension).
func isManifest(name string) bool {
	switch strings.ToLower(path.Ext(name)) {
	case ".yaml", ".yml", ".json":
		return true
	}
	return false
}
