package cluster

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestKubernetesDir: the version that is asked for is the one that is pinned there, and
// one that nobody pins is not taken for another.
func TestKubernetesDir(t *testing.T) {
	modules, err := modulesDir(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for minor, want := range map[string]string{"": "kubernetes", "1.37": "kubernetes", "1.34": "kubernetes-1.34"} {
		if dir, err := kubernetesDir(modules, minor); err != nil || dir != filepath.Join(modules, want) {
			t.Errorf("%q: %s, %v", minor, dir, err)
		}
	}
	if dir, err := kubernetesDir(modules, "1.3"); err == nil || !strings.Contains(err.Error(), "KUBERNETES=1.3: no module pins this version, only v1.37.2, v1.34.4") {
		t.Errorf("1.3: %s, %v", dir, err)
	}
}
