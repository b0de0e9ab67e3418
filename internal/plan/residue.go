package plan

import (
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
)

// Leftovers returns what a plan that should be empty still contains.
func Leftovers(p *Plan) []Finding {
	var left []Finding
	seen := map[string]bool{}
	for _, phase := range p.Phases {
		for _, s := range phase.Steps() {
			if key := s.Object.String(); !seen[key] && s.Action != Create && s.Action != WriteDown && !p.isRecorded(s) {
				seen[key] = true
				why := held(s.Object)
				if s.Object.Resource == object.Namespaces {
					why = s.Why
				}
				left = append(left, Finding{s.Object, why})
			}
		}
	}
	return left
}

// held says what keeps an object that should be gone.
func held(o *object.Object) string {
	own, foreign := arc.Finalizers(o.Finalizers)
	switch {
	case o.Resource == object.CRDs && o.Deleting:
		return "is being deleted, and waits for its objects"
	case slices.Equal(o.Finalizers, []string{metav1.FinalizerDeleteDependents}):
		return "waits for Kubernetes' garbage collector to delete what it owns"
	case len(foreign) > 0:
		return "held by finalizers which are not ARC's: " + strings.Join(foreign, ", ")
	case len(own) > 0:
		return "still has ARC's finalizers"
	case o.Deleting:
		return "is being deleted, and not gone yet"
	}
	return "still there"
}
