package hook

// EnrolData is the key of the enroller's ConfigMap under which the hook is, as
// JSON, in Helm's own form.
const EnrolData = "hooks.json"

// labelComponent and enrollerComponent tell the enroller's objects from others
// of that name.
const (
	labelComponent    = "app.kubernetes.io/component"
	enrollerComponent = "enroller"
)

// IsEnroller reports whether an object with these labels is one of Enroller.
func IsEnroller(labels map[string]string) bool {
	return labels[LabelName] == Name && labels[labelComponent] == enrollerComponent
}
