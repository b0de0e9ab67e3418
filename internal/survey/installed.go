package survey

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/helm"
	"github.com/arc-cleanup/arc-cleanup/internal/identity"
	"github.com/arc-cleanup/arc-cleanup/internal/kube"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
	"github.com/arc-cleanup/arc-cleanup/internal/release"
)

// ofScaleSets are the kinds that only a scale-set release installs
// (charts/gha-runner-scale-set/templates). Objects of the kinds in labelled belong to a scale set
// if their labels say so: the enroller, which the post-renderer adds under Helm 3
// (internal/chart/enroller.yaml), and the ConfigMap of the experimental chart's container hooks
// (charts/gha-runner-scale-set-experimental/templates/hook_extension.yaml).
var (
	ofScaleSets = map[string]schema.GroupVersionResource{
		"v1/Secret":                                object.Secrets,
		"v1/ServiceAccount":                        object.ServiceAccounts,
		"rbac.authorization.k8s.io/v1/Role":        object.Roles,
		"rbac.authorization.k8s.io/v1/RoleBinding": object.RoleBindings,
		"v1/ConfigMap":                             object.ConfigMaps,
		"apps/v1/Deployment":                       object.Deployments,
	}
	labelled = []schema.GroupVersionResource{object.ConfigMaps, object.Deployments}
)

// place identifies an object by resource, namespace and name.
type place struct {
	resource, namespace, name string
}

// inPlace holds the existing objects of these kinds, by the release that they name. A record may
// name ten thousand objects in any namespaces. With inPlace, neither the cost of finding them nor
// the rights to read them depend on the record.
type inPlace map[identity.Name]map[place]placed

// placed is an object. It also says whether the object's kind belongs to scale sets only with
// labels, and the object lacks them.
type placed struct {
	*object.Object
	stranger bool
}

// add adds an object that names its release.
func (in inPlace) add(o *object.Object, labels map[string]string) {
	if o.Release.Name == "" {
		return
	}
	if in[o.Release] == nil {
		in[o.Release] = map[place]placed{}
	}
	stranger := slices.Contains(labelled, o.Resource) && !isLabelled(o.Resource, labels)
	in[o.Release][place{o.Resource.Resource, o.Namespace, o.Name}] = placed{o, stranger}
}

// isLabelled reports whether an object's labels assign it to a scale set, or to the enroller of its
// hook.
func isLabelled(gvr schema.GroupVersionResource, l map[string]string) bool {
	enroller := l["app.kubernetes.io/name"] == "arc-cleanup" && l["app.kubernetes.io/component"] == "enroller"
	return enroller || gvr == object.ConfigMaps && l[arc.LabelScaleSetName] != ""
}

// installed finds the Helm releases that installed scale sets in a namespace ("" is all of them).
// It reads what action.Uninstall of Helm's SDK would read. It does not use the SDK, which would
// double the size of the image. A release that was uninstalled with its history kept does not
// count.
func installed(ctx context.Context, c *kube.Client, namespace string, there inPlace) (found []plan.ScaleSetRelease, failed error) {
	err := release.Each(ctx, c, namespace, "", func(r *helm.Record, err error) {
		switch {
		case errors.Is(err, release.ErrUnreadable):
			// A Secret that cannot be read as a record is not one of Helm's. The scale sets that
			// name it count as unknown to Helm.
		case err != nil:
			failed = errors.Join(failed, err)
		case r.StoredElsewhere(), !r.Status.Installed(), !slices.ContainsFunc(r.Objects, isScaleSet):
		default:
			found = append(found, newInstalled(r, there))
		}
	})
	return found, errors.Join(err, failed)
}

const (
	// mostObjects is more than a release of scale sets has: the chart creates ten objects for each
	// set.
	mostObjects = 1000
	// namedOthers limits how many other objects of a release the refusal names.
	namedOthers = 5
)

// newInstalled sorts the objects of a release: its scale sets; the existing objects that Helm would
// delete with them and whose annotations name the release (helm.sh/helm
// pkg/kube/resource_policy.go, pkg/action/validate.go); and objects of other kinds.
func newInstalled(record *helm.Record, there inPlace) plan.ScaleSetRelease {
	i := plan.ScaleSetRelease{Release: identity.Name{Namespace: record.Namespace, Name: record.Name}, Pending: record.Status.Pending()}
	for _, t := range record.Storage {
		i.Records = append(i.Records, &t)
	}
	others := max(0, len(record.Objects)-mostObjects)
	other := func(o helm.Object) {
		if len(i.Others) < namedOthers {
			i.Others = append(i.Others, o.Kind+" "+o.Name)
		} else {
			others++
		}
	}
	for _, o := range record.Objects[:min(len(record.Objects), mostObjects)] {
		gvr, known := ofScaleSets[o.APIVersion+"/"+o.Kind]
		found, is := there[i.Release][place{gvr.Resource, o.Namespace, o.Name}]
		switch {
		case isScaleSet(o):
			i.Sets = append(i.Sets, identity.Set{Namespace: o.Namespace, Name: o.Name})
		case !known, is && found.stranger:
			other(o)
		case is && !found.Keep:
			i.Objects = append(i.Objects, found.Object)
		}
	}
	if others > 0 {
		i.Others = append(i.Others, fmt.Sprintf("%d more", others))
	}
	return i
}

func isScaleSet(o helm.Object) bool { return arc.IsScaleSet(o.APIVersion, o.Kind) }
