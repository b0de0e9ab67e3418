package status

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
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

	// A failed read is not an answer: there may be controllers.
	a, c := kubetest.New(t, items...)
	a.Fault = kubetest.On(http.StatusForbidden, kubetest.Always, "LIST deploy")
	d, err = Read(t.Context(), c, Query{Options: options})
	for _, what := range []string{"ARC controllers", "legacy ARC controllers"} {
		if !slices.ContainsFunc(d.Unknown, func(u string) bool { return strings.HasPrefix(u, "could not read "+what+": ") }) {
			t.Errorf("%s: %q", what, d.Unknown)
		}
	}
	if err == nil || len(d.Controllers) > 0 {
		t.Errorf("%v, %v", err, d.Controllers)
	}
	orphans := 0
	for _, o := range d.Stuck {
		if strings.HasPrefix(o.Why, "no controller is known that looks after it") {
			orphans++
		}
		if o.Why == "no controller looks after it" {
			t.Errorf("%s/%s: a controller works, which could not be read", o.Resource, o.Name)
		}
	}
	if orphans == 0 {
		t.Errorf("%v", d.Stuck)
	}
}

// Without an answer a Deployment may not be a controller. A tenant who makes many does not fill the screen with that.
func TestControllersWhoseRightsAreNotKnown(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]string{1: "", 3: ", and so may 2 other Deployments"} {
		items := kubetest.Stuck()
		for i := range n {
			items = append(items, kubetest.Deployment(fmt.Sprintf("systems/arc-%d", i), ""))
		}
		a, c := kubetest.New(t, items...)
		a.Fault = func(request string) int {
			if strings.HasPrefix(request, "REVIEW ") {
				return http.StatusForbidden
			}
			return 0
		}
		d, _ := Read(t.Context(), c, Query{Options: options})
		said := 0
		for _, u := range d.Unknown {
			if strings.Contains(u, " may only look like a controller"+want+": its rights could not be asked for: ") {
				said++
			}
		}
		if len(d.Controllers) != n || said != 1 {
			t.Errorf("%v, %q", d.Controllers, d.Unknown)
		}
	}
}

// What legacy ARC has left outlives its CRDs: its webhooks then keep every Pod from being made.
func TestLegacyWebhooksWithoutCRDs(t *testing.T) {
	t.Parallel()
	_, c := kubetest.New(t, kubetest.LegacyHooks("mwc dead", "systems/gone", "mutate.runner.actions.summerwind.dev"))
	d, err := Read(t.Context(), c, Query{Options: options})
	if err != nil || len(d.Stuck) != 1 || d.Stuck[0].Name != "dead" {
		t.Errorf("%v, %v", d.Stuck, err)
	}
}

// Anyone can make many Deployments that look like controllers, and each costs requests: they are read once for each kind of ARC.
func TestDeploymentsAreReadOnce(t *testing.T) {
	t.Parallel()
	a, c := kubetest.New(t, kubetest.Stuck()...)
	var reads atomic.Int32
	a.Fault = func(request string) int {
		if request == "LIST deploy" {
			reads.Add(1)
		}
		return 0
	}
	if _, err := Read(t.Context(), c, Query{Options: options}); err != nil || reads.Load() != 3 { // two selectors, and legacy ARC's
		t.Errorf("%d reads, %v", reads.Load(), err)
	}
}
