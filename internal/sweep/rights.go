package sweep

import (
	"cmp"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
)

// listenerRights decides about the Roles and RoleBindings of listeners, which nothing owns. Their labels
// only say where to look. What they grant and to whom says what they are: it is what ARC gives to the
// listener of that name, in the namespace of the controller that makes the listeners.
func (d *decider) listenerRights() {
	for _, r := range d.rights {
		if r.listener.Name == "" || r.owned || !d.covers(r.Namespace) {
			continue
		}
		c, why := d.controllerOf(r.Namespace)
		if d.exists(r.listener) {
			continue
		}
		if why == "" {
			why = d.notOf(r, c)
		}
		if why == "" && d.mayReturn(r) {
			why = fmt.Sprintf("a scale set may again get a listener called %s", r.Name)
		}
		d.remove(r.thing, why, fmt.Sprintf("its listener %s is gone", r.listener))
	}
}

// exists reports whether a listener is there.
func (f *facts) exists(name types.NamespacedName) bool {
	return slices.ContainsFunc(f.listeners, func(l listener) bool { return l.Namespace == name.Namespace && l.Name == name.Name })
}

// notOf says why a Role or a RoleBinding is not what ARC makes for the listener that its labels name.
func (d *decider) notOf(r rights, c controller) string {
	switch {
	case r.listener.Namespace != c.Namespace:
		return fmt.Sprintf("its label names a listener in %s, but the controller's listeners are in %s", r.listener.Namespace, c.Namespace)
	case r.Name != r.listener.Name:
		return fmt.Sprintf("its label names the listener %s, but its own name differs", r.listener.Name)
	case !r.asListener:
		return "it does not grant what ARC grants to a listener"
	case r.Resource == object.RoleBindings && (r.role != r.Name || !slices.Equal(r.accounts, []types.NamespacedName{r.listener})):
		return "it does not bind what ARC binds for a listener"
	}
	return ""
}

// mayReturn reports whether a scale set that exists has, or had, a listener of this name.
func (d *decider) mayReturn(r rights) bool {
	return slices.ContainsFunc(d.sets, func(s scaleSet) bool {
		if s.Namespace != r.Namespace {
			return false
		}
		before, since := arc.ListenerNames(s.Namespace, s.Name, s.group, s.url)
		return r.Name == before || r.Name == since
	})
}

// protected decides about the finalizers that protect objects of the scale-set chart. A controller removes
// them only from what an AutoscalingRunnerSet of the namespace names in its annotations. So one that is on
// an object that is being deleted, and that none names, stays for ever.
func (d *decider) protected() {
	for _, resource := range []string{object.RoleBindings.Resource, object.Roles.Resource} {
		for _, r := range d.rights {
			if r.Resource.Resource == resource {
				d.unprotect(r.thing, d.rightsInUse(r))
			}
		}
	}
	for _, o := range d.others {
		d.unprotect(o, cmp.Or(d.inUse(o.Namespace, o.Name), d.ofPod(o)))
	}
}

// unprotect removes the finalizers of an object that is being deleted, unless something says why not.
func (d *decider) unprotect(t thing, inUse string) {
	own := protections(t)
	if len(own) == 0 || !t.Deleting || !d.covers(t.Namespace) {
		return
	}
	_, why := d.controllerOf(t.Namespace)
	if why == "" {
		why = cmp.Or(inUse, d.young(t))
	}
	if why != "" {
		d.keep(t, why)
		return
	}
	d.freed[t.UID] = true
	d.free(t, own, "it is being deleted, no scale set in the namespace names it, and no runner needs it: no controller will remove the finalizer")
}

// protections returns the finalizers of the scale-set chart that an object has.
func protections(t thing) (own []string) {
	for _, finalizer := range []string{arc.CleanupProtectionFinalizer, arc.SecretProtectionFinalizer} {
		if slices.Contains(t.Finalizers, finalizer) {
			own = append(own, finalizer)
		}
	}
	return own
}

// inUse says which object of a namespace still needs the object of this name; "" if none does.
func (f *facts) inUse(namespace, name string) string {
	for _, s := range f.sets {
		if s.Namespace == namespace && (slices.Contains(s.frees, name) || slices.Contains(s.uses, name)) {
			return fmt.Sprintf("the scale set %s names it", s.Name)
		}
	}
	for _, l := range f.listeners {
		if l.set.Namespace == namespace && l.secret == name {
			return fmt.Sprintf("the listener %s needs it", l.Name)
		}
	}
	for _, r := range f.runnerSets {
		if r.Namespace == namespace && slices.Contains(r.uses, name) {
			return fmt.Sprintf("the runner set %s needs it", r.Name)
		}
	}
	for _, r := range f.runners {
		if r.Namespace == namespace && slices.Contains(r.uses, name) {
			return fmt.Sprintf("the runner %s needs it", r.Name)
		}
	}
	return ""
}

// ofPod says which Pod uses a Secret or a ServiceAccount; "" if none does. It may be a Pod of a job, or one that
// has nothing to do with ARC.
func (f *facts) ofPod(o thing) string {
	for _, p := range f.pods {
		if p.namespace == o.Namespace && slices.Contains(p.uses, o.Name) {
			return fmt.Sprintf("the Pod %s uses it", p.name)
		}
	}
	return ""
}

// rightsInUse says what still needs a Role or a RoleBinding. The controller needs its own rights in the
// namespace for what no scale set there owns any more.
func (d *decider) rightsInUse(r rights) string {
	if why := d.inUse(r.Namespace, r.Name); why != "" {
		return why
	}
	if r.Resource == object.Roles {
		for _, binding := range d.rights {
			if binding.Namespace == r.Namespace && binding.role == r.Name && binding.Resource == object.RoleBindings && !d.freed[binding.UID] {
				return fmt.Sprintf("the RoleBinding %s binds it", binding.Name)
			}
		}
		return d.loose(r.Namespace)
	}
	for _, account := range r.accounts {
		if account.Namespace != r.Namespace {
			continue
		}
		if why := d.inUse(r.Namespace, account.Name); why != "" {
			return "it binds the ServiceAccount " + account.Name + ", and " + why
		}
	}
	return d.loose(r.Namespace)
}

// loose says which runner or runner set of a namespace no scale set owns any more; "" if none.
func (f *facts) loose(namespace string) string {
	owners := map[types.UID]bool{}
	for _, s := range f.sets {
		owners[s.UID] = s.Namespace == namespace
	}
	for _, r := range f.runnerSets {
		if r.Namespace == namespace && !owners[r.Owner] {
			return fmt.Sprintf("the controller may need it for the runner set %s, whose scale set is gone", r.Name)
		}
	}
	for _, r := range f.runnerSets {
		owners[r.UID] = r.Namespace == namespace
	}
	for _, r := range f.runners {
		if r.Namespace == namespace && !owners[r.Owner] {
			return fmt.Sprintf("the controller may need it for the runner %s, whose runner set is gone", r.Name)
		}
	}
	return ""
}
