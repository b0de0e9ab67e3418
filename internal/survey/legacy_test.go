package survey

import (
	"fmt"
	"net/http"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/kube/kubetest"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
	"github.com/arc-cleanup/arc-cleanup/internal/plan/plantest"
)

func TestLegacySurvey(t *testing.T) {
	t.Parallel()
	unregistered := kubetest.OnNode(kubetest.Whole(kubetest.RunnerPod("pod ci/done", "run ci/done"))[0])
	unregistered.Annotations[arc.AnnotationLegacyUnregistered] = "2026-01-02T03:04:05Z"
	busyPod := kubetest.OnNode(kubetest.Whole(kubetest.RunnerPod("pod ci/busy", "run ci/r"))[0])
	busyPod.Annotations[arc.AnnotationLegacyRefused] = "it is running a job"
	items := kubetest.Whole(kubetest.LegacyCRDs()...)
	items = append(items, kubetest.Whole(
		kubetest.Object("run ci/r", kubetest.Owned("rrs ci/d-1")), kubetest.Object("rrs ci/d-1", kubetest.Owned("rd ci/d")), kubetest.Object("rd ci/d"), kubetest.Object("rset ci/s"), kubetest.Object("hra ci/d"),
		kubetest.Object("sts ci/s-1", kubetest.Owned("rset ci/s")), kubetest.Object("sts ci/theirs"), kubetest.Object("sa ci/r", kubetest.Owned("run ci/r")), kubetest.Object("role ci/theirs"),
		kubetest.RunnerPod("pod ci/waiting", "run ci/r"), kubetest.Object("pod ci/theirs"), kubetest.Object("pod ci/er", kubetest.Owned("er ci/x")),
	)...)
	linked := kubetest.Whole(kubetest.RunnerPod("pod ci/kube", "run ci/r", kubetest.Finalizers(arc.LegacyPodFinalizer, arc.LegacyLinkedFinalizer)),
		kubetest.Object("pod ci/kube-job"), kubetest.Object("secret ci/kube-job"), kubetest.Object("secret ci/busy-job"), kubetest.Object("pod other/kube-job"))
	for i, of := range []string{"kube", "kube", "busy", "kube"} {
		linked[i+1].Labels[arc.LabelRunnerPod] = of
	}
	items = append(append(items, linked...),
		busyPod, kubetest.OnNode(kubetest.Whole(kubetest.RunnerPod("pod ci/ending", "run ci/r", kubetest.Deleting))[0]), unregistered,
		kubetest.OnNode(kubetest.Whole(kubetest.RunnerPod("pod ci/s-1-0", "sts ci/s-1"))[0]), kubetest.OnNode(kubetest.Whole(kubetest.RunnerPod("pod ci/alone", "run ci/alone"))[0]), kubetest.Whole(kubetest.Object("run ci/alone"))[0], kubetest.OnNode(kubetest.Whole(kubetest.Object("pod ci/app"))[0]),
		kubetest.LegacyDeployment("systems/renamed", "/manager", 1, "--watch-namespace=ci"), kubetest.LegacyDeployment("systems/down", "/manager", 0),
		kubetest.LegacyDeployment("systems/server", "/github-webhook-server", 1), kubetest.Deployment("systems/modern", ""),
		kubetest.LegacyHooks("mwc dead", "systems/gone", "mutate.runner.actions.summerwind.dev", "mutate-runner-pod.webhook.actions.summerwind.dev"),
		kubetest.LegacyHooks("vwc live", "systems/live", "validate.runner.actions.summerwind.dev"),
		kubetest.LegacyHooks("vwc mixed", "systems/gone", "validate.runner.actions.summerwind.dev", "validate.example.com"),
	)
	_, c := kubetest.New(t, append(items, kubetest.Endpoints("systems/live", true)...)...)
	s := Read(t.Context(), c, plantest.LegacyByHand)
	if len(s.Unknown) > 0 {
		t.Fatal(s.Unknown)
	}
	names := func(objects []*object.Object) (out []string) {
		for _, o := range objects {
			out = append(out, kubetest.Ref(o)+" of "+string(o.Owner))
		}
		return out
	}
	kubetest.ExpectStrings(t, "custom", names(s.Custom),
		"pod ci/alone of run ci/alone", "pod ci/busy of run ci/r", "pod ci/done of run ci/done", "pod ci/ending of run ci/r", "pod ci/kube of run ci/r", "pod ci/s-1-0 of rset ci/s", "pod ci/waiting of run ci/r",
		"run ci/alone of ", "run ci/r of rrs ci/d-1", "rrs ci/d-1 of rd ci/d", "rset ci/s of ", "rd ci/d of ", "hra ci/d of ")
	dependents := names(s.Dependents)
	slices.Sort(dependents)
	kubetest.ExpectStrings(t, "dependents", dependents,
		"pod ci/alone of run ci/alone", "pod ci/busy of run ci/r", "pod ci/done of run ci/done", "pod ci/ending of run ci/r", "pod ci/kube of run ci/r", "pod ci/s-1-0 of rset ci/s", "pod ci/waiting of run ci/r",
		"sa ci/r of run ci/r", "sts ci/s-1 of rset ci/s")
	kubetest.ExpectStrings(t, "linked", names(s.Linked), "pod ci/kube-job of ", "secret ci/kube-job of ")
	var busy, rest []string
	for _, j := range s.Busy {
		busy = append(busy, fmt.Sprintf("%s: %s %t", kubetest.Ref(j.Pod), j.Guess, j.Alone))
	}
	slices.Sort(busy)
	kubetest.ExpectStrings(t, "busy", busy,
		"pod ci/alone: its Pod runs true",
		"pod ci/busy: its Pod runs, and GitHub did not remove it: it is running a job false", "pod ci/s-1-0: its Pod runs false")
	for uid := range s.Registered {
		rest = append(rest, "registered "+string(uid))
	}
	for _, a := range s.Controllers {
		rest = append(rest, fmt.Sprintf("%s %q %q", kubetest.Ref(a.Object), a.Watches, a.Down))
	}
	for _, w := range s.Webhooks {
		rest = append(rest, fmt.Sprintf("%s %s %q", kubetest.Ref(w.Object), w.Service, w.Dead))
	}
	for _, crd := range s.CRDs {
		rest = append(rest, kubetest.Ref(crd))
	}
	want := []string{
		"registered pod ci/alone", "registered pod ci/busy", "registered pod ci/ending", "registered pod ci/s-1-0",
		`deploy systems/down [] "has no ready replica"`, `deploy systems/renamed ["ci"] ""`,
		`mwc dead systems/gone "the Service systems/gone does not exist"`, `vwc live systems/live ""`,
	}
	for _, crd := range kubetest.LegacyCRDs() {
		want = append(want, kubetest.Ref(crd))
	}
	slices.Sort(want)
	slices.Sort(rest)
	if diff := cmp.Diff(want, rest); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A later namespace does not hide the results of an earlier one. A failed read in one of them is
// unknown.
func TestLegacySurveyOfNamespaces(t *testing.T) {
	t.Parallel()
	items := append(kubetest.Whole(kubetest.LegacyCRDs()...), kubetest.OnNode(kubetest.Whole(kubetest.RunnerPod("pod a/r", "run a/r"))[0]), kubetest.OnNode(kubetest.Whole(kubetest.RunnerPod("pod b/r", "run b/r"))[0]), kubetest.OnNode(kubetest.Whole(kubetest.RunnerPod("pod c/r", "run c/r"))[0]))
	a, c := kubetest.New(t, append(items, kubetest.Whole(kubetest.Object("run a/r"), kubetest.Object("run b/r"), kubetest.Object("run c/r"))...)...)
	o := plantest.LegacyByHand
	o.WatchNamespaces = []string{"a", "b"}
	want := map[types.UID]bool{"pod a/r": true, "pod b/r": true}
	s := Read(t.Context(), c, o)
	if diff := cmp.Diff(want, s.Registered); diff != "" || len(s.Busy) != 2 || len(s.Unknown) > 0 {
		t.Errorf("busy %v, unknown %v, registered (-want +got):\n%s", s.Busy, s.Unknown, diff)
	}
	a.Fault = kubetest.On(http.StatusForbidden, kubetest.Always, "LIST sts b")
	if s := Read(t.Context(), c, o); len(s.Unknown) != 1 || s.Unknown[0].What != "what legacy runners own" {
		t.Errorf("unknown %v", s.Unknown)
	}
}

// Only a custom resource in the Pod's own namespace counts as its owner.
func TestWeighPods(t *testing.T) {
	t.Parallel()
	runner, pod, plain := kubetest.Object("run ci/r"), kubetest.Object("pod ci/pod"), kubetest.Finalizers()
	theirs, forged := kubetest.RunnerPod("pod ci/r", "run ci/r", plain), []*object.Object{
		kubetest.RunnerPod("pod ci/lost", "run ci/gone", plain), kubetest.RunnerPod("pod team/r", "run ci/r", plain), kubetest.RunnerPod("pod ci/nested", "pod ci/r", plain),
	}
	held := kubetest.RunnerPod("pod ci/held", "run ci/gone", kubetest.Finalizers(arc.LegacyPodFinalizer))
	s := &plan.Survey{Custom: append([]*object.Object{theirs, held, pod, runner}, forged...), Busy: map[types.UID]plan.Job{theirs.UID: {Pod: theirs}, held.UID: {Pod: held}}}
	for _, o := range forged {
		s.Busy[o.UID] = plan.Job{Pod: o}
	}
	dropUnprovenPods(s)
	kubetest.ExpectStrings(t, "custom", kubetest.Refs(s.Custom), "pod ci/r", "pod ci/held", "run ci/r")
	if len(s.Busy) != 1 || s.Busy[theirs.UID].Pod != theirs {
		t.Errorf("busy: %v", s.Busy)
	}
}

// A Deployment that is gone by now is no legacy controller. One that may not be read could be one.
func TestReadingLegacyControllers(t *testing.T) {
	t.Parallel()
	for code, test := range map[int]struct {
		found  int
		failed bool
	}{0: {1, false}, http.StatusNotFound: {0, false}, http.StatusForbidden: {0, true}} {
		a, c := kubetest.New(t, kubetest.LegacyDeployment("systems/arc", "/manager", 1))
		a.Fault = kubetest.On(code, kubetest.Always, "GET deploy systems/arc")
		found, err := LegacyControllers(t.Context(), c)
		if len(found) != test.found || (err != nil) != test.failed {
			t.Errorf("%d: found %v, %v", code, found, err)
		}
	}
}
