package survey

import (
	"testing"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
)

func TestIsLabelled(t *testing.T) {
	t.Parallel()
	enroller := map[string]string{"app.kubernetes.io/name": "arc-cleanup", "app.kubernetes.io/component": "enroller"}
	set := map[string]string{arc.LabelScaleSetName: "set"}
	for name, test := range map[string]struct {
		gvr    schema.GroupVersionResource
		labels map[string]string
		want   bool
	}{
		"an enroller":                     {object.Deployments, enroller, true},
		"of the enroller":                 {object.ConfigMaps, enroller, true},
		"another part of arc-cleanup":     {object.Deployments, map[string]string{"app.kubernetes.io/name": "arc-cleanup", "app.kubernetes.io/component": "backup"}, false},
		"somebody's enroller":             {object.Deployments, map[string]string{"app.kubernetes.io/name": "shop", "app.kubernetes.io/component": "enroller"}, false},
		"a scale set's ConfigMap":         {object.ConfigMaps, set, true},
		"a ConfigMap":                     {object.ConfigMaps, nil, false},
		"a Deployment with a set's label": {object.Deployments, set, false},
	} {
		if got := isLabelled(test.gvr, test.labels); got != test.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}
