package plan_test

import (
	"testing"

	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/internal/identity"
	"github.com/arc-cleanup/arc-cleanup/internal/kube/kubetest"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
	"github.com/arc-cleanup/arc-cleanup/internal/plan/plantest"
)

func TestPlanUninstallsScaleSets(t *testing.T) {
	live := kubetest.Object("ars runners/set", kubetest.By("runners/gpu"))
	gpu := plan.ScaleSetRelease{
		Release: kubetest.Named("runners/gpu"), Sets: plantest.ScaleSetsNamed("set").Sets,
		Objects: []*object.Object{kubetest.Object("secret runners/github", kubetest.By("runners/gpu")), kubetest.Object("role runners/set-manager", kubetest.By("runners/gpu"), kubetest.Deleting)},
		Records: []*object.Object{kubetest.Object("secret runners/sh.helm.release.v1.gpu.v1"), kubetest.Object("secret runners/sh.helm.release.v1.gpu.v2")},
	}
	shop := gpu
	shop.Others = []string{"Deployment web", "Service web"}
	pending := gpu
	pending.Pending = true
	ours := gpu
	ours.Release = kubetest.Named("systems/arc")
	const releases = "releases: delete secret runners/github, await role runners/set-manager"
	const records = "releases: delete secret runners/sh.helm.release.v1.gpu.v1, delete secret runners/sh.helm.release.v1.gpu.v2"
	job := plan.Job{Repository: "acme/shop", Name: "build", Pod: kubetest.Object("pod runners/r")}
	tests := map[string]planTest{
		"the set, its objects, Helm's records, then the CRDs": {
			plan.Survey{Record: plantest.Uninstalling(), Custom: []*object.Object{live}, Installed: []plan.ScaleSetRelease{gpu}, CRDs: kubetest.CRDs()},
			plantest.Uninstalls(plantest.AsHook), plan.Fresh,
			[]string{"free: free ars runners/set", releases, records, "crds: " + allCRDs},
		},
		"by a controller that lives": {
			plan.Survey{Record: plantest.Uninstalling(), Controllers: []plan.Controller{plantest.Ctrl("systems/arc", "", kubetest.By("systems/arc"))}, Custom: []*object.Object{live}, Installed: []plan.ScaleSetRelease{gpu}},
			plantest.Uninstalls(plantest.AsHook), plan.Fresh,
			[]string{"drain: delete ars runners/set", "free: free ars runners/set", releases, records},
		},
		"a record is left of a set that is gone": {
			plan.Survey{Record: plantest.Uninstalling(), Installed: []plan.ScaleSetRelease{{Release: gpu.Release, Sets: gpu.Sets, Records: gpu.Records}}},
			plantest.Uninstalls(plantest.AsHook), plan.Fresh,
			[]string{records},
		},
		"not a release that holds more": {
			plan.Survey{Record: plantest.Uninstalling(), Installed: []plan.ScaleSetRelease{shop}, Custom: []*object.Object{live}},
			plantest.Uninstalls(plantest.AsHook), plan.Fresh,
			[]string{
				"refused: Helm release gpu in namespace runners holds more than scale sets: Deployment web, Service web",
				"  helm uninstall gpu --namespace runners", "free: free ars runners/set", releases, records,
			},
		},
		"nor one that Helm is at work on": {
			plan.Survey{Record: plantest.Uninstalling(), Installed: []plan.ScaleSetRelease{pending}, Custom: []*object.Object{live}},
			plantest.Uninstalls(plantest.AsHook), plan.Fresh,
			[]string{
				"refused: Helm release gpu in namespace runners is pending: Helm is at work on it, or was stopped in the middle",
				"  wait for Helm; where it was stopped: helm uninstall gpu --namespace runners", "free: free ars runners/set", releases, records,
			},
		},
		"nor one of which another scale set stays": {
			plan.Survey{
				Record: plantest.Uninstalling(), Proven: map[types.UID]bool{live.UID: true}, Custom: []*object.Object{live},
				Installed: []plan.ScaleSetRelease{{Release: gpu.Release, Sets: []identity.Set{kubetest.Named("runners/set"), kubetest.Named("team/set")}}},
			},
			plantest.Uninstalls(plantest.OnlyRuns), plan.Fresh,
			[]string{
				"refused: scale set set in namespace runners is still installed (runners: 0, busy: 0), by Helm release gpu, and its release cannot be uninstalled with it: other scale sets of the release stay, or the release's record does not hold this one",
				"  helm uninstall gpu --namespace runners", "free: free ars runners/set",
			},
		},
		"a record that holds another set blocks no uninstall": {
			plan.Survey{Record: plantest.Uninstalling(), Installed: []plan.ScaleSetRelease{shop, pending}, Custom: []*object.Object{kubetest.Object("ars runners/another", kubetest.By("runners/gpu"), kubetest.Deleting)}},
			plantest.Uninstalls(plantest.AsHook), plan.Fresh,
			[]string{"free: free ars runners/another"},
		},
		"nor does one of whose set a runner is left": {
			plan.Survey{Record: plantest.Uninstalling(), Installed: []plan.ScaleSetRelease{shop, pending}, Custom: []*object.Object{kubetest.Object("er runners/r", kubetest.By("runners/gpu"), kubetest.Of("runners/set"), kubetest.Deleting)}},
			plantest.Uninstalls(plantest.AsHook), plan.Fresh,
			[]string{"free: free er runners/r"},
		},
		"a record of missing sets blocks no uninstall": {
			plan.Survey{Record: plantest.Uninstalling(), Installed: []plan.ScaleSetRelease{shop, pending}, Custom: []*object.Object{kubetest.Object("ars runners/set", kubetest.By("runners/other"), kubetest.Deleting)}},
			plantest.Uninstalls(plantest.AsHook), plan.Fresh,
			[]string{"free: free ars runners/set"},
		},
		"one whose namespace is being deleted needs no record": {
			plan.Survey{Record: plantest.Uninstalling(), Custom: []*object.Object{live}, Terminating: plantest.Gone("runners")},
			plantest.Uninstalls(plantest.AsHook), plan.Fresh,
			[]string{"free: free ars runners/set", "namespaces: await ns runners"},
		},
		"not a set of which Helm has no record": {
			plan.Survey{Record: plantest.Uninstalling(), Custom: []*object.Object{live}, Installed: []plan.ScaleSetRelease{{Release: kubetest.Named("team/other"), Sets: []identity.Set{kubetest.Named("team/set")}}}},
			plantest.Uninstalls(plantest.AsHook), plan.Fresh,
			[]string{
				"refused: scale set set in namespace runners is still installed (runners: 0, busy: 0), and Helm has no record of the release that it names",
				"  kubectl delete autoscalingrunnerset set --namespace runners --wait=false", "free: free ars runners/set",
			},
		},
		"Helm need not know of what is being deleted, its own release's, no set, or nobody's release": {
			plan.Survey{Record: plantest.Uninstalling(), Custom: []*object.Object{
				kubetest.Object("ars runners/deleted", kubetest.By("runners/gpu"), kubetest.Deleting), kubetest.Object("ars systems/own", kubetest.By("systems/arc")), kubetest.Object("ars runners/plain"),
				kubetest.Object("er runners/r", kubetest.By("runners/gpu")),
			}},
			plantest.Uninstalls(plantest.AsHook), plan.Fresh,
			[]string{"free: free er runners/r", "free: free ars runners/deleted, free ars systems/own, free ars runners/plain"},
		},
		"not the release that Helm uninstalls itself": {
			plan.Survey{Record: plantest.Uninstalling(), Installed: []plan.ScaleSetRelease{ours}}, plantest.Uninstalls(plantest.AsHook), plan.Fresh, nil,
		},
		"not another controller's": {
			plan.Survey{Record: plantest.Uninstalling(), Installed: []plan.ScaleSetRelease{gpu}, Controllers: []plan.Controller{plantest.Ctrl("team/arc", "runners")}},
			plantest.Uninstalls(plantest.AsHook), plan.Fresh, nil,
		},
		"not one whose runner is busy and left": {
			plan.Survey{
				Record: plantest.Uninstalling(), Installed: []plan.ScaleSetRelease{gpu}, Custom: []*object.Object{kubetest.Object("er runners/r", kubetest.Of("runners/set"))},
				Controllers: []plan.Controller{plantest.Ctrl("systems/arc", "", kubetest.By("systems/arc"))},
				Busy:        map[types.UID]plan.Job{"er runners/r": job},
			},
			func() plan.Options {
				o := plantest.Uninstalls(plantest.AsHook)
				o.BusyRunners = plan.LeaveBusy
				return o
			}(), plan.Fresh,
			[]string{`keep: runner r is busy with job "build" of acme/shop (), after which the controller removes it`},
		},
	}
	testPlans(t, tests)
}
