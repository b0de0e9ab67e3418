package cleanup

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/identity"
	"github.com/arc-cleanup/arc-cleanup/internal/kube"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
	"github.com/arc-cleanup/arc-cleanup/internal/release"
	"github.com/arc-cleanup/arc-cleanup/internal/shell"
)

// Installed is a Helm release that installed scale sets, for scaleSets=uninstall.
type Installed struct {
	Release types.NamespacedName
	// Sets are its scale sets, as its record has them.
	Sets []identity.Set
	// Pending says that Helm is at work on it.
	Pending bool
	// Objects are those of its objects that exist, its scale sets apart.
	Objects []*object.Object
	// Records are the objects in which Helm keeps it.
	Records []*object.Object
	// Others names what it installed beside scale sets.
	Others []string
}

// ofScaleSets are the kinds of a scale-set release
// (charts/gha-runner-scale-set/templates), and labelled further ones that may belong to
// a scale set, by their labels: what the post-renderer adds under Helm 3 to have the hook
// enrolled (charts/enroller), and the ConfigMap of the experimental chart's container
// hooks (charts/gha-runner-scale-set-experimental/templates/hook_extension.yaml).
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

// place is where an object is.
type place struct {
	resource, namespace, name string
}

// inPlace are, by the release that they name, the objects of these kinds that there are.
// A record may name ten thousand, in whichever namespaces: what it costs to look for
// them, and whether they may be read, must not depend on that.
type inPlace map[identity.Name]map[place]placed

// placed is an object, and whether its kind belongs to scale sets by labels that it has
// not.
type placed struct {
	*object.Object
	stranger bool
}

// add notes an object that says which release installed it.
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

// isLabelled reports whether an object's labels say that it is a scale set's, or of
// what enrols its hook.
func isLabelled(gvr schema.GroupVersionResource, l map[string]string) bool {
	enroller := l["app.kubernetes.io/name"] == "arc-cleanup" && l["app.kubernetes.io/component"] == "enroller"
	return enroller || gvr == object.ConfigMaps && l[arc.LabelScaleSetName] != ""
}

// installed finds the Helm releases that installed scale sets in a namespace (""
// is all of them). It is what action.Uninstall of Helm's SDK would read, without
// the SDK, with which the image would be twice as large. A release whose history was
// kept is none any more.
func installed(ctx context.Context, c *kube.Client, namespace string, there inPlace) (found []Installed, failed error) {
	err := release.Each(ctx, c, namespace, "", func(r *release.Revision, err error) {
		switch {
		case errors.Is(err, release.ErrUnreadable):
			// Somebody else's: of scale sets of it Helm counts as knowing nothing.
		case err != nil:
			failed = errors.Join(failed, err)
		case r.StoredElsewhere(), !r.Status.Installed(), !slices.ContainsFunc(r.Objects, isScaleSet):
		default:
			found = append(found, newInstalled(r.Record, there))
		}
	})
	return found, errors.Join(err, failed)
}

const (
	// mostObjects is more than a release of scale sets has: the chart makes ten for each.
	mostObjects = 1000
	// namedOthers is how many are named of what a release holds beside scale sets.
	namedOthers = 5
)

// newInstalled sorts what a release has installed: its scale sets, what Helm would
// delete with them, if it is there and still the release's, as its own annotations have
// to say (helm.sh/helm pkg/kube/resource_policy.go, pkg/action/validate.go), and what is
// of other kinds.
func newInstalled(record release.Record, there inPlace) Installed {
	i := Installed{Release: identity.Name{Namespace: record.Namespace, Name: record.Name}, Pending: record.Status.Pending()}
	for _, t := range record.Storage {
		i.Records = append(i.Records, &t)
	}
	others := max(0, len(record.Objects)-mostObjects)
	other := func(o release.Object) {
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

func isScaleSet(o release.Object) bool {
	return o.Kind == arc.AutoscalingRunnerSet && strings.HasPrefix(o.APIVersion, arc.Group+"/")
}

// uninstallable returns the releases of scale sets that are to be uninstalled.
func (p *planner) uninstallable() []Installed {
	return slices.DeleteFunc(slices.Clone(p.s.Installed), func(i Installed) bool {
		left := slices.ContainsFunc(i.Sets, func(set identity.Set) bool { return p.left[set] })
		outside := slices.ContainsFunc(i.Sets, func(set identity.Set) bool {
			return p.unreachable(&object.Object{Namespace: set.Namespace}) != ""
		})
		return left || outside || i.Release == p.release.Key() || (i.Pending || len(i.Others) > 0) && !p.installs(i)
	})
}

// installs reports whether a scale set of the release is there and says so: a record
// can be written by whoever administers a namespace, and would block the uninstall of
// everybody else's ARC if it were taken at its word.
func (p *planner) installs(i Installed) bool {
	return slices.ContainsFunc(p.s.Custom, func(o *object.Object) bool {
		return o.Resource.Resource == arc.AutoscalingRunnerSets && o.Release == i.Release && slices.Contains(i.Sets, o.ScaleSet)
	})
}

// refuseUninstall names what scaleSets=uninstall cannot uninstall: a release that
// holds more than scale sets or that Helm is at work on, and a set of which Helm knows
// nothing.
func (p *planner) refuseUninstall() {
	known := map[types.NamespacedName]bool{}
	for _, i := range p.uninstallable() {
		known[i.Release] = true
		if len(i.Others) > 0 {
			p.plan.Refusals = append(p.plan.Refusals, Refusal{
				Verdict: Refused,
				Message: fmt.Sprintf("Helm release %s in namespace %s holds more than scale sets: %s", i.Release.Name, i.Release.Namespace, strings.Join(i.Others, ", ")),
				Do:      []string{shell.Command("helm", "uninstall", i.Release.Name, "--namespace", i.Release.Namespace)},
			})
		}
		if i.Pending {
			p.plan.Refusals = append(p.plan.Refusals, Refusal{
				Verdict: Refused,
				Message: fmt.Sprintf("Helm release %s in namespace %s is pending: Helm is at work on it, or was stopped in the middle", i.Release.Name, i.Release.Namespace),
				Do:      []string{"wait for Helm; where it was stopped: " + shell.Command("helm", "uninstall", i.Release.Name, "--namespace", i.Release.Namespace)},
			})
		}
	}
	for _, o := range p.reachable(p.s.Custom) {
		if o.Resource.Resource == arc.AutoscalingRunnerSets && !o.Deleting && !p.doomed(o) && !p.inRelease(o) && o.Release.Name != "" && !known[o.Release] {
			r := p.liveScaleSet(o)
			if slices.ContainsFunc(p.s.Installed, func(i Installed) bool { return i.Release == o.Release }) {
				r.Message += ", and the release that it names cannot be uninstalled with it: other scale sets of it stay, or its record does not hold this one"
			} else {
				r.Message += ", and Helm has no record of the release that it names"
			}
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
