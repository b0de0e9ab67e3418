package cleanup

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/arc-cleanup/arc-cleanup/internal/kube/kubetest"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
	"github.com/arc-cleanup/arc-cleanup/internal/plan/plantest"
	"github.com/arc-cleanup/arc-cleanup/internal/survey"
)

func TestAControllerThatCannotFinishCostsNoGrace(t *testing.T) {
	t.Parallel()
	ours := kubetest.Deployment("systems/arc", "", kubetest.By("systems/arc"))
	tests := map[string]struct {
		items  []kubetest.Item
		denied string
	}{
		"it crashes":          {kubetest.Stuck(ours, kubetest.CrashLoopingPod("systems/arc")), ""},
		"its rights are gone": {kubetest.Stuck(ours), "system:serviceaccount:systems:arc delete pods in runners"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, c := kubetest.New(t, test.items...)
			a.DeniedRights = map[string]bool{test.denied: true}
			start := time.Now()
			r := Run(t.Context(), c, graced(plantest.OfRelease, ample), quiet, Person{})
			if r.Verdict != plan.Done || time.Since(start) > ample/2 {
				t.Errorf("%s after %s:\n%s", r.Verdict, time.Since(start), r.Text(10))
			}
		})
	}
}

// TestOthersNeedNotBeLookedInto: the hook of a single-namespace controller may not list Pods
// elsewhere, and another controller counts whether it crashes or not.
func TestOthersNeedNotBeLookedInto(t *testing.T) {
	t.Parallel()
	a, c := kubetest.New(t, kubetest.Stuck(kubetest.Deployment("team/b", "theirs"))...)
	a.Fault = kubetest.On(http.StatusForbidden, kubetest.Always, "LIST pod team")
	r := Run(t.Context(), c, graced(plantest.OfRelease, ample), quiet, Person{})
	if r.Verdict != plan.Done || len(r.Kept) != 4 {
		t.Errorf("%s", r.Text(10))
	}
}

// A Deployment watches the namespaces it names only as far as its rights go. Otherwise one
// Deployment of a tenant could block the cleanup of all others.
func TestAControllerWatchesWhatItMay(t *testing.T) {
	t.Parallel()
	it := kubetest.Deployment("tenant/arc", "tenant")
	spec := it.Rest["spec"].(map[string]any)["template"].(map[string]any)["spec"].(map[string]any)
	says := func(namespaces ...string) {
		var containers []any
		for _, namespace := range namespaces {
			containers = append(containers, map[string]any{"args": []any{"--auto-scaling-runner-set-only", "--watch-single-namespace=" + namespace}})
		}
		spec["containers"] = containers
	}
	says("tenant", "runners", "tenant")
	a, c := kubetest.New(t, kubetest.Stuck(it)...)
	asked := 0
	a.Fault = func(request string) int {
		if strings.HasPrefix(request, "REVIEW system:serviceaccount:tenant:arc list autoscalingrunnersets in ") {
			asked++
		}
		return 0
	}
	a.DeniedRights = map[string]bool{"system:serviceaccount:tenant:arc list autoscalingrunnersets in runners": true}
	r := Run(t.Context(), c, graced(plantest.ByHand, ample), quiet, Person{})
	if slices.Contains(a.Left(), "ars runners/set") {
		t.Errorf("a tenant keeps another namespace from being cleaned up:\n%s", r.Text(10))
	}
	var many []string
	for i := range 1000 {
		many = append(many, fmt.Sprint("n", i))
	}
	says(many...)
	asked = 0
	if found, err := survey.Controllers(t.Context(), c, plan.AllNamespaces); err != nil || len(found) != 1 || asked > survey.MostWatched {
		t.Errorf("%d controllers, %v, after %d questions", len(found), err, asked)
	}
}
