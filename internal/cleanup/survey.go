package cleanup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/kube"
	"github.com/arc-cleanup/arc-cleanup/internal/release"
)

var (
	crdResource        = schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}
	deploymentResource = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}
	namespaceResource  = schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}
	podResource        = schema.GroupVersionResource{Version: "v1", Resource: "pods"}

	roleResource           = schema.GroupVersionResource{Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "roles"}
	roleBindingResource    = schema.GroupVersionResource{Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "rolebindings"}
	serviceAccountResource = schema.GroupVersionResource{Version: "v1", Resource: "serviceaccounts"}
	secretResource         = schema.GroupVersionResource{Version: "v1", Resource: "secrets"}
)

// protectedResources are the core kinds on which ARC's chart puts finalizers.
var protectedResources = []schema.GroupVersionResource{roleBindingResource, roleResource, serviceAccountResource, secretResource}

// Object is what the survey keeps of one object; with tens of thousands of them
// it is kept small.
type Object struct {
	kube.Target
	Deleting bool
	// ScaleSet is the AutoscalingRunnerSet this object belongs to, if it says so.
	ScaleSet types.NamespacedName
	// Release is the Helm release that installed the object, if Helm did.
	Release types.NamespacedName
	// Owner is the UID of its owner, where all of its owners are of ARC's group.
	Owner types.UID
}

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

// Survey is a read-only picture of the cluster.
type Survey struct {
	// Off is set when the off switch is thrown.
	Off bool
	// Record is the Helm release being uninstalled; nil when none was asked for.
	Record *release.Record
	// ProofErr says why Record is missing though it was asked for.
	ProofErr error

	CRDs         []Object
	Custom       []Object // ARC's custom resources, children before parents
	Protected    []Object // core objects with an ARC finalizer
	ListenerRBAC []Object // listeners' Roles and RoleBindings, which have no owner
	Dependents   []Object // Pods, Secrets, ServiceAccounts owned by a custom resource
	Controllers  []ARC
	// Installed are the Helm releases of scale sets, with scaleSets=uninstall.
	Installed []Installed
	// Busy holds the jobs of EphemeralRunners by UID.
	Busy map[types.UID]Job
	// Terminating holds the namespaces on their way out, by name.
	Terminating map[string]Terminating
	// Live says, for Scope Namespace, that it is there and nobody deletes it.
	Live bool
	// Sets holds more about each AutoscalingRunnerSet by UID.
	Sets map[types.UID]ScaleSetInfo

	// Obstacles are of others, and likely to be in the way; ObstaclesErr says why
	// they could not be looked for.
	Obstacles    []Obstacle
	ObstaclesErr error

	Unknown []Unknown
}

// survey takes the picture; everything is read concurrently. It never fails as
// a whole: what could not be read is in Unknown.
func survey(ctx context.Context, c *kube.Client, o Options) *Survey {
	s := &Survey{Terminating: map[string]Terminating{}, Sets: map[types.UID]ScaleSetInfo{}}
	var (
		mu      sync.Mutex
		readers sync.WaitGroup
	)
	absent := map[string]bool{}
	read := func(what string, do func(add func(func())) error) {
		readers.Go(func() {
			err := do(func(add func()) {
				mu.Lock()
				defer mu.Unlock()
				add()
			})
			mu.Lock()
			defer mu.Unlock()
			switch {
			case apierrors.IsNotFound(err) && strings.HasSuffix(what, "."+arc.Group):
				absent[what] = true
			case err != nil:
				s.Unknown = append(s.Unknown, Unknown{what, err})
			}
		})
	}

	if o.ReleaseNamespace != "" {
		read("the off switch", func(add func(func())) error {
			off, err := switchedOff(ctx, c, o.ReleaseNamespace)
			add(func() { s.Off = off })
			return err
		})
	}
	read("the Helm release", func(add func(func())) error {
		record, err := findRecord(ctx, c, o)
		if errors.Is(err, release.ErrNotFound) {
			add(func() { s.ProofErr = err })
			return nil
		}
		add(func() { s.Record = record })
		return err
	})
	for _, gvr := range arc.Resources() {
		read(gvr.GroupResource().String(), func(add func(func())) error {
			return c.Each(ctx, gvr, o.customNamespace(gvr.Resource), metav1.ListOptions{}, func(m *metav1.PartialObjectMetadata) error {
				obj := object(gvr, m)
				add(func() { s.Custom = append(s.Custom, obj) })
				return nil
			})
		})
	}
	sets := arc.Resource(arc.AutoscalingRunnerSets)
	read(sets.GroupResource().String(), func(add func(func())) error {
		items, err := list(ctx, c, sets, o.customNamespace(sets.Resource), "")
		for _, u := range items {
			add(func() { s.Sets[u.GetUID()] = scaleSetInfo(u) })
		}
		return err
	})
	core := o.coreNamespace()
	for _, gvr := range protectedResources {
		read(gvr.GroupResource().String(), func(add func(func())) error {
			return c.Each(ctx, gvr, core, metav1.ListOptions{}, func(m *metav1.PartialObjectMetadata) error {
				obj := object(gvr, m)
				add(func() { s.addCore(obj, m) })
				return nil
			})
		})
	}
	read("pods", func(add func(func())) error {
		return c.Each(ctx, podResource, core, metav1.ListOptions{}, func(m *metav1.PartialObjectMetadata) error {
			obj := object(podResource, m)
			if obj.Owner != "" {
				add(func() { s.Dependents = append(s.Dependents, obj) })
			}
			return nil
		})
	})
	read("jobs of runners", func(add func(func())) error {
		jobs, err := busy(ctx, c, o)
		add(func() { s.Busy = jobs })
		return err
	})
	read("ARC controllers", func(add func(func())) error {
		ns := ""
		if o.Scope == ScaleSet {
			ns = o.ControllerNamespace
		}
		found, err := controllers(ctx, c, ns)
		add(func() { s.Controllers = found })
		return err
	})
	if o.Scope == Controller && o.ScaleSets == UninstallScaleSets {
		read("the Helm releases of scale sets", func(add func(func())) error {
			found, err := installed(ctx, c, o.WatchNamespace)
			add(func() { s.Installed = found })
			return err
		})
	}
	if o.Scope == Controller {
		for _, name := range arc.CRDs() {
			read("crd "+name, func(add func(func())) error {
				m, err := getMetadata(ctx, c, crdResource, name)
				if err == nil {
					add(func() { s.CRDs = append(s.CRDs, object(crdResource, m)) })
				}
				return err
			})
		}
	}
	if o.Scope != ScaleSet {
		readers.Go(func() {
			// For advice only: what cannot be read hinders nothing.
			s.Obstacles, s.ObstaclesErr = findObstacles(ctx, c)
		})
		read("namespaces", func(add func(func())) error {
			found, live, err := terminating(ctx, c, o.Namespace)
			add(func() { s.Terminating, s.Live = found, live })
			return err
		})
	}
	readers.Wait()
	askForRights(ctx, c, s)

	// "Not found" is the answer for a resource whose CRD is gone, but also for
	// one that is not served yet: only both answers together mean absent.
	for _, crd := range s.CRDs {
		if absent[crd.Name] && !crd.Deleting {
			s.Unknown = append(s.Unknown, Unknown{crd.Name, errors.New("the CRD exists, but the API server does not serve it")})
		}
	}
	s.order()
	return s
}

// addCore sorts a core object into the survey.
func (s *Survey) addCore(o Object, m *metav1.PartialObjectMetadata) {
	own, _ := arc.Finalizers(o.Finalizers)
	switch {
	case len(own) > 0:
		s.Protected = append(s.Protected, o)
	case isListenerRBAC(m):
		s.ListenerRBAC = append(s.ListenerRBAC, o)
	case o.Owner != "" && o.Resource.Group == "":
		s.Dependents = append(s.Dependents, o)
	}
}

// order makes the survey, and with it the plan, the same for the same cluster.
func (s *Survey) order() {
	rank := map[string]int{}
	for i, gvr := range slices.Concat(arc.Resources(), protectedResources) {
		rank[gvr.Resource] = i
	}
	for _, objects := range [][]Object{s.CRDs, s.Custom, s.Protected, s.ListenerRBAC, s.Dependents} {
		slices.SortFunc(objects, func(a, b Object) int {
			return cmp.Or(
				cmp.Compare(rank[a.Resource.Resource], rank[b.Resource.Resource]),
				cmp.Compare(a.Namespace, b.Namespace),
				cmp.Compare(a.Name, b.Name))
		})
	}
	slices.SortFunc(s.Controllers, func(a, b ARC) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	slices.SortFunc(s.Unknown, func(a, b Unknown) int { return cmp.Compare(a.What, b.What) })
}

func findRecord(ctx context.Context, c *kube.Client, o Options) (*release.Record, error) {
	switch {
	case o.Release != "":
		return release.Get(ctx, c, o.ReleaseNamespace, o.Release)
	case o.Job != "":
		return release.ByHookJob(ctx, c, o.ReleaseNamespace, o.Job)
	}
	return nil, nil
}

func object(gvr schema.GroupVersionResource, m *metav1.PartialObjectMetadata) Object {
	o := Object{
		Target: kube.Target{
			Resource: gvr, Namespace: m.Namespace, Name: m.Name, UID: m.UID, Finalizers: m.Finalizers,
		},
		Deleting: m.DeletionTimestamp != nil,
		ScaleSet: types.NamespacedName{Namespace: m.Labels[arc.LabelScaleSetNamespace], Name: m.Labels[arc.LabelScaleSetName]},
		Release:  types.NamespacedName{Namespace: m.Annotations[arc.AnnotationReleaseNamespace], Name: m.Annotations[arc.AnnotationReleaseName]},
	}
	if gvr == arc.Resource(arc.AutoscalingRunnerSets) {
		o.ScaleSet = types.NamespacedName{Namespace: m.Namespace, Name: m.Name}
	}
	for _, owner := range m.OwnerReferences {
		if !strings.HasPrefix(owner.APIVersion, arc.Group+"/") {
			o.Owner = ""
			break
		}
		o.Owner = owner.UID
	}
	return o
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

// list reads whole objects; only kinds of which there are few.
func list(ctx context.Context, c *kube.Client, gvr schema.GroupVersionResource, namespace, selector string) ([]unstructured.Unstructured, error) {
	var l *unstructured.UnstructuredList
	err := kube.Retry(ctx, func(ctx context.Context) (err error) {
		l, err = c.Dynamic.Resource(gvr).Namespace(namespace).List(ctx, metav1.ListOptions{LabelSelector: selector})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("listing %s: %w", gvr.GroupResource(), err)
	}
	return l.Items, nil
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
