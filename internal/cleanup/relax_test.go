package cleanup

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/kube/kubetest"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
	"github.com/arc-cleanup/arc-cleanup/internal/plan/plantest"
)

func TestASchemaThatRefusesThePatchIsRelaxed(t *testing.T) {
	t.Parallel()
	a, c := kubetest.New(t, kubetest.Stuck(kubetest.Whole(kubetest.Object("er runners/q", kubetest.Of("runners/set"), kubetest.Owned("ers runners/s")))...)...)
	var relaxed, refusals atomic.Int32
	a.Fault = func(request string) int {
		switch request {
		case "PATCH crd ephemeralrunners." + arc.Group:
			relaxed.Add(1)
		case "PATCH er runners/r", "PATCH er runners/q":
			// The API server applies the new schema after a moment.
			if relaxed.Load() == 0 || refusals.Add(1) < 5 {
				return http.StatusUnprocessableEntity
			}
		}
		return 0
	}
	a.Objects["crd ephemeralrunners."+arc.Group].Rest = map[string]any{"spec": map[string]any{"versions": []any{map[string]any{"name": "v1alpha1"}}}}
	start := time.Now()
	r := Run(t.Context(), c, graced(plantest.OfRelease, ample), quiet, Person{})
	if r.Verdict != plan.Done || relaxed.Load() != 1 || time.Since(start) > relaxPatience/2 {
		t.Errorf("relaxed %d times, after %s\n%s", relaxed.Load(), time.Since(start), r.Text(10))
	}
	if !strings.Contains(r.Summary(), "relaxed the schema of 1 customresourcedefinition") {
		t.Errorf("not reported: %s", r.Summary())
	}
}

func TestASchemaThatCannotBeRelaxed(t *testing.T) {
	t.Parallel()
	const crd = "crd ephemeralrunners." + arc.Group
	versions := func(v any) map[string]any { return map[string]any{"spec": map[string]any{"versions": v}} }
	tests := map[string]struct {
		rest    map[string]any
		refused string
		want    string
	}{
		"it cannot be read":    {versions([]any{}), "GET " + crd, "reading customresourcedefinitions.apiextensions.k8s.io/ephemeralrunners." + arc.Group + ": GET"},
		"nor understood":       {versions("text"), "", "reading customresourcedefinitions.apiextensions.k8s.io/ephemeralrunners." + arc.Group + ": .spec.versions"},
		"it cannot be changed": {versions([]any{}), "PATCH " + crd, "relaxing the schema of customresourcedefinitions.apiextensions.k8s.io/ephemeralrunners." + arc.Group},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, c := kubetest.New(t, kubetest.Stuck()...)
			a.Objects[crd].Rest = test.rest
			var begun atomic.Bool // after the survey has read it
			a.Fault = func(request string) int {
				switch {
				case request == "PATCH er runners/r":
					begun.Store(true)
					return http.StatusUnprocessableEntity
				case request == test.refused && begun.Load():
					return http.StatusBadRequest
				}
				return 0
			}
			r := Run(t.Context(), c, graced(plantest.OfRelease, ample), quiet, Person{})
			text := r.Text(20)
			if r.Verdict == plan.Done || !strings.Contains(text, test.want) || !strings.Contains(text, "removing finalizers from ephemeralrunners.actions.github.com/r") {
				t.Errorf("want %q in\n%s", test.want, text)
			}
		})
	}
}

func TestASchemaThatOthersUseIsNotRelaxed(t *testing.T) {
	t.Parallel()
	a, c := kubetest.New(t, kubetest.Stuck(kubetest.Deployment("team/arc", "team"))...)
	a.Fault = kubetest.On(http.StatusUnprocessableEntity, kubetest.Always, "PATCH er runners/r")
	r := Run(t.Context(), c, graced(plantest.OfRelease, ample), quiet, Person{})
	for _, w := range a.Written() {
		if w == "PATCH crd ephemeralrunners."+arc.Group {
			t.Errorf("it was")
		}
	}
	if r.Verdict != plan.Residue {
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
