package survey

import (
	"strings"
	"testing"

	"github.com/arc-cleanup/arc-cleanup/internal/kube/kubetest"
)

// A Service whose EndpointSlice cannot be read is not one without endpoints.
func TestUnansweredIsNotGuessed(t *testing.T) {
	t.Parallel()
	for ready, want := range map[any][2]string{
		true: {"", ""}, nil: {"", ""}, false: {"has no ready endpoint", ""}, "yes": {"", "reading the EndpointSlice web/hook-abc"},
	} {
		_, c := kubetest.New(t, kubetest.Endpoints("web/hook", ready)...)
		why, err := unanswered(t.Context(), c, "web", "hook")
		failed := ""
		if err != nil {
			failed = err.Error()
		}
		if !strings.Contains(why, want[0]) || !strings.Contains(failed, want[1]) || (why == "") != (want[0] == "") || (failed == "") != (want[1] == "") {
			t.Errorf("ready is %v: %q, %v", ready, why, err)
		}
	}
}
