package e2e

import (
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/arc-cleanup/arc-cleanup/test/harness"
)

const foreignFinalizer = "example.com/keep"

// TestForeignSurvives puts other people's objects, made to look as much like
// ARC's as is fair, into the runner namespace. All of them survive untouched.
func TestForeignSurvives(t *testing.T) {
	l := newLab(t)
	l.installController()
	l.installScaleSet(4)

	role := func(name string, labels map[string]string) {
		t.Helper()
		_, err := l.client.RbacV1().Roles(runnerNamespace).Create(l.ctx, &rbacv1.Role{
			ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels},
		}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
	}
	role("runners-gha-rs-manager2-manager", nil)
	role("runners-0a1b2c3d-listener", map[string]string{"actions.github.com/scale-set-name": "runners"})
	foreign := metav1.ObjectMeta{Name: "theirs", Finalizers: []string{foreignFinalizer}}
	if _, err := l.client.CoreV1().ConfigMaps(runnerNamespace).Create(l.ctx, &corev1.ConfigMap{ObjectMeta: foreign}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	// A Secret which carries ARC's finalizer and somebody else's loses only ARC's.
	both := metav1.ObjectMeta{Name: "both", Finalizers: []string{foreignFinalizer, "actions.github.com/cleanup-protection"}}
	if _, err := l.client.CoreV1().Secrets(runnerNamespace).Create(l.ctx, &corev1.Secret{ObjectMeta: both}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	widgets := l.foreignCRD()
	widget := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "actions.example.com/v1", "kind": "Widget",
		"metadata": map[string]any{"name": "w", "finalizers": []any{"actions.example.com/finalizer"}},
	}}
	l.eventually("the foreign kind is served", func() bool {
		_, err := l.dynamic.Resource(widgets).Namespace(runnerNamespace).Create(l.ctx, widget, metav1.CreateOptions{})
		return err == nil
	})

	l.uninstallControllerFirst()
	if out, code := l.hookjob("run", "--all-namespaces", "--yes"); code != 0 {
		t.Fatalf("run: exit code %d:\n%s", code, out)
	}

	secret, err := l.client.CoreV1().Secrets(runnerNamespace).Get(l.ctx, "both", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(secret.Finalizers, []string{foreignFinalizer}) || secret.DeletionTimestamp != nil {
		t.Errorf("the Secret with both finalizers: %v, deletion %v", secret.Finalizers, secret.DeletionTimestamp)
	}
	w, err := l.dynamic.Resource(widgets).Namespace(runnerNamespace).Get(l.ctx, "w", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(w.GetFinalizers()) != 1 || w.GetDeletionTimestamp() != nil {
		t.Errorf("the foreign object: finalizers %v, deletion %v", w.GetFinalizers(), w.GetDeletionTimestamp())
	}
	l.nothingLeft(
		harness.Object{Resource: "roles", Namespace: runnerNamespace, Name: "runners-gha-rs-manager2-manager"},
		harness.Object{Resource: "roles", Namespace: runnerNamespace, Name: "runners-0a1b2c3d-listener"},
		harness.Object{Resource: "configmaps", Namespace: runnerNamespace, Name: "theirs"},
		harness.Object{Resource: "secrets", Namespace: runnerNamespace, Name: "both"},
		harness.Object{Resource: "widgets", Namespace: runnerNamespace, Name: "w"},
		harness.Object{Resource: "customresourcedefinitions", Name: "widgets.actions.example.com"},
	)
}

// foreignCRD defines a kind whose group looks a little like ARC's.
func (l *lab) foreignCRD() schema.GroupVersionResource {
	l.Helper()
	crd := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
		"metadata": map[string]any{"name": "widgets.actions.example.com"},
		"spec": map[string]any{
			"group": "actions.example.com", "scope": "Namespaced",
			"names": map[string]any{"plural": "widgets", "singular": "widget", "kind": "Widget"},
			"versions": []any{map[string]any{
				"name": "v1", "served": true, "storage": true,
				"schema": map[string]any{"openAPIV3Schema": map[string]any{"type": "object"}},
			}},
		},
	}}
	crds := schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}
	if _, err := l.dynamic.Resource(crds).Create(l.ctx, crd, metav1.CreateOptions{}); err != nil {
		l.Fatal(err)
	}
	return schema.GroupVersionResource{Group: "actions.example.com", Version: "v1", Resource: "widgets"}
}

// hold keeps a namespace in Terminating once it is deleted; letGo ends that.
func (l *lab) hold(namespace string) {
	l.Helper()
	_, err := l.client.CoreV1().ConfigMaps(namespace).Create(l.ctx, &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: "hold", Finalizers: []string{foreignFinalizer}},
	}, metav1.CreateOptions{})
	if err != nil {
		l.Fatal(err)
	}
}

func (l *lab) letGo(namespace string) {
	l.Helper()
	m, err := l.client.CoreV1().ConfigMaps(namespace).Get(l.ctx, "hold", metav1.GetOptions{})
	if err != nil {
		l.Fatal(err)
	}
	m.Finalizers = nil
	if _, err := l.client.CoreV1().ConfigMaps(namespace).Update(l.ctx, m, metav1.UpdateOptions{}); err != nil {
		l.Fatal(err)
	}
}
