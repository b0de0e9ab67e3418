package survey

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/kube"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
	"github.com/arc-cleanup/arc-cleanup/internal/shell"
)

// Beside searches for parts of ARC that the survey does not cover: the other API group, kinds of
// ARC's groups that this version does not know, finalizers of the other group, and the Leases of
// controllers. A run calls it last, when its plan is empty. Whatever it cannot read counts as
// remaining.
func Beside(ctx context.Context, c *kube.Client, o plan.Options, s *plan.Survey) (out []plan.Remain) {
	if !o.RemovesCRDs() {
		return nil // this uninstall covers one release or namespace only
	}
	ctx, cancel := advice(ctx)
	defer cancel()
	own, known := arc.Group, arc.CRDs()
	if o.Scope == plan.ScopeLegacy {
		own, known = arc.LegacyGroup, arc.LegacyCRDs()
	}
	served, err := c.Served(ctx, own)
	if err != nil {
		out = append(out, plan.Remain{What: unreadBeside + err.Error()})
	}
	existing, err := crdsByHand(ctx, c, o)
	if err != nil {
		out = append(out, plan.Remain{What: unreadBeside + err.Error()})
	}
	for _, crd := range union(crdsOf(own, served), existing, own) {
		if !slices.Contains(known, crd) {
			out = append(out, plan.Remain{What: fmt.Sprintf("the CRD %s, which this version of arc-cleanup does not know", crd), Do: []string{shell.Command("kubectl", "get", crd, "--all-namespaces")}})
		}
	}
	if o.Scope == plan.ScopeController {
		out = append(out, legacyBeside(ctx, c, o, s, existing)...)
	}
	if o.Job == "" && o.Scope == plan.ScopeController {
		out = append(out, recordsBeside(ctx, c, o)...)
	}
	return append(out, leasesBeside(ctx, c, o, s)...)
}

// crdsOf returns the names of a group's CRDs, according to what the API server serves.
func crdsOf(group string, served map[string][]string) (names []string) {
	for _, resource := range slices.Sorted(maps.Keys(served)) {
		if !strings.Contains(resource, "/") { // not RESOURCE/status
			names = append(names, resource+"."+group)
		}
	}
	return names
}

// legacyBeside searches for legacy ARC during an uninstall of scale sets.
func legacyBeside(ctx context.Context, c *kube.Client, o plan.Options, s *plan.Survey, existing []string) (out []plan.Remain) {
	served, err := c.Served(ctx, arc.LegacyGroup)
	if err != nil {
		return []plan.Remain{{What: unreadBeside + err.Error()}}
	}
	if crds := union(crdsOf(arc.LegacyGroup, served), existing, arc.LegacyGroup); len(crds) > 0 {
		what := fmt.Sprintf("legacy ARC, with %d CRDs of %s", len(crds), arc.LegacyGroup)
		if o.Job == "" { // a hook has no right to read them
			if n, err := countLegacy(ctx, c, served); err == nil {
				what = fmt.Sprintf("%s and %d objects", what, n)
			}
		}
		out = append(out, plan.Remain{What: what, Do: []string{"arc-cleanup plan --scope legacy --all-namespaces"}})
	}
	if n := len(s.LegacyHeld); n > 0 {
		first := s.LegacyHeld[0]
		out = append(out, plan.Remain{What: fmt.Sprintf("%d Pods with finalizers of legacy ARC, which --scope legacy removes, as %s", n, first)})
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

// leasesBeside names the Leases with which controllers elect a leader. A hook cannot delete its own
// controller's Lease: the controller is alive and would create it again. In a run by hand, only its
// name identifies a Lease, which is no proof. So the report names the Lease and the command that
// deletes it.
func leasesBeside(ctx context.Context, c *kube.Client, o plan.Options, s *plan.Survey) (out []plan.Remain) {
	name := func(namespace, name, why string) {
		out = append(out, plan.Remain{
			What:  fmt.Sprintf("the Lease %s in namespace %s, %s", name, namespace, why),
			Do:    []string{shell.Command("kubectl", "delete", "lease", name, "--namespace", namespace)},
			Lease: true,
		})
	}
	lives := map[string]bool{}
	for _, a := range s.Controllers {
		switch {
		case !s.Owns(o, a):
			lives[a.Namespace] = true
		case a.Lease != "" && o.Job != "":
			name(a.Namespace, a.Lease, fmt.Sprintf("if it exists: the controller %s elects its leader with it, and Helm does not delete it", a.Name))
		}
	}
	if o.Job != "" {
		return out
	}
	found, err := abandonedLeases(ctx, c, o.Scope, lives)
	if err != nil {
		return append(out, plan.Remain{What: unreadBeside + err.Error()})
	}
	for _, lease := range found[:min(len(found), fewLeases)] {
		name(lease.Namespace, lease.Name, "which has the name of one of ARC's")
	}
	if more := len(found) - fewLeases; more > 0 {
		out = append(out, plan.Remain{What: fmt.Sprintf("%d more Leases with such names", more)})
	}
	return out
}

// abandonedLeases finds the Leases with the names of ARC's Leases, in namespaces without a live
// controller.
func abandonedLeases(ctx context.Context, c *kube.Client, scope plan.Scope, lives map[string]bool) ([]types.NamespacedName, error) {
	var found []types.NamespacedName
	legacy := false
	err := c.Each(ctx, object.Leases, "", metav1.ListOptions{}, func(m *metav1.PartialObjectMetadata) error {
		if group := arc.LeaseGroup(m.Name); group == arc.LegacyGroup || group != "" && scope == plan.ScopeController {
			found = append(found, types.NamespacedName{Namespace: m.Namespace, Name: m.Name})
			legacy = legacy || group == arc.LegacyGroup
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if legacy && scope == plan.ScopeController {
		others, err := LegacyControllers(ctx, c)
		if err != nil {
			return nil, err
		}
		for _, a := range others {
			lives[a.Namespace] = true
		}
	}
	return slices.DeleteFunc(found, func(lease types.NamespacedName) bool { return lives[lease.Namespace] }), nil
}

// fewLeases limits how many Leases are named: anyone can create many in a namespace of their own.
const fewLeases = 5

// unreadBeside is the beginning of the message about a failed read.
const unreadBeside = "perhaps more, since this could not be read: "
