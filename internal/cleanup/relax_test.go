package cleanup

import (
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
)

func TestASchemaThatRefusesThePatchIsRelaxed(t *testing.T) {
	t.Parallel()
	a, c := newAPI(t, stuck()...)
	var relaxed, refusals atomic.Int32
	a.fault = func(request string) int {
		switch request {
		case "PATCH crd ephemeralrunners." + arc.Group:
			relaxed.Add(1)
		case "PATCH er runners/r":
			// It takes a moment until the API server heeds the new schema.
			if relaxed.Load() == 0 || refusals.Add(1) < 3 {
				return http.StatusUnprocessableEntity
			}
		}
		return 0
	}
	a.objects["crd ephemeralrunners."+arc.Group].rest = map[string]any{"spec": map[string]any{"versions": []any{map[string]any{"name": "v1alpha1"}}}}
	r := Run(t.Context(), c, graced(ofRelease, ample), quiet)
	if r.Verdict != Done || relaxed.Load() != 1 {
		t.Errorf("relaxed %d times\n%s", relaxed.Load(), r.Text(10))
	}
}

func TestASchemaThatOthersUseIsNotRelaxed(t *testing.T) {
	t.Parallel()
	a, c := newAPI(t, stuck(deployment(ctrl("team/arc", "team")))...)
	a.fault = on(http.StatusUnprocessableEntity, always, "PATCH er runners/r")
	r := Run(t.Context(), c, graced(ofRelease, ample), quiet)
	for _, w := range a.written() {
		if w == "PATCH crd ephemeralrunners."+arc.Group {
			t.Errorf("it was")
		}
	}
	if r.Verdict != Residue {
		t.Errorf("%s", r.Text(10))
	}
}

func TestRelaxation(t *testing.T) {
	t.Parallel()
	crd := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"versions": []any{
		map[string]any{"name": "v1", "schema": map[string]any{"x": "y"}},
		map[string]any{"name": "v2", "selectableFields": []any{map[string]any{"jsonPath": ".spec.x"}}},
	}}}}
	got, err := relaxation(crd, "u")
	if err != nil {
		t.Fatal(err)
	}
	const anything = `"value":{"openAPIV3Schema":{"type":"object","x-kubernetes-preserve-unknown-fields":true}}}`
	want := `[{"op":"test","path":"/metadata/uid","value":"u"},` +
		`{"op":"replace","path":"/spec/versions/0/schema",` + anything + `,` +
		`{"op":"replace","path":"/spec/versions/1/schema",` + anything + `,` +
		`{"op":"remove","path":"/spec/versions/1/selectableFields"}]`
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
