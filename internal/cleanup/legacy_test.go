package cleanup

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/kube"
)

var (
	legacyByHand = Options{Scope: Legacy}
	asLegacyHook = Options{Scope: Legacy, RequireUninstalling: true, Job: "arc-arc-cleanup", ReleaseNamespace: "systems"}
	ofLegacy     = Options{Scope: Legacy, Release: "arc", ReleaseNamespace: "systems"}
)

func legacyCRDs() (out []*Object) {
	for _, name := range arc.LegacyCRDs() {
		out = append(out, obj("crd "+name))
	}
	return out
}

const allLegacyCRDs = "delete crd runners.actions.summerwind.dev, delete crd runnerreplicasets.actions.summerwind.dev, " +
	"delete crd runnersets.actions.summerwind.dev, delete crd runnerdeployments.actions.summerwind.dev, delete crd horizontalrunnerautoscalers.actions.summerwind.dev"

// runnerPod is a legacy runner's Pod with the finalizer the controller gives it.
func runnerPod(text, owner string, mods ...with) *Object {
	return obj(text, append([]with{finalizers(arc.LegacyPodFinalizer), owned(owner)}, mods...)...)
}

// guess is what is known of Pods that run.
func guess(pods ...*Object) map[types.UID]Job {
	out := map[types.UID]Job{}
	for _, o := range pods {
		out[o.UID] = Job{Pod: o, Guess: "its Pod runs"}
	}
	return out
}

func hooks(text, service, dead string, mods ...with) Webhooks {
	return Webhooks{obj(text, mods...), named(service), dead}
}

// family is a RunnerDeployment and all that comes of it.
func family(mods ...with) []*Object {
	return []*Object{
		runnerPod("pod ci/r", "run ci/r"), obj("run ci/r", owned("rrs ci/d-1")),
		obj("rrs ci/d-1", owned("rd ci/d")), obj("rd ci/d", mods...), obj("hra ci/d"),
	}
}

func TestLegacyPlan(t *testing.T) {
	const dead = "the Service systems/webhook has no ready endpoint"
	live := []ARC{legacyCtrl("systems/arc", by("systems/arc"))}
	crashing := []ARC{{Object: obj("deploy systems/arc", by("systems/arc")), Down: "is crash-looping", Legacy: true}}
	// The policy of those who uninstall a legacy controller with its runners.
	deletes := func(o Options) Options { o.ScaleSets = DeleteScaleSets; return o }
	with := func(o Options, b BusyRunnersPolicy) Options { o.BusyRunners = b; return deletes(o) }
	idle := []*Object{obj("rrs ci/d-1", owned("rd ci/d")), obj("rd ci/d"), obj("hra ci/d")}
	alone := []*Object{runnerPod("pod ci/one", "run ci/one"), obj("run ci/one")}
	freed := []string{"release: release pod ci/r", "release: release run ci/r", "crds: " + allLegacyCRDs}

	testPlans(t, map[string]planTest{
		"without a record nothing begins": {
			Survey{ProofErr: errors.New("no Helm release found")},
			asLegacyHook, Fresh,
			[]string{
				"refused: no proof that anything is being uninstalled: no Helm release found",
				"  this runs as a pre-delete hook of `helm uninstall`; by hand, use `arc-cleanup run --yes`",
			},
		},
		"what is live is named with what lets its runners finish": {
			Survey{
				Record: uninstalling(), Custom: append(idle, alone[1], obj("rset team/s", by("team/app"))),
				Proven: map[types.UID]bool{"rset team/s": true},
			},
			asLegacyHook, Over,
			[]string{
				"refused: runnerdeployment d in namespace ci is still installed; to let its runners finish their jobs, scale it to zero first",
				`  kubectl patch runnerdeployment.actions.summerwind.dev d --namespace ci --type merge --patch 'spec: {replicas: 0}'`,
				"  kubectl delete runnerdeployment.actions.summerwind.dev d --namespace ci --wait=false",
				"refused: runner one in namespace ci is still installed",
				"  kubectl delete runner.actions.summerwind.dev one --namespace ci --wait=false",
				"refused: runnerset s in namespace team is still installed, by Helm release app; to let its runners finish their jobs, scale it to zero first",
				`  kubectl patch runnerset.actions.summerwind.dev s --namespace team --type merge --patch 'spec: {replicas: 0}'`,
				"  helm uninstall app --namespace team",
				"release: release run ci/one",
			},
		},
		"scaleSets=uninstall deletes no legacy runners": {
			Survey{Record: uninstalling(), Custom: []*Object{obj("run ci/one")}},
			func() Options { o := asLegacyHook; o.ScaleSets = UninstallScaleSets; return o }(), Over,
			[]string{
				"refused: runner one in namespace ci is still installed",
				"  kubectl delete runner.actions.summerwind.dev one --namespace ci --wait=false",
				"release: release run ci/one",
			},
		},

		"a live controller lets the runners finish before their owners go": {
			Survey{Record: uninstalling(), Controllers: live, Custom: family(), CRDs: legacyCRDs(), Busy: guess(family()[0])},
			deletes(asLegacyHook), Fresh,
			append([]string{"stop: delete hra ci/d", "stop: stop rd ci/d", "drain: await pod ci/r, await run ci/r", "busy: await pod ci/r"}, freed...),
		},
		"then the owners go, parents first": {
			Survey{Record: uninstalling(), Controllers: live, Custom: idle},
			deletes(asLegacyHook), Stuck,
			[]string{"drain: delete hra ci/d", "drain: delete rd ci/d", "drain: delete rrs ci/d-1"},
		},
		"a runner that nothing scales is deleted when its Pod does not run": {
			Survey{Record: uninstalling(), Controllers: live, Custom: alone},
			deletes(asLegacyHook), Fresh,
			[]string{"drain: delete run ci/one", "release: release pod ci/one", "release: release run ci/one"},
		},
		"and waited for while it does": {
			Survey{Record: uninstalling(), Controllers: live, Custom: alone, Busy: guess(alone[0])},
			deletes(asLegacyHook), Fresh,
			[]string{"busy: await pod ci/one", "release: release pod ci/one", "release: release run ci/one"},
		},
		"unless it is forced": {
			Survey{Record: uninstalling(), Controllers: live, Custom: alone, Busy: guess(alone[0])},
			with(asLegacyHook, ForceBusy), Fresh,
			[]string{"drain: delete run ci/one", "release: release pod ci/one", "release: release run ci/one"},
		},
		"a controller that lives but does not get on is helped": {
			Survey{Record: uninstalling(), Controllers: live, Custom: family(), CRDs: legacyCRDs()},
			deletes(asLegacyHook), Over,
			[]string{
				"release: delete hra ci/d", "release: delete rd ci/d", "release: delete rrs ci/d-1", "release: delete run ci/r", "release: delete pod ci/r",
				"release: release pod ci/r", "release: release run ci/r", "crds: " + allLegacyCRDs,
			},
		},

		"nor do dead webhooks refuse to let it stop them": {
			Survey{Record: uninstalling(), Controllers: live, Custom: family(), Webhooks: []Webhooks{hooks("mwc m", "systems/webhook", dead, by("systems/arc"))}},
			deletes(asLegacyHook), Fresh,
			[]string{"webhooks: delete mwc m", "stop: delete hra ci/d", "stop: stop rd ci/d", "drain: await pod ci/r, await run ci/r", "release: release pod ci/r", "release: release run ci/r"},
		},
		"nobody's webhooks go before the jobs are over": {
			Survey{Record: uninstalling(), Custom: family(deleting)[:1], Busy: guess(family()[0]), Webhooks: []Webhooks{hooks("mwc m", "systems/webhook", dead, by("systems/arc"))}},
			asLegacyHook, Fresh,
			[]string{"busy: await pod ci/r", "webhooks: delete mwc m", "release: release pod ci/r"},
		},
		"without a controller the finalizers go": {
			Survey{Record: uninstalling(), Custom: family(), CRDs: legacyCRDs()}, deletes(asLegacyHook), Fresh, freed,
		},
		"after the webhooks that nobody answers": {
			Survey{
				Record: uninstalling(), Custom: family(deleting), CRDs: legacyCRDs(),
				Webhooks: []Webhooks{hooks("mwc m", "systems/webhook", dead, by("systems/arc")), hooks("vwc v", "systems/webhook", dead, by("systems/arc"))},
			},
			asLegacyHook, Fresh,
			[]string{
				"webhooks: delete mwc m, delete vwc v",
				"release: release pod ci/r", "release: release run ci/r", "release: await rd ci/d", "crds: " + allLegacyCRDs,
			},
		},
		"a Pod that may have a job is waited for": {
			Survey{Record: uninstalling(), Custom: family(deleting), CRDs: legacyCRDs(), Busy: guess(family()[0])},
			asLegacyHook, Fresh,
			append([]string{"busy: await pod ci/r"}, "release: release pod ci/r", "release: release run ci/r", "release: await rd ci/d", "crds: "+allLegacyCRDs),
		},
		"or refused": {
			Survey{Record: uninstalling(), Custom: family(deleting), Busy: guess(family()[0])},
			with(asLegacyHook, RefuseBusy), Fresh,
			[]string{
				"refused: runner r in namespace ci is busy with a job, for all that can be known: its Pod runs",
				"  wait for the job or cancel it, then try again; busyRunners=force would kill it",
				"release: release pod ci/r", "release: release run ci/r", "release: await rd ci/d",
			},
		},
		"of one that nothing scales it is said how it ends": {
			Survey{Record: uninstalling(), Custom: []*Object{runnerPod("pod ci/r", "run ci/r")}, Busy: map[types.UID]Job{"pod ci/r": {Pod: obj("pod ci/r"), Guess: "its Pod runs", Alone: true}}},
			with(asLegacyHook, RefuseBusy), Fresh,
			[]string{
				"refused: runner r in namespace ci is busy with a job, for all that can be known: its Pod runs",
				"  wait for the job or cancel it, then try again; busyRunners=force would kill it",
				"  it does not end with its job; once it has none: kubectl delete runner.actions.summerwind.dev,pod r --namespace ci --wait=false",
				"release: release pod ci/r",
			},
		},
		"or left alone, with its namespace and the CRDs": {
			Survey{Record: uninstalling(), Controllers: live, Custom: append(family(deleting), obj("run other/x", owned("rrs other/y"), deleting)), CRDs: legacyCRDs(), Busy: guess(family()[0])},
			with(asLegacyHook, LeaveBusy), Fresh,
			[]string{
				"drain: await run other/x", "release: release run other/x",
				"keep: runner r is busy with a job, for all that can be known: its Pod runs, after which the controller removes it",
				"keep: namespace ci has busy runners",
			},
		},
		"what is linked to a Pod goes before its finalizer": {
			Survey{Record: uninstalling(), Custom: []*Object{runnerPod("pod ci/r", "run ci/r", deleting)}, Linked: []*Object{obj("pod ci/r-job"), obj("secret ci/r-job", deleting)}},
			asLegacyHook, Fresh,
			[]string{"linked: delete pod ci/r-job", "release: release pod ci/r"},
		},
		"unless a controller does it": {
			Survey{Record: uninstalling(), Controllers: live, Custom: []*Object{runnerPod("pod ci/r", "run ci/r", deleting)}, Linked: []*Object{obj("pod ci/r-job")}},
			asLegacyHook, Fresh,
			[]string{"drain: await pod ci/r", "release: release pod ci/r"},
		},
		"a Pod that nothing owns is deleted": {
			Survey{Record: uninstalling(), Custom: []*Object{obj("pod ci/lost", finalizers(arc.LegacyPodFinalizer, arc.LegacyLinkedFinalizer))}},
			asLegacyHook, Fresh,
			[]string{"release: delete pod ci/lost", "release: release pod ci/lost"},
		},
		"a Pod whose owner is gone goes, too": {
			Survey{Record: uninstalling(), Dependents: []*Object{obj("pod ci/r", owned("run ci/r")), obj("sts ci/s", owned("rset ci/s"))}},
			asLegacyHook, Fresh,
			[]string{"collect: delete pod ci/r, delete sts ci/s"},
		},

		"webhooks that are answered stay": {
			Survey{Record: uninstalling(), Controllers: live, Webhooks: []Webhooks{hooks("mwc m", "systems/webhook", "", by("systems/arc"))}}, asLegacyHook, Fresh, nil,
		},
		"those of a controller that crashes are not": {
			Survey{Record: uninstalling(), Controllers: crashing, Webhooks: []Webhooks{hooks("mwc m", "systems/webhook", "", by("systems/arc"))}},
			asLegacyHook, Fresh,
			[]string{"webhooks: delete mwc m"},
		},
		"those of another release stay, dead or not": {
			Survey{Record: uninstalling(), Webhooks: []Webhooks{hooks("mwc m", "systems/webhook", dead, by("systems/other")), hooks("vwc v", "team/webhook", dead)}}, asLegacyHook, Fresh, nil,
		},
		"by hand all that nobody answers go": {
			Survey{Webhooks: []Webhooks{hooks("mwc m", "systems/webhook", dead, by("systems/arc"))}},
			legacyByHand, Fresh,
			[]string{"webhooks: delete mwc m"},
		},
		"but not those of a controller that is installed": {
			Survey{Controllers: []ARC{dead2("systems/arc")}, Webhooks: []Webhooks{hooks("mwc m", "systems/webhook", dead)}}, legacyByHand, Fresh, nil,
		},

		"another controller keeps the CRDs and what it watches": {
			Survey{
				Record: uninstalling(), Controllers: []ARC{ctrl("team/arc", "ci")}, CRDs: legacyCRDs(),
				Custom: append(family(), obj("run old/x", owned("rrs old/y"), deleting)),
			},
			asLegacyHook, Fresh,
			[]string{"release: release run old/x", "keep: the controller team/arc uses them"},
		},
		"one namespace only": {
			Survey{Record: uninstalling(), CRDs: legacyCRDs(), Custom: []*Object{obj("run ci/x", deleting), obj("run old/x")}},
			func() Options { o := asLegacyHook; o.WatchNamespaces = list1("ci"); return o }(), Fresh,
			[]string{"release: release run ci/x", "keep: 1 custom resources in namespace old are not this release's"},
		},
	})
}

func dead2(name string) ARC { return dead(ctrl(name, "")) }

// legacyDeployment is a legacy controller as the API has it, scaled is how many of
// its replicas are ready.
func legacyDeployment(name, path string, ready int, args ...any) item {
	it := whole(obj("deploy " + name))[0]
	it.labels[arc.LabelChart] = "actions-runner-controller-0.23.7"
	it.rest = map[string]any{
		"spec": map[string]any{
			"selector": map[string]any{"matchLabels": map[string]any{"app": it.Name}},
			"template": map[string]any{"spec": map[string]any{"containers": []any{map[string]any{"image": "mirror/arc:1", "command": []any{path}, "args": args}}}},
		},
		"status": map[string]any{"readyReplicas": ready},
	}
	return it
}

// legacyHooks is a webhook configuration of the chart.
func legacyHooks(text, service string, names ...string) item {
	it := whole(obj(text, by("systems/arc")))[0]
	n := named(service)
	var webhooks []any
	for _, name := range names {
		webhooks = append(webhooks, map[string]any{"name": name, "clientConfig": map[string]any{"service": map[string]any{"namespace": n.Namespace, "name": n.Name}}})
	}
	it.rest = map[string]any{"webhooks": webhooks}
	return it
}

func onNode(it item) item {
	it.rest = map[string]any{"spec": map[string]any{"nodeName": "n"}}
	return it
}

func TestLegacySurvey(t *testing.T) {
	t.Parallel()
	unregistered := onNode(whole(runnerPod("pod ci/done", "run ci/done"))[0])
	unregistered.annotations[arc.AnnotationLegacyUnregistered] = "2026-01-02T03:04:05Z"
	busyPod := onNode(whole(runnerPod("pod ci/busy", "run ci/r"))[0])
	busyPod.annotations[arc.AnnotationLegacyRefused] = "it is running a job"
	items := whole(legacyCRDs()...)
	items = append(items, whole(
		obj("run ci/r", owned("rrs ci/d-1")), obj("rrs ci/d-1", owned("rd ci/d")), obj("rd ci/d"), obj("rset ci/s"), obj("hra ci/d"),
		obj("sts ci/s-1", owned("rset ci/s")), obj("sts ci/theirs"), obj("sa ci/r", owned("run ci/r")), obj("role ci/theirs"),
		runnerPod("pod ci/waiting", "run ci/r"), obj("pod ci/theirs"), obj("pod ci/er", owned("er ci/x")),
	)...)
	linked := whole(runnerPod("pod ci/kube", "run ci/r", finalizers(arc.LegacyPodFinalizer, arc.LegacyLinkedFinalizer)),
		obj("pod ci/kube-job"), obj("secret ci/kube-job"), obj("secret ci/busy-job"), obj("pod other/kube-job"))
	for i, of := range []string{"kube", "kube", "busy", "kube"} {
		linked[i+1].labels[arc.LabelRunnerPod] = of
	}
	items = append(append(items, linked...),
		busyPod, onNode(whole(runnerPod("pod ci/ending", "run ci/r", deleting))[0]), unregistered,
		onNode(whole(runnerPod("pod ci/s-1-0", "sts ci/s-1"))[0]), onNode(whole(runnerPod("pod ci/alone", "run ci/alone"))[0]), whole(obj("run ci/alone"))[0], onNode(whole(obj("pod ci/app"))[0]),
		legacyDeployment("systems/renamed", "/manager", 1, "--watch-namespace=ci"), legacyDeployment("systems/down", "/manager", 0),
		legacyDeployment("systems/server", "/github-webhook-server", 1), deployment(ctrl("systems/modern", "")),
		legacyHooks("mwc dead", "systems/gone", "mutate.runner.actions.summerwind.dev", "mutate-runner-pod.webhook.actions.summerwind.dev"),
		legacyHooks("vwc live", "systems/live", "validate.runner.actions.summerwind.dev"),
		legacyHooks("vwc mixed", "systems/gone", "validate.runner.actions.summerwind.dev", "validate.example.com"),
	)
	_, c := newAPI(t, append(items, endpoints("systems/live", true)...)...)
	s := survey(t.Context(), c, legacyByHand)
	if len(s.Unknown) > 0 {
		t.Fatal(s.Unknown)
	}
	names := func(objects []*Object) (out []string) {
		for _, o := range objects {
			out = append(out, ref(o)+" of "+string(o.Owner))
		}
		return out
	}
	expectStrings(t, "custom", names(s.Custom),
		"pod ci/alone of run ci/alone", "pod ci/busy of run ci/r", "pod ci/done of run ci/done", "pod ci/ending of run ci/r", "pod ci/kube of run ci/r", "pod ci/s-1-0 of rset ci/s", "pod ci/waiting of run ci/r",
		"run ci/alone of ", "run ci/r of rrs ci/d-1", "rrs ci/d-1 of rd ci/d", "rset ci/s of ", "rd ci/d of ", "hra ci/d of ")
	dependents := names(s.Dependents)
	slices.Sort(dependents)
	expectStrings(t, "dependents", dependents,
		"pod ci/alone of run ci/alone", "pod ci/busy of run ci/r", "pod ci/done of run ci/done", "pod ci/ending of run ci/r", "pod ci/kube of run ci/r", "pod ci/s-1-0 of rset ci/s", "pod ci/waiting of run ci/r",
		"sa ci/r of run ci/r", "sts ci/s-1 of rset ci/s")
	expectStrings(t, "linked", names(s.Linked), "pod ci/kube-job of ", "secret ci/kube-job of ")
	var busy, rest []string
	for _, j := range s.Busy {
		busy = append(busy, fmt.Sprintf("%s: %s %t", ref(j.Pod), j.Guess, j.Alone))
	}
	slices.Sort(busy)
	expectStrings(t, "busy", busy,
		"pod ci/alone: its Pod runs true",
		"pod ci/busy: its Pod runs, and GitHub did not remove it: it is running a job false", "pod ci/s-1-0: its Pod runs false")
	for uid := range s.Registered {
		rest = append(rest, "registered "+string(uid))
	}
	for _, a := range s.Controllers {
		rest = append(rest, fmt.Sprintf("%s %q %q", ref(a.Object), a.Watches, a.Down))
	}
	for _, w := range s.Webhooks {
		rest = append(rest, fmt.Sprintf("%s %s %q", ref(w.Object), w.Service, w.Dead))
	}
	for _, crd := range s.CRDs {
		rest = append(rest, ref(crd))
	}
	want := []string{
		"registered pod ci/alone", "registered pod ci/busy", "registered pod ci/ending", "registered pod ci/s-1-0",
		`deploy systems/down [] "has no ready replica"`, `deploy systems/renamed ["ci"] ""`,
		`mwc dead systems/gone "the Service systems/gone does not exist"`, `vwc live systems/live ""`,
	}
	for _, crd := range legacyCRDs() {
		want = append(want, ref(crd))
	}
	slices.Sort(want)
	slices.Sort(rest)
	if diff := cmp.Diff(want, rest); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestLegacyRunFreesAStuckCluster: the controller is gone, and its webhooks refuse
// every update of a Runner.
func TestLegacyRunFreesAStuckCluster(t *testing.T) {
	t.Parallel()
	items := append(whole(legacyCRDs()...), whole(family(deleting)...)...)
	items = append(items, onNode(whole(runnerPod("pod ci/s-1-0", "sts ci/s-1", deleting))[0]))
	items = append(items, whole(obj("pod ci/theirs", finalizers("example.com/hold")))...)
	a, c := newAPI(t, append(items, legacyHooks("mwc m", "systems/gone", "mutate.runner.actions.summerwind.dev"))...)
	a.fault = func(request string) int {
		if strings.HasPrefix(request, "PATCH run ") && a.objects["mwc m"] != nil {
			return http.StatusInternalServerError
		}
		return 0
	}
	// The garbage collector.
	a.react = func(a *api, request string) {
		if request == "DELETE crd runners.actions.summerwind.dev" {
			go a.take("pod ci/r")
		}
	}
	r := Run(t.Context(), c, graced(ofLegacy, ample), quiet)
	expect(t, r, outcome{Verdict: Done})
	expectStrings(t, "left", a.left(), "pod ci/theirs")
	if want := "still registered at GitHub, which removes it in time: 1 runners: s-1-0"; !strings.Contains(r.Text(10), want) || !strings.HasPrefix(r.Summary(), "done: nothing of legacy ARC is left") {
		t.Errorf("the report does not say %q:\n%s", want, r.Text(10))
	}
}

// TestLegacyRunLetsTheControllerFinish plays the controller, which removes runners
// once their owner is scaled to zero, and only then may the owner go.
func TestLegacyRunLetsTheControllerFinish(t *testing.T) {
	t.Parallel()
	items := append(whole(legacyCRDs()...), whole(family()...)...)
	controller := legacyDeployment("systems/arc", "/manager", 1)
	controller.annotations[arc.AnnotationReleaseName], controller.annotations[arc.AnnotationReleaseNamespace] = "arc", "systems"
	a, c := newAPI(t, append(items, controller)...)
	var order []string
	a.react = func(a *api, request string) {
		order = append(order, request)
		if request == "PATCH rd ci/d" {
			go func() {
				time.Sleep(300 * time.Millisecond)
				a.take("pod ci/r", "run ci/r")
			}()
		}
	}
	o := graced(ofLegacy, ample)
	o.ReleaseNamespace, o.ScaleSets = "systems", DeleteScaleSets
	expect(t, Run(t.Context(), c, o, quiet), outcome{Verdict: Done})
	if want := []string{"DELETE hra ci/d", "PATCH rd ci/d", "DELETE rd ci/d", "DELETE rrs ci/d-1"}; !slices.Equal(order[:min(4, len(order))], want) {
		t.Errorf("writes %q, want first %q", order, want)
	}
	expectStrings(t, "left", a.left(), "deploy systems/arc")
}

func TestLegacyRunRefusesWhenTheJobsDoNotEnd(t *testing.T) {
	t.Parallel()
	items := append(whole(legacyCRDs()...), whole(family(deleting)[1:]...)...)
	a, c := newAPI(t, append(items, onNode(whole(family()[0])[0]))...)
	r := runFor(t, c, time.Second, graced(ofLegacy, ample))
	if r.Verdict != Refused || len(r.Refusals) != 1 || !strings.Contains(r.Refusals[0].Message, "runner r in namespace ci is busy") {
		t.Errorf("%s", r.Text(10))
	}
	expectStrings(t, "writes", a.written())
}

func runFor(t *testing.T, c *kube.Client, budget time.Duration, o Options) *Report {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(t.Context(), budget, ErrBudget)
	defer cancel()
	return Run(ctx, c, o, quiet)
}

// TestLegacyRunStopsARunnerOnce plays a controller whose runner has a job for longer
// than there is time: what the rounds repeat is reported once.
func TestLegacyRunStopsARunnerOnce(t *testing.T) {
	t.Parallel()
	items := append(whole(legacyCRDs()...), whole(family()[1:]...)...)
	controller := legacyDeployment("systems/arc", "/manager", 1)
	controller.annotations[arc.AnnotationReleaseName], controller.annotations[arc.AnnotationReleaseNamespace] = "arc", "systems"
	a, c := newAPI(t, append(items, controller, onNode(whole(family()[0])[0]))...)
	o := graced(ofLegacy, 300*time.Millisecond)
	o.ReleaseNamespace, o.ScaleSets = "systems", DeleteScaleSets
	r := runFor(t, c, 2*time.Second, o)
	if want := "refused: scaled to zero 1 runnerdeployments; deleted 1 horizontalrunnerautoscalers"; r.Summary() != want {
		t.Errorf("got  %s\nwant %s", r.Summary(), want)
	}
	expectStrings(t, "writes", a.written(), "DELETE hra ci/d", "PATCH rd ci/d", "PATCH rd ci/d")
}

// What is found in one namespace is not forgotten over the next, and what cannot be
// read in one of them is unknown.
func TestLegacySurveyOfNamespaces(t *testing.T) {
	t.Parallel()
	items := append(whole(legacyCRDs()...), onNode(whole(runnerPod("pod a/r", "run a/r"))[0]), onNode(whole(runnerPod("pod b/r", "run b/r"))[0]), onNode(whole(runnerPod("pod c/r", "run c/r"))[0]))
	a, c := newAPI(t, append(items, whole(obj("run a/r"), obj("run b/r"), obj("run c/r"))...)...)
	o := legacyByHand
	o.WatchNamespaces = []string{"a", "b"}
	want := map[types.UID]bool{"pod a/r": true, "pod b/r": true}
	s := survey(t.Context(), c, o)
	if diff := cmp.Diff(want, s.Registered); diff != "" || len(s.Busy) != 2 || len(s.Unknown) > 0 {
		t.Errorf("busy %v, unknown %v, registered (-want +got):\n%s", s.Busy, s.Unknown, diff)
	}
	a.fault = on(http.StatusForbidden, always, "LIST sts b")
	if s := survey(t.Context(), c, o); len(s.Unknown) != 1 || s.Unknown[0].What != "what legacy runners own" {
		t.Errorf("unknown %v", s.Unknown)
	}
}

// Whoever may create a Pod can make it look like a runner's that has a job. The
// uninstall waits for those only whose owner is there.
func TestAPodAloneIsNoLegacyRunner(t *testing.T) {
	t.Parallel()
	foreign := finalizers("example.com/keep")
	for name, it := range map[string]item{
		"busy, by its owner":       onNode(whole(obj("pod tenant/p", owned("run gone")))[0]),
		"of another's runner":      onNode(whole(obj("pod tenant/p", owned("run ci/r")))[0]),
		"busy, by its finalizer":   onNode(whole(obj("pod tenant/p", finalizers(arc.LegacyPodFinalizer)))[0]),
		"held":                     whole(obj("pod tenant/p", owned("run gone"), foreign))[0],
		"held, both ways":          whole(runnerPod("pod tenant/p", "run gone", finalizers(arc.LegacyPodFinalizer, "example.com/keep"), deleting))[0],
		"held, a ServiceAccount":   whole(obj("sa tenant/p", owned("run gone"), foreign, deleting))[0],
		"being deleted, with time": whole(obj("pod tenant/p", owned("run gone"), deleting))[0],
	} {
		_, c := newAPI(t, append(whole(append(legacyCRDs(), obj("run ci/r", deleting))...), it)...)
		if r := runFor(t, c, ample, graced(ofLegacy, time.Minute)); r.Verdict != Done {
			t.Errorf("%s: %s", name, r.Text(10))
		}
	}
}

// A Pod's owner is a custom resource in its own namespace, or nobody.
func TestWeighPods(t *testing.T) {
	t.Parallel()
	runner, pod, plain := obj("run ci/r"), obj("pod ci/pod"), finalizers()
	theirs, forged := runnerPod("pod ci/r", "run ci/r", plain), []*Object{
		runnerPod("pod ci/lost", "run ci/gone", plain), runnerPod("pod team/r", "run ci/r", plain), runnerPod("pod ci/nested", "pod ci/r", plain),
	}
	held := runnerPod("pod ci/held", "run ci/gone", finalizers(arc.LegacyPodFinalizer))
	s := &Survey{Custom: append([]*Object{theirs, held, pod, runner}, forged...), Busy: map[types.UID]Job{theirs.UID: {Pod: theirs}, held.UID: {Pod: held}}}
	for _, o := range forged {
		s.Busy[o.UID] = Job{Pod: o}
	}
	s.weighPods()
	expectStrings(t, "custom", refs(s.Custom), "pod ci/r", "pod ci/held", "run ci/r")
	if len(s.Busy) != 1 || s.Busy[theirs.UID].Pod != theirs {
		t.Errorf("busy: %v", s.Busy)
	}
}
