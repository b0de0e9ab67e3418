package e2e

import (
	"encoding/json"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/test/harness"
)

// uninstaller returns a kubeconfig of a user who may do everything except read single
// ClusterRoleBindings, and a function that deletes the user.
func (l *lab) uninstaller() (kubeconfig string, remove func()) {
	l.Helper()
	const name, namespace = "uninstaller", "default"
	meta := metav1.ObjectMeta{Name: name}
	all := []string{"*"}
	role := &rbacv1.ClusterRole{ObjectMeta: meta, Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{"", "apps", "batch", "actions.github.com", "coordination.k8s.io", "apiextensions.k8s.io", "apiregistration.k8s.io", "admissionregistration.k8s.io", "discovery.k8s.io", "authorization.k8s.io", "events.k8s.io"}, Resources: all, Verbs: all},
		{APIGroups: []string{rbacv1.GroupName}, Resources: []string{"roles", "rolebindings", "clusterroles"}, Verbs: all},
		{APIGroups: []string{rbacv1.GroupName}, Resources: []string{"clusterrolebindings"}, Verbs: []string{"list", "watch", "create", "update", "patch", "delete"}},
	}}
	if _, err := l.client.CoreV1().ServiceAccounts(namespace).Create(l.ctx, &corev1.ServiceAccount{ObjectMeta: meta}, metav1.CreateOptions{}); err != nil {
		l.Fatal(err)
	}
	if _, err := l.client.RbacV1().ClusterRoles().Create(l.ctx, role, metav1.CreateOptions{}); err != nil {
		l.Fatal(err)
	}
	_, err := l.client.RbacV1().ClusterRoleBindings().Create(l.ctx, &rbacv1.ClusterRoleBinding{
		ObjectMeta: meta, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name},
		Subjects: []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: namespace, Name: name}},
	}, metav1.CreateOptions{})
	if err != nil {
		l.Fatal(err)
	}
	return l.account(namespace, name), func() {
		l.Helper()
		for _, err := range []error{
			l.client.RbacV1().ClusterRoleBindings().Delete(l.ctx, name, metav1.DeleteOptions{}),
			l.client.RbacV1().ClusterRoles().Delete(l.ctx, name, metav1.DeleteOptions{}),
			l.client.CoreV1().ServiceAccounts(namespace).Delete(l.ctx, name, metav1.DeleteOptions{}),
		} {
			if err != nil {
				l.Error(err)
			}
		}
	}
}

// TestWhatHelmLeaves: the forecast is what Helm 4 then leaves, no more and no less.
func TestWhatHelmLeaves(t *testing.T) {
	l := newLab(t)
	l.installController(viaPostRenderer...)
	// A tool or a person has deleted one object, and another release has taken over one.
	l.patchMeta("serviceaccounts", controllerNamespace, `{"metadata":{"labels":{"app.kubernetes.io/managed-by":null}}}`)
	l.patchMeta("rolebindings", controllerNamespace, `{"metadata":{"annotations":{"meta.helm.sh/release-name":"other"}}}`)
	kubeconfig, remove := l.uninstaller()

	out, code := l.hookjob("status", "--kubeconfig", kubeconfig, "--output", "json")
	var document struct {
		Releases []struct {
			Name      string
			Uninstall struct {
				Ready  bool
				Leaves []struct{ Resource, Namespace, Name, Why string }
			}
		}
	}
	if err := json.Unmarshal([]byte(out), &document); err != nil || code != 0 || len(document.Releases) != 1 {
		t.Fatalf("status: exit code %d, %v", code, err)
	}
	var forecast []harness.Object
	bound := false
	for _, o := range document.Releases[0].Uninstall.Leaves {
		kind, _, _ := strings.Cut(o.Resource, ".")
		bound = bound || kind == "clusterrolebindings"
		forecast = append(forecast, harness.Object{Resource: kind, Namespace: o.Namespace, Name: o.Name})
	}
	if !document.Releases[0].Uninstall.Ready || len(forecast) < 3 || !bound {
		t.Errorf("forecast: %+v", document.Releases[0].Uninstall)
	}
	text, _ := l.hookjob("plan", "--kubeconfig", kubeconfig, "--release", "arc", "--release-namespace", controllerNamespace)
	for _, o := range document.Releases[0].Uninstall.Leaves {
		if !strings.Contains(text, "Helm 4.3 and later leave "+o.Resource+"/"+o.Name) {
			t.Errorf("plan does not name %s/%s", o.Resource, o.Name)
		}
	}

	uninstall := built.Helm(l.ctx, 4, kubeconfig, "uninstall", "arc", "--namespace", controllerNamespace)
	uninstall.Env = append(uninstall.Env, l.helmEnv...)
	told, err := uninstall.CombinedOutput()
	t.Logf("helm uninstall: %v\n%s", err, told)
	if err != nil {
		t.Fatal(err)
	}
	remove()
	l.nothingLeft(forecast...)
	for _, o := range forecast {
		if err := l.metadata.Resource(l.resource(o.Resource)).Namespace(o.Namespace).Delete(l.ctx, o.Name, metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
	}
	l.nothingLeft()
}

// patchMeta changes the metadata of what the release arc has of a kind in a namespace.
func (l *lab) patchMeta(resource, namespace, patch string) {
	l.Helper()
	all, err := l.metadata.Resource(l.resource(resource)).Namespace(namespace).List(l.ctx, metav1.ListOptions{})
	if err != nil {
		l.Fatal(err)
	}
	n := 0
	for _, m := range all.Items {
		if m.Annotations["meta.helm.sh/release-name"] != "arc" {
			continue
		}
		n++
		if _, err := l.metadata.Resource(l.resource(resource)).Namespace(namespace).Patch(l.ctx, m.Name, types.MergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
			l.Fatal(err)
		}
	}
	if n == 0 {
		l.Fatalf("the release has no %s", resource)
	}
}

// TestTheHooksOwnObjectsAreForetold: a webhook that nobody answers would refuse the
// hook's ServiceAccount, and a policy its Pod. helm uninstall would fail over the one
// and wait in vain for the other.
func TestTheHooksOwnObjectsAreForetold(t *testing.T) {
	l := newLab(t)
	l.installController(viaPostRenderer...)
	none := admissionv1.SideEffectClassNone
	webhooks := l.client.AdmissionregistrationV1().ValidatingWebhookConfigurations()
	_, err := webhooks.Create(l.ctx, &admissionv1.ValidatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: "dead"},
		Webhooks: []admissionv1.ValidatingWebhook{{
			Name: "dead.example.com", SideEffects: &none, AdmissionReviewVersions: []string{"v1"},
			ClientConfig: admissionv1.WebhookClientConfig{Service: &admissionv1.ServiceReference{Namespace: "nowhere", Name: "nobody"}},
			Rules: []admissionv1.RuleWithOperations{{
				Operations: []admissionv1.OperationType{admissionv1.Create},
				Rule:       admissionv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"serviceaccounts"}},
			}},
		}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	policies := l.client.AdmissionregistrationV1().ValidatingAdmissionPolicies()
	bindings := l.client.AdmissionregistrationV1().ValidatingAdmissionPolicyBindings()
	_, err = policies.Create(l.ctx, &admissionv1.ValidatingAdmissionPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: "no-such-pods"},
		Spec: admissionv1.ValidatingAdmissionPolicySpec{
			MatchConstraints: &admissionv1.MatchResources{ResourceRules: []admissionv1.NamedRuleWithOperations{{
				RuleWithOperations: admissionv1.RuleWithOperations{
					Operations: []admissionv1.OperationType{admissionv1.Create},
					Rule:       admissionv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"pods"}},
				},
			}}},
			Validations: []admissionv1.Validation{{
				Expression: "!has(object.metadata.labels) || !('app.kubernetes.io/name' in object.metadata.labels) || object.metadata.labels['app.kubernetes.io/name'] != 'arc-cleanup'",
				Message:    "no cleaners here",
			}},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = bindings.Create(l.ctx, &admissionv1.ValidatingAdmissionPolicyBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "no-such-pods"},
		Spec:       admissionv1.ValidatingAdmissionPolicyBindingSpec{PolicyName: "no-such-pods", ValidationActions: []admissionv1.ValidationAction{admissionv1.Deny}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	before := l.everything()
	l.eventually("both are foretold", func() bool {
		out, _ := l.hookjob("status")
		return strings.Contains(out, `the hook's ServiceAccount "arc-arc-cleanup"`) && strings.Contains(out, "dead.example.com, which must answer, does not") &&
			strings.Contains(out, `the hook's Pod`) && strings.Contains(out, "no cleaners here") && !strings.Contains(out, "ready:")
	})
	if out, _ := l.hookjob("plan", "--release", "arc", "--release-namespace", controllerNamespace); !strings.Contains(out, "no cleaners here") || !strings.Contains(out, "dead.example.com") {
		t.Errorf("plan does not say it:\n%s", out)
	}
	for o := range l.everything() {
		if !before[o] && o.Resource != "events" {
			t.Errorf("%s was made", o)
		}
	}
	if out, err := l.helm(4, "uninstall", "arc", "--namespace", controllerNamespace); err == nil || !strings.Contains(out, "dead.example.com") {
		t.Errorf("helm uninstall: %v\n%s", err, out)
	}
	for _, err := range []error{
		webhooks.Delete(l.ctx, "dead", metav1.DeleteOptions{}),
		bindings.Delete(l.ctx, "no-such-pods", metav1.DeleteOptions{}),
		policies.Delete(l.ctx, "no-such-pods", metav1.DeleteOptions{}),
	} {
		if err != nil {
			t.Error(err)
		}
	}
	l.eventually("nothing is foretold any more", func() bool {
		out, _ := l.hookjob("status")
		return !strings.Contains(out, "admission refuses")
	})
	l.mustHelm(4, "uninstall", "arc", "--namespace", controllerNamespace)
	l.nothingLeft()
}
