package release

import (
	"encoding/json"
	"fmt"
)

// Source returns the chart in the record, as JSON: metadata, templates, values and files. Helm stores no
// dependencies (helm.sh/helm pkg/chart, Chart).
func (r *Revision) Source() (json.RawMessage, error) {
	var record struct{ Chart json.RawMessage }
	if err := json.Unmarshal(r.raw, &record); err != nil {
		return nil, fmt.Errorf("reading the chart in the record of release %s: %w", r.Name, err)
	}
	return record.Chart, nil
}
