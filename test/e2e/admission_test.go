package e2e

import (
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// keepCRDs has a policy refuse the deletion of CRDs as far as the CEL expression is
// false, as it is for an administrator, and waits until the API server heeds it. It
// returns what takes it away.
func (l *lab) keepCRDs(expression string) func() {
	l.Helper()
	policies := l.client.AdmissionregistrationV1().ValidatingAdmissionPolicies()
	bindings := l.client.AdmissionregistrationV1().ValidatingAdmissionPolicyBindings()
	_, err := policies.Create(l.ctx, &admissionv1.ValidatingAdmissionPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: "keep-crds"},
		Spec: admissionv1.ValidatingAdmissionPolicySpec{
			MatchConstraints: &admissionv1.MatchResources{ResourceRules: []admissionv1.NamedRuleWithOperations{{
				RuleWithOperations: admissionv1.RuleWithOperations{
					Operations: []admissionv1.OperationType{admissionv1.Delete},
					Rule:       admissionv1.Rule{APIGroups: []string{"apiextensions.k8s.io"}, APIVersions: []string{"*"}, Resources: []string{"customresourcedefinitions"}},
				},
			}}},
			Validations: []admissionv1.Validation{{Expression: expression, Message: "CRDs stay, says the platform"}},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		l.Fatal(err)
	}
	_, err = bindings.Create(l.ctx, &admissionv1.ValidatingAdmissionPolicyBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "everywhere"},
		Spec: admissionv1.ValidatingAdmissionPolicyBindingSpec{
			PolicyName: "keep-crds", ValidationActions: []admissionv1.ValidationAction{admissionv1.Deny},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		l.Fatal(err)
	}
	l.eventually("the policy is heeded", func() bool {
		return l.dynamic.Resource(crds).Delete(l.ctx, ephemeralCRD, metav1.DeleteOptions{DryRun: []string{metav1.DryRunAll}}) != nil
	})
	return func() {
		l.Helper()
		for _, err := range []error{
			bindings.Delete(l.ctx, "everywhere", metav1.DeleteOptions{}),
			policies.Delete(l.ctx, "keep-crds", metav1.DeleteOptions{}),
		} {
			if err != nil {
				l.Error(err)
			}
		}
	}
}

// hookPods are the Pods of the hook in the controller's namespace.
func (l *lab) hookPods() []corev1.Pod {
	l.Helper()
	pods, err := l.client.CoreV1().Pods(controllerNamespace).List(l.ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=arc-cleanup"})
	if err != nil {
		l.Fatal(err)
	}
	return pods.Items
}

// TestAdmissionIsAskedFirst: a policy forbids what comes last, the deletion of the
// CRDs, which no access review tells. Nothing is begun.
func TestAdmissionIsAskedFirst(t *testing.T) {
	l := newLab(t)
	l.installController(append(viaPostRenderer, "--post-renderer-args", "--set", "--post-renderer-args", "policy.scaleSets=uninstall")...)
	l.installScaleSet(4)
	remove := l.keepCRDs("false")
	before := l.everything()

	out, err := l.helm(4, "uninstall", "arc", "--namespace", controllerNamespace)
	const says = "the ValidatingAdmissionPolicy keep-crds (binding everywhere) says: CRDs stay, says the platform"
	if err == nil || !strings.Contains(out, "admission refuses to delete customresourcedefinitions.apiextensions.k8s.io "+ephemeralCRD+": "+says) ||
		!strings.Contains(out, "refused, nothing was written: ") {
		t.Errorf("helm uninstall: %v\n%s", err, out)
	}
	if pods := l.hookPods(); len(pods) != 1 || pods[0].Status.ContainerStatuses[0].State.Terminated.ExitCode != 3 {
		t.Errorf("the hook's Pods: %+v", pods)
	}
	after := l.everything()
	for o := range before {
		if !after[o] {
			t.Errorf("%s is gone", o)
		}
	}
	for o := range after {
		if strings.HasPrefix(o.Name, "arc-cleanup-backup-") {
			t.Errorf("%s was written", o)
		}
	}
	if set := l.runnerSet(); set.GetDeletionTimestamp() != nil {
		t.Error("the scale set is being deleted")
	}
	if out, code := l.hookjob("plan", "--release", "arc", "--release-namespace", controllerNamespace, "--scale-sets", "uninstall"); code != 3 || !strings.Contains(out, says) {
		t.Errorf("plan: exit code %d\n%s", code, out)
	}

	remove()
	l.eventually("nobody refuses any more", func() bool {
		return l.dynamic.Resource(crds).Delete(l.ctx, ephemeralCRD, metav1.DeleteOptions{DryRun: []string{metav1.DryRunAll}}) == nil
	})
	l.mustHelm(4, "uninstall", "arc", "--namespace", controllerNamespace)
	l.nothingLeft()
}

// TestAdmissionThatRefusesLater: the policy lets a dry run of the hook's pass. One Pod
// meets it, once, and no other is started.
func TestAdmissionThatRefusesLater(t *testing.T) {
	l := newLab(t)
	l.installController(viaPostRenderer...)
	remove := l.keepCRDs("has(request.dryRun) && request.dryRun && request.userInfo.username.startsWith('system:serviceaccount:')")

	out, err := l.helm(4, "uninstall", "arc", "--namespace", controllerNamespace)
	if err == nil || !strings.Contains(out, "admission refuses deleting customresourcedefinitions.apiextensions.k8s.io/") {
		t.Errorf("helm uninstall: %v\n%s", err, out)
	}
	if pods := l.hookPods(); len(pods) != 1 || pods[0].Status.ContainerStatuses[0].State.Terminated.ExitCode != 3 {
		t.Errorf("the hook's Pods: %+v", pods)
	}
	remove()
	l.eventually("nobody refuses any more", func() bool {
		return l.dynamic.Resource(crds).Delete(l.ctx, ephemeralCRD, metav1.DeleteOptions{DryRun: []string{metav1.DryRunAll}}) == nil
	})
	l.mustHelm(4, "uninstall", "arc", "--namespace", controllerNamespace)
	l.nothingLeft()
}
