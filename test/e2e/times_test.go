package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"sigs.k8s.io/yaml"
)

// TestTimesNest: by default each time ends before the one around it, up to
// Helm's own.
func TestTimesNest(t *testing.T) {
	content, err := os.ReadFile(filepath.Join(built.Root, "charts", "arc-cleanup", "values.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var values struct {
		Policy struct{ Grace, Budget string }

		ActiveDeadlineSeconds, HelmTimeoutSeconds int
	}
	if err := yaml.Unmarshal(content, &values); err != nil {
		t.Fatal(err)
	}
	duration := func(s string) time.Duration {
		t.Helper()
		d, err := time.ParseDuration(s)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	seconds := func(n int) time.Duration { return time.Duration(n) * time.Second }
	grace, budget := duration(values.Policy.Grace), duration(values.Policy.Budget)
	deadline, timeout := seconds(values.ActiveDeadlineSeconds), seconds(values.HelmTimeoutSeconds)
	if grace <= 0 || grace >= budget || budget >= deadline || deadline >= timeout {
		t.Errorf("grace %s, budget %s, the Job's deadline %s, Helm's timeout %s", grace, budget, deadline, timeout)
	}
	for _, major := range []int{3, 4} {
		help, err := built.Helm(t.Context(), major, "", "uninstall", "--help").Output()
		if err != nil {
			t.Fatal(err)
		}
		m := regexp.MustCompile(`--timeout duration .*\(default ([0-9hms]+)\)`).FindSubmatch(help)
		if m == nil {
			t.Fatalf("helm %d does not say its default timeout:\n%s", major, help)
		}
		if helms := duration(string(m[1])); timeout > helms {
			t.Errorf("helmTimeoutSeconds is %s, and the default of Helm %d is %s", timeout, major, helms)
		}
	}
}
