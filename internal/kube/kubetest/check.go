package kubetest

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func ExpectStrings(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}
