package cleanup

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/kube"
	"github.com/arc-cleanup/arc-cleanup/internal/kube/kubetest"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
	"github.com/arc-cleanup/arc-cleanup/internal/plan/plantest"
)

// TestLegacyRunFreesAStuckCluster: the controller is gone, and its webhooks block every update of a
// Runner.
func TestLegacyRunFreesAStuckCluster(t *testing.T) {
	t.Parallel()
	items := append(kubetest.Whole(kubetest.LegacyCRDs()...), kubetest.Whole(kubetest.Family(kubetest.Deleting)...)...)
	items = append(items, kubetest.OnNode(kubetest.Whole(kubetest.RunnerPod("pod ci/s-1-0", "sts ci/s-1", kubetest.Deleting))[0]))
	items = append(items, kubetest.Whole(kubetest.Object("pod ci/theirs", kubetest.Finalizers("example.com/hold")))...)
	a, c := kubetest.New(t, append(items, kubetest.LegacyHooks("mwc m", "systems/gone", "mutate.runner.actions.summerwind.dev"))...)
	a.Fault = func(request string) int {
		if strings.HasPrefix(request, "PATCH run ") && a.Objects["mwc m"] != nil {
			return http.StatusInternalServerError
		}
		return 0
	}
	// Act as the garbage collector.
	a.React = func(a *kubetest.Server, request string) {
		if request == "DELETE crd runners.actions.summerwind.dev" {
			go a.Take("pod ci/r")
		}
	}
	r := Run(t.Context(), c, graced(plantest.OfLegacy, ample), quiet, Person{})
	expect(t, r, outcome{Verdict: plan.Done})
	kubetest.ExpectStrings(t, "left", a.Left(), "pod ci/theirs")
	if want := "still registered at GitHub: 1 runners: s-1-0: GitHub removes it after about a day"; !strings.Contains(r.Text(10), want) || !strings.HasPrefix(r.Summary(), "done: nothing of legacy ARC is left") {
		t.Errorf("the report does not say %q:\n%s", want, r.Text(10))
	}
}

// TestLegacyRunLetsTheControllerFinish acts as the controller, which removes runners once their
// owner is scaled to zero. Only then may the owner be deleted.
func TestLegacyRunLetsTheControllerFinish(t *testing.T) {
	t.Parallel()
	items := append(kubetest.Whole(kubetest.LegacyCRDs()...), kubetest.Whole(kubetest.Family()...)...)
	controller := kubetest.LegacyDeployment("systems/arc", "/manager", 1)
	controller.Annotations[arc.AnnotationReleaseName], controller.Annotations[arc.AnnotationReleaseNamespace] = "arc", "systems"
	a, c := kubetest.New(t, append(items, controller)...)
	var order []string
	a.React = func(a *kubetest.Server, request string) {
		order = append(order, request)
		if request == "PATCH rd ci/d" {
			go func() {
				time.Sleep(300 * time.Millisecond)
				a.Take("pod ci/r", "run ci/r")
			}()
		}
	}
	o := graced(plantest.OfLegacy, ample)
	o.ReleaseNamespace, o.ScaleSets = "systems", plan.DeleteScaleSets
	expect(t, Run(t.Context(), c, o, quiet, Person{}), outcome{Verdict: plan.Done})
	if want := []string{"DELETE hra ci/d", "PATCH rd ci/d", "DELETE rd ci/d", "DELETE rrs ci/d-1"}; !slices.Equal(order[:min(4, len(order))], want) {
		t.Errorf("writes %q, want first %q", order, want)
	}
	kubetest.ExpectStrings(t, "left", a.Left(), "deploy systems/arc")
}

func TestLegacyRunRefusesWhenTheJobsDoNotEnd(t *testing.T) {
	t.Parallel()
	items := append(kubetest.Whole(kubetest.LegacyCRDs()...), kubetest.Whole(kubetest.Family(kubetest.Deleting)[1:]...)...)
	onItsOwnClock(t, append(items, kubetest.OnNode(kubetest.Whole(kubetest.Family()[0])[0])), func(t *testing.T, a *kubetest.Server, c *kube.Client) {
		r := runFor(t, c, time.Second, graced(plantest.OfLegacy, ample))
		if r.Verdict != plan.Refused || len(r.Refusals) != 1 || !strings.Contains(r.Refusals[0].Message, "runner r in namespace ci is busy") {
			t.Errorf("%s", r.Text(10))
		}
		kubetest.ExpectStrings(t, "writes", a.Written())
	})
}

func runFor(t *testing.T, c *kube.Client, budget time.Duration, o plan.Options) *Report {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(t.Context(), budget, ErrBudget)
	defer cancel()
	return Run(ctx, c, o, quiet, Person{})
}

// TestLegacyRunStopsARunnerOnce acts as a controller whose runner has a job for longer than the
// budget. A write that the rounds repeat is reported once.
func TestLegacyRunStopsARunnerOnce(t *testing.T) {
	t.Parallel()
	items := append(kubetest.Whole(kubetest.LegacyCRDs()...), kubetest.Whole(kubetest.Family()[1:]...)...)
	controller := kubetest.LegacyDeployment("systems/arc", "/manager", 1)
	controller.Annotations[arc.AnnotationReleaseName], controller.Annotations[arc.AnnotationReleaseNamespace] = "arc", "systems"
	o := graced(plantest.OfLegacy, 300*time.Millisecond)
	o.ReleaseNamespace, o.ScaleSets = "systems", plan.DeleteScaleSets
	items = append(items, controller, kubetest.OnNode(kubetest.Whole(kubetest.Family()[0])[0]))
	onItsOwnClock(t, items, func(t *testing.T, a *kubetest.Server, c *kube.Client) {
		r := runFor(t, c, 2*time.Second, o)
		if want := "refused: scaled to zero 1 runnerdeployments; deleted 1 horizontalrunnerautoscalers"; r.Summary() != want {
			t.Errorf("got  %s\nwant %s", r.Summary(), want)
		}
		kubetest.ExpectStrings(t, "writes", a.Written(), "DELETE hra ci/d", "PATCH rd ci/d", "PATCH rd ci/d")
	})
}

// Anyone who may create a Pod can make it look like the Pod of a runner with a job. The uninstall
// waits only for Pods whose owner exists.
func TestAPodAloneIsNoLegacyRunner(t *testing.T) {
	t.Parallel()
	foreign := kubetest.Finalizers("example.com/keep")
	for name, it := range map[string]kubetest.Item{
		"busy, by its owner":       kubetest.OnNode(kubetest.Whole(kubetest.Object("pod tenant/p", kubetest.Owned("run gone")))[0]),
		"of another's runner":      kubetest.OnNode(kubetest.Whole(kubetest.Object("pod tenant/p", kubetest.Owned("run ci/r")))[0]),
		"busy, by its finalizer":   kubetest.OnNode(kubetest.Whole(kubetest.Object("pod tenant/p", kubetest.Finalizers(arc.LegacyPodFinalizer)))[0]),
		"held":                     kubetest.Whole(kubetest.Object("pod tenant/p", kubetest.Owned("run gone"), foreign))[0],
		"held, both ways":          kubetest.Whole(kubetest.RunnerPod("pod tenant/p", "run gone", kubetest.Finalizers(arc.LegacyPodFinalizer, "example.com/keep"), kubetest.Deleting))[0],
		"held, a ServiceAccount":   kubetest.Whole(kubetest.Object("sa tenant/p", kubetest.Owned("run gone"), foreign, kubetest.Deleting))[0],
		"being deleted, with time": kubetest.Whole(kubetest.Object("pod tenant/p", kubetest.Owned("run gone"), kubetest.Deleting))[0],
	} {
		_, c := kubetest.New(t, append(kubetest.Whole(append(kubetest.LegacyCRDs(), kubetest.Object("run ci/r", kubetest.Deleting))...), it)...)
		if r := runFor(t, c, ample, graced(plantest.OfLegacy, time.Minute)); r.Verdict != plan.Done {
			t.Errorf("%s: %s", name, r.Text(10))
		}
	}
}
