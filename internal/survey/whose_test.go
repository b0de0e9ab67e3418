package survey

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/helm"
	"github.com/arc-cleanup/arc-cleanup/internal/kube/kubetest"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
	"github.com/arc-cleanup/arc-cleanup/internal/plan/plantest"
)

// Labels that a chart's value overrides say nothing about a controller.
func TestALiveControllerIsKnownByWhatItRuns(t *testing.T) {
	t.Parallel()
	it := kubetest.Deployment("systems/arc", "", kubetest.By("systems/arc"))
	it.Labels[arc.LabelPartOf] = "build-platform"
	_, c := kubetest.New(t, kubetest.Stuck(it)...)
	s := Read(t.Context(), c, plantest.ByHand)
	if len(s.Controllers) != 1 || s.Controllers[0].Down != "" {
		t.Errorf("controllers: %+v", s.Controllers)
	}
}

// An underscore in the name is a dash in the names of objects, and stays an underscore in labels.
func TestANameHasTwoSpellings(t *testing.T) {
	t.Parallel()
	s := plantest.BusySet()
	s.Custom[2] = kubetest.Object("ars runners/linux-x64", kubetest.By("runners/gpu"))
	s.Custom[0].ScaleSet, s.Custom[1].ScaleSet = kubetest.Named("runners/linux-x64"), kubetest.Named("runners/linux-x64")
	m := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
		Namespace: "runners", Name: "github", UID: "github", Finalizers: []string{arc.CleanupProtectionFinalizer},
		Labels: map[string]string{arc.LabelScaleSetName: "linux_x64", arc.LabelScaleSetNamespace: "runners"},
	}}
	s.Protected = []*object.Object{FromMetadata(object.Secrets, m)}
	s.Record = plantest.RecordOf("runners/gpu")
	for _, line := range plantest.Lines(plan.New(&s, plantest.OfSet, plan.History{})) {
		if strings.Contains(line, "secret runners/github") {
			t.Errorf("freed while a runner of its set has a job: %s", line)
		}
	}
}

// An object of a manifest is the object with the same kind, namespace and name.
func TestIsTheObjectOfAManifest(t *testing.T) {
	t.Parallel()
	set := kubetest.Object("ars runners/set", kubetest.By("runners/gpu"))
	for name, test := range map[string]struct {
		object helm.Object
		want   bool
	}{
		"it is":               {helm.Object{APIVersion: "actions.github.com/v1alpha1", Kind: arc.AutoscalingRunnerSet, Namespace: "runners", Name: "set"}, true},
		"without a namespace": {helm.Object{APIVersion: "actions.github.com/v1alpha1", Kind: arc.AutoscalingRunnerSet, Name: "set"}, true},
		"another name":        {helm.Object{APIVersion: "actions.github.com/v1alpha1", Kind: arc.AutoscalingRunnerSet, Name: "other"}, false},
		"another namespace":   {helm.Object{APIVersion: "actions.github.com/v1alpha1", Kind: arc.AutoscalingRunnerSet, Namespace: "team", Name: "set"}, false},
		"another kind":        {helm.Object{APIVersion: "actions.github.com/v1alpha1", Kind: "EphemeralRunner", Name: "set"}, false},
		"another group":       {helm.Object{APIVersion: "example.com/v1alpha1", Kind: arc.AutoscalingRunnerSet, Name: "set"}, false},
	} {
		if got := isOf(set, test.object); got != test.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

// Only records prove to which release an installed object belongs.
func TestWhatRecordsProve(t *testing.T) {
	t.Parallel()
	const manifest = "apiVersion: actions.github.com/v1alpha1\nkind: AutoscalingRunnerSet\nmetadata: {name: set}\n---\napiVersion: actions.github.com/v1alpha1\nkind: AutoscalingRunnerSet\nmetadata: {name: two}\n"
	items := append(kubetest.Whole(kubetest.CRDs()...), kubetest.Record("runners", "runners", "gpu", "deployed", manifest), kubetest.Record("team", "team", "x", "deployed", kubetest.ArcManifest))
	items = append(items, kubetest.Whole(kubetest.Object("ars runners/set", kubetest.By("runners/gpu")), kubetest.Object("ars runners/two", kubetest.By("runners/gpu")), kubetest.Object("ars team/set", kubetest.By("team/x")), kubetest.Object("ars team/plain"))...)
	_, c := kubetest.New(t, items...)
	want := map[types.UID]bool{"ars runners/set": true, "ars runners/two": true}
	if diff := cmp.Diff(want, Read(t.Context(), c, plantest.ByHand).Proven); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	deployments := kubetest.Record("ci", "ci", "rd", "deployed", "apiVersion: actions.summerwind.dev/v1alpha1\nkind: RunnerDeployment\nmetadata: {name: d}\n")
	_, c = kubetest.New(t, append(kubetest.Whole(append(kubetest.LegacyCRDs(), kubetest.Object("rd ci/d", kubetest.By("ci/rd")))...), deployments)...)
	if s := Read(t.Context(), c, plantest.LegacyByHand); !s.Proven["rd ci/d"] {
		t.Errorf("legacy: %v", s.Proven)
	}
}
