package hook

import (
	"encoding/json"
	"fmt"

	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/release"

	"github.com/arc-cleanup/arc-cleanup/charts"
)

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

// Object is an ordinary object which a release installs.
type Object struct{ Kind, Name, Path, Manifest string }

// Enroller returns the objects that put hooks of Render into the record of a
// release from inside the cluster, in the order in which Helm creates them. None
// of them is a hook. The same input gives the same bytes.
func Enroller(r Release, values map[string]any, hooks []*release.Hook) ([]Object, error) {
	c, err := load()
	if err != nil {
		return nil, err
	}
	data, err := json.Marshal(hooks)
	if err != nil {
		return nil, fmt.Errorf("the hook as JSON: %w", err)
	}
	const file = "templates/enroller.yaml"
	c.Templates = append(c.Templates, &chart.File{Name: file, Data: charts.Enroller})
	c.Files = append(c.Files, &chart.File{Name: EnrolData, Data: data})
	// Helm's own code has put aside whatever is a hook: none of the others is.
	_, others, err := render(c, r, values)
	if err != nil {
		return nil, err
	}
	var out []Object
	for _, m := range others {
		out = append(out, Object{m.Head.Kind, m.Head.Metadata.Name, m.Name, m.Content})
	}
	return out, nil
}
