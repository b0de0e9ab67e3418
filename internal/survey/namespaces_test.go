package survey

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/arc-cleanup/arc-cleanup/internal/kube/kubetest"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
	"github.com/arc-cleanup/arc-cleanup/internal/plan/plantest"
)

func TestWhatHoldsANamespaceIsWhatItsControllerSays(t *testing.T) {
	condition := func(status, message string) any {
		return map[string]any{"type": "NamespaceContentRemaining", "status": status, "message": message}
	}
	ns := &unstructured.Unstructured{Object: map[string]any{"status": map[string]any{"conditions": []any{
		condition("True", "pods. has 1 resource instances"), condition("False", "All content successfully deleted"), condition("True", "x in 1"),
	}}}}
	if got := holding(ns); got != "pods. has 1 resource instances; x in 1" {
		t.Error(got)
	}
}

// TestKubernetesSaysNothingOfPods: while Pods remain, the namespace's conditions say that nothing
// remains, or name no content.
func TestKubernetesSaysNothingOfPods(t *testing.T) {
	t.Parallel()
	const pods = "Kubernetes deletes nothing else before its Pods are gone: p is being deleted, and not gone yet"
	for says, want := range map[string]string{
		"":                              "still Terminating: " + pods,
		"unexpected items still remain": "still Terminating: unexpected items still remain; " + pods,
		contentRemains + "secrets. has 1 resource instances": "still Terminating: " + contentRemains + "secrets. has 1 resource instances",
	} {
		ns := kubetest.Whole(kubetest.Object("ns runners", kubetest.Deleting))[0]
		if says != "" {
			ns.Rest = map[string]any{"status": map[string]any{"conditions": []any{map[string]any{"status": "True", "message": says}}}}
		}
		_, c := kubetest.New(t, append(kubetest.Whole(kubetest.Object("pod runners/p", kubetest.Deleting)), ns)...)
		if got := Read(t.Context(), c, plantest.ByHand).Terminating["runners"].WhyItRemains(); got != want {
			t.Errorf("%q:\n%s", says, got)
		}
	}
}

// TestSurveyOfTerminatingNamespaces: a namespace that is gone when it is read is absent, and a
// failed read is unknown.
func TestSurveyOfTerminatingNamespaces(t *testing.T) {
	t.Parallel()
	a, c := kubetest.New(t, kubetest.Whole(kubetest.Object("ns runners", kubetest.Deleting), kubetest.Object("ns shop", kubetest.Deleting), kubetest.Object("ns systems"))...)
	names := func(s *plan.Survey) []string { return slices.Sorted(maps.Keys(s.Terminating)) }
	if s := Read(t.Context(), c, plantest.ByHand); s.Live || !slices.Equal(names(s), []string{"runners", "shop"}) {
		t.Errorf("%v, live %v", names(s), s.Live)
	}
	if s := Read(t.Context(), c, plan.Options{Scope: plan.ScopeNamespace, Namespace: "systems"}); !s.Live {
		t.Error("a namespace that nobody deletes is not live")
	}
	a.Fault = kubetest.On(http.StatusNotFound, kubetest.Always, "GET ns shop")
	if s := Read(t.Context(), c, plantest.ByHand); !slices.Equal(names(s), []string{"runners"}) {
		t.Errorf("one that is gone by now: %v", names(s))
	}
	a.Fault = kubetest.On(http.StatusForbidden, kubetest.Always, "LIST pod runners")
	if t0 := Read(t.Context(), c, plan.Options{Scope: plan.ScopeNamespace, Namespace: "runners"}).Terminating["runners"]; !strings.Contains(t0.WhyItRemains(), "which Pods it waits for is not known: ") {
		t.Error(t0.WhyItRemains())
	}
	a.Fault = kubetest.On(http.StatusForbidden, kubetest.Always, "GET ns shop")
	if s := Read(t.Context(), c, plantest.ByHand); len(s.Unknown) != 1 || s.Unknown[0].What != "namespaces" {
		t.Errorf("one that may not be read: unknown %v", s.Unknown)
	}
}
