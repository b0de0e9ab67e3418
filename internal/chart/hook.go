// Package chart renders the chart arc-cleanup, the only description of the hook, for one release.
package chart

// Name is the chart's name, and the value of the label LabelName on every object of the hook.
const (
	Name      = "arc-cleanup"
	LabelName = "app.kubernetes.io/name"
)

// Annotation makes an object a hook for Helm (helm.sh/helm/v3 pkg/release/hook.go, as the annotations below).
const Annotation = "helm.sh/hook"

const (
	preDelete        = "pre-delete"
	annotationWeight = Annotation + "-weight"
	annotationDelete = Annotation + "-delete-policy"
	annotationLog    = Annotation + "-output-log-policy"
)

// A Hook is a hook as Helm's record of a release has it. As JSON it equals Helm's own type
// (helm.sh/helm/v3 pkg/release, Hook), which links the API machinery of Kubernetes and would make the
// post-renderer a quarter slower.
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

	// Objects are what Helm creates for the hook: one object, or the items of a List.
	Objects []Named `json:"-"`
}

// Named names an object by kind and name.
type Named struct{ Kind, Name string }

// notRun is what Helm records for a hook that has never run.
type notRun struct {
	StartedAt   string `json:"started_at"`
	CompletedAt string `json:"completed_at"`
	Phase       string `json:"phase"`
}

// IsOurs reports whether an object with these labels and annotations belongs to a hook of arc-cleanup,
// whatever its name is and wherever it comes from.
func IsOurs(labels, annotations map[string]string) bool {
	return labels[LabelName] == Name && annotations[Annotation] != ""
}

// Release is the release that the hook is for.
type Release struct {
	Name      string
	Namespace string
}
