package survey

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/arc-cleanup/arc-cleanup/internal/kube/kubetest"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
	"github.com/arc-cleanup/arc-cleanup/internal/plan/plantest"
)

// manifestOfFlux is a scale set as Flux installs it for a HelmRelease.
func manifestOfFlux(name, namespace string) string {
	return "apiVersion: actions.github.com/v1alpha1\nkind: AutoscalingRunnerSet\nmetadata:\n  name: set\n  labels: {helm.toolkit.fluxcd.io/name: " +
		name + ", helm.toolkit.fluxcd.io/namespace: " + namespace + "}\n"
}

// A tenant may write the labels of a scale set and the records of a namespace. With neither may the
// tenant make a person delete a HelmRelease of another namespace, or another one of the same
// namespace.
func TestOnlyTheRecordBesideAHelmReleaseProvesIt(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		labels string
		record kubetest.Item
		proven bool
	}{
		"the record beside it":        {"flux-system/gpu", kubetest.Record("flux-system", "runners", "gpu", "deployed", manifestOfFlux("gpu", "flux-system")), true},
		"all in one namespace":        {"runners/gpu", kubetest.Record("runners", "runners", "gpu", "deployed", manifestOfFlux("gpu", "runners")), true},
		"a record of the tenant's":    {"flux-system/gpu", kubetest.Record("runners", "runners", "gpu", "deployed", manifestOfFlux("gpu", "flux-system")), false},
		"another HelmRelease":         {"flux-system/platform", kubetest.Record("flux-system", "runners", "gpu", "deployed", manifestOfFlux("gpu", "flux-system")), false},
		"one of another namespace":    {"flux-system/gpu", kubetest.Record("flux-system", "runners", "gpu", "deployed", manifestOfFlux("gpu", "team")), false},
		"a record that lacks the set": {"flux-system/gpu", kubetest.Record("flux-system", "runners", "gpu", "deployed", strings.Replace(manifestOfFlux("gpu", "flux-system"), "name: set", "name: other", 1)), false},
		"a record of Helm itself":     {"flux-system/gpu", kubetest.Record("flux-system", "runners", "gpu", "deployed", "apiVersion: actions.github.com/v1alpha1\nkind: AutoscalingRunnerSet\nmetadata: {name: set}\n"), false},
		"a release that is gone":      {"flux-system/gpu", kubetest.Record("flux-system", "runners", "gpu", "uninstalled", manifestOfFlux("gpu", "flux-system")), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			set := kubetest.Whole(kubetest.Object("ars runners/set", kubetest.By("runners/gpu")))[0]
			of := kubetest.Named(test.labels)
			set.Labels[labelFluxName], set.Labels[LabelFluxNamespace] = of.Name, of.Namespace
			_, c := kubetest.New(t, append(kubetest.Whole(kubetest.CRDs()...), set, test.record)...)
			got := Read(t.Context(), c, plantest.ByHand).Managers[set.UID]
			want := &plan.Manager{Kind: "Flux's HelmRelease", Where: "labels", NamespacedName: of, Proven: test.proven}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// An annotation may hold any text. Only a valid name of an Application, for this very object, is
// taken from it.
func TestWhatNamesAnApplication(t *testing.T) {
	t.Parallel()
	for id, want := range map[string]string{
		"gpu:actions.github.com/AutoscalingRunnerSet:runners/set":                         "Argo CD's Application gpu",
		"apps_gpu:actions.github.com/AutoscalingRunnerSet:runners/set":                    "Argo CD's Application gpu in namespace apps",
		"gpu:actions.github.com/AutoscalingRunnerSet:runners/copied":                      "",
		"gpu:apps/AutoscalingRunnerSet:runners/set":                                       "",
		"gpu:actions.github.com/EphemeralRunner:runners/set":                              "",
		"x; run this\n:actions.github.com/AutoscalingRunnerSet:runners/set":               "",
		strings.Repeat("x", 254) + ":actions.github.com/AutoscalingRunnerSet:runners/set": "",
		":actions.github.com/AutoscalingRunnerSet:runners/set":                            "",
		"gpu": "",
	} {
		set := kubetest.Whole(kubetest.Object("ars runners/set"), kubetest.Object("ars runners/deleted", kubetest.Deleting))
		for i := range set {
			set[i].Annotations[TrackingID] = id
		}
		_, c := kubetest.New(t, append(kubetest.Whole(kubetest.CRDs()...), set...)...)
		managers := Read(t.Context(), c, plantest.ByHand).Managers
		got := ""
		if m := managers[set[0].UID]; m != nil {
			got = m.String()
		}
		if got != want || managers[set[1].UID] != nil {
			t.Errorf("%.80q: %q, %v", id, got, managers)
		}
	}
}

// Flux sets the same labels on legacy ARC's objects.
func TestALegacyObjectNamesItsHelmRelease(t *testing.T) {
	t.Parallel()
	rd := kubetest.Whole(kubetest.Object("rd ci/d", kubetest.By("ci/rd")))[0]
	rd.Labels[labelFluxName], rd.Labels[LabelFluxNamespace] = "rd", "ci"
	record := kubetest.Record("ci", "ci", "rd", "deployed", strings.NewReplacer(
		"github.com", "summerwind.dev", "AutoscalingRunnerSet", "RunnerDeployment", "name: set", "name: d").Replace(manifestOfFlux("rd", "ci")))
	_, c := kubetest.New(t, append(kubetest.Whole(kubetest.LegacyCRDs()...), rd, record)...)
	if m := Read(t.Context(), c, plantest.LegacyByHand).Managers["rd ci/d"]; m == nil || !m.Proven {
		t.Errorf("%+v", m)
	}
}
