package attack

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestComparison: two pictures of an unchanged cluster are the same. The comparison sees every
// change: of an object, of a field, and of text that is compressed in a field.
func TestComparison(t *testing.T) {
	l := start(t)
	ctx := t.Context()
	picture := func() picture {
		t.Helper()
		p, err := look(ctx, l, nil)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	secrets, roles := l.client.CoreV1().Secrets(neighbour), l.client.RbacV1().Roles(neighbour)
	held := func(status string) *corev1.Secret {
		r := release(neighbour, "compared", status, "chart", manifestNeighbour)
		return &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Name: "sh.helm.release.v1.compared.v1", Namespace: neighbour, Labels: map[string]string{"owner": "helm"}},
			Data:       map[string][]byte{"release": []byte(r.text())},
		}
	}
	made := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "made"}, Data: map[string][]byte{"a": []byte("1")}}
	ruled := func(rules ...rbacv1.PolicyRule) error {
		role, err := roles.Get(ctx, "payments-db", metav1.GetOptions{})
		if err == nil {
			role.Rules = rules
			_, err = roles.Update(ctx, role, metav1.UpdateOptions{})
		}
		return err
	}
	steps := []struct {
		what, of string
		do       func() error
	}{
		{"an object more", "secrets payments/made", func() error { _, err := secrets.Create(ctx, made, metav1.CreateOptions{}); return err }},
		{"a byte of its data", "secrets payments/made", func() error {
			made.Data["a"] = []byte("2")
			_, err := secrets.Update(ctx, made, metav1.UpdateOptions{})
			return err
		}},
		{"a finalizer", "secrets payments/made", func() error {
			made.Finalizers = []string{"example.com/keep"}
			_, err := secrets.Update(ctx, made, metav1.UpdateOptions{})
			return err
		}},
		{"that it is being deleted", "secrets payments/made", func() error { return secrets.Delete(ctx, "made", metav1.DeleteOptions{}) }},
		{"that it is gone", "secrets payments/made", func() error {
			made.Finalizers = nil
			_, err := secrets.Update(ctx, made, metav1.UpdateOptions{})
			return err
		}},
		{"a record", "secrets payments/sh.helm.release.v1.compared.v1", func() error { _, err := secrets.Create(ctx, held("deployed"), metav1.CreateOptions{}); return err }},
		{"a word in a record", "secrets payments/sh.helm.release.v1.compared.v1", func() error { _, err := secrets.Update(ctx, held("failed"), metav1.UpdateOptions{}); return err }},
		{"the record's end", "secrets payments/sh.helm.release.v1.compared.v1", func() error { return secrets.Delete(ctx, held("").Name, metav1.DeleteOptions{}) }},
		{"a rule of a Role", "roles payments/payments-db", func() error {
			return ruled(rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"get"}})
		}},
		{"the Role as it was", "roles payments/payments-db", func() error { return ruled() }},
		{"a ClusterRole", "clusterroles compared", func() error {
			_, err := l.client.RbacV1().ClusterRoles().Create(ctx, &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "compared"}}, metav1.CreateOptions{})
			return err
		}},
		{"the ClusterRole's end", "clusterroles compared", func() error { return l.client.RbacV1().ClusterRoles().Delete(ctx, "compared", metav1.DeleteOptions{}) }},
	}
	begin := picture()
	before := begin
	for _, s := range steps {
		if d := differences(before, picture()); len(d) > 0 {
			t.Fatalf("before %s: %s", s.what, strings.Join(d, "\n"))
		}
		if err := s.do(); err != nil {
			t.Fatalf("%s: %v", s.what, err)
		}
		after := picture()
		if d := differences(before, after); len(d) != 1 || !strings.HasPrefix(d[0], s.of+" ") {
			t.Errorf("%s is seen as %q", s.what, d)
		}
		before = after
	}
	if d := differences(begin, before); len(d) > 0 {
		t.Errorf("in the end: %s", strings.Join(d, "\n"))
	}
	// The comparison leaves out the actor's own namespace.
	if _, err := l.client.CoreV1().Secrets(tenantNamespace).Create(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "made"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if d := differences(begin, picture()); len(d) > 0 {
		t.Errorf("the actor's own: %s", strings.Join(d, "\n"))
	}
	l.clear(t)
}
