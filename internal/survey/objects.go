package survey

import (
	"cmp"
	"net/url"
	"slices"
	"strings"
	"unique"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/identity"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
)

func addOfJob(s *plan.Survey, o *object.Object, m *metav1.PartialObjectMetadata) {
	if runner := m.Labels[arc.LabelRunnerPod]; runner != "" && o.Owner == "" && (o.Resource == object.Pods || o.Resource == object.Secrets) {
		s.OfJobs = append(s.OfJobs, plan.OfJob{Object: o, Runner: runner})
	}
}

// addCore adds a core object to the right field of the survey.
func addCore(s *plan.Survey, o *object.Object, m *metav1.PartialObjectMetadata) {
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

// order sorts the survey, so that the same cluster always gives the same plan.
func order(s *plan.Survey) {
	rank := map[string]int{}
	for i, gvr := range slices.Concat(arc.Resources(), plan.ProtectedResources, arc.LegacyResources()) {
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
	slices.SortFunc(s.OfJobs, func(a, b plan.OfJob) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Resource.Resource, b.Resource.Resource), cmp.Compare(a.Name, b.Name))
	})
	slices.SortFunc(s.Controllers, func(a, b plan.Controller) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	slices.SortFunc(s.Webhooks, func(a, b plan.Webhooks) int {
		return cmp.Or(cmp.Compare(a.Resource.Resource, b.Resource.Resource), cmp.Compare(a.Name, b.Name))
	})
	slices.SortFunc(s.Unknown, func(a, b plan.Unknown) int { return cmp.Compare(a.What, b.What) })
}

func FromMetadata(gvr schema.GroupVersionResource, m *metav1.PartialObjectMetadata) *object.Object {
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

// resourcePolicy is the annotation that tells Helm to keep an object (helm.sh/helm
// pkg/kube/resource_policy.go).
const resourcePolicy = "helm.sh/resource-policy"

// besideController reports whether an object is a listener or belongs to one. These objects are in
// the controller's namespace, not in their scale set's.
func besideController(gvr schema.GroupVersionResource, m *metav1.PartialObjectMetadata) bool {
	return gvr.Resource == arc.AutoscalingListeners || slices.ContainsFunc(m.OwnerReferences, func(o metav1.OwnerReference) bool {
		return o.Kind == arc.AutoscalingListener
	})
}

// shared returns the one copy of a text that thousands of objects share.
func shared(text string) string { return unique.Make(text).Value() }

// owner returns the UID of an object's owner, if it has one only, in a group. Of several owners one
// may still exist, and the garbage collector then keeps the object.
func owner(m *metav1.PartialObjectMetadata, group string) (uid types.UID) {
	for _, o := range m.OwnerReferences {
		if !strings.HasPrefix(o.APIVersion, group+"/") || uid != "" && uid != o.UID {
			return ""
		}
		uid = types.UID(shared(string(o.UID)))
	}
	return uid
}

// isListenerRBAC recognises the Role and RoleBinding that the controller creates for a listener. It
// compares all the labels that the controller sets, never the name
// (controllers/actions.github.com/resourcebuilder.go, newScaleSetListenerRole).
func isListenerRBAC(m *metav1.PartialObjectMetadata) bool {
	for _, label := range []string{arc.LabelListenerName, arc.LabelListenerNamespace, arc.LabelScaleSetName, arc.LabelScaleSetNamespace} {
		if m.Labels[label] == "" {
			return false
		}
	}
	return len(m.OwnerReferences) == 0
}

func scaleSetInfo(u unstructured.Unstructured) plan.ScaleSetInfo {
	a := u.GetAnnotations()
	info := plan.ScaleSetInfo{ID: short(a[arc.AnnotationRunnerScaleSetID])}
	info.Current, _, _ = unstructured.NestedInt64(u.Object, "status", "currentRunners")
	info.Running, _, _ = unstructured.NestedInt64(u.Object, "status", "runningEphemeralRunners")
	text := func(field ...string) string {
		s, _, _ := unstructured.NestedString(u.Object, append([]string{"spec"}, field...)...)
		return short(s)
	}
	info.URL, info.Secret = withoutUser(text("githubConfigUrl")), text("githubConfigSecret")
	info.Name = cmp.Or(short(a[arc.AnnotationRunnerScaleSetName]), short(a[arc.AnnotationOldName]), text("runnerScaleSetName"), u.GetName())
	info.Group = cmp.Or(short(a[arc.AnnotationRunnerGroupName]), text("runnerGroup"))
	info.Proxy = withoutUser(cmp.Or(text("proxy", "https", "url"), text("proxy", "http", "url")))
	info.CA = text("githubServerTLS", "certificateFrom", "configMapKeyRef", "name")
	return info
}

// short cuts a text of a scale set, which its team may make as long as it likes: a survey keeps it of every set.
func short(text string) string { return text[:min(len(text), 512)] }

// withoutUser returns of a URL what cannot be a secret: neither the user and the password, nor a query. The text of what is no
// URL with a host is not for reports, because it may contain them too: user:password@proxy parses as a URL with a scheme.
func withoutUser(text string) string {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return ""
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}
