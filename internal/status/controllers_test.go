package status

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/kube/kubetest"
)

func TestControllers(t *testing.T) {
	t.Parallel()
	items := append(kubetest.Stuck(
		kubetest.Deployment("systems/arc", ""), kubetest.Down(kubetest.Deployment("systems/b", "runners")),
		kubetest.Deployment("other/arc", ""), kubetest.CrashLoopingPod("other/arc"),
		kubetest.LegacyDeployment("systems/legacy", "/manager", 1),
	), kubetest.Whole(kubetest.LegacyCRDs()...)...)
	all := []string{}
	want := []Controller{
		{Namespace: "other", Name: "arc", Group: arc.Group, Watches: all, Down: "is crash-looping"},
		{Namespace: "systems", Name: "arc", Group: arc.Group, Watches: all},
		{Namespace: "systems", Name: "b", Group: arc.Group, Watches: []string{"runners"}, Down: "has no ready replica"},
		{Namespace: "systems", Name: "legacy", Group: arc.LegacyGroup, Watches: all},
	}
	_, c := kubetest.New(t, items...)
	d, err := Read(t.Context(), c, Query{Options: options})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, d.Controllers); diff != "" {
		t.Error(diff)
	}

	// A failed read is not an answer: there may be controllers, or the Deployment may not be one.
	a, c := kubetest.New(t, items...)
	a.Fault = kubetest.On(http.StatusForbidden, kubetest.Always, "LIST deploy")
	d, err = Read(t.Context(), c, Query{Options: options})
	for _, group := range []string{arc.Group, arc.LegacyGroup} {
		if !slices.ContainsFunc(d.Unknown, func(u string) bool { return strings.HasPrefix(u, "looking for controllers of "+group) }) {
			t.Errorf("%s: %v", group, d.Unknown)
		}
	}
	if err == nil || len(d.Controllers) > 0 {
		t.Errorf("%v, %v", err, d.Controllers)
	}
	a, c = kubetest.New(t, kubetest.Stuck(kubetest.Deployment("systems/arc", ""))...)
	a.Fault = func(request string) int {
		if strings.HasPrefix(request, "REVIEW ") {
			return http.StatusForbidden
		}
		return 0
	}
	d, _ = Read(t.Context(), c, Query{Options: options})
	if len(d.Controllers) != 1 || !slices.ContainsFunc(d.Unknown, func(u string) bool {
		return strings.HasPrefix(u, "whether the Deployment arc in namespace systems has a controller's rights: ")
	}) {
		t.Errorf("%v, %v", d.Controllers, d.Unknown)
	}
}
