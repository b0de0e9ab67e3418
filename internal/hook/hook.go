// Package hook renders the chart arc-cleanup, the only description of the hook,
// for one release.
package hook

import "helm.sh/helm/v3/pkg/release"

// Name is the chart's name, and the value of the label LabelName on every
// object of the hook, whatever the object is called.
const (
	Name      = "arc-cleanup"
	LabelName = "app.kubernetes.io/name"
)

// Annotation makes a hook of an object, for Helm.
const Annotation = release.HookAnnotation

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
