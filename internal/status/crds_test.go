package status

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/helm"
	"github.com/arc-cleanup/arc-cleanup/internal/kube/kubetest"
)

// The CRDs in the cluster are compared with those in the record of a controller that is installed.
func TestLackingCRDs(t *testing.T) {
	t.Parallel()
	const controller = `apiVersion: apps/v1
kind: Deployment
metadata: {name: arc, labels: {app.kubernetes.io/part-of: gha-rs-controller}}
spec: {template: {spec: {containers: [{command: [/manager], args: [--auto-scaling-runner-set-only]}]}}}
`
	name := arc.CRDs()[0]
	const schema = `"versions": [{"name": "v1alpha1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object", "properties": {FIELDS}}}}]`
	of := func(fields string) string {
		return `{"kind": "CustomResourceDefinition", "apiVersion": "apiextensions.k8s.io/v1", "metadata": {"name": "` + name + `"}, "spec": {` + strings.ReplaceAll(schema, "FIELDS", fields) + "}}"
	}
	chart := func(text string) map[string]any {
		return map[string]any{"files": []any{map[string]any{"name": "crds/a.yaml", "data": []byte(text)}}}
	}
	const spec = `"spec": {"type": "object"}`
	tests := map[string]struct {
		record  record
		fail    map[string]int
		lacks   []arc.LackingCRD
		unknown string
		err     bool
	}{
		"the same":     {record: record{manifest: controller, chart: chart(of(""))}},
		"older":        {record: record{manifest: controller, chart: chart(of(spec))}, lacks: []arc.LackingCRD{{Name: name, Lacks: []string{"no spec"}}}},
		"a scale set":  {record: record{manifest: set, chart: chart(of(spec))}},
		"uninstalled":  {record: record{manifest: controller, chart: chart(of(spec)), status: helm.Uninstalled}},
		"not readable": {record: record{manifest: controller, chart: chart("[")}, unknown: "the CRDs in the record of release arc"},
		"no right": {
			record: record{manifest: controller, chart: chart(of(spec))}, fail: map[string]int{"GET crd " + name: http.StatusForbidden},
			unknown: "reading customresourcedefinitions", err: true,
		},
	}
	for label, test := range tests {
		t.Run(label, func(t *testing.T) {
			t.Parallel()
			test.record.name, test.record.namespace = "arc", "ns"
			if test.record.status == "" {
				test.record.status = helm.Deployed
			}
			a, c := kubetest.New(t, append(kubetest.Stored(crdObject(t, of(""))), kubetest.Stored(test.record.object())...)...)
			a.Fault = func(request string) int { return test.fail[request] }
			d, err := Read(t.Context(), c, Query{Options: options})
			if len(d.Releases) != 1 || (err != nil) != test.err {
				t.Fatalf("%v: %+v", err, d)
			}
			if diff := cmp.Diff(test.lacks, d.Releases[0].CRDs); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if unknown := strings.Join(d.Unknown, "\n"); test.unknown != "" && !strings.Contains(unknown, test.unknown) || test.unknown == "" && unknown != "" {
				t.Errorf("unknown: %s", unknown)
			}
		})
	}
}

func crdObject(t *testing.T, text string) (o map[string]any) {
	t.Helper()
	if err := yaml.Unmarshal([]byte(text), &o); err != nil {
		t.Fatal(err)
	}
	return o
}
