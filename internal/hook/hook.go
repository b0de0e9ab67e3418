// Package hook renders the chart arc-cleanup, the only description of the hook,
// for one release.
package hook

// Name is the chart's name, and the value of the label LabelName on every
// object of the hook, whatever the object is called.
const (
	Name      = "arc-cleanup"
	LabelName = "app.kubernetes.io/name"
)

// Annotation makes a hook of an object, for Helm (helm.sh/helm/v3
// pkg/release/hook.go, as the others).
const Annotation = "helm.sh/hook"

const (
	preDelete        = "pre-delete"
	annotationWeight = Annotation + "-weight"
	annotationDelete = Annotation + "-delete-policy"
	annotationLog    = Annotation + "-output-log-policy"
)

// A Hook is one in the form in which a record of Helm holds it: as JSON it is
// Helm's own type (helm.sh/helm/v3 pkg/release, Hook), which is not used because it
// links the API machinery of Kubernetes, and with it a quarter of the time that a
// post-renderer takes.
type Hook struct {
	Name              string   `json:"name"`
	Kind              string   `json:"kind"`
	Path              string   `json:"path"`
	Manifest          string   `json:"manifest"`
	Events            []string `json:"events"`
	LastRun           notRun   `json:"last_run"`
	Weight            int      `json:"weight,omitempty"`
	DeletePolicies    []string `json:"delete_policies,omitempty"`
	OutputLogPolicies []string `json:"output_log_policies,omitempty"`

	// Objects are those that Helm creates of it: itself, or the items of a List.
	Objects []Named `json:"-"`
}

// Named is an object by kind and name.
type Named struct{ Kind, Name string }

// notRun is what Helm writes of a hook that was never run.
type notRun struct {
	StartedAt   string `json:"started_at"`
	CompletedAt string `json:"completed_at"`
	Phase       string `json:"phase"`
}

// IsOurs reports whether an object with these labels and annotations belongs to
// the hook, whoever put it where it is and whatever it is called.
func IsOurs(labels, annotations map[string]string) bool {
	return labels[LabelName] == Name && annotations[Annotation] != ""
}

// Release says whose hook it is.
type Release struct {
	Name      string
	Namespace string
}
