package survey

import (
	"context"
	"regexp"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/internal/helm"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
	"github.com/arc-cleanup/arc-cleanup/internal/release"
)

// labelFluxName is the label with the name of the HelmRelease. Flux's helm-controller sets it
// together with LabelFluxNamespace.
const labelFluxName = "helm.toolkit.fluxcd.io/name"

// application matches the name of an Application in a tracking ID: NAMESPACE_NAME outside Argo CD's
// own namespace, else NAME (argoproj/argo-cd util/argo/argo.go, InstanceName). The annotation may
// hold any text, so only valid names match.
var application = regexp.MustCompile(`^(?:([a-z0-9][a-z0-9-]{0,62})_)?([a-z0-9][a-z0-9.-]{0,252})$`)

// managed records which manager an object without an owner names.
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

// proveManager reads Helm's record in the HelmRelease's own namespace. A record elsewhere proves
// nothing about a HelmRelease: anyone who administers that other namespace can write it.
func (r *reading) proveManager(ctx context.Context, o *object.Object, m *plan.Manager) {
	if m == nil || m.Where != "labels" {
		return
	}
	at := release.Place{Namespace: o.Release.Namespace, Storage: m.Namespace}
	record := release.Installing(ctx, r.c, at, o.Release.Name, func(in helm.Object) bool { return isOf(o, in) })
	m.Proven = record != nil && record.Label(labelFluxName) == m.Name && record.Label(LabelFluxNamespace) == m.Namespace
}
