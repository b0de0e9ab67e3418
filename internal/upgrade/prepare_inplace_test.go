package upgrade

import (
	"cmp"
	"net/http"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
)

// An upgrade in place is tried as far as it can be before the first write.
func TestPrepareInPlace(t *testing.T) {
	image := func(o kubeObject, version string) kubeObject {
		container := specOf(o)["template"].(kubeObject)["spec"].(kubeObject)["containers"].([]any)[0].(kubeObject)
		container["image"] = "registry:5000/arc:" + version + "@sha256:0"
		metadata(o)["labels"].(kubeObject)[arc.LabelVersion] = version
		return o
	}
	const swap = "save arc, freeze arc, crds arc, upgrade runners, forward arc, upgrade arc, listeners arc, forget arc"
	type change func(*api, *fakeHelm)
	tests := map[string]struct {
		from    string // "" is 0.13.1
		to      string
		allowed bool
		change  change
		steps   string
		refused string
		err     string
	}{
		"over a minor":   {to: "0.14.2", steps: swap},
		"an experiment":  {from: "0.14.2", to: "0.15.0", allowed: true, steps: swap},
		"within a minor": {to: "0.13.2", steps: "save arc, upgrade arc, upgrade runners, listeners arc, forget arc"},
		"another image": {
			to: "0.14.2", refused: `release arc in namespace arc-systems would run a controller of the version "0.13.1" by its image, and not 0.14.2`,
			change: func(_ *api, h *fakeHelm) {
				c := image(controllerAt("arc-systems", "arc-systems", "arc"), "0.13.1")
				metadata(c)["labels"].(kubeObject)[arc.LabelVersion] = "0.14.2"
				h.renders("arc", c)
			},
		},
		"no CRDs":       {to: "0.14.2", refused: "they are [], and ARC has", change: func(_ *api, h *fakeHelm) { h.write("crds", "") }},
		"other CRDs":    {to: "0.14.2", refused: "and ARC has", change: func(_ *api, h *fakeHelm) { h.write("crds", newCRDs(t, "x.example.com")) }},
		"no CRDs there": {to: "0.14.2", err: "reading customresourcedefinitions", change: func(a *api, _ *fakeHelm) { a.take(crdObjects("x")[0]) }},
		"the CRDs are refused": {
			to: "0.14.2", refused: "applying customresourcedefinitions.apiextensions.k8s.io/" + arc.CRDs()[0],
			change: func(a *api, _ *fakeHelm) {
				a.Fault = func(request string) int {
					if strings.HasPrefix(request, "DRY PATCH crd") {
						return http.StatusForbidden
					}
					return 0
				}
			},
		},
		"the CRDs are Argo CD's": {
			to: "0.14.2", refused: `belongs to Argo CD's application "crds:x", which would take it back to the old version`,
			change: func(a *api, _ *fakeHelm) {
				crd := crdObjects("Established")[1]
				metadata(crd)["annotations"] = kubeObject{"argocd.argoproj.io/tracking-id": "crds:x"}
				a.put(crd)
			},
		},
		"the CRDs go": {
			to: "0.14.2", refused: "is being deleted, and all scale sets with it",
			change: func(a *api, _ *fakeHelm) {
				crd := crdObjects("Established")[1]
				metadata(crd)["deletionTimestamp"], metadata(crd)["finalizers"] = "2026-01-01T00:00:00Z", []any{"x/y"}
				a.put(crd)
			},
		},
		"the CRDs have a conversion": {
			to: "0.14.2", refused: `has the conversion "Webhook"`,
			change: func(a *api, _ *fakeHelm) {
				crd := crdObjects("Established")[1]
				crd["spec"] = kubeObject{"conversion": kubeObject{"strategy": "Webhook"}}
				a.put(crd)
			},
		},
		"the set gets another name": {
			to: "0.13.2", refused: "release runners in namespace a would not have the scale set set in namespace a any more: Helm would delete it",
			change: func(_ *api, h *fakeHelm) {
				h.renders("runners", versioned(setAt("a", "renamed", "a", "runners"), "0.13.2"))
			},
		},
		"a second set has another version": {
			to: "0.13.2", refused: `would give the scale set second the version "0.14.2", and a controller 0.13.2 would delete it`,
			change: func(_ *api, h *fakeHelm) {
				h.renders("runners", versioned(setAt("a", "set", "a", "runners"), "0.13.2"), versioned(setAt("a", "second", "a", "runners"), "0.14.2"))
			},
		},
		"all labels have another version": {
			to: "0.13.2", refused: `would give the scale set set the version "1.0.0", and a controller 0.13.2 would delete it`,
			change: func(_ *api, h *fakeHelm) {
				c := image(controllerAt("arc-systems", "arc-systems", "arc"), "0.13.2")
				metadata(c)["labels"].(kubeObject)[arc.LabelVersion] = "1.0.0"
				h.renders("arc", c)
				h.renders("runners", versioned(setAt("a", "set", "a", "runners"), "1.0.0"))
			},
		},
		"the controller gets another name": {
			to: "0.13.2", refused: "would not have the controller arc in namespace arc-systems any more",
			change: func(_ *api, h *fakeHelm) {
				c := image(controllerAt("arc-systems", "arc-systems", "arc"), "0.13.2")
				metadata(c)["name"] = "renamed"
				h.renders("arc", c)
			},
		},
		"it does not render": {to: "0.14.2", refused: "release runners in namespace a does not render", change: func(_ *api, h *fakeHelm) { h.write("fail.template.runners", "") }},
		"sets of another version": {
			to: "0.14.2", refused: "the controller would be ARC 0.14.2, which deletes scale sets of another version",
			change: func(_ *api, h *fakeHelm) {
				h.renders("runners", versioned(setAt("a", "set", "a", "runners"), "0.13.1"))
			},
		},
		"Helm sees another set": {to: "0.14.2", err: "told to fail", change: func(_ *api, h *fakeHelm) { h.write("fail.history.runners", "") }},
		"a set is added":        {to: "0.14.2", refused: "scale set loose in namespace b is of no release", change: func(a *api, _ *fakeHelm) { a.put(setAt("b", "loose", "", "")) }},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			from := cmp.Or(test.from, "0.13.1")
			controller := image(controllerAt("arc-systems", "arc-systems", "arc"), from)
			set := versioned(setAt("a", "set", "a", "runners"), from)
			chart := func(name string) string {
				return `{"metadata": {"name": "` + name + `", "version": "` + from + `", "appVersion": "` + from + `"}}`
			}
			u, a, helm := upgradingWith(t, append(crdObjects("Established"), controller, set,
				helmRecord{namespace: "arc-systems", name: "arc", objects: []kubeObject{controller}, chart: chart("controller")}.object(t),
				helmRecord{namespace: "a", name: "runners", objects: []kubeObject{set}, chart: chart("scale-set")}.object(t))...)
			helm.renders("arc", image(controllerAt("arc-systems", "arc-systems", "arc"), test.to))
			helm.renders("runners", versioned(setAt("a", "set", "a", "runners"), test.to))
			helm.write("crds", newCRDs(t, arc.CRDs()...))
			if test.change != nil {
				test.change(a, helm)
			}
			q := Request{
				Chart: chartFolder(t, "controller", test.to), ScaleSetChart: chartFolder(t, "scale-set", test.to), AllowExperimental: test.allowed,
			}
			p, err := u.Prepare(t.Context(), q, t.TempDir())
			if len(a.Writes) > 0 {
				t.Errorf("it wrote %v", a.Writes)
			}
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) {
					t.Errorf("%v, want %q", err, test.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := gocmp.Diff(test.steps, strings.Join(steps(p), ", ")); diff != "" {
				t.Errorf("refused %+v (-want +got):\n%s", p.Refusals, diff)
			}
			if test.refused != "" && (len(p.Refusals) == 0 || !strings.Contains(p.Refusals[0].Message, test.refused)) {
				t.Errorf("refused %+v, want %q", p.Refusals, test.refused)
			}
			if test.steps == swap && len(p.State.Swap.crds.Items) != 4 {
				t.Errorf("it would save the CRDs %v", p.State.Swap.crds.Items)
			}
		})
	}
}
