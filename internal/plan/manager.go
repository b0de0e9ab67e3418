package plan

import (
	"fmt"

	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/internal/object"
	"github.com/arc-cleanup/arc-cleanup/internal/shell"
)

// Manager is the object of a GitOps tool that manages an object which is still
// installed. Such a tool puts back what is deleted without it.
type Manager struct {
	// Kind is "Flux's HelmRelease" or "Argo CD's Application".
	Kind string
	// Where says what of the object names the manager.
	Where string
	// Namespace is empty if the object does not name it.
	types.NamespacedName
	// Proven says that the Helm record in the manager's namespace says the same as the
	// object: then whoever administers that namespace has installed the object.
	Proven bool
}

func (m *Manager) String() string {
	if m.Namespace == "" {
		return fmt.Sprintf("%s %s", m.Kind, m.Name)
	}
	return fmt.Sprintf("%s %s in namespace %s", m.Kind, m.Name, m.Namespace)
}

// byManager makes a refusal name the manager of an object that is still installed. A
// command for the manager is printed only with proof: the object's own labels may name
// what belongs to another team.
func (p *planner) byManager(o *object.Object, r *Refusal) {
	switch m := p.s.Managers[o.UID]; {
	case m == nil:
	case m.Proven:
		r.Message += fmt.Sprintf(", by %s", m)
		r.Do = []string{
			"remove the HelmRelease from Git if it comes from there, else:",
			shell.Command("kubectl", "delete", "helmrelease", m.Name, "--namespace", m.Namespace),
		}
	default:
		r.Message += fmt.Sprintf("; its %s name %s: look there before you delete it", m.Where, m)
	}
}
