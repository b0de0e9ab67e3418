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
	keep := func(s Selection, o any) any {
		kept, err := s.keep(o)
		if err != nil {
			t.Fatal(err)
		}
		return kept
	}
	s := Selection{Match: func(m *metav1.PartialObjectMetadata) bool { return m.Name == "ours" }}
	want := large("ours")
	want.Annotations, want.ManagedFields = nil, nil
	if diff := cmp.Diff(any(want), keep(s, large("ours"))); diff != "" {
		t.Error(diff)
	}
	only := any(&metav1.ObjectMeta{Namespace: "ns", Name: "other", UID: "1", ResourceVersion: "1"})
	other := keep(s, large("other"))
	if diff := cmp.Diff(only, other); diff != "" {
		t.Error(diff)
	}
	// A selector that says what is not there would find what has lost its labels.
	s.Match = func(m *metav1.PartialObjectMetadata) bool { return m.Labels["a"] == "" }
	if diff := cmp.Diff(only, keep(s, keep(s, large("other")))); diff != "" {
		t.Error(diff)
	}
}
