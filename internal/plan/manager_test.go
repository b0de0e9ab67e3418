package plan_test

import (
	"testing"

	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/internal/kube/kubetest"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
	"github.com/arc-cleanup/arc-cleanup/internal/plan/plantest"
)

// A GitOps tool recreates what is deleted without it. So a refusal names the tool's object, and
// prints a command for it only with proof.
func TestALiveSetNamesItsManager(t *testing.T) {
	t.Parallel()
	survey := func(m plan.Manager, mods ...kubetest.Change) plan.Survey {
		set := kubetest.Object("ars runners/set", mods...)
		return plan.Survey{Record: plantest.Uninstalling(), Custom: []*object.Object{set}, Managers: map[types.UID]*plan.Manager{set.UID: &m}}
	}
	flux := plan.Manager{Kind: "Flux's HelmRelease", Where: "labels", NamespacedName: kubetest.Named("flux-system/gpu")}
	ofFlux, helmed := survey(flux, kubetest.By("runners/gpu")), survey(flux, kubetest.By("runners/gpu"))
	helmed.Proven = map[types.UID]bool{"ars runners/set": true}
	flux.Proven = true
	provenFlux := survey(flux, kubetest.By("runners/gpu"))
	provenFlux.Proven = helmed.Proven
	app := plan.Manager{Kind: "Argo CD's Application", Where: "annotations", NamespacedName: types.NamespacedName{Name: "gpu"}}
	const refused = "refused: scale set set in namespace runners is still installed (runners: 0, busy: 0)"
	testPlans(t, map[string]planTest{
		"Flux, without proof": {ofFlux, plantest.AsHook, plan.Over, []string{
			refused + "; its labels name Flux's HelmRelease gpu in namespace flux-system: look there before you delete it",
			"  kubectl delete autoscalingrunnerset set --namespace runners --wait=false",
			"free: free ars runners/set",
		}},
		"Flux, with proof of the Helm release only": {helmed, plantest.AsHook, plan.Over, []string{
			refused + ", by Helm release gpu; its labels name Flux's HelmRelease gpu in namespace flux-system: look there before you delete it",
			"  helm uninstall gpu --namespace runners",
			"free: free ars runners/set",
		}},
		"Flux, with proof": {provenFlux, plantest.AsHook, plan.Over, []string{
			refused + ", by Helm release gpu, by Flux's HelmRelease gpu in namespace flux-system",
			"  remove the HelmRelease from Git if it comes from there, else:",
			"  kubectl delete helmreleases.helm.toolkit.fluxcd.io gpu --namespace flux-system",
			"free: free ars runners/set",
		}},
		"Argo CD": {survey(app), plantest.AsHook, plan.Over, []string{
			refused + "; its annotations name Argo CD's Application gpu: look there before you delete it",
			"  kubectl delete autoscalingrunnerset set --namespace runners --wait=false",
			"free: free ars runners/set",
		}},
	})
}
