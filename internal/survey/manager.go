package survey

import (
	"context"
	"regexp"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/internal/object"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
	"github.com/arc-cleanup/arc-cleanup/internal/release"
)

// labelFluxName is, beside LabelFluxNamespace, the label by which Flux's helm-controller
// names the HelmRelease of an object.
const labelFluxName = "helm.toolkit.fluxcd.io/name"

// application is how Argo CD names an Application in a tracking id: NAMESPACE_NAME
// outside Argo CD's own namespace, else NAME (argoproj/argo-cd util/argo/argo.go,
// InstanceName). An annotation may hold any text; a name may not.
var application = regexp.MustCompile(`^(?:([a-z0-9][a-z0-9-]{0,62})_)?([a-z0-9][a-z0-9.-]{0,252})$`)

// managed keeps what an object that nothing owns says of its manager.
func (r *reading) managed(o *object.Object, m *metav1.PartialObjectMetadata) {
	if o.Owner != "" || o.Deleting {
		return
	}
	if manager := managerOf(o, m); manager != nil {
		if r.s.Managers == nil {
			r.s.Managers = map[types.UID]*plan.Manager{}
		}
		r.s.Managers[o.UID] = manager
	}
}

func managerOf(o *object.Object, m *metav1.PartialObjectMetadata) *plan.Manager {
	if name, namespace := m.Labels[labelFluxName], m.Labels[LabelFluxNamespace]; name != "" && namespace != "" {
		return &plan.Manager{Kind: "Flux's HelmRelease", Where: "labels", NamespacedName: types.NamespacedName{Namespace: namespace, Name: name}}
	}
	app, of, _ := strings.Cut(m.Annotations[TrackingID], ":")
	kind, is := strings.CutSuffix(of, ":"+o.Namespace+"/"+o.Name)
	group, kind, _ := strings.Cut(kind, "/")
	name := application.FindStringSubmatch(app)
	if !is || group != o.Resource.Group || strings.ToLower(kind)+"s" != o.Resource.Resource || name == nil {
		return nil
	}
	return &plan.Manager{Kind: "Argo CD's Application", Where: "annotations", NamespacedName: types.NamespacedName{Namespace: name[1], Name: name[2]}}
}

// proveManager asks Helm's record in the HelmRelease's own namespace. A record elsewhere
// proves nothing of a HelmRelease: whoever administers that namespace can have written it.
func (r *reading) proveManager(ctx context.Context, o *object.Object, m *plan.Manager) {
	if m == nil || m.Where != "labels" {
		return
	}
	at := release.Place{Namespace: o.Release.Namespace, Storage: m.Namespace}
	record := release.Installing(ctx, r.c, at, o.Release.Name, func(in release.Object) bool { return isOf(o, in) })
	m.Proven = record != nil && record.Label(labelFluxName) == m.Name && record.Label(LabelFluxNamespace) == m.Namespace
}
