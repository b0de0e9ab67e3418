package chart

import _ "embed"

// enrollerTemplate belongs to no chart, so that no installation of the chart can switch it on. Only the
// post-renderer renders it, with the chart's helpers and values. The program that it runs is
// FromCluster in internal/enrol.
//
//go:embed enroller.yaml
var enrollerTemplate string

// enrollerFile is the path that the template would have if it were part of the chart.
const enrollerFile = Name + "/templates/enroller.yaml"

// EnrolData is the key of the enroller's ConfigMap under which the hook stands, as JSON, in Helm's own form.
const EnrolData = "hooks.json"

// labelComponent has the value enrollerComponent on the enroller's objects, and on no others of the chart.
const (
	labelComponent    = "app.kubernetes.io/component"
	enrollerComponent = "enroller"
)

// IsEnroller reports whether an object with these labels is one of the enroller's.
func IsEnroller(labels map[string]string) bool {
	return labels[LabelName] == Name && labels[labelComponent] == enrollerComponent
}
