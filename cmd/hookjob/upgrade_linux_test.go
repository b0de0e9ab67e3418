package main

import (
	"strings"
	"testing"
	"time"
)

// Charts of a saved state are installed with a person's yes, who has seen them.
func TestUpgradeAsksForSavedCharts(t *testing.T) {
	helm := helmFor(t)
	for typed, installs := range map[string]bool{"n\n": false, "yes\n": true} {
		a, chart := withState(t, 2*time.Hour)
		got := command(t.Context(), terminal(t, typed), "upgrade", "--namespace", "systems", "--kubeconfig", a.kubeconfig(t), "--helm", helm)
		for _, says := range []string{chart, "sha256:", "was written 20", "CONFIRM: only the saved state", "Do this? [y/N] "} {
			if !strings.Contains(got.stderr, says) {
				t.Errorf("it does not say %q:\n%s", says, got.stderr)
			}
		}
		// The plan says it, and says it once.
		if n := strings.Count(got.stderr, "sha256:"); n != 1 || strings.Count(got.stderr, "was written 20") != 1 || strings.Contains(got.stderr, "way=") {
			t.Errorf("the digest %d times:\n%s", n, got.stderr)
		}
		if strings.Contains(got.stderr, "would install") != installs || strings.Contains(got.stderr, "Nothing was written.") == installs {
			t.Errorf("%q: exit code %d:\n%s", typed, got.code, got.stderr)
		}
	}
}
