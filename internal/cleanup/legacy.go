package cleanup

import (
	"context"
	"fmt"
	"maps"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/kube"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
	"github.com/arc-cleanup/arc-cleanup/internal/shell"
)

// legacyKinds are, for Scope Legacy, the kinds that take part, children before
// parents: the runners' Pods, which have finalizers, and the custom resources.
func legacyKinds() []schema.GroupVersionResource {
	return append([]schema.GroupVersionResource{object.Pods}, arc.LegacyResources()...)
}

// legacyOwned are the kinds, beside Pods, that a RunnerSet or a Runner owns
// (controllers/actions.summerwind.net/runnerset_controller.go, runner_controller.go).
var legacyOwned = []schema.GroupVersionResource{object.StatefulSets, object.ServiceAccounts, object.Roles, object.RoleBindings}

// Webhooks is a configuration of the legacy chart's webhooks.
type Webhooks struct {
	*object.Object
	// Service is the one that answers them.
	Service types.NamespacedName
	// Dead says why nobody answers; empty when somebody may.
	Dead string
}

// surveyLegacy is survey for Scope Legacy.
func surveyLegacy(ctx context.Context, c *kube.Client, o Options) *Survey {
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
	weighPods(s)
	markAlone(s)
	return s
}

// legacy reads the legacy custom resources, after what they own, and their controllers.
func (r *reading) legacy() {
	var found legacyRest
	for _, namespace := range r.o.coreNamespaces() {
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
		for _, namespace := range r.o.customNamespaces(gvr.Resource) {
			r.read(gvr.GroupResource().String(), func(add func(func())) error {
				return r.c.Each(r.ctx, gvr, namespace, metav1.ListOptions{}, func(m *metav1.PartialObjectMetadata) error {
					obj := legacyObject(gvr, m)
					add(func() { s.Custom = append(s.Custom, obj) })
					return nil
				})
			})
		}
		r.wait()
	}
	r.read("legacy ARC controllers", func(add func(func())) error {
		found, err := legacyControllers(r.ctx, r.c)
		add(func() { s.Controllers = append(s.Controllers, found...) })
		return err
	})
}

// markAlone marks the jobs of runners which nothing scales.
func markAlone(s *Survey) {
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

// weighPods forgets what Pods alone say. Whoever may create one can give it the owner
// and the finalizers of a runner's: a job it has, and the uninstall waits for it, only
// if its owner is there. Without one it is its finalizers that take part, if it has any
// of ARC's, and else it is what owners left.
func weighPods(s *Survey) {
	owners := map[types.UID]string{}
	for _, o := range s.Custom {
		if o.Resource != object.Pods {
			owners[o.UID] = o.Namespace
		}
	}
	unowned := func(pod *object.Object) bool { return owners[pod.Owner] != pod.Namespace }
	maps.DeleteFunc(s.Busy, func(_ types.UID, j Job) bool { return unowned(j.Pod) })
	s.Custom = slices.DeleteFunc(s.Custom, func(o *object.Object) bool {
		own, _ := arc.Finalizers(o.Finalizers)
		return o.Resource == object.Pods && len(own) == 0 && unowned(o)
	})
}

// legacyObject is object for what legacy custom resources own, and for themselves.
func legacyObject(gvr schema.GroupVersionResource, m *metav1.PartialObjectMetadata) *object.Object {
	o := fromMetadata(gvr, m)
	o.Owner = owner(m, arc.LegacyGroup)
	return o
}

// legacyRest is what legacyDependents finds.
type legacyRest struct {
	pods  []*object.Object // of runners
	owned []*object.Object // these and others, as far as a custom resource owns them
	// linked are the Pods and Secrets of jobs, of which only the finalizer on the
	// runner's Pod still tells.
	linked []*object.Object
	ofJobs []OfJob // these, and what only says so
	busy   map[types.UID]Job
	// registered are the Pods of runners that GitHub has, or may have.
	registered map[types.UID]bool
}

// append adds what was found in another namespace.
func (r *legacyRest) append(o legacyRest) {
	if r.busy == nil {
		r.busy, r.registered = map[types.UID]Job{}, map[types.UID]bool{}
	}
	r.pods, r.owned, r.linked = append(r.pods, o.pods...), append(r.owned, o.owned...), append(r.linked, o.linked...)
	r.ofJobs = append(r.ofJobs, o.ofJobs...)
	maps.Copy(r.busy, o.busy)
	maps.Copy(r.registered, o.registered)
}

// legacyDependents finds runners' Pods, and what else custom resources own. A
// RunnerSet's Pods are owned by a StatefulSet; they count as the RunnerSet's.
func legacyDependents(ctx context.Context, c *kube.Client, namespace string) (found legacyRest, err error) {
	found.busy, found.registered = map[types.UID]Job{}, map[types.UID]bool{}
	sets := map[types.UID]types.UID{}
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
	// pod returns the Pod, if it is a runner's.
	pod := func(m *metav1.PartialObjectMetadata) (o *object.Object, is bool) {
		o = legacyObject(object.Pods, m)
		for _, ref := range m.OwnerReferences {
			if set := sets[ref.UID]; set != "" {
				o.Owner = set
			}
		}
		own, _ := arc.Finalizers(o.Finalizers)
		return o, o.Owner != "" || len(own) > 0
	}
	err = c.Each(ctx, object.Pods, namespace, metav1.ListOptions{}, func(m *metav1.PartialObjectMetadata) error {
		if o, is := pod(m); is {
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
	linked := map[types.NamespacedName]bool{}
	for _, o := range found.pods {
		linked[types.NamespacedName{Namespace: o.Namespace, Name: o.Name}] = slices.Contains(o.Finalizers, arc.LegacyLinkedFinalizer)
	}
	for _, gvr := range []schema.GroupVersionResource{object.Pods, object.Secrets} {
		err := c.Each(ctx, gvr, namespace, metav1.ListOptions{LabelSelector: arc.LabelRunnerPod}, func(m *metav1.PartialObjectMetadata) error {
			o := legacyObject(gvr, m)
			found.ofJobs = append(found.ofJobs, OfJob{o, m.Labels[arc.LabelRunnerPod]})
			if linked[types.NamespacedName{Namespace: m.Namespace, Name: m.Labels[arc.LabelRunnerPod]}] {
				found.linked = append(found.linked, o)
			}
			return nil
		})
		if err != nil {
			return found, err
		}
	}
	// Nothing in the cluster says whether a legacy runner has a job: all that can be
	// known is that its Pod runs, nobody has told it to stop, and GitHub has not
	// removed it, or refused to because there is a job.
	running := metav1.ListOptions{FieldSelector: started}
	return found, c.Each(ctx, object.Pods, namespace, running, func(m *metav1.PartialObjectMetadata) error {
		o, is := pod(m)
		if !is || m.Annotations[arc.AnnotationLegacyUnregistered] != "" {
			return nil
		}
		found.registered[o.UID] = true
		if !o.Deleting {
			j := Job{Pod: o, Guess: "its Pod runs"}
			if said := m.Annotations[arc.AnnotationLegacyRefused]; said != "" {
				j.Guess += ", and GitHub did not remove it: " + said
			}
			found.busy[o.UID] = j
		}
		return nil
	})
}

// started selects the unfinished Pods that have come to a node.
const started = unfinished + ",spec.nodeName!="

// legacyControllers finds the legacy controllers. Of all Deployments only those
// that may be one are read in full.
func legacyControllers(ctx context.Context, c *kube.Client) ([]ARC, error) {
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
	return readControllers(ctx, c, candidates, is, arc.LegacyResource(arc.Runners))
}

// legacyWebhooks finds the configurations of the legacy chart's webhooks: those of
// which every webhook has a name of that chart's and is answered by one Service.
func legacyWebhooks(ctx context.Context, c *kube.Client) ([]Webhooks, error) {
	var found []Webhooks
	for _, gvr := range []schema.GroupVersionResource{object.ValidatingWebhooks, object.MutatingWebhooks} {
		configurations, err := list(ctx, c, gvr, "", "")
		if err != nil {
			return nil, err
		}
		for _, u := range configurations {
			webhooks, err := webhooksOf(u)
			if err != nil {
				return nil, fmt.Errorf("reading %s %s: %w", gvr.Resource, u.GetName(), err)
			}
			if len(webhooks) == 0 {
				continue
			}
			service := webhooks[0].ClientConfig.Service
			if service.Name == "" || slices.ContainsFunc(webhooks, func(w webhook) bool {
				return !arc.IsLegacyWebhook(w.Name) || w.ClientConfig.Service != service
			}) {
				continue
			}
			dead, err := unanswered(ctx, c, service.Namespace, service.Name)
			if err != nil {
				return nil, err
			}
			configuration := target(gvr, u)
			configuration.Release = types.NamespacedName{Namespace: u.GetAnnotations()[arc.AnnotationReleaseNamespace], Name: u.GetAnnotations()[arc.AnnotationReleaseName]}
			found = append(found, Webhooks{configuration, types.NamespacedName{Namespace: service.Namespace, Name: service.Name}, dead})
		}
	}
	return found, nil
}

// webhooks deletes the configurations of the release's webhooks when nobody answers
// them any more: they would refuse the removal of a Runner's finalizer. Helm
// deletes them only after the hook.
func (p *planner) webhooks() {
	if len(p.plan.steps(DeadWebhooks)) > 0 {
		return
	}
	var steps []Step
	for _, w := range p.s.Webhooks {
		if why := p.dead(w); why != "" && p.releases(w) {
			steps = append(steps, Step{Delete, w.Object, why})
		}
	}
	p.phase(DeadWebhooks, steps)
}

// dead says why nobody answers the webhooks; between two crashes of a controller
// its endpoint looks ready.
func (p *planner) dead(w Webhooks) string {
	if w.Dead != "" {
		return w.Dead
	}
	for _, c := range p.s.Controllers {
		if c.Namespace == w.Service.Namespace && c.Down != "" && (p.ours(c) || p.o.ReleaseNamespace == "") {
			return fmt.Sprintf("the controller %s/%s %s", c.Namespace, c.Name, c.Down)
		}
	}
	return ""
}

// releases reports whether the webhooks are those of what is being uninstalled.
func (p *planner) releases(w Webhooks) bool {
	switch {
	case p.release.Name != "" && w.Release.Name != "":
		return w.Release == p.release.Key()
	case p.o.ReleaseNamespace != "":
		return w.Service.Namespace == p.o.ReleaseNamespace
	}
	return !slices.ContainsFunc(p.others, func(c ARC) bool { return c.Namespace == w.Service.Namespace })
}

// linked deletes, where no controller does, the Pods and Secrets of jobs: once the
// finalizer on the runner's Pod is gone, or the EphemeralRunner, nothing tells of them.
func (p *planner) linked() {
	var steps []Step
	for _, o := range p.reachable(p.s.Linked) {
		if !o.Deleting && !p.isLeft(o) && (p.history.Stage == Over || !p.helpedIn(o.Namespace, true)) {
			steps = append(steps, Step{Delete, o, ofAJob})
		}
	}
	seen := map[types.UID]bool{}
	for _, step := range steps {
		seen[step.Object.UID] = true
	}
	for _, step := range p.ofJobs() {
		if !seen[step.Object.UID] {
			steps = append(steps, step)
		}
	}
	p.phase(Linked, steps)
}

// isLegacyRoot reports whether somebody made this legacy object, and it has
// runners.
func isLegacyRoot(o *object.Object) bool {
	return o.Resource.Group == arc.LegacyGroup && o.Resource.Resource != arc.HorizontalRunnerAutoscalers && o.Owner == ""
}

// liveRunners refuses a legacy object that is still installed. What is deleted
// takes its runners along, whether they have jobs or not; scaled to zero, it lets
// them finish (controllers/actions.summerwind.net/runnerreplicaset_controller.go).
func (p *planner) liveRunners(o *object.Object) Refusal {
	kind := o.Resource.Resource[:len(o.Resource.Resource)-1]
	r := Refusal{
		Verdict: Refused,
		Message: fmt.Sprintf("%s %s in namespace %s is still installed", kind, o.Name, o.Namespace),
		Do:      []string{deletion(kind+"."+arc.LegacyGroup, o.Name, o.Namespace)},
	}
	p.byRelease(o, &r)
	if o.Resource.Resource != arc.Runners {
		r.Message += "; to let its runners finish their jobs, scale it to zero first"
		r.Do = append([]string{shell.Command("kubectl", "patch", kind+"."+arc.LegacyGroup, o.Name, "--namespace", o.Namespace, "--type", "merge", "--patch", "spec: {replicas: 0}")}, r.Do...)
	}
	return r
}

// stop has the live controller end its runners. Deleted, a RunnerDeployment or a
// RunnerSet would take them along at once; scaled to zero, the controller removes
// each at GitHub, which refuses while there is a job, and then deletes it. Only
// when no runner is left are their owners deleted.
func (p *planner) stop(helped []*object.Object) {
	alone := map[types.UID]bool{} // runners which nothing scales
	for _, o := range helped {
		if o.Resource.Resource == arc.Runners && o.Owner == "" {
			alone[o.UID] = true
		}
	}
	kinds := legacyKinds()
	var autoscalers, stops, runners []Step
	deletes := make([][]Step, len(kinds))
	for _, o := range helped {
		i := len(kinds) - 1 - slices.Index(kinds, o.Resource) // parents first
		_, busy := p.s.Busy[o.UID]
		switch {
		case p.isLeft(o):
		case o.Resource == object.Pods && alone[o.Owner]:
			if busy && p.o.busyRunners() != ForceBusy {
				delete(alone, o.Owner)
			}
		case o.Resource == object.Pods, o.Resource.Resource == arc.Runners && o.Owner != "":
			runners = append(runners, Step{Await, o, "the controller removes it at GitHub, and then here"})
		case o.Deleting:
			deletes[i] = append(deletes[i], Step{Await, o, "already being deleted"})
		case o.Resource.Resource == arc.HorizontalRunnerAutoscalers:
			autoscalers = append(autoscalers, Step{Delete, o, "it would start runners again"})
		case o.Resource.Resource == arc.Runners:
			// Below: its Pod decides.
		default:
			if o.Owner == "" {
				stops = append(stops, Step{Stop, o, "lets its runners finish"})
			}
			deletes[i] = append(deletes[i], Step{Delete, o, "without runners"})
		}
	}
	if len(runners) > 0 {
		p.webhooks() // which refuse the change of replicas, too
		p.phase(StopRunners, autoscalers, stops)
		p.phase(Drain, runners)
		return
	}
	last := len(kinds) - 1 - slices.Index(kinds, arc.LegacyResource(arc.Runners))
	for _, o := range helped {
		if alone[o.UID] && !o.Deleting && !p.isLeft(o) {
			deletes[last] = append(deletes[last], Step{Delete, o, "has no job"})
		}
	}
	p.phase(Drain, append([][]Step{autoscalers}, deletes...)...)
}
