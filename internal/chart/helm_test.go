package chart

import (
	"cmp"
	"encoding/json"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"helm.sh/helm/v3/pkg/release"
	"helm.sh/helm/v3/pkg/releaseutil"

	"github.com/arc-cleanup/arc-cleanup/charts"
)

// load reads the chart with Helm's own loader.
func load(t *testing.T) *chart.Chart {
	t.Helper()
	c, err := loader.Load(chartDir)
	if err != nil {
		t.Fatal(err)
	}
	c.Values = withImage(c.Values)
	return c
}

// byHelm renders a chart with Helm's own engine.
func byHelm(t *testing.T, c *chart.Chart, r Release, values map[string]any) map[string]string {
	t.Helper()
	options := chartutil.ReleaseOptions{Name: r.Name, Namespace: r.Namespace, Revision: 1, IsInstall: true}
	scope, err := chartutil.ToRenderValues(c, values, options, chartutil.DefaultCapabilities)
	if err != nil {
		t.Fatal(err)
	}
	files, err := engine.Render(c, scope)
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// sortByHelm separates hooks from manifests with Helm's own code, in Helm's order.
func sortByHelm(t *testing.T, files map[string]string) ([]*release.Hook, []releaseutil.Manifest) {
	t.Helper()
	maps.DeleteFunc(files, func(name, _ string) bool { return path.Base(name) == "NOTES.txt" })
	hooks, others, err := releaseutil.SortManifests(files, nil, releaseutil.InstallOrder)
	if err != nil {
		t.Fatal(err)
	}
	slices.SortStableFunc(hooks, func(a, b *release.Hook) int { return cmp.Compare(a.Weight, b.Weight) })
	return hooks, others
}

// asJSON returns hooks as a record has them.
func asJSON(t *testing.T, hooks any) string {
	t.Helper()
	data, err := json.Marshal(hooks)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// TestAsHelmRenders compares the hook and the enroller with what Helm's engine renders from the same chart
// and values.
func TestAsHelmRenders(t *testing.T) {
	all := variants(t)
	all["null"] = map[string]any{"resources": nil, "policy": map[string]any{"busyRunners": nil}}
	all["yaml in values"] = map[string]any{"podAnnotations": map[string]any{"a": "x\n---\ny: [", "b": "{{ .Values }}", "c": "<&>", "d": "yes"}}
	all["numbers"] = map[string]any{"activeDeadlineSeconds": 1100000, "helmTimeoutSeconds": 1200000, "backoffLimit": int64(0)}
	all["empty"] = map[string]any{"podLabels": map[string]any{"sidecar.istio.io/inject": ""}, "podAnnotations": map[string]any{"sidecar.istio.io/inject": ""}}
	all["taken"] = map[string]any{"podLabels": map[string]any{"sidecar.istio.io/inject": "true", "app.kubernetes.io/name": "x"}, "podAnnotations": map[string]any{"linkerd.io/inject": "enabled"}}
	all["quotes"] = map[string]any{"image": map[string]any{"repository": "a", "tag": "a\"b\\c\tä"}}
	all["long name"] = map[string]any{"nameOverride": strings.Repeat("a", 29) + "-b", "scope": "scale-set"}
	// The name has a dash where it is cut.
	longRelease := Release{Name: "aa" + strings.Repeat("-a", 25) + "a", Namespace: "n"}
	for name, values := range all {
		for _, r := range []Release{arcRelease, longRelease, {Name: "a.b", Namespace: "n"}} {
			t.Run(name+" "+r.Name, func(t *testing.T) { sameAsHelm(t, r, values) })
		}
	}
}

func sameAsHelm(t *testing.T, r Release, values map[string]any) {
	t.Helper()
	got, err := Render(r, values)
	if err != nil {
		t.Fatal(err)
	}
	want, others := sortByHelm(t, byHelm(t, load(t), r, values))
	if len(others) > 0 {
		t.Errorf("the chart has what is no hook: %v", others)
	}
	data := asJSON(t, got)
	if diff := gocmp.Diff(asJSON(t, want), data); diff != "" {
		t.Errorf("Helm's (-) and ours (+) differ:\n%s", diff)
	}
	if len(got) == 0 {
		return // then there is no enroller either
	}

	objects, err := Enroller(r, values, got)
	if err != nil {
		t.Fatal(err)
	}
	c := load(t)
	c.Templates = append(c.Templates, &chart.File{Name: "templates/enroller.yaml", Data: []byte(enrollerTemplate)})
	c.Files = append(c.Files, &chart.File{Name: EnrolData, Data: []byte(data)})
	_, others = sortByHelm(t, byHelm(t, c, r, values))
	var enroller []Object
	for _, m := range others {
		enroller = append(enroller, Object{Kind: m.Head.Kind, Name: m.Head.Metadata.Name, Path: m.Name, Manifest: m.Content})
	}
	for i := range objects {
		objects[i].annotations = nil
	}
	if diff := gocmp.Diff(enroller, objects, gocmp.AllowUnexported(Object{})); diff != "" {
		t.Errorf("Helm's (-) and our (+) enroller differ:\n%s", diff)
	}
}

// The binary embeds the part of the chart that rendering needs.
func TestEmbedded(t *testing.T) {
	for _, f := range load(t).Templates {
		embedded, err := charts.ArcCleanup.ReadFile(Name + "/" + f.Name)
		if err != nil || string(embedded) != string(f.Data) {
			t.Errorf("%s is not embedded as it is (%v)", f.Name, err)
		}
	}
	if _, err := os.Stat(chartDir + "/charts"); err == nil {
		t.Error("the chart has dependencies, which are not rendered")
	}
}
