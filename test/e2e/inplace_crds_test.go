package e2e

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/util/retry"
)

// TestCRDsOfAnOlderVersion: CRDs that are not those of the installed chart are named by status, stop a swap,
// and become those of the chart in an upgrade within the minor version, also to the version that is there.
func TestCRDsOfAnOlderVersion(t *testing.T) {
	g := newGated(newLab(t), 4, "secret", "0.13.1")
	outOf := func(args ...string) string {
		t.Helper()
		out, code := g.hookjob(args...)
		if code != 0 {
			t.Fatalf("%v: exit code %d", args, code)
		}
		return out
	}
	const name = "autoscalinglisteners.actions.github.com"
	const lacks = "CRD " + name + " has no spec.proxy, a required status.gone"
	if out := outOf("status"); strings.Contains(out, "CRDs") {
		t.Error("status finds fault with the CRDs of the chart")
	}
	g.makeOlder(name)
	out := outOf("status")
	for _, want := range []string{"The CRDs are not those of this chart", lacks, "arc-cleanup upgrade --version 0.13.1"} {
		if !strings.Contains(out, want) {
			t.Errorf("status does not say %q", want)
		}
	}

	controller, scaleSet := gateCharts(t, "0.14.2")
	out, code := g.upgraded(4, nil, "--yes", "--chart", controller, "--scale-set-chart", scaleSet)
	if code != 3 || !strings.Contains(out, "the CRDs are not those of the installed chart") || !strings.Contains(out, "has no spec.proxy") || len(g.upgradeSecrets()) > 0 {
		t.Errorf("the swap: exit code %d", code)
	}

	controller, scaleSet = gateCharts(t, "0.13.1")
	args := []string{"--yes", "--chart", controller, "--scale-set-chart", scaleSet}
	if _, code = g.upgraded(4, nil, args...); code != 0 {
		t.Fatalf("the same version: exit code %d", code)
	}
	g.is("0.13.1")
	if diff := cmp.Diff(schemaOf(t, g.crds, name), schemaOf(t, g.crdsNow(), name)); diff != "" {
		t.Errorf("the CRD (-want +got):\n%s", diff)
	}
	if now := g.arcReleases(4); cmp.Diff(g.before.charts, now.charts) != "" {
		t.Errorf("the releases have changed: %v", now.charts)
	}
	if out := outOf("status"); strings.Contains(out, "CRDs") {
		t.Error("status still finds fault with the CRDs")
	}
	if out, code = g.upgraded(4, nil, args...); code != 0 || !strings.Contains(out, "Nothing to do") {
		t.Errorf("once more: exit code %d", code)
	}
}

// makeOlder takes a field out of a CRD, and makes it require another one.
func (g *gated) makeOlder(name string) {
	g.Helper()
	crds := g.dynamic.Resource(customResourceDefinitions)
	err := retry.RetryOnConflict(retry.DefaultRetry, func() error {
		crd, err := crds.Get(g.ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		root := rootSchema(g.T, crd.Object["spec"])
		unstructured.RemoveNestedField(root, "properties", "spec", "properties", "proxy")
		status := root["properties"].(map[string]any)["status"].(map[string]any)
		status["required"] = []any{"gone"}
		status["properties"] = map[string]any{"gone": map[string]any{"type": "string"}}
		_, err = crds.Update(g.ctx, crd, metav1.UpdateOptions{})
		return err
	})
	if err != nil {
		g.Fatal(err)
	}
}

// schemaOf returns the schema of one of the CRDs that crdsNow has returned.
func schemaOf(t *testing.T, crds map[string]any, name string) map[string]any {
	t.Helper()
	return rootSchema(t, crds[name].([]any)[2])
}

func rootSchema(t *testing.T, spec any) map[string]any {
	t.Helper()
	versions := spec.(map[string]any)["versions"].([]any)
	root, found, err := unstructured.NestedFieldNoCopy(versions[0].(map[string]any), "schema", "openAPIV3Schema")
	if err != nil || !found {
		t.Fatalf("the CRD has no schema: %v", err)
	}
	return root.(map[string]any)
}
