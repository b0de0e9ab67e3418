package kube

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A wait watches whole namespaces of tenants. Of what it does not wait for, it keeps in memory only what a cache needs.
func TestOfOtherObjectsAWaitKeepsTheNames(t *testing.T) {
	t.Parallel()
	large := func(name string) *metav1.PartialObjectMetadata {
		m := partial(name, "1", "a/b")
		m.Labels, m.Annotations = map[string]string{"a": "b"}, map[string]string{"c": "d"}
		m.OwnerReferences = []metav1.OwnerReference{{Name: "o"}}
		m.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "x"}}
		return &m
	}
	s := Selection{Match: func(m *metav1.PartialObjectMetadata) bool { return m.Name == "ours" }}
	ours := large("ours")
	s.shrink(ours)
	want := large("ours")
	want.Annotations, want.ManagedFields = nil, nil
	if diff := cmp.Diff(want, ours); diff != "" {
		t.Error(diff)
	}
	other := large("other")
	s.shrink(other)
	only := partial("other", "1")
	if diff := cmp.Diff(&only, other); diff != "" {
		t.Error(diff)
	}
}
