package upgrade

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/internal/helm"
)

// Release is a Helm release of ARC, with all that is needed to install it again.
type Release struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	// Controller says that it installs the controller. Otherwise it installs scale sets.
	Controller bool `json:"controller,omitempty"`
	// Controllers and Sets are what it installs, in any namespace.
	Controllers []Controller           `json:"controllers,omitempty"`
	Sets        []types.NamespacedName `json:"sets,omitempty"`
	// Chart is the chart that it was installed from, and Revision is its newest one.
	Chart    helm.Chart `json:"chart"`
	Revision int        `json:"revision,omitempty"`
	// Driver is the HELM_DRIVER with which Helm finds it.
	Driver string `json:"driver"`
	// ServerSide says that Helm applied it on the server's side.
	ServerSide bool `json:"serverSide,omitempty"`
	// OtherHooks are its deletion hooks that are not arc-cleanup's.
	OtherHooks []string `json:"otherHooks,omitempty"`
	// Values are the user's, as JSON, and Hooks are arc-cleanup's in its record. They may be large and hold
	// secrets, so they are saved apart.
	Values json.RawMessage `json:"-"`
	Hooks  []helm.Hook     `json:"-"`

	lost error // why the saved values cannot be read
}

// Controller is a Deployment of ARC's controller.
type Controller struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	// Watches are the namespaces that it watches; none means all.
	Watches []string `json:"watches,omitempty"`
	// Selector selects its Pods, which may have any labels.
	Selector metav1.LabelSelector `json:"selector"`
}

func (c Controller) key() types.NamespacedName {
	return types.NamespacedName{Namespace: c.Namespace, Name: c.Name}
}

func (r Release) key() types.NamespacedName {
	return types.NamespacedName{Namespace: r.Namespace, Name: r.Name}
}

func (r Release) String() string { return fmt.Sprintf("%s in namespace %s", r.Name, r.Namespace) }

// watches returns the namespaces that the release's controllers watch; none means all.
func (r Release) watches() (out []string) {
	for _, c := range r.Controllers {
		if len(c.Watches) == 0 {
			return nil
		}
		out = append(out, c.Watches...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// namespaces returns the namespaces of the release's controllers and scale sets.
func (r Release) namespaces() []string {
	var out []string
	for _, c := range r.Controllers {
		out = append(out, c.Namespace)
	}
	for _, set := range r.Sets {
		out = append(out, set.Namespace)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// values returns the user's values. Helm records no values as null.
func (r Release) values() json.RawMessage {
	if len(r.Values) == 0 || string(r.Values) == "null" {
		return json.RawMessage("{}")
	}
	return r.Values
}

// Found is a release in its present state.
type Found struct {
	Release
	Status helm.Status
	// Mixed says that it installs the controller and scale sets.
	Mixed bool
	// HookErr says why its hook cannot be read.
	HookErr error

	record *helm.Record
}

// Unmanaged is a scale set that no Helm release has installed: an upgrade could not bring it back.
type Unmanaged struct {
	types.NamespacedName
	// Flux is the HelmRelease that installed it; "" if there is none.
	Flux string
}

func version(c helm.Chart) string { return printable(c.Name + " " + c.Version) }

// printableRunes bounds how much is printed of a text that a tenant may have written.
const printableRunes = 300

// printable makes a text fit for a terminal and for one line.
func printable(text string) string {
	out := []rune(strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, text))
	if len(out) > printableRunes {
		return string(out[:printableRunes]) + "..."
	}
	return string(out)
}
