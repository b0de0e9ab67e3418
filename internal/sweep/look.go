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
	l := looking{ctx, c, &facts{scope: scope, busy: map[types.UID]plan.Job{}}}
	// If this question fails, the lists below say why.
	if served, err := c.Served(ctx, arc.Group); err == nil && len(served) == 0 {
		l.unserved = true
		return l.facts
	}
	namespaces := orAll(scope.Namespaces)
	for _, namespace := range namespaces {
		l.core(namespace)
	}
	l.readPods()
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
	l.readBindings()
	l.readNamespaces()
	if jobs, err := survey.Busy(ctx, c, namespaces); l.read("jobs of runners", err) {
		l.busy = jobs
	}
	return l.facts
}

// orAll returns the namespaces, each once, or the one that means all.
func orAll(namespaces []string) []string {
	if len(namespaces) == 0 {
		return []string{metav1.NamespaceAll}
	}
	return slices.Compact(slices.Sorted(slices.Values(namespaces)))
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

// list reads whole objects. Each gives a thing and the fields of T.
func list[T any](l *looking, gvr schema.GroupVersionResource, namespace string, add func(thing, T)) {
	err := l.c.EachPage(l.ctx, gvr, namespace, "", func(page []unstructured.Unstructured) error {
		for _, u := range page {
			t, fields, err := convert[T](gvr, &u)
			if l.read(gvr.GroupResource().String()+" "+u.GetName(), err) {
				add(t, fields)
			}
		}
		return nil
	})
	l.read(gvr.GroupResource().String(), err)
}

// convert returns the metadata of an object and its fields in T.
func convert[T any](gvr schema.GroupVersionResource, u *unstructured.Unstructured) (thing, T, error) {
	var m metav1.PartialObjectMetadata
	var fields T
	err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, &m)
	if err == nil {
		err = runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, &fields)
	}
	t := newThing(gvr, &m)
	t.names = namesIn(u.Object["spec"])
	return t, fields, err
}

func (l *looking) readRunners(namespace string) {
	runners := arc.Resource(arc.EphemeralRunners)
	err := l.c.Each(l.ctx, runners, namespace, metav1.ListOptions{}, func(m *metav1.PartialObjectMetadata) error {
		t := newThing(runners, m)
		t.Owner = owner(m.OwnerReferences, arc.EphemeralRunnerSet)
		l.runners = append(l.runners, runner{thing: t})
		return nil
	})
	l.read(runners.GroupResource().String(), err)
	needy := l.needy()
	for i, r := range l.runners {
		if !needy[r.Namespace] || r.uses != nil {
			continue
		}
		if t, _, found := whole[struct{}](l, r.Object); found {
			l.runners[i].uses = append([]string{}, t.names...)
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
	}
	list(l, arc.Resource(arc.EphemeralRunnerSets), namespace, func(t thing, f fields) {
		t.Owner = owner(f.OwnerReferences, arc.AutoscalingRunnerSet)
		l.runnerSets = append(l.runnerSets, runnerSet{thing: t, uses: t.names})
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
	list(l, arc.Resource(arc.AutoscalingListeners), namespace, func(t thing, f fields) {
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
			URL   string `json:"githubConfigUrl"`
			Group string `json:"runnerGroup"`
			Name  string `json:"runnerScaleSetName"`
		} `json:"spec"`
	}
	list(l, arc.Resource(arc.AutoscalingRunnerSets), namespace, func(t thing, f fields) {
		l.sets = append(l.sets, scaleSet{
			thing: t, url: f.Spec.URL, group: f.Spec.Group, frees: arc.Frees(f.Annotations),
			pending: arc.PendingAtGitHub(f.Annotations, f.Spec.Group, f.Spec.Name),
			uses:    t.names,
		})
	})
}

// deployment is what of a controller decides about its listeners.
type deployment struct {
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
		// Conditions change when a rollout ends, and when replicas become available.
		Conditions []struct {
			Changed metav1.Time `json:"lastTransitionTime"`
			Updated metav1.Time `json:"lastUpdateTime"`
		} `json:"conditions"`
	} `json:"status"`
}

// rollout says that a rollout goes on, or has ended so lately that the old controller may still work; ""
// if neither. In the second case, it returns until when.
func (l *looking) rollout(d deployment) (why string, until time.Time) {
	status := d.Status
	if wanted := replicas(d.Spec.Replicas); wanted == 0 || status.Observed < d.Generation ||
		status.Replicas != wanted || status.Updated != wanted || status.Available != wanted {
		return "is being rolled out", time.Time{}
	}
	least := l.scope.least()
	for _, c := range status.Conditions {
		for _, changed := range []time.Time{c.Changed.Time, c.Updated.Time} {
			if old := changed.Add(least); old.After(until) {
				until = old
			}
		}
	}
	if !until.After(l.now) {
		return "", time.Time{}
	}
	return fmt.Sprintf("was rolled out or became ready less than %s ago", least), until
}

// readControllers reads of each controller what decides about its listeners.
func (l *looking) readControllers(namespaces []string) {
	l.now = l.c.Now()
	found, err := survey.Controllers(l.ctx, l.c, namespaces)
	l.read("ARC controllers", err)
	for _, known := range found {
		if !l.read(fmt.Sprintf("the rights of the controller %s/%s", known.Namespace, known.Name), known.Unproven) {
			continue
		}
		_, d, there := whole[deployment](l, known.Object)
		if !there {
			continue
		}
		containers := d.Spec.Template.Spec.Containers
		c := controller{Controller: known, image: arc.ListenerImage(containers), late: arc.UpdatesLate(containers)}
		c.version = arc.ControllerVersion(d.Spec.Template.Labels, c.image)
		switch {
		case known.Deleting:
			c.idle = "is being deleted"
		case known.Down != "":
			c.idle = known.Down
		default:
			c.idle, c.until = l.rollout(d)
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
