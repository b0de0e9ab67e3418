package harness

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/arc-cleanup/arc-cleanup/test/cluster"
)

// TestLeaveOutPods: what ARC and its users say about runners stays.
func TestLeaveOutPods(t *testing.T) {
	t.Parallel()
	charts, err := cluster.ARCCharts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p := &Product{arcCharts: charts}
	if err := p.LeaveOutPods(t.TempDir()); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(p.ARCChart(ControllerChart), "crds", "*.yaml"))
	if err != nil || len(files) != 4 {
		t.Fatalf("CRDs: %q, %v", files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"---\n", "kind: CustomResourceDefinition", "name: v1alpha1", "controller-gen.kubebuilder.io/version", "subresources:\n", "spec:\n", "status:\n"} {
			if !strings.Contains(string(text), want) {
				t.Errorf("%s lacks %q", filepath.Base(file), want)
			}
		}
		if strings.Contains(string(text), "ephemeralContainers") || len(text) > 8<<10 {
			t.Errorf("%s has %d bytes, and the schema of a Pod", filepath.Base(file), len(text))
		}
	}
	set, err := os.ReadFile(filepath.Join(p.ARCChart(ControllerChart), "crds", "actions.github.com_autoscalingrunnersets.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"githubConfigUrl:\n", "maxRunners:\n", "minimum: 0\n", "certificateFrom:\n"} {
		if !strings.Contains(string(set), want) {
			t.Errorf("an AutoscalingRunnerSet lacks %q", want)
		}
	}
}
