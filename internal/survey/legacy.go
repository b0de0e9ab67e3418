package survey

import (
	"context"
	"maps"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/kube"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
)

// legacyOwned are the kinds, besides Pods, that a RunnerSet or a Runner owns
// (controllers/actions.summerwind.net/runnerset_controller.go, runner_controller.go).
var legacyOwned = []schema.GroupVersionResource{object.StatefulSets, object.ServiceAccounts, object.Roles, object.RoleBindings}

// surveyLegacy is Read for Scope Legacy.
func surveyLegacy(ctx context.Context, c *kube.Client, o plan.Options) *plan.Survey {
	r := newReading(ctx, c, o)
	s := r.s
	r.proof()
	r.legacy()
	r.read("legacy webhooks", func(add func(func())) error {
		found, err := legacyWebhooks(ctx, c)
		add(func() { s.Webhooks = found })
		return err
	})
	r.crds(arc.LegacyCRDs())
	r.surroundings()
	r.end(arc.LegacyGroup)
	r.prove()
	dropUnprovenPods(s)
	markAlone(s)
	return s
}

// legacy reads first the dependents of the legacy custom resources, then the custom resources, then
// their controllers.
func (r *reading) legacy() {
	var found legacyRest
	for _, namespace := range r.o.CoreNamespaces() {
		r.read("what legacy runners own", func(add func(func())) error {
			in, err := legacyDependents(r.ctx, r.c, namespace)
			add(func() { found.append(in) })
			return err
		})
	}
	r.wait()
	s := r.s
	s.Custom, s.Dependents = append(s.Custom, found.pods...), append(s.Dependents, found.owned...)
	s.Linked, s.OfJobs, s.Busy, s.Registered = found.linked, found.ofJobs, found.busy, found.registered
	for _, gvr := range arc.LegacyResources() {
		for _, namespace := range r.o.CustomNamespaces(gvr.Resource) {
			r.read(gvr.GroupResource().String(), func(add func(func())) error {
				return r.c.Each(r.ctx, gvr, namespace, metav1.ListOptions{}, func(m *metav1.PartialObjectMetadata) error {
					obj := legacyObject(gvr, m)
					add(func() {
						s.Custom = append(s.Custom, obj)
						r.managed(obj, m)
					})
					return nil
				})
			})
		}
		r.wait()
	}
	r.read("legacy ARC controllers", func(add func(func())) error {
		found, err := LegacyControllers(r.ctx, r.c)
		add(func() { s.Controllers = append(s.Controllers, found...) })
		return err
	})
}

// markAlone marks the jobs of runners that nothing scales.
func markAlone(s *plan.Survey) {
	for _, o := range s.Custom {
		if o.Resource != arc.LegacyResource(arc.Runners) || o.Owner != "" {
			continue
		}
		for uid, j := range s.Busy {
			if j.Pod.Owner == o.UID {
				j.Alone = true
				s.Busy[uid] = j
			}
		}
	}
}

// dropUnprovenPods drops what only Pods claim. Anyone who may create a Pod can give it the owner
// and the finalizers of a runner's Pod. So a Pod counts as busy, which makes the uninstall wait for
// it, only if its owner exists. A Pod without an existing owner stays in Custom if it has a
// finalizer of ARC. Otherwise it is only a dependent whose owner is gone.
func dropUnprovenPods(s *plan.Survey) {
	owners := map[types.UID]string{}
	for _, o := range s.Custom {
		if o.Resource != object.Pods {
			owners[o.UID] = o.Namespace
		}
	}
	unowned := func(pod *object.Object) bool { return owners[pod.Owner] != pod.Namespace }
	maps.DeleteFunc(s.Busy, func(_ types.UID, j plan.Job) bool { return unowned(j.Pod) })
	s.Custom = slices.DeleteFunc(s.Custom, func(o *object.Object) bool {
		own, _ := arc.Finalizers(o.Finalizers)
		return o.Resource == object.Pods && len(own) == 0 && unowned(o)
	})
}

// legacyObject converts the metadata of a legacy custom resource, or of one of its dependents.
func legacyObject(gvr schema.GroupVersionResource, m *metav1.PartialObjectMetadata) *object.Object {
	o := FromMetadata(gvr, m)
	o.Owner = owner(m, arc.LegacyGroup)
	return o
}

// legacyRest is the result of legacyDependents.
type legacyRest struct {
	pods  []*object.Object // of runners
	owned []*object.Object // these and others that a custom resource owns
	// linked are the Pods and Secrets of jobs that only the finalizer on the runner's Pod still
	// links to ARC.
	linked []*object.Object
	ofJobs []plan.OfJob // linked, and all others whose label names a runner
	busy   map[types.UID]plan.Job
	// registered are the Pods of runners that are, or may be, registered at GitHub.
	registered map[types.UID]bool
}

// append adds what was found in another namespace.
func (r *legacyRest) append(o legacyRest) {
	if r.busy == nil {
		r.busy, r.registered = map[types.UID]plan.Job{}, map[types.UID]bool{}
	}
	r.pods, r.owned, r.linked = append(r.pods, o.pods...), append(r.owned, o.owned...), append(r.linked, o.linked...)
	r.ofJobs = append(r.ofJobs, o.ofJobs...)
	maps.Copy(r.busy, o.busy)
	maps.Copy(r.registered, o.registered)
}

// legacyDependents finds the Pods of runners, and everything else that legacy custom resources own.
func legacyDependents(ctx context.Context, c *kube.Client, namespace string) (legacyRest, error) {
	found := legacyRest{busy: map[types.UID]plan.Job{}, registered: map[types.UID]bool{}}
	sets := map[types.UID]types.UID{} // the custom resource that owns an owner of Pods
	for _, gvr := range legacyOwned {
		err := c.Each(ctx, gvr, namespace, metav1.ListOptions{}, func(m *metav1.PartialObjectMetadata) error {
			if o := legacyObject(gvr, m); o.Owner != "" {
				found.owned = append(found.owned, o)
				sets[o.UID] = o.Owner
			}
			return nil
		})
		if err != nil {
			return found, err
		}
	}
	err := c.Each(ctx, object.Pods, namespace, metav1.ListOptions{}, func(m *metav1.PartialObjectMetadata) error {
		if o, is := legacyPod(m, sets); is {
			found.pods = append(found.pods, o)
			if o.Owner != "" {
				found.owned = append(found.owned, o)
			}
		}
		return nil
	})
	if err != nil {
		return found, err
	}
	if err := found.readJobs(ctx, c, namespace); err != nil {
		return found, err
	}
	err = found.readRunning(ctx, c, namespace, sets)
	return found, err
}

// legacyPod returns a Pod, and whether it is a runner's Pod. A StatefulSet owns the Pods of a
// RunnerSet; they count as the RunnerSet's.
func legacyPod(m *metav1.PartialObjectMetadata, sets map[types.UID]types.UID) (o *object.Object, is bool) {
	o = legacyObject(object.Pods, m)
	for _, ref := range m.OwnerReferences {
		if set := sets[ref.UID]; set != "" {
			o.Owner = set
		}
	}
	own, _ := arc.Finalizers(o.Finalizers)
	return o, o.Owner != "" || len(own) > 0
}

// readJobs reads the Pods and Secrets whose label says that they belong to a runner's job.
func (r *legacyRest) readJobs(ctx context.Context, c *kube.Client, namespace string) error {
	linked := map[types.NamespacedName]bool{}
	for _, o := range r.pods {
		linked[types.NamespacedName{Namespace: o.Namespace, Name: o.Name}] = slices.Contains(o.Finalizers, arc.LegacyLinkedFinalizer)
	}
	for _, gvr := range []schema.GroupVersionResource{object.Pods, object.Secrets} {
		err := c.Each(ctx, gvr, namespace, metav1.ListOptions{LabelSelector: arc.LabelRunnerPod}, func(m *metav1.PartialObjectMetadata) error {
			o := legacyObject(gvr, m)
			r.ofJobs = append(r.ofJobs, plan.OfJob{Object: o, Runner: m.Labels[arc.LabelRunnerPod]})
			if linked[types.NamespacedName{Namespace: m.Namespace, Name: m.Labels[arc.LabelRunnerPod]}] {
				r.linked = append(r.linked, o)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// readRunning reads which runners may have a job. Nothing in the cluster says whether a legacy
// runner has one. What can be known is that its Pod runs, that the Pod was not told to stop, and
// that GitHub has not removed the runner, or has refused to because of a job.
func (r *legacyRest) readRunning(ctx context.Context, c *kube.Client, namespace string, sets map[types.UID]types.UID) error {
	running := metav1.ListOptions{FieldSelector: started}
	return c.Each(ctx, object.Pods, namespace, running, func(m *metav1.PartialObjectMetadata) error {
		o, is := legacyPod(m, sets)
		if !is || m.Annotations[arc.AnnotationLegacyUnregistered] != "" {
			return nil
		}
		r.registered[o.UID] = true
		if !o.Deleting {
			j := plan.Job{Pod: o, Guess: "its Pod runs"}
			if said := m.Annotations[arc.AnnotationLegacyRefused]; said != "" {
				j.Guess += ", and GitHub did not remove it: " + said
			}
			r.busy[o.UID] = j
		}
		return nil
	})
}

// started selects the unfinished Pods that are scheduled on a node.
const started = Unfinished + ",spec.nodeName!="

// LegacyControllers finds the legacy controllers. It reads only those Deployments in full that may
// be one.
func LegacyControllers(ctx context.Context, c *kube.Client) ([]plan.Controller, error) {
	var candidates []types.NamespacedName
	err := c.Each(ctx, object.Deployments, "", metav1.ListOptions{}, func(m *metav1.PartialObjectMetadata) error {
		if arc.MayBeLegacyController(m.Labels) {
			candidates = append(candidates, types.NamespacedName{Namespace: m.Namespace, Name: m.Name})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	is := func(labels map[string]string, containers []arc.Container) (watches []string, is bool) {
		namespace, is := arc.LegacyController(labels, containers)
		if namespace != "" {
			watches = []string{namespace}
		}
		return watches, is
	}
	s := newSearch(c, is, arc.LegacyResource(arc.Runners))
	for _, name := range candidates {
		d, err := c.Get(ctx, object.Deployments, name.Namespace, name.Name)
		if apierrors.IsNotFound(err) {
			continue
		}
		if err == nil {
			err = s.look(ctx, *d)
		}
		if err != nil {
			return s.end(err)
		}
	}
	return s.end(nil)
}

// legacyWebhooks finds the configurations of the legacy chart's webhooks. In such a configuration
// every webhook has a name of that chart and the same Service.
func legacyWebhooks(ctx context.Context, c *kube.Client) ([]plan.Webhooks, error) {
	var found []plan.Webhooks
	err := eachWebhooks(ctx, c, func(gvr schema.GroupVersionResource, u unstructured.Unstructured, webhooks []webhook) error {
		if len(webhooks) == 0 {
			return nil
		}
		service := webhooks[0].ClientConfig.Service
		if service.Name == "" || slices.ContainsFunc(webhooks, func(w webhook) bool {
			return !arc.IsLegacyWebhook(w.Name) || w.ClientConfig.Service != service
		}) {
			return nil
		}
		dead, err := unanswered(ctx, c, service.Namespace, service.Name)
		if err != nil {
			return err
		}
		configuration := target(gvr, u)
		configuration.Release = types.NamespacedName{Namespace: u.GetAnnotations()[arc.AnnotationReleaseNamespace], Name: u.GetAnnotations()[arc.AnnotationReleaseName]}
		found = append(found, plan.Webhooks{Object: configuration, Service: types.NamespacedName{Namespace: service.Namespace, Name: service.Name}, Dead: dead})
		return nil
	})
	return found, err
}
