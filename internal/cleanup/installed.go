package cleanup

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/kube"
	"github.com/arc-cleanup/arc-cleanup/internal/release"
)

// Installed is a Helm release that installed scale sets, for scaleSets=uninstall.
type Installed struct {
	Release types.NamespacedName
	// Sets names its scale sets.
	Sets []string
	// Objects are those of its objects that exist, its scale sets apart.
	Objects []*Object
	// Records are the objects in which Helm keeps it.
	Records []*Object
	// Others names what it installed beside scale sets.
	Others []string
}

// ofScaleSets are the kinds of a scale-set release
// (charts/gha-runner-scale-set/templates).
var ofScaleSets = map[string]schema.GroupVersionResource{
	"v1/Secret":                                secretResource,
	"v1/ServiceAccount":                        serviceAccountResource,
	"rbac.authorization.k8s.io/v1/Role":        roleResource,
	"rbac.authorization.k8s.io/v1/RoleBinding": roleBindingResource,
}

// ofEnrollers are the further kinds of what the post-renderer adds under Helm 3 to
// have the hook enrolled (charts/enroller), and enroller are its labels.
var (
	ofEnrollers = map[string]schema.GroupVersionResource{
		"v1/ConfigMap":       {Version: "v1", Resource: "configmaps"},
		"apps/v1/Deployment": deploymentResource,
	}
	enroller = map[string]string{"app.kubernetes.io/name": "arc-cleanup", "app.kubernetes.io/component": "enroller"}
)

// installed finds the Helm releases that installed scale sets in a namespace (""
// is all of them). It is what action.Uninstall of Helm's SDK would read, without
// the SDK, with which the image would be above its 15 MB.
func installed(ctx context.Context, c *kube.Client, namespace string) ([]Installed, error) {
	records, err := release.All(ctx, c, namespace)
	if err != nil {
		return nil, err
	}
	var found []Installed
	for _, record := range records {
		if record.StoredElsewhere() || !record.Status.Installed() {
			continue
		}
		i := Installed{Release: types.NamespacedName{Namespace: record.Namespace, Name: record.Name}}
		for _, o := range record.Objects {
			if isScaleSet(o) {
				i.Sets = append(i.Sets, o.Name)
			}
		}
		if len(i.Sets) == 0 {
			continue
		}
		for _, t := range record.Storage {
			i.Records = append(i.Records, &Object{Target: t})
		}
		for _, o := range record.Objects {
			if isScaleSet(o) {
				continue
			}
			if err := i.add(ctx, c, o); err != nil {
				return nil, err
			}
		}
		found = append(found, i)
	}
	return found, nil
}

func isScaleSet(o release.Object) bool {
	return o.Kind == arc.AutoscalingRunnerSet && strings.HasPrefix(o.APIVersion, arc.Group+"/")
}

// add sorts what a release has installed beside its scale sets: what Helm would
// delete with it, if it is there and still the release's (helm.sh/helm
// pkg/kube/resource_policy.go), and what is of other kinds.
func (i *Installed) add(ctx context.Context, c *kube.Client, o release.Object) error {
	kind := o.APIVersion + "/" + o.Kind
	gvr, known := ofScaleSets[kind]
	if !known {
		if gvr, known = ofEnrollers[kind]; !known {
			i.Others = append(i.Others, o.Kind+" "+o.Name)
			return nil
		}
	}
	namespace := cmp.Or(o.Namespace, i.Release.Namespace)
	var m *metav1.PartialObjectMetadata
	err := kube.Retry(ctx, func(ctx context.Context) (err error) {
		m, err = c.Metadata.Resource(gvr).Namespace(namespace).Get(ctx, o.Name, metav1.GetOptions{})
		return err
	})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading %s %s/%s: %w", gvr.Resource, namespace, o.Name, err)
	}
	if _, ofEnroller := ofEnrollers[kind]; ofEnroller && !labels.SelectorFromSet(enroller).Matches(labels.Set(m.Labels)) {
		i.Others = append(i.Others, o.Kind+" "+o.Name)
		return nil
	}
	if found := object(gvr, m); found.Release == i.Release && m.Annotations["helm.sh/resource-policy"] != "keep" {
		i.Objects = append(i.Objects, found)
	}
	return nil
}

// uninstallable returns the releases of scale sets that are to be uninstalled.
func (p *planner) uninstallable() []Installed {
	return slices.DeleteFunc(slices.Clone(p.s.Installed), func(i Installed) bool {
		left := slices.ContainsFunc(i.Sets, func(set string) bool {
			return p.left[types.NamespacedName{Namespace: i.Release.Namespace, Name: set}]
		})
		return left || i.Release == p.release || p.unreachable(&Object{Target: kube.Target{Namespace: i.Release.Namespace}}) != ""
	})
}

// refuseUninstall names what scaleSets=uninstall cannot uninstall: a release that
// holds more than scale sets, and a set of which Helm knows nothing.
func (p *planner) refuseUninstall() {
	known := map[types.NamespacedName]bool{}
	for _, i := range p.uninstallable() {
		known[i.Release] = true
		if len(i.Others) > 0 {
			p.plan.Refusals = append(p.plan.Refusals, Refusal{
				Verdict: Refused,
				Message: fmt.Sprintf("Helm release %s in namespace %s holds more than scale sets: %s", i.Release.Name, i.Release.Namespace, strings.Join(i.Others, ", ")),
				Do:      []string{fmt.Sprintf("helm uninstall %s --namespace %s", i.Release.Name, i.Release.Namespace)},
			})
		}
	}
	for _, o := range p.reachable(p.s.Custom) {
		if o.Resource.Resource == arc.AutoscalingRunnerSets && !o.Deleting && !p.inRelease(o) && o.Release.Name != "" && !known[o.Release] {
			r := p.liveScaleSet(o)
			r.Message += ", of which Helm has no record"
			r.Do = []string{fmt.Sprintf("kubectl delete autoscalingrunnerset %s --namespace %s", o.Name, o.Namespace)}
			p.plan.Refusals = append(p.plan.Refusals, r)
		}
	}
}

// uninstall takes the releases of scale sets away as `helm uninstall` would once
// the sets are gone: their objects, and then Helm's records.
func (p *planner) uninstall() {
	var objects, records []Step
	for _, i := range p.uninstallable() {
		of := fmt.Sprintf("of Helm release %s", i.Release.Name)
		for _, o := range i.Objects {
			action := Delete
			if o.Deleting {
				action = Await
			}
			objects = append(objects, Step{action, o, of})
		}
		for _, o := range i.Records {
			records = append(records, Step{Delete, o, "Helm's record " + of})
		}
	}
	p.phase(Releases, objects, records)
}
