package plan_test

import (
	"errors"
	"testing"

	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/kube/kubetest"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
	"github.com/arc-cleanup/arc-cleanup/internal/plan/plantest"
)

const allLegacyCRDs = "delete crd runners.actions.summerwind.dev, delete crd runnerreplicasets.actions.summerwind.dev, " +
	"delete crd runnersets.actions.summerwind.dev, delete crd runnerdeployments.actions.summerwind.dev, delete crd horizontalrunnerautoscalers.actions.summerwind.dev"

// guess returns what is known about the jobs of running Pods.
func guess(pods ...*object.Object) map[types.UID]plan.Job {
	out := map[types.UID]plan.Job{}
	for _, o := range pods {
		out[o.UID] = plan.Job{Pod: o, Guess: "its Pod runs"}
	}
	return out
}

func hooks(text, service, dead string, mods ...kubetest.Change) plan.Webhooks {
	return plan.Webhooks{Object: kubetest.Object(text, mods...), Service: kubetest.Named(service), Dead: dead}
}

func TestLegacyPlan(t *testing.T) {
	const dead = "the Service systems/webhook has no ready endpoint"
	live := []plan.Controller{plantest.LegacyCtrl("systems/arc", kubetest.By("systems/arc"))}
	crashing := []plan.Controller{{Object: kubetest.Object("deploy systems/arc", kubetest.By("systems/arc")), Down: "is crash-looping", Legacy: true}}
	// The policy for uninstalling a legacy controller together with its runners.
	deletes := func(o plan.Options) plan.Options { o.ScaleSets = plan.DeleteScaleSets; return o }
	with := func(o plan.Options, b plan.BusyRunnersPolicy) plan.Options { o.BusyRunners = b; return deletes(o) }
	idle := []*object.Object{kubetest.Object("rrs ci/d-1", kubetest.Owned("rd ci/d")), kubetest.Object("rd ci/d"), kubetest.Object("hra ci/d")}
	alone := []*object.Object{kubetest.RunnerPod("pod ci/one", "run ci/one"), kubetest.Object("run ci/one")}
	freed := []string{"free: free pod ci/r", "free: free run ci/r", "crds: " + allLegacyCRDs}

	testPlans(t, map[string]planTest{
		"without a record nothing begins": {
			plan.Survey{ProofErr: errors.New("no Helm release found")},
			plantest.AsLegacyHook, plan.Fresh,
			[]string{
				"refused: no proof that anything is being uninstalled: no Helm release found",
				"  this runs as a pre-delete hook of `helm uninstall`; by hand, use `arc-cleanup run --all-namespaces --scope legacy`",
			},
		},
		"live objects are named, with the command that lets their runners finish": {
			plan.Survey{
				Record: plantest.Uninstalling(), Custom: append(idle, alone[1], kubetest.Object("rset team/s", kubetest.By("team/app"))),
				Proven: map[types.UID]bool{"rset team/s": true},
			},
			plantest.AsLegacyHook, plan.Over,
			[]string{
				"refused: runnerdeployment d in namespace ci is still installed; to let its runners finish their jobs, scale it to zero first",
				`  kubectl patch runnerdeployment.actions.summerwind.dev d --namespace ci --type merge --patch 'spec: {replicas: 0}'`,
				"  kubectl delete runnerdeployment.actions.summerwind.dev d --namespace ci --wait=false",
				"refused: runner one in namespace ci is still installed",
				"  kubectl delete runner.actions.summerwind.dev one --namespace ci --wait=false",
				"refused: runnerset s in namespace team is still installed, by Helm release app; to let its runners finish their jobs, scale it to zero first",
				`  kubectl patch runnerset.actions.summerwind.dev s --namespace team --type merge --patch 'spec: {replicas: 0}'`,
				"  helm uninstall app --namespace team",
				"free: free run ci/one",
			},
		},
		"scaleSets=uninstall deletes no legacy runners": {
			plan.Survey{Record: plantest.Uninstalling(), Custom: []*object.Object{kubetest.Object("run ci/one")}},
			func() plan.Options { o := plantest.AsLegacyHook; o.ScaleSets = plan.UninstallScaleSets; return o }(), plan.Over,
			[]string{
				"refused: runner one in namespace ci is still installed",
				"  kubectl delete runner.actions.summerwind.dev one --namespace ci --wait=false",
				"free: free run ci/one",
			},
		},

		"a running controller lets the runners finish before their owners go": {
			plan.Survey{Record: plantest.Uninstalling(), Controllers: live, Custom: kubetest.Family(), CRDs: kubetest.LegacyCRDs(), Busy: guess(kubetest.Family()[0])},
			deletes(plantest.AsLegacyHook), plan.Fresh,
			append([]string{"stop: delete hra ci/d", "stop: stop rd ci/d", "drain: await pod ci/r, await run ci/r", "busy: await pod ci/r"}, freed...),
		},
		"then the owners go, parents first": {
			plan.Survey{Record: plantest.Uninstalling(), Controllers: live, Custom: idle},
			deletes(plantest.AsLegacyHook), plan.Stuck,
			[]string{"drain: delete hra ci/d", "drain: delete rd ci/d", "drain: delete rrs ci/d-1"},
		},
		"a runner that nothing scales is deleted when its Pod does not run": {
			plan.Survey{Record: plantest.Uninstalling(), Controllers: live, Custom: alone},
			deletes(plantest.AsLegacyHook), plan.Fresh,
			[]string{"drain: delete run ci/one", "free: free pod ci/one", "free: free run ci/one"},
		},
		"and waited for while it does": {
			plan.Survey{Record: plantest.Uninstalling(), Controllers: live, Custom: alone, Busy: guess(alone[0])},
			deletes(plantest.AsLegacyHook), plan.Fresh,
			[]string{"busy: await pod ci/one", "free: free pod ci/one", "free: free run ci/one"},
		},
		"unless it is forced": {
			plan.Survey{Record: plantest.Uninstalling(), Controllers: live, Custom: alone, Busy: guess(alone[0])},
			with(plantest.AsLegacyHook, plan.ForceBusy), plan.Fresh,
			[]string{"drain: delete run ci/one", "free: free pod ci/one", "free: free run ci/one"},
		},
		"a controller that lives but does not get on is helped": {
			plan.Survey{Record: plantest.Uninstalling(), Controllers: live, Custom: kubetest.Family(), CRDs: kubetest.LegacyCRDs()},
			deletes(plantest.AsLegacyHook), plan.Over,
			[]string{
				"free: delete hra ci/d", "free: delete rd ci/d", "free: delete rrs ci/d-1", "free: delete run ci/r", "free: delete pod ci/r",
				"free: free pod ci/r", "free: free run ci/r", "crds: " + allLegacyCRDs,
			},
		},

		"nor do dead webhooks refuse to let it stop them": {
			plan.Survey{Record: plantest.Uninstalling(), Controllers: live, Custom: kubetest.Family(), Webhooks: []plan.Webhooks{hooks("mwc m", "systems/webhook", dead, kubetest.By("systems/arc"))}},
			deletes(plantest.AsLegacyHook), plan.Fresh,
			[]string{"webhooks: delete mwc m", "stop: delete hra ci/d", "stop: stop rd ci/d", "drain: await pod ci/r, await run ci/r", "free: free pod ci/r", "free: free run ci/r"},
		},
		"no webhooks are deleted before the jobs are over": {
			plan.Survey{Record: plantest.Uninstalling(), Custom: kubetest.Family(kubetest.Deleting)[:1], Busy: guess(kubetest.Family()[0]), Webhooks: []plan.Webhooks{hooks("mwc m", "systems/webhook", dead, kubetest.By("systems/arc"))}},
			plantest.AsLegacyHook, plan.Fresh,
			[]string{"busy: await pod ci/r", "webhooks: delete mwc m", "free: free pod ci/r"},
		},
		"without a controller the finalizers go": {
			plan.Survey{Record: plantest.Uninstalling(), Custom: kubetest.Family(), CRDs: kubetest.LegacyCRDs()}, deletes(plantest.AsLegacyHook), plan.Fresh, freed,
		},
		"after the webhooks that no server answers": {
			plan.Survey{
				Record: plantest.Uninstalling(), Custom: kubetest.Family(kubetest.Deleting), CRDs: kubetest.LegacyCRDs(),
				Webhooks: []plan.Webhooks{hooks("mwc m", "systems/webhook", dead, kubetest.By("systems/arc")), hooks("vwc v", "systems/webhook", dead, kubetest.By("systems/arc"))},
			},
			plantest.AsLegacyHook, plan.Fresh,
			[]string{
				"webhooks: delete mwc m, delete vwc v",
				"free: free pod ci/r", "free: free run ci/r", "free: await rd ci/d", "crds: " + allLegacyCRDs,
			},
		},
		"a Pod that may have a job is waited for": {
			plan.Survey{Record: plantest.Uninstalling(), Custom: kubetest.Family(kubetest.Deleting), CRDs: kubetest.LegacyCRDs(), Busy: guess(kubetest.Family()[0])},
			plantest.AsLegacyHook, plan.Fresh,
			append([]string{"busy: await pod ci/r"}, "free: free pod ci/r", "free: free run ci/r", "free: await rd ci/d", "crds: "+allLegacyCRDs),
		},
		"or refused": {
			plan.Survey{Record: plantest.Uninstalling(), Custom: kubetest.Family(kubetest.Deleting), Busy: guess(kubetest.Family()[0])},
			with(plantest.AsLegacyHook, plan.RefuseBusy), plan.Fresh,
			[]string{
				"refused: runner r in namespace ci is busy with a job, as far as arc-cleanup can tell: its Pod runs",
				"  wait for the job or cancel it, then try again; --busy-runners force (policy.busyRunners: force) would kill it",
				"free: free pod ci/r", "free: free run ci/r", "free: await rd ci/d",
			},
		},
		"of one that nothing scales it is said how it ends": {
			plan.Survey{Record: plantest.Uninstalling(), Custom: []*object.Object{kubetest.RunnerPod("pod ci/r", "run ci/r")}, Busy: map[types.UID]plan.Job{"pod ci/r": {Pod: kubetest.Object("pod ci/r"), Guess: "its Pod runs", Alone: true}}},
			with(plantest.AsLegacyHook, plan.RefuseBusy), plan.Fresh,
			[]string{
				"refused: runner r in namespace ci is busy with a job, as far as arc-cleanup can tell: its Pod runs",
				"  wait for the job or cancel it, then try again; --busy-runners force (policy.busyRunners: force) would kill it",
				"  the runner stays when its job is over; delete it then: kubectl delete runner.actions.summerwind.dev,pod r --namespace ci --wait=false",
				"free: free pod ci/r",
			},
		},
		"or left alone, with its namespace and the CRDs": {
			plan.Survey{Record: plantest.Uninstalling(), Controllers: live, Custom: append(kubetest.Family(kubetest.Deleting), kubetest.Object("run other/x", kubetest.Owned("rrs other/y"), kubetest.Deleting)), CRDs: kubetest.LegacyCRDs(), Busy: guess(kubetest.Family()[0])},
			with(plantest.AsLegacyHook, plan.LeaveBusy), plan.Fresh,
			[]string{
				"drain: await run other/x", "free: free run other/x",
				"keep: runner r is busy with a job, as far as arc-cleanup can tell: its Pod runs, after which the controller removes it",
				"keep: namespace ci has busy runners",
			},
		},
		"objects of a job are deleted before their Pod's finalizer": {
			plan.Survey{Record: plantest.Uninstalling(), Custom: []*object.Object{kubetest.RunnerPod("pod ci/r", "run ci/r", kubetest.Deleting)}, Linked: []*object.Object{kubetest.Object("pod ci/r-job"), kubetest.Object("secret ci/r-job", kubetest.Deleting)}},
			plantest.AsLegacyHook, plan.Fresh,
			[]string{"job-pods: delete pod ci/r-job", "free: free pod ci/r"},
		},
		"unless a controller does it": {
			plan.Survey{Record: plantest.Uninstalling(), Controllers: live, Custom: []*object.Object{kubetest.RunnerPod("pod ci/r", "run ci/r", kubetest.Deleting)}, Linked: []*object.Object{kubetest.Object("pod ci/r-job")}},
			plantest.AsLegacyHook, plan.Fresh,
			[]string{"drain: await pod ci/r", "free: free pod ci/r"},
		},
		"a Pod that nothing owns is deleted": {
			plan.Survey{Record: plantest.Uninstalling(), Custom: []*object.Object{kubetest.Object("pod ci/lost", kubetest.Finalizers(arc.LegacyPodFinalizer, arc.LegacyLinkedFinalizer))}},
			plantest.AsLegacyHook, plan.Fresh,
			[]string{"free: delete pod ci/lost", "free: free pod ci/lost"},
		},
		"a Pod whose owner is gone goes, too": {
			plan.Survey{Record: plantest.Uninstalling(), Dependents: []*object.Object{kubetest.Object("pod ci/r", kubetest.Owned("run ci/r")), kubetest.Object("sts ci/s", kubetest.Owned("rset ci/s"))}},
			plantest.AsLegacyHook, plan.Fresh,
			[]string{"collect: delete pod ci/r, delete sts ci/s"},
		},

		"webhooks that are answered stay": {
			plan.Survey{Record: plantest.Uninstalling(), Controllers: live, Webhooks: []plan.Webhooks{hooks("mwc m", "systems/webhook", "", kubetest.By("systems/arc"))}}, plantest.AsLegacyHook, plan.Fresh, nil,
		},
		"those of a controller that crashes are not": {
			plan.Survey{Record: plantest.Uninstalling(), Controllers: crashing, Webhooks: []plan.Webhooks{hooks("mwc m", "systems/webhook", "", kubetest.By("systems/arc"))}},
			plantest.AsLegacyHook, plan.Fresh,
			[]string{"webhooks: delete mwc m"},
		},
		"those of another release stay, dead or not": {
			plan.Survey{Record: plantest.Uninstalling(), Webhooks: []plan.Webhooks{hooks("mwc m", "systems/webhook", dead, kubetest.By("systems/other")), hooks("vwc v", "team/webhook", dead)}}, plantest.AsLegacyHook, plan.Fresh, nil,
		},
		"by hand, all webhooks without a server are deleted": {
			plan.Survey{Webhooks: []plan.Webhooks{hooks("mwc m", "systems/webhook", dead, kubetest.By("systems/arc"))}},
			plantest.LegacyByHand, plan.Fresh,
			[]string{"webhooks: delete mwc m"},
		},
		"but not those of a controller that is installed": {
			plan.Survey{Controllers: []plan.Controller{dead2("systems/arc")}, Webhooks: []plan.Webhooks{hooks("mwc m", "systems/webhook", dead)}}, plantest.LegacyByHand, plan.Fresh, nil,
		},

		"another controller keeps the CRDs and the objects it watches": {
			plan.Survey{
				Record: plantest.Uninstalling(), Controllers: []plan.Controller{plantest.Ctrl("team/arc", "ci")}, CRDs: kubetest.LegacyCRDs(),
				Custom: append(kubetest.Family(), kubetest.Object("run old/x", kubetest.Owned("rrs old/y"), kubetest.Deleting)),
			},
			plantest.AsLegacyHook, plan.Fresh,
			[]string{"free: free run old/x", "keep: the controller team/arc uses them"},
		},
		"one namespace only": {
			plan.Survey{Record: plantest.Uninstalling(), CRDs: kubetest.LegacyCRDs(), Custom: []*object.Object{kubetest.Object("run ci/x", kubetest.Deleting), kubetest.Object("run old/x")}},
			func() plan.Options { o := plantest.AsLegacyHook; o.WatchNamespaces = kubetest.ListOf("ci"); return o }(), plan.Fresh,
			[]string{"free: free run ci/x", "keep: 1 custom resource in namespace old is not this release's"},
		},
	})
}

func dead2(name string) plan.Controller { return plantest.Dead(plantest.Ctrl(name, "")) }
