package plan

import (
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/arc-cleanup/arc-cleanup/internal/object"
)

// Right is one kind of write. It has a Name where RBAC grants the right by name.
type Right struct{ Verb, Group, Resource, Namespace, Name string }

// Rights lists every kind of write in a plan, without repetition.
func Rights(p *Plan) []Right {
	var out []Right
	for _, t := range Trials(p) {
		if !slices.Contains(out, t.Right) {
			out = append(out, t.Right)
		}
	}
	return out
}

// Trial is one kind of write, with the first object that the plan writes that way. One right can
// cover several kinds of write, which admission distinguishes.
type Trial struct {
	Right
	Step Step
}

// Trials lists every kind of write in a plan, without repetition.
func Trials(p *Plan) []Trial {
	type kind struct {
		Right
		action Action
	}
	seen := map[kind]bool{}
	var out []Trial
	for _, phase := range p.Phases {
		for _, s := range phase.Steps() {
			r := Right{Group: s.Object.Resource.Group, Resource: s.Object.Resource.Resource, Namespace: s.Object.Namespace}
			switch s.Action {
			case Delete:
				r.Verb = "delete"
			case Free, Wake, Nudge, Stop:
				r.Verb = "patch"
			case Create, WriteDown:
				r.Verb = "create"
			default:
				continue
			}
			if s.Object.Resource == object.CRDs {
				r.Name = s.Object.Name
			}
			if k := (kind{r, s.Action}); !seen[k] {
				seen[k] = true
				out = append(out, Trial{r, s})
			}
		}
	}
	return out
}

func (r Right) String() string {
	s := r.Verb + " " + schema.GroupResource{Group: r.Group, Resource: r.Resource}.String()
	if r.Name != "" {
		s += " " + r.Name
	}
	if r.Namespace != "" {
		s += " in namespace " + r.Namespace
	}
	return s
}

// Rule returns the RBAC rule that grants the right.
func (r Right) Rule() string {
	rule := fmt.Sprintf("the rule {apiGroups: [%q], resources: [%s], verbs: [%s]", r.Group, r.Resource, r.Verb)
	if r.Name != "" {
		rule += fmt.Sprintf(", resourceNames: [%s]", r.Name)
	}
	if r.Namespace != "" {
		return rule + "} in a Role or ClusterRole bound in that namespace grants it"
	}
	return rule + "} in a ClusterRole grants it"
}
