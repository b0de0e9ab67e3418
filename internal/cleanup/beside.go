package cleanup

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/kube"
	"github.com/arc-cleanup/arc-cleanup/internal/shell"
)

// Remain is something of ARC that an uninstall is not about, so that it stays. That
// nothing of ARC is left may not be said then.
type Remain struct {
	What string
	Do   []string
}

// theLease begins what is said of one.
const theLease = "the Lease "

// IsLease reports whether it is no more than a Lease, which means nothing to a controller
// that is installed again.
func (r Remain) IsLease() bool { return strings.HasPrefix(r.What, theLease) }

var leaseResource = schema.GroupVersionResource{Group: "coordination.k8s.io", Version: "v1", Resource: "leases"}

// lookBeside looks for what there is of ARC beside what the survey is about: the other
// group, kinds of ours that this version does not know, finalizers of the other group,
// and the Leases of controllers. It is the last look of a run whose plan is empty. What
// cannot be read remains, as far as anybody knows.
func lookBeside(ctx context.Context, c *kube.Client, o Options, s *Survey) (out []Remain) {
	if !o.ofController() {
		return nil // its success speaks of one release or namespace only
	}
	ctx, cancel := advice(ctx)
	defer cancel()
	own, known := arc.Group, arc.CRDs()
	if o.Scope == Legacy {
		own, known = arc.LegacyGroup, arc.LegacyCRDs()
	}
	served, err := c.Served(ctx, own)
	if err != nil {
		out = append(out, Remain{What: unreadBeside + err.Error()})
	}
	for _, crd := range crdsOf(own, served) {
		if !slices.Contains(known, crd) {
			out = append(out, Remain{fmt.Sprintf("the CRD %s, which this version of arc-cleanup does not know", crd), []string{shell.Command("kubectl", "get", crd, "--all-namespaces")}})
		}
	}
	if o.Scope == Controller {
		out = append(out, legacyBeside(ctx, c, o, s)...)
	}
	return append(out, leasesBeside(ctx, c, o, s)...)
}

// crdsOf are the CRDs of a group, by what the API server says that it serves.
func crdsOf(group string, served map[string][]string) (names []string) {
	for _, resource := range slices.Sorted(maps.Keys(served)) {
		if !strings.Contains(resource, "/") { // as RESOURCE/status
			names = append(names, resource+"."+group)
		}
	}
	return names
}

// legacyBeside looks for legacy ARC beside scale sets.
func legacyBeside(ctx context.Context, c *kube.Client, o Options, s *Survey) (out []Remain) {
	served, err := c.Served(ctx, arc.LegacyGroup)
	if err != nil {
		return []Remain{{What: unreadBeside + err.Error()}}
	}
	if crds := crdsOf(arc.LegacyGroup, served); len(crds) > 0 {
		what := fmt.Sprintf("legacy ARC, with %d CRDs of %s", len(crds), arc.LegacyGroup)
		if o.Job == "" { // a hook has no right to read them
			if n, err := countLegacy(ctx, c, served); err == nil {
				what = fmt.Sprintf("%s and %d objects", what, n)
			}
		}
		out = append(out, Remain{what, []string{"arc-cleanup plan --scope legacy"}})
	}
	if n := len(s.LegacyHeld); n > 0 {
		first := s.LegacyHeld[0]
		out = append(out, Remain{fmt.Sprintf("%d Pods with finalizers of legacy ARC, which --scope legacy removes, as %s", n, first), nil})
	}
	return out
}

func countLegacy(ctx context.Context, c *kube.Client, served map[string][]string) (n int, err error) {
	for _, gvr := range arc.LegacyResources() {
		if !slices.Contains(served[gvr.Resource], gvr.Version) {
			continue
		}
		err := c.Each(ctx, gvr, "", metav1.ListOptions{}, func(*metav1.PartialObjectMetadata) error { n++; return nil })
		if err != nil && !apierrors.IsNotFound(err) {
			return 0, err
		}
	}
	return n, nil
}

// leasesBeside names the Leases by which controllers elect a leader. A hook cannot
// delete its own controller's: that lives, and would make it anew. By hand a Lease is known
// by its name only, which is no proof; so it is named, with the command.
func leasesBeside(ctx context.Context, c *kube.Client, o Options, s *Survey) (out []Remain) {
	name := func(namespace, name, why string) {
		out = append(out, Remain{
			fmt.Sprintf("%s%s in namespace %s, %s", theLease, name, namespace, why),
			[]string{shell.Command("kubectl", "delete", "lease", name, "--namespace", namespace)},
		})
	}
	lives := map[string]bool{}
	release := uninstalled(s, o)
	for _, a := range s.Controllers {
		p := planner{s: s, o: o, release: release}
		switch {
		case !p.ours(a):
			lives[a.Namespace] = true
		case a.Lease != "" && o.Job != "":
			name(a.Namespace, a.Lease, fmt.Sprintf("if there is one: by it the controller %s elects a leader, and Helm does not delete it", a.Name))
		}
	}
	if o.Job != "" {
		return out
	}
	var found []types.NamespacedName
	legacy := false
	err := c.Each(ctx, leaseResource, "", metav1.ListOptions{}, func(m *metav1.PartialObjectMetadata) error {
		if group := arc.LeaseGroup(m.Name); group == arc.LegacyGroup || group != "" && o.Scope == Controller {
			found = append(found, types.NamespacedName{Namespace: m.Namespace, Name: m.Name})
			legacy = legacy || group == arc.LegacyGroup
		}
		return nil
	})
	if err == nil && legacy && o.Scope == Controller {
		var others []ARC
		others, err = legacyControllers(ctx, c)
		for _, a := range others {
			lives[a.Namespace] = true
		}
	}
	if err != nil {
		return append(out, Remain{What: unreadBeside + err.Error()})
	}
	found = slices.DeleteFunc(found, func(lease types.NamespacedName) bool { return lives[lease.Namespace] })
	for _, lease := range clip(found, fewLeases) {
		name(lease.Namespace, lease.Name, "which has the name of one of ARC's")
	}
	if more := len(found) - fewLeases; more > 0 {
		out = append(out, Remain{What: fmt.Sprintf("%d more Leases with such names", more)})
	}
	return out
}

// remains are the words for what there is beside, for a line.
func remains(beside []Remain) string {
	const most = 3
	var what []string
	for _, r := range clip(beside, most) {
		what = append(what, r.What)
	}
	if more := len(beside) - most; more > 0 {
		what = append(what, fmt.Sprintf("%d more", more))
	}
	return strings.Join(what, "; ")
}

// fewLeases is how many are named: anybody may make many in a namespace of theirs.
const fewLeases = 5

// unreadBeside begins what is said of a look that failed.
const unreadBeside = "perhaps more, since this could not be read: "
