package cleanup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
	"unique"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/identity"
	"github.com/arc-cleanup/arc-cleanup/internal/kube"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
	"github.com/arc-cleanup/arc-cleanup/internal/release"
)

// protectedResources are the core kinds on which ARC's chart puts finalizers.
var protectedResources = []schema.GroupVersionResource{object.RoleBindings, object.Roles, object.ServiceAccounts, object.Secrets}

// ScaleSetInfo is what only an AutoscalingRunnerSet itself knows.
type ScaleSetInfo struct {
	// Current and Running count its runners and the busy ones.
	Current, Running int64
	// ID, Name and URL are what it is at GitHub; ID is empty before it is
	// registered.
	ID, Name, URL string
}

// Unknown is something that could not be read. What is unknown is never taken
// for absent.
type Unknown struct {
	What string
	Err  error
}

// Record is what Helm's record says of a release.
type Record struct {
	Name, Namespace string
	Revision        int
	// Status is Helm's word, as "deployed".
	Status string
	// Deployments and Sets, its AutoscalingRunnerSets, are those that its manifest installs.
	Deployments, Sets []types.NamespacedName
}

// Uninstalling reports whether Helm is uninstalling the release
// (helm.sh/helm pkg/release, StatusUninstalling).
func (r *Record) Uninstalling() bool { return r.Status == "uninstalling" }

// Survey is a read-only picture of the cluster.
type Survey struct {
	// Off is set when the off switch is thrown.
	Off bool
	// Record is of the Helm release being uninstalled; nil when none was asked for.
	Record *Record
	// ProofErr says why Record is missing though it was asked for.
	ProofErr error
	// ByArgoCD says that Argo CD has made the hook's Job.
	ByArgoCD bool

	CRDs         []*object.Object
	Custom       []*object.Object // ARC's custom resources, children before parents
	Protected    []*object.Object // core objects with an ARC finalizer
	ListenerRBAC []*object.Object // listeners' Roles and RoleBindings, which have no owner
	Held         []*object.Object // core objects whose deletion others' finalizers hold up
	Dependents   []*object.Object // Pods, Secrets, ServiceAccounts owned by a custom resource
	Controllers  []ARC
	// Webhooks are the legacy chart's, and Linked the Pods and Secrets of jobs of
	// legacy runners, for Scope Legacy; Custom has the runners' Pods then, too.
	Webhooks []Webhooks
	Linked   []*object.Object
	// OfJobs are the Pods and Secrets that say that they are of an EphemeralRunner's job.
	OfJobs []OfJob
	// LegacyHeld are the Pods with finalizers of legacy ARC, for Scope Controller.
	LegacyHeld []*object.Object
	// Registered holds, by UID, the Pods of legacy runners that GitHub still has.
	Registered map[types.UID]bool
	// Installed are the Helm releases of scale sets, with scaleSets=uninstall.
	Installed []Installed
	// Busy holds the jobs of EphemeralRunners by UID.
	Busy map[types.UID]Job
	// Terminating holds the namespaces on their way out, by name.
	Terminating map[string]Terminating
	// Proven holds, by UID, the objects that are still installed and of which the record
	// of the Helm release that they name says the same.
	Proven map[types.UID]bool
	// Live says, for Scope Namespace, that it is there and nobody deletes it.
	Live bool
	// Sets holds more about each AutoscalingRunnerSet by UID.
	Sets map[types.UID]ScaleSetInfo

	// Obstacles are of others, and likely to be in the way: webhooks and APIs that nobody
	// answers. They are named, and left alone. ObstaclesErr says why
	// they could not be looked for.
	Obstacles    []Finding
	ObstaclesErr error

	Unknown []Unknown
}

// survey takes the picture. It never fails as a whole: what could not be read is in
// Unknown.
//
// What is owned is listed before its owners: an owner is there before what it owns,
// so that one which is in no later list is gone, and never one that is new. Whether
// runners are busy is asked last.
func survey(ctx context.Context, c *kube.Client, o Options) *Survey {
	if o.Scope == Legacy {
		return surveyLegacy(ctx, c, o)
	}
	r := newReading(ctx, c, o)
	s := r.s
	groups := []string{arc.Group}
	r.proof()
	r.wait()
	r.findSets()
	r.core()
	if o.Scope == Namespace {
		// It is freed, whatever was installed in it.
		groups = append(groups, arc.LegacyGroup)
		r.wait()
		r.legacy()
	}
	r.wait()
	for _, gvr := range arc.Resources() {
		r.custom(gvr)
		r.wait()
	}
	sets := arc.Resource(arc.AutoscalingRunnerSets)
	for _, namespace := range r.o.customNamespaces(sets.Resource) {
		r.read(sets.GroupResource().String(), func(add func(func())) error {
			items, err := list(ctx, c, sets, namespace, "")
			for _, u := range items {
				add(func() { s.Sets[u.GetUID()] = scaleSetInfo(u) })
			}
			return err
		})
	}
	r.read("jobs of runners", func(add func(func())) error {
		jobs, err := busy(ctx, c, r.o)
		add(func() { maps.Copy(s.Busy, jobs) })
		return err
	})
	r.read("ARC controllers", func(add func(func())) error {
		namespaces := everywhere
		if o.Scope == ScaleSet {
			namespaces = o.controllerNamespaces()
		}
		found, err := controllers(ctx, c, namespaces)
		add(func() { s.Controllers = append(s.Controllers, found...) })
		return err
	})
	if o.uninstalls() {
		for _, namespace := range o.coreNamespaces() {
			r.read("the Helm releases of scale sets", func(add func(func())) error {
				found, err := installed(ctx, c, namespace, r.placed)
				add(func() { s.Installed = append(s.Installed, found...) })
				return err
			})
		}
	}
	if o.Scope == Controller {
		r.crds(arc.CRDs())
	}
	if o.Scope != ScaleSet {
		r.surroundings()
	}
	r.end(groups...)
	if o.Scope == Namespace {
		weighPods(s)
		markAlone(s)
	}
	askForRights(ctx, c, s)
	r.prove()
	return s
}

// reading is a survey being taken.
type reading struct {
	ctx context.Context
	c   *kube.Client
	o   Options
	s   *Survey

	mu      sync.Mutex
	readers sync.WaitGroup
	// placed are, with scaleSets=uninstall, the objects that a release may have installed.
	placed inPlace
	// absent names the resources, and so the CRDs, that the API server does not know.
	absent map[string]bool
}

func newReading(ctx context.Context, c *kube.Client, o Options) *reading {
	s := &Survey{Terminating: map[string]Terminating{}, Sets: map[types.UID]ScaleSetInfo{}, Busy: map[types.UID]Job{}}
	return &reading{ctx: ctx, c: c, o: o, s: s, placed: inPlace{}, absent: map[string]bool{}}
}

// read reads one thing; add is for changing the survey.
func (r *reading) read(what string, do func(add func(func())) error) {
	r.readers.Go(func() {
		if r.ctx.Err() != nil {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.s.Unknown = append(r.s.Unknown, Unknown{what, errNotAsked})
			return
		}
		err := do(func(add func()) {
			r.mu.Lock()
			defer r.mu.Unlock()
			add()
		})
		r.mu.Lock()
		defer r.mu.Unlock()
		switch {
		case apierrors.IsNotFound(err) && (strings.HasSuffix(what, "."+arc.Group) || strings.HasSuffix(what, "."+arc.LegacyGroup)):
			r.absent[what] = true
		case err != nil:
			r.s.Unknown = append(r.s.Unknown, Unknown{what, err})
		}
	})
}

// errNotAsked is why something is unknown that came after the time was over.
var errNotAsked = errors.New("there was no time left to ask")

// asked is what is unknown though it was asked for: the rest follows from it.
func (s *Survey) asked() []Unknown {
	asked := slices.DeleteFunc(slices.Clone(s.Unknown), func(u Unknown) bool { return errors.Is(u.Err, errNotAsked) })
	if len(asked) == 0 {
		return s.Unknown
	}
	return asked
}

// unreached says, of a hook, why nothing was answered: in a Pod it is seldom the API
// server that is away.
func unreached(o Options, unread []Unknown) []error {
	answered := func(u Unknown) bool {
		var status apierrors.APIStatus
		return errors.As(u.Err, &status)
	}
	if o.Job == "" || len(unread) == 0 || slices.ContainsFunc(unread, answered) {
		return nil
	}
	return []error{errUnreached}
}

// errUnreached is a hint.
var errUnreached = errors.New("the API server answered nothing of this: if a NetworkPolicy or a proxy is between it and the hook's Pod, let the Pod through (podLabels gives it labels that a policy can select)")

// wait waits for what is being read.
func (r *reading) wait() { r.readers.Wait() }

// findSets has the scale sets that the release's record names looked for where they
// are: with namespaceOverride that is not the release's namespace.
func (r *reading) findSets() { r.o.Sets = slices.Concat(r.o.Sets, uninstalled(r.s, r.o).Sets) }

// core reads Pods, and the core objects which ARC protects or owns.
func (r *reading) core() {
	each := func(what string, gvr schema.GroupVersionResource, namespace string, see func(*object.Object, *metav1.PartialObjectMetadata)) {
		r.read(what, func(add func(func())) error {
			return r.c.Each(r.ctx, gvr, namespace, metav1.ListOptions{}, func(m *metav1.PartialObjectMetadata) error {
				obj := fromMetadata(gvr, m)
				add(func() {
					see(obj, m)
					addOfJob(r.s, obj, m)
					if r.o.uninstalls() {
						r.placed.add(obj, m.Labels)
					}
				})
				return nil
			})
		})
	}
	dependent := func(o *object.Object, _ *metav1.PartialObjectMetadata) {
		if own, _ := arc.Finalizers(o.Finalizers); len(own) > 0 && o.Resource == object.Pods {
			r.s.LegacyHeld = append(r.s.LegacyHeld, o)
		}
		if o.Owner != "" {
			r.s.Dependents = append(r.s.Dependents, o)
		}
	}
	for _, namespace := range r.o.coreNamespaces() {
		for _, gvr := range protectedResources {
			each(gvr.GroupResource().String(), gvr, namespace, func(o *object.Object, m *metav1.PartialObjectMetadata) { addCore(r.s, o, m) })
		}
		each("pods", object.Pods, namespace, dependent)
		if r.o.uninstalls() {
			for _, gvr := range labelled {
				each(gvr.Resource+" of scale sets", gvr, namespace, func(*object.Object, *metav1.PartialObjectMetadata) {})
			}
		}
	}
	for _, namespace := range r.o.listenersApart() {
		for _, gvr := range []schema.GroupVersionResource{object.Pods, object.Secrets, object.ServiceAccounts} {
			each(gvr.Resource+" of listeners", gvr, namespace, dependent)
		}
	}
}

// custom reads ARC's custom resources of a kind.
func (r *reading) custom(gvr schema.GroupVersionResource) {
	for _, namespace := range r.o.customNamespaces(gvr.Resource) {
		r.read(gvr.GroupResource().String(), func(add func(func())) error {
			return r.c.Each(r.ctx, gvr, namespace, metav1.ListOptions{}, func(m *metav1.PartialObjectMetadata) error {
				obj := fromMetadata(gvr, m)
				add(func() { r.s.Custom = append(r.s.Custom, obj) })
				return nil
			})
		})
	}
}

// prove asks Helm's records about the objects that are still installed and name a
// release. It is for advice only: what cannot be read proves nothing.
func (r *reading) prove() {
	r.s.Proven = map[types.UID]bool{}
	ctx, cancel := advice(r.ctx)
	defer cancel()
	var g errgroup.Group
	g.SetLimit(kube.Workers)
	claims := slices.Clone(r.s.Custom)
	if r.s.ProofErr != nil {
		for _, c := range r.s.Controllers {
			claims = append(claims, c.Object)
		}
	}
	for _, o := range claims {
		if o.Deleting || o.Owner != "" || o.Release.Name == "" || !r.o.ofController() {
			continue
		}
		g.Go(func() error {
			if release.Installs(ctx, r.c, release.Place{Namespace: o.Release.Namespace}, o.Release.Name, func(m release.Object) bool { return isOf(o, m) }) {
				r.mu.Lock()
				defer r.mu.Unlock()
				r.s.Proven[o.UID] = true
			}
			return nil
		})
	}
	_ = g.Wait() // no error: see above
}

// is reports whether an object of a manifest is this one.
func isOf(o *object.Object, m release.Object) bool {
	group, _, _ := strings.Cut(m.APIVersion, "/")
	return group == o.Resource.Group && strings.ToLower(m.Kind)+"s" == o.Resource.Resource &&
		cmp.Or(m.Namespace, o.Release.Namespace) == o.Namespace && m.Name == o.Name
}

// proof reads whether anything is to be done at all.
func (r *reading) proof() {
	if r.o.ReleaseNamespace != "" {
		r.read(theOffSwitch, func(add func(func())) error {
			off, err := switchedOff(r.ctx, r.c, r.o.ReleaseNamespace)
			add(func() { r.s.Off = off })
			return err
		})
	}
	if r.o.Job != "" && !r.o.RequireUninstalling {
		r.read("the hook's Job", func(add func(func())) error {
			byArgoCD, err := madeByArgoCD(r.ctx, r.c, r.o.ReleaseNamespace, r.o.Job)
			add(func() { r.s.ByArgoCD = byArgoCD })
			return err
		})
	}
	r.read("the Helm release", func(add func(func())) error {
		record, err := findRecord(r.ctx, r.c, r.o)
		if errors.Is(err, release.ErrNotFound) || errors.Is(err, release.ErrAmbiguous) {
			add(func() { r.s.ProofErr = err })
			return nil
		}
		add(func() { r.s.Record = record })
		return err
	})
}

func (r *reading) crds(names []string) {
	for _, name := range names {
		r.read(crdPrefix+name, func(add func(func())) error {
			m, err := getMetadata(r.ctx, r.c, object.CRDs, name)
			if err == nil {
				add(func() { r.s.CRDs = append(r.s.CRDs, fromMetadata(object.CRDs, m)) })
			}
			return err
		})
	}
}

// adviceTime bounds each look without whose answer an uninstall goes on. An API server
// that starts anew is there by then; one that never answers this must not use the
// budget up.
const adviceTime = 15 * time.Second

// advice is the time for such a look.
func advice(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, adviceTime, fmt.Errorf("no answer for %s", adviceTime))
}

// surroundings reads what of others may be in the way, and the namespaces.
func (r *reading) surroundings() {
	r.readers.Go(func() {
		// For advice only: what cannot be read hinders nothing.
		ctx, cancel := advice(r.ctx)
		defer cancel()
		r.s.Obstacles, r.s.ObstaclesErr = findObstacles(ctx, r.c)
	})
	r.read("namespaces", func(add func(func())) error {
		found, live, err := terminating(r.ctx, r.c, r.o.Namespace)
		add(func() { r.s.Terminating, r.s.Live = found, live })
		return err
	})
}

// end waits until everything is read.
func (r *reading) end(groups ...string) {
	r.wait()
	for _, group := range groups {
		r.distrust(group)
	}
	for _, crd := range r.s.CRDs {
		if r.absent[crd.Name] && !crd.Deleting {
			r.s.Unknown = append(r.s.Unknown, Unknown{crd.Name, errors.New("the CRD exists, but the API server does not serve it")})
		}
	}
	order(r.s)
}

// servedPatience is how long the API server may go on saying that it serves what it
// does not find: of a CRD that has just gone, for a second or so.
const servedPatience = 5 * time.Second

// servedEvery is how often it is asked.
const servedEvery = 500 * time.Millisecond

// crdPrefix tells the reading of a CRD from that of its objects.
const crdPrefix = "crd "

// distrust looks twice at what was not found. That is the answer for a resource whose
// CRD is gone, but also for one that is not served yet, or in another version only:
// only together with the CRD's absence, or what the API server says that it serves,
// it means absent.
func (r *reading) distrust(group string) {
	var doubtful []string
	for name := range r.absent {
		// A CRD that is not found, of objects that are.
		if crd, is := strings.CutPrefix(name, crdPrefix); is && !r.absent[crd] {
			doubtful = append(doubtful, strings.TrimSuffix(crd, "."+group))
			continue
		}
		read := r.absent[crdPrefix+name] || slices.ContainsFunc(r.s.CRDs, func(crd *object.Object) bool { return crd.Name == name })
		if resource, of := strings.CutSuffix(name, "."+group); of && !strings.HasPrefix(name, crdPrefix) && !read {
			doubtful = append(doubtful, resource)
		}
	}
	for end := time.Now().Add(servedPatience); len(doubtful) > 0; {
		served, err := r.c.Served(r.ctx, group)
		if err != nil {
			r.s.Unknown = append(r.s.Unknown, Unknown{"whether " + group + " is served", err})
			return
		}
		doubtful = slices.DeleteFunc(doubtful, func(resource string) bool { return len(served[resource]) == 0 })
		if len(doubtful) == 0 {
			return
		}
		if time.Now().After(end) {
			for _, resource := range doubtful {
				r.s.Unknown = append(r.s.Unknown, Unknown{resource + "." + group, fmt.Errorf("not found, though the API server says that it serves it in the versions %s", strings.Join(served[resource], ", "))})
			}
			return
		}
		select {
		case <-r.ctx.Done():
			r.s.Unknown = append(r.s.Unknown, Unknown{"whether " + group + " is served", context.Cause(r.ctx)})
			return
		case <-time.After(servedEvery):
		}
	}
}

// addCore sorts a core object into the survey.
func addCore(s *Survey, o *object.Object, m *metav1.PartialObjectMetadata) {
	own, _ := arc.Finalizers(o.Finalizers)
	switch {
	case len(own) > 0:
		s.Protected = append(s.Protected, o)
	case isListenerRBAC(m):
		s.ListenerRBAC = append(s.ListenerRBAC, o)
	case o.Owner != "" && o.Resource.Group == "":
		s.Dependents = append(s.Dependents, o)
	case o.Deleting && len(o.Finalizers) > 0:
		s.Held = append(s.Held, o)
	}
}

// order makes the survey, and with it the plan, the same for the same cluster.
func order(s *Survey) {
	rank := map[string]int{}
	for i, gvr := range slices.Concat(arc.Resources(), protectedResources, arc.LegacyResources()) {
		rank[gvr.Resource] = i
	}
	for _, objects := range [][]*object.Object{s.CRDs, s.Custom, s.Protected, s.ListenerRBAC, s.Held, s.Dependents, s.Linked} {
		slices.SortFunc(objects, func(a, b *object.Object) int {
			return cmp.Or(
				cmp.Compare(rank[a.Resource.Resource], rank[b.Resource.Resource]),
				cmp.Compare(a.Namespace, b.Namespace),
				cmp.Compare(a.Name, b.Name))
		})
	}
	slices.SortFunc(s.OfJobs, func(a, b OfJob) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Resource.Resource, b.Resource.Resource), cmp.Compare(a.Name, b.Name))
	})
	slices.SortFunc(s.Controllers, func(a, b ARC) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	slices.SortFunc(s.Webhooks, func(a, b Webhooks) int {
		return cmp.Or(cmp.Compare(a.Resource.Resource, b.Resource.Resource), cmp.Compare(a.Name, b.Name))
	})
	slices.SortFunc(s.Unknown, func(a, b Unknown) int { return cmp.Compare(a.What, b.What) })
}

// trackingID is the annotation that Argo CD puts on everything it renders, hooks
// among it: APPLICATION:GROUP/KIND:NAMESPACE/NAME (argoproj/argo-cd v3.3.0
// util/argo/resource_tracking.go; by annotation is the default since 3.0). A
// pre-delete hook it creates when the Application is being deleted, and never else
// (controller/hook.go, executeHooks). Tools that make ordinary objects of a chart
// leave no such mark.
const trackingID = "argocd.argoproj.io/tracking-id"

// madeByArgoCD reports whether Argo CD has made a Job.
func madeByArgoCD(ctx context.Context, c *kube.Client, namespace, name string) (bool, error) {
	var m *metav1.PartialObjectMetadata
	err := kube.Retry(ctx, func(ctx context.Context) (err error) {
		m, err = c.Metadata.Resource(object.Jobs).Namespace(namespace).Get(ctx, name, metav1.GetOptions{})
		return err
	})
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("reading Job %s/%s: %w", namespace, name, err)
	}
	return strings.HasSuffix(m.Annotations[trackingID], fmt.Sprintf(":batch/Job:%s/%s", namespace, name)), nil
}

func findRecord(ctx context.Context, c *kube.Client, o Options) (*Record, error) {
	at := release.Place{Namespace: o.ReleaseNamespace, Storage: o.StorageNamespace}
	var found *release.Record
	var err error
	switch {
	case o.Release != "":
		found, err = release.Get(ctx, c, at, o.Release)
	case o.Job != "":
		found, err = release.ByHookJob(ctx, c, at, o.Job)
	}
	if err != nil || found == nil {
		return nil, err
	}
	return newRecord(found), nil
}

// newRecord is what a plan needs to know of a record.
func newRecord(found *release.Record) *Record {
	r := &Record{
		Name: found.Name, Namespace: found.Namespace, Revision: found.Revision,
		Status: string(found.Status),
	}
	for _, o := range found.Objects {
		name := types.NamespacedName{Namespace: cmp.Or(o.Namespace, r.Namespace), Name: o.Name}
		switch {
		case isScaleSet(o):
			r.Sets = append(r.Sets, name)
		case o.Kind == "Deployment":
			r.Deployments = append(r.Deployments, name)
		}
	}
	return r
}

func fromMetadata(gvr schema.GroupVersionResource, m *metav1.PartialObjectMetadata) *object.Object {
	finalizers := slices.Clone(m.Finalizers)
	for i, f := range finalizers {
		finalizers[i] = shared(f)
	}
	o := &object.Object{
		Resource: gvr, Namespace: shared(m.Namespace), Name: m.Name, UID: m.UID, Finalizers: finalizers,
		Deleting: m.DeletionTimestamp != nil,
		Release:  types.NamespacedName{Namespace: shared(m.Annotations[arc.AnnotationReleaseNamespace]), Name: shared(m.Annotations[arc.AnnotationReleaseName])},
	}
	o.Owner, o.Keep = owner(m, arc.Group), m.Annotations[resourcePolicy] == "keep"
	if gvr == arc.Resource(arc.AutoscalingRunnerSets) {
		o.ScaleSet = identity.Set{Namespace: o.Namespace, Name: m.Name}
	} else {
		o.ScaleSet = identity.SetOf(o.Namespace, besideController(gvr, m), shared(m.Labels[arc.LabelScaleSetNamespace]), shared(m.Labels[arc.LabelScaleSetName]))
	}
	return o
}

// resourcePolicy is the annotation by which Helm is told to keep an object
// (helm.sh/helm pkg/kube/resource_policy.go).
const resourcePolicy = "helm.sh/resource-policy"

// besideController reports whether an object is a listener, or a listener's: these
// are not beside their scale set.
func besideController(gvr schema.GroupVersionResource, m *metav1.PartialObjectMetadata) bool {
	return gvr.Resource == arc.AutoscalingListeners || slices.ContainsFunc(m.OwnerReferences, func(o metav1.OwnerReference) bool {
		return o.Kind == arc.AutoscalingListener
	})
}

// shared is the one copy of a text that thousands of objects have.
func shared(text string) string { return unique.Make(text).Value() }

// owner is the UID of an object's owner where all of its owners are of a group.
func owner(m *metav1.PartialObjectMetadata, group string) (uid types.UID) {
	for _, o := range m.OwnerReferences {
		if !strings.HasPrefix(o.APIVersion, group+"/") {
			return ""
		}
		uid = types.UID(shared(string(o.UID)))
	}
	return uid
}

// isListenerRBAC recognises the Role and RoleBinding which the controller makes
// for a listener by all the labels it gives them, never by name
// (controllers/actions.github.com/resourcebuilder.go, newScaleSetListenerRole).
func isListenerRBAC(m *metav1.PartialObjectMetadata) bool {
	for _, label := range []string{arc.LabelListenerName, arc.LabelListenerNamespace, arc.LabelScaleSetName, arc.LabelScaleSetNamespace} {
		if m.Labels[label] == "" {
			return false
		}
	}
	return len(m.OwnerReferences) == 0
}

func scaleSetInfo(u unstructured.Unstructured) ScaleSetInfo {
	a := u.GetAnnotations()
	info := ScaleSetInfo{
		ID:   a[arc.AnnotationRunnerScaleSetID],
		Name: cmp.Or(a[arc.AnnotationRunnerScaleSetName], u.GetName()),
	}
	info.Current, _, _ = unstructured.NestedInt64(u.Object, "status", "currentRunners")
	info.Running, _, _ = unstructured.NestedInt64(u.Object, "status", "runningEphemeralRunners")
	info.URL, _, _ = unstructured.NestedString(u.Object, "spec", "githubConfigUrl")
	return info
}

// pageSize is how many whole objects one request asks for.
const pageSize = 20

// list reads whole objects, a page at a time; only kinds of which there are few.
func list(ctx context.Context, c *kube.Client, gvr schema.GroupVersionResource, namespace, selector string) ([]unstructured.Unstructured, error) {
	var all []unstructured.Unstructured
	options := metav1.ListOptions{LabelSelector: selector, Limit: pageSize}
	for {
		var page *unstructured.UnstructuredList
		err := kube.Retry(ctx, func(ctx context.Context) (err error) {
			page, err = c.Dynamic.Resource(gvr).Namespace(namespace).List(ctx, options)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("listing %s: %w", gvr.GroupResource(), err)
		}
		all = append(all, page.Items...)
		if options.Continue = page.GetContinue(); options.Continue == "" {
			return all, nil
		}
	}
}

func getMetadata(ctx context.Context, c *kube.Client, gvr schema.GroupVersionResource, name string) (*metav1.PartialObjectMetadata, error) {
	var m *metav1.PartialObjectMetadata
	err := kube.Retry(ctx, func(ctx context.Context) (err error) {
		m, err = c.Metadata.Resource(gvr).Get(ctx, name, metav1.GetOptions{})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading %s/%s: %w", gvr.GroupResource(), name, err)
	}
	return m, nil
}
