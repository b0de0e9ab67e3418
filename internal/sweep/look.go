package sweep

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/kube"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
	"github.com/arc-cleanup/arc-cleanup/internal/survey"
)

// Plan reads the cluster and says what Run would do. It writes nothing.
func Plan(ctx context.Context, c *kube.Client, scope Scope) *Decision {
	return decide(look(ctx, c, scope))
}

// looking is a look at the cluster in progress. A failed read is unknown, never absent.
type looking struct {
	ctx context.Context
	c   *kube.Client
	*facts
}

// look reads the cluster: what belongs to something before what it belongs to. So the owner of what was
// read existed before, and one that is missing from the later list is gone.
func look(ctx context.Context, c *kube.Client, scope Scope) *facts {
	l := looking{ctx, c, &facts{now: time.Now(), scope: scope, busy: map[types.UID]plan.Job{}}}
	namespaces := orAll(scope.Namespaces)
	for _, namespace := range namespaces {
		l.core(namespace)
	}
	for _, namespace := range namespaces {
		l.readRunners(namespace)
		l.readRunnerSets(namespace)
	}
	// A tenant may have made listeners in its own namespace: they are looked at to be named.
	places := append(orAll(scope.ControllerNamespaces), scope.Namespaces...)
	slices.Sort(places)
	places = slices.Compact(places)
	if slices.Contains(places, "") {
		places = []string{""}
	}
	for _, namespace := range places {
		l.readListeners(namespace)
	}
	for _, namespace := range namespaces {
		l.readSets(namespace)
	}
	l.readControllers(orAll(scope.ControllerNamespaces))
	l.readRights()
	if jobs, err := survey.Busy(ctx, c, namespaces); l.read("jobs of runners", err) {
		l.busy = jobs
	}
	return l.facts
}

// orAll returns the namespaces, or the one that means all.
func orAll(namespaces []string) []string {
	if len(namespaces) == 0 {
		return []string{metav1.NamespaceAll}
	}
	return slices.Clone(namespaces)
}

// read notes a failed read.
func (l *looking) read(what string, err error) bool {
	if err != nil {
		l.unknown = append(l.unknown, plan.Unknown{What: what, Err: err})
	}
	return err == nil
}

// newThing converts the metadata of an object.
func newThing(gvr schema.GroupVersionResource, m *metav1.PartialObjectMetadata) thing {
	t := thing{Object: survey.FromMetadata(gvr, m), version: m.ResourceVersion, created: m.CreationTimestamp.Time}
	if m.DeletionTimestamp != nil {
		t.deleted = m.DeletionTimestamp.Time
	}
	return t
}

// owner returns the UID of an object's one owner, if that is of this kind of ARC.
func owner(refs []metav1.OwnerReference, kind string) types.UID {
	if len(refs) != 1 || refs[0].Kind != kind || refs[0].APIVersion != arc.Group+"/"+arc.Version {
		return ""
	}
	return refs[0].UID
}

// core reads Roles, RoleBindings, ServiceAccounts and Secrets, of which only the metadata matter for most.
func (l *looking) core(namespace string) {
	for _, gvr := range plan.ProtectedResources {
		err := l.c.Each(l.ctx, gvr, namespace, metav1.ListOptions{}, func(m *metav1.PartialObjectMetadata) error {
			t := newThing(gvr, m)
			named := types.NamespacedName{Namespace: m.Labels[arc.LabelListenerNamespace], Name: m.Labels[arc.LabelListenerName]}
			switch isRights := gvr.Group == object.Roles.Group; {
			case isRights && (named.Name != "" || len(protections(t)) > 0):
				l.rights = append(l.rights, rights{thing: t, listener: named, owned: len(m.OwnerReferences) > 0})
			case !isRights && t.Deleting && len(protections(t)) > 0:
				l.others = append(l.others, t)
			}
			return nil
		})
		l.read(gvr.GroupResource().String(), err)
	}
}

// list reads whole objects of ARC. Each gives a thing and the fields of T.
func list[T any](l *looking, resource, namespace string, add func(thing, T)) {
	gvr := arc.Resource(resource)
	items, err := l.c.List(l.ctx, gvr, namespace, "")
	if !l.read(gvr.GroupResource().String(), err) {
		return
	}
	for _, u := range items {
		t, fields, err := convert[T](gvr, &u)
		if l.read(gvr.GroupResource().String()+" "+u.GetName(), err) {
			add(t, fields)
		}
	}
}

// convert returns the metadata of an object and its fields in T.
func convert[T any](gvr schema.GroupVersionResource, u *unstructured.Unstructured) (thing, T, error) {
	var m metav1.PartialObjectMetadata
	var fields T
	err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, &m)
	if err == nil {
		err = runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, &fields)
	}
	return newThing(gvr, &m), fields, err
}

// needs are the fields of a runner's spec that name other objects.
type needs struct {
	Secret string `json:"githubConfigSecret"`
	Spec   struct {
		Account string `json:"serviceAccountName"`
	} `json:"spec"`
}

// names returns those objects.
func (n needs) names() []string { return []string{n.Secret, n.Spec.Account} }

func (l *looking) readRunners(namespace string) {
	runners := arc.Resource(arc.EphemeralRunners)
	needy := map[string]bool{} // a runner that needs something matters only where something is to be freed
	for _, t := range l.others {
		needy[t.Namespace] = true
	}
	for _, r := range l.rights {
		needy[r.Namespace] = needy[r.Namespace] || r.Deleting && len(protections(r.thing)) > 0
	}
	err := l.c.Each(l.ctx, runners, namespace, metav1.ListOptions{}, func(m *metav1.PartialObjectMetadata) error {
		t := newThing(runners, m)
		t.Owner = owner(m.OwnerReferences, arc.EphemeralRunnerSet)
		l.runners = append(l.runners, runner{thing: t})
		return nil
	})
	l.read(runners.GroupResource().String(), err)
	for i, r := range l.runners {
		if !needy[r.Namespace] || r.uses != nil {
			continue
		}
		_, fields, found := whole[struct {
			Spec needs `json:"spec"`
		}](l, r.Object)
		if found {
			l.runners[i].uses = fields.Spec.names()
		}
	}
}

// whole reads an object again, whole. It is not found if it is gone, if another object has its name, or if it
// could not be read.
func whole[T any](l *looking, o *object.Object) (t thing, fields T, found bool) {
	u, err := l.c.Get(l.ctx, o.Resource, o.Namespace, o.Name)
	if apierrors.IsNotFound(err) {
		return t, fields, false
	}
	if err == nil {
		t, fields, err = convert[T](o.Resource, u)
	}
	return t, fields, l.read(o.String(), err) && t.UID == o.UID
}

func (l *looking) readRunnerSets(namespace string) {
	type fields struct {
		metav1.ObjectMeta `json:"metadata"`
		Spec              struct {
			Runner needs `json:"ephemeralRunnerSpec"`
		} `json:"spec"`
		Status struct {
			Running int64 `json:"runningEphemeralRunners"`
			Pending int64 `json:"pendingEphemeralRunners"`
		} `json:"status"`
	}
	list(l, arc.EphemeralRunnerSets, namespace, func(t thing, f fields) {
		t.Owner = owner(f.OwnerReferences, arc.AutoscalingRunnerSet)
		l.runnerSets = append(l.runnerSets, runnerSet{thing: t, active: f.Status.Running + f.Status.Pending, uses: f.Spec.Runner.names()})
	})
}

func (l *looking) readListeners(namespace string) {
	type fields struct {
		Spec struct {
			SetNamespace string `json:"autoscalingRunnerSetNamespace"`
			SetName      string `json:"autoscalingRunnerSetName"`
			RunnerSet    string `json:"ephemeralRunnerSetName"`
			Image        string `json:"image"`
			Secret       string `json:"githubConfigSecret"`
		} `json:"spec"`
	}
	list(l, arc.AutoscalingListeners, namespace, func(t thing, f fields) {
		l.listeners = append(l.listeners, listener{
			thing: t, set: types.NamespacedName{Namespace: f.Spec.SetNamespace, Name: f.Spec.SetName},
			image: f.Spec.Image, runnerSet: f.Spec.RunnerSet, secret: f.Spec.Secret,
		})
	})
}

func (l *looking) readSets(namespace string) {
	type fields struct {
		metav1.ObjectMeta `json:"metadata"`
		Spec              struct {
			URL      string `json:"githubConfigUrl"`
			Group    string `json:"runnerGroup"`
			Secret   string `json:"githubConfigSecret"`
			Template needs  `json:"template"`
		} `json:"spec"`
	}
	list(l, arc.AutoscalingRunnerSets, namespace, func(t thing, f fields) {
		l.sets = append(l.sets, scaleSet{
			thing: t, url: f.Spec.URL, group: f.Spec.Group, frees: arc.Frees(f.Annotations),
			uses: append(f.Spec.Template.names(), f.Spec.Secret),
		})
	})
}

// readControllers reads of each controller what decides about its listeners.
func (l *looking) readControllers(namespaces []string) {
	found, err := survey.Controllers(l.ctx, l.c, namespaces)
	l.read("ARC controllers", err)
	type fields struct {
		metav1.ObjectMeta `json:"metadata"`
		Spec              struct {
			Replicas *int64 `json:"replicas"`
			Template struct {
				metav1.ObjectMeta `json:"metadata"`
				Spec              struct {
					Containers []arc.ControllerEnvironment `json:"containers"`
				} `json:"spec"`
			} `json:"template"`
		} `json:"spec"`
		Status struct {
			Observed  int64 `json:"observedGeneration"`
			Replicas  int64 `json:"replicas"`
			Updated   int64 `json:"updatedReplicas"`
			Available int64 `json:"availableReplicas"`
		} `json:"status"`
	}
	for _, known := range found {
		_, f, there := whole[fields](l, known.Object)
		if !there {
			continue
		}
		containers := f.Spec.Template.Spec.Containers
		c := controller{Controller: known, image: arc.ListenerImage(containers), late: arc.UpdatesLate(containers)}
		c.version = arc.ControllerVersion(f.Spec.Template.Labels, c.image)
		status := f.Status
		switch wanted := replicas(f.Spec.Replicas); {
		case known.Deleting:
			c.idle = "is being deleted"
		case known.Down != "":
			c.idle = known.Down
		case wanted == 0 || status.Observed < f.Generation || status.Replicas != wanted || status.Updated != wanted || status.Available != wanted:
			c.idle = "is being rolled out"
		}
		l.controllers = append(l.controllers, c)
	}
	slices.SortFunc(l.controllers, func(a, b controller) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
}

// replicas returns how many replicas a Deployment asks for: one by Kubernetes' default.
func replicas(asked *int64) int64 {
	if asked == nil {
		return 1
	}
	return *asked
}

// readRights reads in full the Roles and RoleBindings that something may be decided about.
func (l *looking) readRights() {
	type fields struct {
		Rules   []arc.Rule `json:"rules"`
		RoleRef struct {
			Kind string `json:"kind"`
			Name string `json:"name"`
		} `json:"roleRef"`
		Subjects []struct {
			Kind      string `json:"kind"`
			Namespace string `json:"namespace"`
			Name      string `json:"name"`
		} `json:"subjects"`
	}
	kept := l.rights[:0]
	for _, r := range l.rights {
		if len(protections(r.thing)) == 0 && l.exists(r.listener) {
			continue // of a listener that lives
		}
		t, f, found := whole[fields](l, r.Object)
		if !found {
			continue
		}
		r.thing, r.asListener = t, arc.IsListenerRole(f.Rules)
		if f.RoleRef.Kind == "Role" {
			r.role, r.asListener = f.RoleRef.Name, l.bindsListenerRole(r, f.RoleRef.Name)
		}
		for _, s := range f.Subjects {
			account := types.NamespacedName{Namespace: s.Namespace, Name: s.Name}
			if s.Kind != "ServiceAccount" {
				account = types.NamespacedName{Name: fmt.Sprintf("%s %s", s.Kind, s.Name)}
			}
			r.accounts = append(r.accounts, account)
		}
		kept = append(kept, r)
	}
	l.rights = kept
}

// bindsListenerRole reports whether the Role that a RoleBinding binds grants what a listener needs, or is
// gone.
func (l *looking) bindsListenerRole(r rights, role string) bool {
	at := object.Object{Resource: object.Roles, Namespace: r.Namespace, Name: role}
	u, err := l.c.Get(l.ctx, at.Resource, at.Namespace, at.Name)
	if apierrors.IsNotFound(err) {
		return true
	}
	var fields struct {
		Rules []arc.Rule `json:"rules"`
	}
	if err == nil {
		err = runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, &fields)
	}
	return l.read(at.String(), err) && arc.IsListenerRole(fields.Rules)
}
