package sweep

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
)

// now is when the tests decide. Everything is an hour old unless a test says otherwise.
var now = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

// The listener of the scale set runners/set of https://github.com/acme before 0.13.1 and since.
var before, since = arc.ListenerNames("runners", "set", "", "https://github.com/acme")

func newObject(resource schema.GroupVersionResource, namespace, name string, finalizers ...string) thing {
	return thing{
		Object: &object.Object{
			Resource: resource, Namespace: namespace, Name: name, Finalizers: finalizers,
			UID: types.UID(fmt.Sprintf("%s/%s/%s", resource.Resource, namespace, name)),
		},
		version: "1", created: now.Add(-time.Hour),
	}
}

func at(t *thing, minutesAgo int) { t.created = now.Add(-time.Duration(minutesAgo) * time.Minute) }

func deleting(t *thing) { t.Deleting, t.deleted = true, now.Add(-time.Hour) }

func listenerOf(namespace, name, set string) listener {
	return listener{
		thing: newObject(arc.Resource(arc.AutoscalingListeners), namespace, name, arc.AutoscalingListenerFinalizer),
		set:   types.NamespacedName{Namespace: "runners", Name: set}, image: "arc:0.14.2", runnerSet: set + "-new", secret: "github",
	}
}

func runnerSetOf(name string, owner types.UID, minutesAgo int, finalizers ...string) runnerSet {
	s := runnerSet{thing: newObject(arc.Resource(arc.EphemeralRunnerSets), "runners", name, finalizers...), uses: []string{"github", "account"}}
	s.Owner = owner
	at(&s.thing, minutesAgo)
	return s
}

func runnerOf(name string, owner runnerSet) runner {
	r := runner{thing: newObject(arc.Resource(arc.EphemeralRunners), "runners", name)}
	r.Owner = owner.UID
	return r
}

func roleOf(resource schema.GroupVersionResource, name string) rights {
	named := types.NamespacedName{Namespace: "systems", Name: name}
	r := rights{thing: newObject(resource, "runners", name), listener: named, asListener: true}
	if resource == object.RoleBindings {
		r.role, r.accounts = name, []types.NamespacedName{named}
	}
	return r
}

func protectedObject(resource schema.GroupVersionResource, name string) thing {
	t := newObject(resource, "runners", name, arc.CleanupProtectionFinalizer)
	deleting(&t)
	return t
}

// living is ARC 0.14.2 with the scale set runners/set, its listener, its runner set and a busy runner.
func living() *facts {
	set := scaleSet{
		thing: newObject(arc.Resource(arc.AutoscalingRunnerSets), "runners", "set"), url: "https://github.com/acme",
		frees: []string{"github", "set-manager"}, uses: []string{"github", "account"},
	}
	current := runnerSetOf("set-new", set.UID, 30, arc.EphemeralRunnerFinalizer)
	busy := runnerOf("busy", current)
	return &facts{
		now:  now,
		sets: []scaleSet{set},
		controllers: []controller{{
			Controller: plan.Controller{Object: &object.Object{Resource: object.Deployments, Namespace: "systems", Name: "arc"}},
			version:    "0.14.2", image: "arc:0.14.2",
		}},
		listeners:  []listener{listenerOf("systems", since, "set")},
		runnerSets: []runnerSet{current},
		runners:    []runner{busy},
		busy:       map[types.UID]plan.Job{busy.UID: {Name: "build", Repository: "acme/app", Workflow: "ci"}},
		rights: []rights{
			roleOf(object.Roles, since), roleOf(object.RoleBindings, since),
			{thing: newObject(object.Roles, "runners", "set-manager", arc.CleanupProtectionFinalizer)},
		},
	}
}

// said formats a decision, a line for each object.
func said(d *Decision) (out []string) {
	for _, s := range d.Steps {
		out = append(out, fmt.Sprintf("%s %s/%s", s.Action, s.Object.Resource.Resource, s.Object.Name))
	}
	for _, k := range d.Kept {
		out = append(out, fmt.Sprintf("keep %s/%s: %s", k.Object.Resource.Resource, k.Object.Name, k.Why))
	}
	for _, r := range d.Refusals {
		out = append(out, fmt.Sprintf("%s: %s", r.Verdict, r.Message))
		for _, do := range r.Do {
			out = append(out, "    "+do)
		}
	}
	return out
}

// old adds a runner set that is older than the set's current one.
func old(f *facts, finalizers ...string) *runnerSet {
	f.runnerSets = append(f.runnerSets, runnerSetOf("set-old", f.sets[0].UID, 60, finalizers...))
	return &f.runnerSets[len(f.runnerSets)-1]
}

// stale adds a listener of the set that has another name.
func stale(f *facts, name string) *listener {
	f.listeners = append(f.listeners, listenerOf("systems", name, "set"))
	return &f.listeners[len(f.listeners)-1]
}

func TestDecide(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		change func(*facts)
		want   []string
	}{
		"everything is in use": {func(*facts) {}, nil},

		// Listeners.
		"a listener of the name of before 0.13.1": {
			func(f *facts) { stale(f, before) },
			[]string{"delete autoscalinglisteners/" + before},
		},
		"after the runner group changed": {
			func(f *facts) { stale(f, "set-12345678-listener") },
			[]string{"delete autoscalinglisteners/set-12345678-listener"},
		},
		"a rollback to 0.13.0, which would delete the proxy's Secret of the current listener": {
			func(f *facts) {
				f.controllers[0].version = "0.13.0"
				stale(f, before)
			},
			[]string{"keep autoscalinglisteners/" + since + ": the controller, before 0.13.1 or of an unknown version, would delete objects of the current listener " + before + " with it"},
		},
		"of a controller whose version is not known, which may have either": {
			func(f *facts) {
				f.controllers[0].version = ""
				stale(f, before)
			},
			nil,
		},
		"of a controller whose version is not known, of another name": {
			func(f *facts) {
				f.controllers[0].version = ""
				stale(f, "set-12345678-listener")
			},
			[]string{"keep autoscalinglisteners/set-12345678-listener: the controller, before 0.13.1 or of an unknown version, would delete objects of the current listener " + since + " with it"},
		},
		"of a controller that would harm the current listener": {
			func(f *facts) {
				f.controllers[0].version, f.listeners[0].Name = "0.11.0", before
				stale(f, since)
			},
			[]string{
				"keep autoscalinglisteners/" + since + ": the controller, before 0.13.1 or of an unknown version, would delete objects of the current listener " + before + " with it",
			},
		},
		"the set has not got its current listener yet": {
			func(f *facts) { f.listeners[0].Name = before },
			[]string{
				"keep autoscalinglisteners/" + before + ": the scale set runners/set has 0 listeners that may be its current one",
				"keep roles/" + since + ": a scale set may again get a listener called " + since,
				"keep rolebindings/" + since + ": a scale set may again get a listener called " + since,
			},
		},
		"the current listener is going": {
			func(f *facts) {
				stale(f, before)
				deleting(&f.listeners[0].thing)
			},
			[]string{"keep autoscalinglisteners/" + before + ": the scale set runners/set has 0 listeners that may be its current one"},
		},
		"the current listener serves another runner set": {
			func(f *facts) {
				stale(f, before)
				f.listeners[0].runnerSet = "other"
			},
			[]string{"keep autoscalinglisteners/" + before + ": the listener " + since + " does not serve the newest runner set of the scale set runners/set"},
		},
		"young": {
			func(f *facts) { at(&stale(f, before).thing, 1) },
			[]string{"keep autoscalinglisteners/" + before + ": younger than 2m0s"},
		},
		"old enough for a scope that says so": {
			func(f *facts) {
				f.scope.OlderThan = time.Second
				at(&stale(f, before).thing, 1)
			},
			[]string{"delete autoscalinglisteners/" + before},
		},
		"just being deleted": {
			func(f *facts) {
				l := stale(f, before)
				deleting(&l.thing)
				l.deleted = now
			},
			[]string{"await autoscalinglisteners/" + before},
		},
		"its set is being deleted": {
			func(f *facts) {
				stale(f, before)
				deleting(&f.sets[0].thing)
			},
			nil,
		},
		"its set is gone": {
			func(f *facts) { f.listeners = append(f.listeners, listenerOf("systems", "gone-1-listener", "gone")) },
			[]string{"delete autoscalinglisteners/gone-1-listener"},
		},
		"a tenant's, of a set that never was": {
			func(f *facts) { f.listeners = append(f.listeners, listenerOf("runners", "gone-1-listener", "gone")) },
			[]string{"keep autoscalinglisteners/gone-1-listener: it is not in the namespace of the controller systems/arc, which makes the listeners of runners"},
		},
		"a tenant's, of a set that is there": {
			func(f *facts) { f.listeners = append(f.listeners, listenerOf("runners", since, "set")) },
			[]string{"keep autoscalinglisteners/" + since + ": it is not in the namespace of the controller systems/arc, which makes the listeners of runners"},
		},
		"out of scope": {
			func(f *facts) {
				f.scope.Namespaces = []string{"others"}
				stale(f, before)
			},
			nil,
		},
		"two controllers": {
			func(f *facts) {
				f.controllers = append(f.controllers, f.controllers[0])
				f.listeners = append(f.listeners, listenerOf("systems", "gone-1-listener", "gone"))
			},
			[]string{"keep autoscalinglisteners/gone-1-listener: 2 controllers watch the namespace runners"},
		},
		"an old image": {
			func(f *facts) { f.listeners[0].image = "arc:0.14.1" },
			[]string{"delete autoscalinglisteners/" + since},
		},
		"an old image, and a controller that updates late": {
			func(f *facts) { f.listeners[0].image, f.controllers[0].late = "arc:0.14.1", true },
			[]string{"keep autoscalinglisteners/" + since + ": it has an old image, and the controller, with --update-strategy eventual, makes no other while a runner is active: delete it when none is"},
		},
		"an old image, of a set that the controller has to change at GitHub first": {
			func(f *facts) { f.listeners[0].image, f.sets[0].pending = "arc:0.14.1", "its runner group differs" },
			[]string{"keep autoscalinglisteners/" + since + ": it has an old image, and the controller would make no other before it has changed the scale set runners/set at GitHub: its runner group differs"},
		},
		"two of old images, of a controller whose version is not known": {
			func(f *facts) {
				f.controllers[0].version = ""
				f.listeners[0].image = "arc:0.14.1"
				stale(f, before).image = "arc:0.14.1"
			},
			[]string{
				"keep autoscalinglisteners/" + since + ": it or another may be the current listener of the scale set runners/set: the controller's version is not known",
				"keep autoscalinglisteners/" + before + ": it or another may be the current listener of the scale set runners/set: the controller's version is not known",
			},
		},
		"an old image, while a runner set is being replaced": {
			func(f *facts) { f.listeners[0].image, f.listeners[0].runnerSet = "arc:0.14.1", "set-old" },
			[]string{"keep autoscalinglisteners/" + since + ": it has an old image, and does not serve the newest runner set of the scale set runners/set"},
		},
		"a controller that does not say its image": {
			func(f *facts) { f.controllers[0].image = "" },
			nil,
		},

		"an old image, and another name, and a controller whose version is not known": {
			func(f *facts) {
				f.controllers[0].version = ""
				stale(f, before).image = "arc:0.14.1"
			},
			[]string{"keep autoscalinglisteners/" + before + ": it or another may be the current listener of the scale set runners/set: the controller's version is not known"},
		},

		// Runner sets.
		"an old runner set": {
			func(f *facts) { old(f, arc.EphemeralRunnerFinalizer) },
			[]string{"delete ephemeralrunnersets/set-old"},
		},
		"with an idle runner": {
			func(f *facts) { f.runners = append(f.runners, runnerOf("idle", *old(f))) },
			[]string{"delete ephemeralrunnersets/set-old"},
		},
		"with a busy runner": {
			func(f *facts) {
				r := runnerOf("old-busy", *old(f))
				f.runners, f.busy[r.UID] = append(f.runners, r), plan.Job{Name: "deploy", Repository: "acme/app", Workflow: "cd"}
			},
			[]string{`keep ephemeralrunnersets/set-old: its runner old-busy has job "deploy" of acme/app (cd)`},
		},
		"as old as the current one": {
			func(f *facts) { at(&old(f).thing, 30) },
			[]string{
				"keep ephemeralrunnersets/set-new: the listener " + since + " does not serve the newest runner set of the scale set runners/set",
				"keep ephemeralrunnersets/set-old: the listener " + since + " does not serve the newest runner set of the scale set runners/set",
			},
		},
		"newer than the one that the listener serves": {
			func(f *facts) { at(&old(f).thing, 5) },
			[]string{"keep ephemeralrunnersets/set-new: the listener " + since + " does not serve the newest runner set of the scale set runners/set"},
		},
		"with an owner of another UID and the set's labels": {
			func(f *facts) {
				o := old(f)
				o.Owner, o.ScaleSet = "", f.sets[0].key()
			},
			[]string{"keep ephemeralrunnersets/set-old: no scale set owns it"},
		},
		"owned by a set of another namespace": {
			func(f *facts) { old(f).Namespace = "others" },
			[]string{"delete ephemeralrunnersets/set-old"}, // as Kubernetes does
		},
		"newer, owned by the set, in another namespace": {
			func(f *facts) {
				old(f)
				forged := old(f)
				at(&forged.thing, 5)
				forged.Namespace, forged.Name = "others", "forged"
			},
			[]string{"delete ephemeralrunnersets/set-old", "delete ephemeralrunnersets/forged"}, // as Kubernetes does
		},
		"its set is gone, and its name used again": {
			func(f *facts) { old(f).Owner = "gone" },
			[]string{"delete ephemeralrunnersets/set-old"},
		},
		"being deleted by a controller that knows its finalizer": {
			func(f *facts) { deleting(&old(f, arc.EphemeralRunnerFinalizer).thing) },
			[]string{"await ephemeralrunnersets/set-old"},
		},
		"being deleted, with a finalizer that the controller does not know": {
			func(f *facts) { deleting(&old(f, arc.EphemeralRunnerSetFinalizer).thing) },
			[]string{"free ephemeralrunnersets/set-old"},
		},
		"and with one that it knows": {
			func(f *facts) {
				deleting(&old(f, arc.EphemeralRunnerSetFinalizer, arc.EphemeralRunnerFinalizer).thing)
			},
			[]string{"await ephemeralrunnersets/set-old"},
		},
		"and with a runner": {
			func(f *facts) {
				o := old(f, arc.EphemeralRunnerSetFinalizer)
				deleting(&o.thing)
				f.runners = append(f.runners, runnerOf("idle", *o))
			},
			[]string{"keep ephemeralrunnersets/set-old: it is being deleted, with a finalizer that the controller does not know, and its runner idle is left; delete the runner when it has no job"},
		},
		"of a set with no finalizer on the current runner set": {
			func(f *facts) {
				deleting(&old(f, arc.EphemeralRunnerSetFinalizer).thing)
				f.runnerSets[0].Finalizers = nil
			},
			[]string{"await ephemeralrunnersets/set-old"},
		},

		// Roles and RoleBindings of listeners.
		"of a listener that is gone": {
			func(f *facts) {
				f.rights = append(f.rights, roleOf(object.Roles, before+"x"), roleOf(object.RoleBindings, before+"x"))
			},
			[]string{"delete roles/" + before + "x", "delete rolebindings/" + before + "x"},
		},
		"of a listener that a set may get again": {
			func(f *facts) { f.rights = append(f.rights, roleOf(object.Roles, before)) },
			[]string{"keep roles/" + before + ": a scale set may again get a listener called " + before},
		},
		"of a listener that a set of another namespace may get": {
			func(f *facts) {
				r := roleOf(object.Roles, before)
				r.Namespace = "others"
				f.rights = append(f.rights, r)
			},
			[]string{"delete roles/" + before},
		},
		"a Role that something owns": {
			func(f *facts) {
				r := roleOf(object.Roles, "gone")
				r.owned = true
				f.rights = append(f.rights, r)
			},
			nil,
		},
		"a Role out of scope": {
			func(f *facts) {
				f.scope.Namespaces = []string{"others"}
				f.rights = append(f.rights, roleOf(object.Roles, "gone"))
			},
			nil,
		},
		"a forged Role": {
			func(f *facts) {
				r := roleOf(object.Roles, "gone")
				r.asListener = false
				f.rights = append(f.rights, r)
			},
			[]string{"keep roles/gone: it does not grant what ARC grants to a listener"},
		},
		"the RoleBinding of a forged Role": {
			func(f *facts) {
				r := roleOf(object.RoleBindings, "gone")
				r.asListener = false
				f.rights = append(f.rights, r)
			},
			[]string{"keep rolebindings/gone: it does not grant what ARC grants to a listener"},
		},
		"a forged RoleBinding": {
			func(f *facts) {
				r := roleOf(object.RoleBindings, "gone")
				r.accounts[0].Namespace = "runners"
				f.rights = append(f.rights, r)
			},
			[]string{"keep rolebindings/gone: it does not bind what ARC binds for a listener"},
		},
		"of another name than its listener": {
			func(f *facts) {
				r := roleOf(object.Roles, "gone")
				r.listener.Name = "other"
				f.rights = append(f.rights, r)
			},
			[]string{"keep roles/gone: its label names the listener other, but its own name differs"},
		},
		"of a listener of another controller": {
			func(f *facts) {
				r := roleOf(object.Roles, "gone")
				r.listener.Namespace = "elsewhere"
				f.rights = append(f.rights, r)
			},
			[]string{"keep roles/gone: its label names a listener in elsewhere, but the controller's listeners are in systems"},
		},
		"a young Role": {
			func(f *facts) {
				r := roleOf(object.Roles, "gone")
				at(&r.thing, 1)
				f.rights = append(f.rights, r)
			},
			[]string{"keep roles/gone: younger than 2m0s"},
		},

		// Finalizers of the scale-set chart.
		"a protected object that no set names": {
			func(f *facts) { f.others = append(f.others, protectedObject(object.ServiceAccounts, "left")) },
			[]string{"free serviceaccounts/left"},
		},
		"out of the scope of a sweep": {
			func(f *facts) {
				f.scope.Namespaces = []string{"others"}
				f.others = append(f.others, protectedObject(object.ServiceAccounts, "left"))
			},
			nil,
		},
		"the RoleBinding of an account of the same name elsewhere": {
			func(f *facts) {
				f.rights = append(f.rights, rights{thing: protectedObject(object.RoleBindings, "binding"), accounts: []types.NamespacedName{{Namespace: "systems", Name: "account"}}})
			},
			[]string{"free rolebindings/binding"},
		},
		"that is not being deleted": {
			func(f *facts) {
				f.others = append(f.others, newObject(object.ServiceAccounts, "runners", "left", arc.CleanupProtectionFinalizer))
			},
			nil,
		},
		"whose deletion is young": {
			func(f *facts) {
				o := protectedObject(object.ServiceAccounts, "left")
				o.deleted = now.Add(-time.Second)
				f.others = append(f.others, o)
			},
			[]string{"keep serviceaccounts/left: younger than 2m0s"},
		},
		"that a set names": {
			func(f *facts) { f.others = append(f.others, protectedObject(object.Secrets, "github")) },
			[]string{"keep secrets/github: the scale set set names it"},
		},
		"that an old runner set needs": {
			func(f *facts) {
				f.runnerSets[0].uses = []string{"left"}
				f.others = append(f.others, protectedObject(object.ServiceAccounts, "left"))
			},
			[]string{"keep serviceaccounts/left: the runner set set-new needs it"},
		},
		"that a runner needs": {
			func(f *facts) {
				f.runners[0].uses = []string{"left"}
				f.others = append(f.others, protectedObject(object.ServiceAccounts, "left"))
			},
			[]string{"keep serviceaccounts/left: the runner busy needs it"},
		},
		"that a listener needs": {
			func(f *facts) {
				f.listeners[0].secret = "left"
				f.others = append(f.others, protectedObject(object.Secrets, "left"))
			},
			[]string{"keep secrets/left: the listener " + since + " needs it"},
		},
		"protected rights of a gone set": {
			func(f *facts) {
				binding := rights{thing: protectedObject(object.RoleBindings, "gone-manager"), role: "gone-manager", accounts: []types.NamespacedName{{Namespace: "systems", Name: "arc"}}}
				f.rights = append(f.rights, rights{thing: protectedObject(object.Roles, "gone-manager")}, binding)
			},
			[]string{"free rolebindings/gone-manager", "free roles/gone-manager"},
		},
		"with runners that its controller still has to finish": {
			func(f *facts) {
				f.rights = append(f.rights, rights{thing: protectedObject(object.Roles, "gone-manager")})
				f.runnerSets = append(f.runnerSets, runnerSetOf("gone-1", "gone", 60))
			},
			[]string{
				"delete ephemeralrunnersets/gone-1",
				"keep roles/gone-manager: the controller may need it for the runner set gone-1, whose scale set is gone",
			},
		},
		"with a runner whose runner set is gone": {
			func(f *facts) {
				f.rights = append(f.rights, rights{thing: protectedObject(object.Roles, "gone-manager")})
				f.runners = append(f.runners, runnerOf("loose", runnerSetOf("gone-1", "gone", 60)))
			},
			[]string{"keep roles/gone-manager: the controller may need it for the runner loose, whose runner set is gone"},
		},
		"a Role that a RoleBinding still binds": {
			func(f *facts) {
				f.rights = append(
					f.rights, rights{thing: protectedObject(object.Roles, "kube-mode")},
					rights{thing: newObject(object.RoleBindings, "runners", "kube-mode", arc.CleanupProtectionFinalizer), role: "kube-mode"},
				)
			},
			[]string{"keep roles/kube-mode: the RoleBinding kube-mode binds it"},
		},
		"the RoleBinding of a ServiceAccount that runners use": {
			func(f *facts) {
				f.runners[0].uses = []string{"kube-mode"}
				f.rights = append(f.rights, rights{thing: protectedObject(object.RoleBindings, "binding"), accounts: []types.NamespacedName{{Namespace: "runners", Name: "kube-mode"}}})
			},
			[]string{"keep rolebindings/binding: it binds the ServiceAccount kube-mode, and the runner busy needs it"},
		},
		"of a namespace that no controller watches": {
			func(f *facts) {
				f.controllers[0].Watches = []string{"others"}
				f.others = append(f.others, protectedObject(object.ServiceAccounts, "left"))
			},
			[]string{"keep serviceaccounts/left: no controller watches the namespace runners"},
		},

		// Refusals.
		"a failed read": {
			func(f *facts) {
				stale(f, before)
				f.unknown = []plan.Unknown{{What: "roles", Err: errors.New("no answer")}}
				f.controllers = nil
			},
			[]string{"failed: could not read roles: no answer"},
		},
		"a read that is not allowed": {
			func(f *facts) {
				f.unknown = []plan.Unknown{{What: "roles", Err: apierrors.NewForbidden(object.Roles.GroupResource(), "", errors.New("no"))}}
			},
			[]string{
				`not-permitted: could not read roles: roles.rbac.authorization.k8s.io is forbidden: no`,
				"    grant the right named above; a failed read never means that there is nothing",
			},
		},
		"no controller": {
			func(f *facts) {
				stale(f, before)
				f.controllers = nil
			},
			[]string{
				"refused: no controller of ARC was found; sweep needs a controller that works and finishes the deletions",
				"    arc-cleanup status   # what is there of ARC",
			},
		},
		"no CRD": {
			func(f *facts) { *f = facts{now: f.now, unserved: true} },
			[]string{
				"refused: this cluster has no CRD of ARC (actions.github.com); sweep needs a controller that works and finishes the deletions",
				"    arc-cleanup status   # what is there of ARC",
			},
		},
		"a controller that does not work": {
			func(f *facts) {
				stale(f, before)
				f.controllers[0].idle = "is being rolled out"
			},
			[]string{
				"refused: the controller systems/arc is being rolled out; sweep needs a controller that works and finishes the deletions",
				"    kubectl describe deployment arc --namespace systems",
			},
		},
		"a controller that became ready lately": {
			func(f *facts) {
				f.controllers[0].idle, f.controllers[0].until = "became ready", f.now.Add(99*time.Second+1)
			},
			[]string{"refused: the controller systems/arc became ready; an old one may still work", "    run it again in 1m40s"},
		},
		"one of two controllers works": {
			func(f *facts) {
				f.controllers[0].idle = "has no ready replica"
				f.controllers[0].Watches = []string{"runners"}
				other := f.controllers[0]
				other.idle, other.Watches = "", []string{"others"}
				f.controllers = append(f.controllers, other)
				f.listeners = append(f.listeners, listenerOf("systems", "gone-1-listener", "gone"))
			},
			[]string{"keep autoscalinglisteners/gone-1-listener: the controller systems/arc has no ready replica"},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := living()
			test.change(f)
			if diff := cmp.Diff(test.want, said(decide(f))); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}
