package status

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/arc-cleanup/arc-cleanup/internal/helm"
)

// TestRollbacks: status names the earlier revisions with another version of ARC, and no others.
func TestRollbacks(t *testing.T) {
	t.Parallel()
	of := func(version string) string {
		return fmt.Sprintf("%s  labels: {app.kubernetes.io/version: %q}\n", "apiVersion: actions.github.com/v1alpha1\nkind: AutoscalingRunnerSet\nmetadata:\n  name: set\n", version)
	}
	var records []record
	for i, manifest := range []string{of("0.13.1"), of("0.14.0"), "kind: ConfigMap\n", of("0.13.0"), of("0.14.2")} {
		r := record{name: "runners", namespace: "ns", revision: i + 1, status: helm.Superseded, manifest: manifest}
		if i == 1 {
			r.broken = true
		}
		records = append(records, r)
	}
	records[len(records)-1].status = helm.Deployed
	d, err := Read(t.Context(), serve(t, nil, records...), Query{Options: options})
	if err != nil || len(d.Releases) != 1 {
		t.Fatalf("%v: %+v", err, d.Releases)
	}
	want := []Revision{{4, "0.13.0"}, {1, "0.13.1"}}
	if diff := cmp.Diff(want, d.Releases[0].Rollbacks); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
