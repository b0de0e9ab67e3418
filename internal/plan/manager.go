package plan

import (
	"fmt"

	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/internal/object"
	"github.com/arc-cleanup/arc-cleanup/internal/shell"
)

// Manager is the object with which a GitOps tool manages an installed object. Such a tool recreates
// an object that is deleted without it.
type Manager struct {
	// Kind is "Flux's HelmRelease" or "Argo CD's Application".
	Kind string
	// Where says which label or annotation of the object names the manager.
	Where string
	// Namespace is empty if the object does not name it.
	types.NamespacedName
	// Proven says that the Helm record in the manager's namespace contains the object: those who
	// administer that namespace have then installed it.
	Proven bool
}

func (m *Manager) String() string {
	if m.Namespace == "" {
		return fmt.Sprintf("%s %s", m.Kind, m.Name)
	}
	return fmt.Sprintf("%s %s in namespace %s", m.Kind, m.Name, m.Namespace)
}

// byManager makes a refusal name the manager of an installed object. It prints a command for the
// manager only with proof, because the object's own labels may name what belongs to another team.
func (p *planner) byManager(o *object.Object, r *Refusal) {
	switch m := p.s.Managers[o.UID]; {
	case m == nil:
	case m.Proven:
		r.Message += fmt.Sprintf(", by %s", m)
		r.Do = []string{
			"remove the HelmRelease from Git if it comes from there, else:",
			shell.Command("kubectl", "delete", "helmreleases.helm.toolkit.fluxcd.io", m.Name, "--namespace", m.Namespace),
		}
	default:
		r.Message += fmt.Sprintf("; its %s name %s: look there before you delete it", m.Where, m)
	}
}
