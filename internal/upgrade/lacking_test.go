package upgrade

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
)

// crdOf is one of ARC's CRDs, as a cluster or a chart has it.
func crdOf(name string, fields ...string) kubeObject {
	properties := kubeObject{}
	for _, field := range fields {
		properties[field] = kubeObject{"type": "string"}
	}
	return kubeObject{
		"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": kubeObject{"name": name},
		"spec": kubeObject{"group": arc.Group, "versions": []any{kubeObject{
			"name": "v1alpha1", "served": true, "storage": true,
			"schema": kubeObject{"openAPIV3Schema": kubeObject{"type": "object", "properties": properties}},
		}}},
		"status": kubeObject{"conditions": []any{kubeObject{"type": "Established", "status": "True"}}},
	}
}

// The cluster's CRDs are compared with those in the record of the controller's release, before the first write.
func TestPrepareWithOlderCRDs(t *testing.T) {
	const renews = "save arc, crds arc, listeners arc, forget arc"
	files := func(crds ...kubeObject) string {
		var list []string
		for i, crd := range crds {
			text, _ := json.Marshal(crd)
			list = append(list, fmt.Sprintf(`{"name": "crds/%d.yaml", "data": %q}`, i, base64.StdEncoding.EncodeToString(text)))
		}
		return "[" + strings.Join(list, ", ") + "]"
	}
	all := func(fields ...string) (crds []kubeObject) {
		for _, name := range arc.CRDs() {
			crds = append(crds, crdOf(name, fields...))
		}
		return crds
	}
	controller := func(version string) kubeObject {
		c := controllerAt("arc-systems", "arc-systems", "arc")
		specOf(c)["template"].(kubeObject)["spec"].(kubeObject)["containers"].([]any)[0].(kubeObject)["image"] = "arc:" + version
		metadata(c)["labels"].(kubeObject)[arc.LabelVersion] = version
		return c
	}
	postRendered := func(_ *api, h *fakeHelm) {
		c := controller("0.13.1")
		metadata(c)["annotations"].(kubeObject)["by"] = "a post-renderer"
		h.renders("arc", c)
	}
	tests := map[string]struct {
		to      string
		files   string
		change  func(*api, *fakeHelm)
		steps   string
		refused string
		note    string
		err     string
	}{
		"those of the chart":  {to: "0.13.1", files: files(all("a")...)},
		"older ones":          {to: "0.13.1", files: files(all("a", "b")...), steps: renews, change: postRendered, note: "the CRDs are not those of the installed chart: " + arc.CRDs()[0] + " has no b; "},
		"older, over a minor": {to: "0.14.2", files: files(all("a", "b")...), refused: "the CRDs are not those of the installed chart, controller 0.13.1"},
		"not known":           {to: "0.13.2", files: "[]", steps: "save arc, upgrade arc, listeners arc, forget arc", note: "is not known: the chart of release arc in namespace arc-systems has none in crds/"},
		"broken":              {to: "0.13.2", files: `[{"name": "crds/a.yaml", "data": "Ww=="}]`, steps: "save arc, upgrade arc, listeners arc, forget arc", note: "is not known: the CRDs in the record of release arc"},
		"not to be read":      {to: "0.13.1", files: files(all("a")...), err: "reading customresourcedefinitions", change: func(a *api, _ *fakeHelm) { a.Fault = failAt("GET crd " + arc.CRDs()[1]) }},
		"the chart has none":  {to: "0.13.1", files: files(all("a", "b")...), refused: "they are [], and ARC has", change: func(_ *api, h *fakeHelm) { h.write("crds", "") }},
		"the CRDs are Argo CD's": {
			to: "0.13.1", files: files(all("a", "b")...), refused: `belongs to Argo CD's application "crds:x", which would take it back to the old version`,
			change: func(a *api, _ *fakeHelm) {
				crd := crdOf(arc.CRDs()[1], "a")
				metadata(crd)["annotations"] = kubeObject{"argocd.argoproj.io/tracking-id": "crds:x"}
				a.put(crd)
			},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			u, a, helm := upgradingWith(t, append(all("a"), controller("0.13.1"), helmRecord{
				namespace: "arc-systems", name: "arc", objects: []kubeObject{controller("0.13.1")},
				chart: `{"metadata": {"name": "controller", "version": "0.13.1", "appVersion": "0.13.1"}, "files": ` + test.files + `}`,
			}.object(t))...)
			helm.renders("arc", controller(test.to))
			helm.write("crds", newCRDs(t, arc.CRDs()...))
			if test.change != nil {
				test.change(a, helm)
			}
			p, err := u.Prepare(t.Context(), Request{Chart: chartFolder(t, "controller", test.to)}, t.TempDir())
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) {
					t.Errorf("%v, want %q", err, test.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := gocmp.Diff(test.steps, strings.Join(steps(p), ", ")); diff != "" || len(a.Writes) > 0 {
				t.Errorf("refused %+v, wrote %v (-want +got):\n%s", p.Refusals, a.Writes, diff)
			}
			if refused := len(p.Refusals) > 0; refused != (test.refused != "") || refused && !strings.Contains(p.Refusals[0].Message, test.refused) {
				t.Errorf("refused %+v, want %q", p.Refusals, test.refused)
			}
			if notes := strings.Join(p.Notes, "\n"); !strings.Contains(notes, test.note) {
				t.Errorf("notes %s, want %q", notes, test.note)
			}
			if test.steps == renews && len(p.Confirm) > 0 { // no release is upgraded
				t.Errorf("it asks: %+v", p.Confirm)
			}
		})
	}
}

// failAt fails one request.
func failAt(request string) func(string) int {
	return func(is string) int {
		if is == request {
			return http.StatusForbidden
		}
		return 0
	}
}
