package upgrade

import (
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"
)

func TestNamespacesOfARelease(t *testing.T) {
	t.Parallel()
	of := func(namespace string, watches ...string) Controller {
		return Controller{Namespace: namespace, Watches: watches}
	}
	r := Release{Controllers: []Controller{of("d", "y", "x"), of("c", "x", "a")}, Sets: []types.NamespacedName{{Namespace: "b"}, {Namespace: "d"}}}
	if diff := gocmp.Diff([]string{"a", "x", "y"}, r.watches()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := gocmp.Diff([]string{"b", "c", "d"}, r.namespaces()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	r.Controllers = append(r.Controllers, of("c"))
	if all := r.watches(); all != nil {
		t.Errorf("%q", all)
	}
}
