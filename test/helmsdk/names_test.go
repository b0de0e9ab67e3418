package helmsdk

import (
	"strings"
	"testing"

	loader3 "helm.sh/helm/v3/pkg/chart/loader"
	chartutil3 "helm.sh/helm/v3/pkg/chartutil"
	engine3 "helm.sh/helm/v3/pkg/engine"
	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	loader4 "helm.sh/helm/v4/pkg/chart/v2/loader"
	engine4 "helm.sh/helm/v4/pkg/engine"
)

// TestNames: whatever Helm takes for a release's name, both render the same of the
// chart arc-cleanup, and no two releases have a Job of one name. That the names are
// valid is tested in internal/chart.
func TestNames(t *testing.T) {
	const folder = "../../charts/arc-cleanup"
	chart3, err := loader3.Load(folder)
	if err != nil {
		t.Fatal(err)
	}
	chart4, err := loader4.Load(folder)
	if err != nil {
		t.Fatal(err)
	}
	jobs := map[string]string{}
	for _, name := range []string{
		"arc", "a", "a.b", "a-b", "a--b", "arc-scale-set", "arc-arc-cleanup", "ci-runners-eu-west-1-production-blue-build-platfor.a1",
		strings.Repeat("a.", 26) + "a", strings.Repeat("a-", 26) + "a", strings.Repeat("a", 51), strings.Repeat("a", 52), strings.Repeat("a", 53),
	} {
		for _, scope := range []string{"controller", "scale-set", "legacy"} {
			values := map[string]any{"scope": scope, "image": map[string]any{"repository": "registry.example/arc-hookjob"}}
			scope3, err := chartutil3.ToRenderValues(chart3, values, chartutil3.ReleaseOptions{Name: name, Namespace: "arc-systems"}, chartutil3.DefaultCapabilities)
			if err != nil {
				t.Fatal(err)
			}
			by3, err := engine3.Render(chart3, scope3)
			if err != nil {
				t.Fatal(err)
			}
			scope4, err := util.ToRenderValues(chart4, values, common.ReleaseOptions{Name: name, Namespace: "arc-systems"}, common.DefaultCapabilities)
			if err != nil {
				t.Fatal(err)
			}
			by4, err := engine4.Render(chart4, scope4)
			if err != nil {
				t.Fatal(err)
			}
			for file, text := range by3 {
				if by4[file] != text {
					t.Errorf("%s, %s: Helm 3 and Helm 4 differ in %s", name, scope, file)
				}
			}
			_, rest, _ := strings.Cut(by4["arc-cleanup/templates/job.yaml"], "\n  name: ")
			job, _, _ := strings.Cut(rest, "\n")
			if other, taken := jobs[job]; taken || job == "" {
				t.Errorf("the Job %q is of %s and of %s, %s", job, other, name, scope)
			}
			jobs[job] = name + ", " + scope
		}
	}
}
