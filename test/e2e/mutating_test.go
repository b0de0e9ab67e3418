package e2e

import (
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// TestAMutatingPolicyIsAskedFirst: a MutatingAdmissionPolicy whose condition fails
// refuses each update of a runner, with the reason of an object that does not fit its
// schema. Nothing is begun, and no schema is relaxed.
func TestAMutatingPolicyIsAskedFirst(t *testing.T) {
	l := newLab(t)
	policies := l.client.AdmissionregistrationV1().MutatingAdmissionPolicies()
	if _, err := policies.List(l.ctx, metav1.ListOptions{}); apierrors.IsNotFound(err) {
		t.Skip("this version of Kubernetes has no such policies yet")
	}
	l.disaster()
	bindings := l.client.AdmissionregistrationV1().MutatingAdmissionPolicyBindings()
	_, err := policies.Create(l.ctx, &admissionv1.MutatingAdmissionPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: "sets-labels"},
		Spec: admissionv1.MutatingAdmissionPolicySpec{
			MatchConstraints: &admissionv1.MatchResources{ResourceRules: []admissionv1.NamedRuleWithOperations{{
				RuleWithOperations: admissionv1.RuleWithOperations{
					Operations: []admissionv1.OperationType{admissionv1.Update},
					Rule:       admissionv1.Rule{APIGroups: []string{"actions.github.com"}, APIVersions: []string{"*"}, Resources: []string{"ephemeralrunners"}},
				},
			}}},
			MatchConditions:    []admissionv1.MatchCondition{{Name: "team", Expression: "object.metadata.annotations['team'] == 'a'"}},
			ReinvocationPolicy: admissionv1.NeverReinvocationPolicy,
			Mutations: []admissionv1.Mutation{{
				PatchType:          admissionv1.PatchTypeApplyConfiguration,
				ApplyConfiguration: &admissionv1.ApplyConfiguration{Expression: "Object{metadata: Object.metadata{labels: {'team': 'a'}}}"},
			}},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = bindings.Create(l.ctx, &admissionv1.MutatingAdmissionPolicyBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "everywhere"},
		Spec:       admissionv1.MutatingAdmissionPolicyBindingSpec{PolicyName: "sets-labels"},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	runners, err := l.dynamic.Resource(ephemeralRunners).Namespace(runnerNamespace).List(l.ctx, metav1.ListOptions{})
	if err != nil || len(runners.Items) == 0 {
		t.Fatalf("%d runners, %v", len(runners.Items), err)
	}
	try := func() error {
		_, err := l.dynamic.Resource(ephemeralRunners).Namespace(runnerNamespace).Patch(l.ctx, runners.Items[0].GetName(), types.MergePatchType,
			[]byte(`{"metadata":{"annotations":{"x":"y"}}}`), metav1.PatchOptions{DryRun: []string{metav1.DryRunAll}})
		return err
	}
	l.eventually("the policy is heeded", func() bool { return try() != nil })
	t.Logf("the API server says (invalid: %t): %v", apierrors.IsInvalid(try()), try())
	before, err := l.dynamic.Resource(crds).Get(l.ctx, ephemeralCRD, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}

	out, code := l.hookjob("run", "--all-namespaces", "--yes")
	if code != 3 || !strings.Contains(out, "the admission policy sets-labels (binding everywhere) says: ") || !strings.Contains(out, "kubectl get mutatingadmissionpolicy sets-labels") {
		t.Errorf("exit code %d\n%s", code, out)
	}
	if after, err := l.dynamic.Resource(crds).Get(l.ctx, ephemeralCRD, metav1.GetOptions{}); err != nil || after.GetResourceVersion() != before.GetResourceVersion() {
		t.Errorf("the CRD has changed, %v", err)
	}

	for _, err := range []error{
		bindings.Delete(l.ctx, "everywhere", metav1.DeleteOptions{}),
		policies.Delete(l.ctx, "sets-labels", metav1.DeleteOptions{}),
	} {
		if err != nil {
			t.Error(err)
		}
	}
	l.eventually("nobody refuses any more", func() bool { return try() == nil })
	if out, code := l.hookjob("run", "--all-namespaces", "--yes"); code != 0 {
		t.Errorf("exit code %d\n%s", code, out)
	}
	l.removeBackups()
	l.nothingLeft()
}
