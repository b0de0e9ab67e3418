package status

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/cleanup"
	"github.com/arc-cleanup/arc-cleanup/internal/enrol"
	"github.com/arc-cleanup/arc-cleanup/internal/kube"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
	"github.com/arc-cleanup/arc-cleanup/internal/release"
)

// asking is how many requests are in flight at once, where a record may name any
// number of objects.
const asking = 8

// Forecast is what of an uninstall Helm itself decides, as far as whoever asks is whoever
// uninstalls: both read and write with their own rights.
type Forecast struct {
	// Leaves are the objects of the release that Helm 4.3 and later skip, and forget.
	Leaves []Object
	// Refused says which objects of the hook admission does not let Helm create.
	Refused []plan.Refusal
	// Unknown says what could not be told.
	Unknown []string

	mu sync.Mutex
}

// Foretell looks at what a release has installed, without what the plan of its hook
// deletes before Helm looks, and at the hook; plan may be nil.
func Foretell(ctx context.Context, c *kube.Client, r *release.Revision, planned *plan.Plan) *Forecast {
	f := &Forecast{}
	deleted := map[string]bool{}
	if planned != nil && len(planned.Refusals) == 0 {
		for _, phase := range planned.Phases {
			for _, s := range phase.Steps() {
				if s.Action == plan.Delete || s.Action == plan.Await {
					deleted[s.Object.String()] = true
				}
			}
		}
	}
	var g errgroup.Group
	g.SetLimit(asking)
	for _, o := range r.Objects {
		if !o.Keep && o.Name != "" { // Helm says itself what it was told to keep
			g.Go(func() error { f.ownership(ctx, c, r, o, deleted); return nil })
		}
	}
	for _, o := range hookObjects(r) {
		g.Go(func() error { f.creation(ctx, c, o); return nil })
	}
	// No error: what failed is unknown.
	_ = g.Wait()
	slices.SortFunc(f.Leaves, func(a, b Object) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Resource, b.Resource), cmp.Compare(a.Name, b.Name))
	})
	slices.SortFunc(f.Refused, func(a, b plan.Refusal) int { return cmp.Compare(a.Message, b.Message) })
	slices.Sort(f.Unknown)
	return f
}

func (f *Forecast) unknown(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.Unknown = append(f.Unknown, fmt.Sprintf(format, args...))
}

// ownership looks at an object as Helm does before it deletes it
// (helm.sh/helm/v4 pkg/action/validate.go, verifyOwnershipBeforeDelete).
func (f *Forecast) ownership(ctx context.Context, c *kube.Client, r *release.Revision, o release.Object, deleted map[string]bool) {
	gvr, namespaced, err := c.ResourceOf(ctx, o.APIVersion, o.Kind)
	switch {
	case err != nil:
		f.unknown("whether Helm will delete %s %q: %v", o.Kind, o.Name, err)
		return
	case gvr.Resource == "":
		return // Helm stops over it, and forgets nothing
	}
	namespace := ""
	if namespaced {
		namespace = o.Namespace
	}
	t := object.Object{Resource: gvr, Namespace: namespace, Name: o.Name}
	if deleted[t.String()] {
		return
	}
	var m *metav1.PartialObjectMetadata
	err = kube.Retry(ctx, func(ctx context.Context) (err error) {
		m, err = c.Metadata.Resource(gvr).Namespace(namespace).Get(ctx, o.Name, metav1.GetOptions{})
		return err
	})
	why := ""
	switch {
	case apierrors.IsNotFound(err):
	case apierrors.IsForbidden(err):
		why = "nobody who may not read it can have Helm delete it, and you may not"
	case err != nil:
		f.unknown("whether Helm will delete %s: %v", t, err)
	default:
		why = unowned(m, r)
	}
	if why != "" {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.Leaves = append(f.Leaves, Object{Resource: gvr.GroupResource().String(), Namespace: namespace, Name: o.Name, Why: why})
	}
}

// unowned says which marks of the release an object lacks; "" if none.
func unowned(m *metav1.PartialObjectMetadata, r *release.Revision) string {
	var lacks []string
	lack := func(what, key string, has map[string]string, want string) {
		if has[key] != want {
			lacks = append(lacks, fmt.Sprintf("the %s %s: %s", what, key, want))
		}
	}
	lack("label", "app.kubernetes.io/managed-by", m.Labels, "Helm")
	lack("annotation", arc.AnnotationReleaseName, m.Annotations, r.Name)
	lack("annotation", arc.AnnotationReleaseNamespace, m.Annotations, r.Namespace)
	if len(lacks) == 0 {
		return ""
	}
	return "it lacks " + strings.Join(lacks, ", ")
}

// creatable are the kinds of the hook's objects. A record is written by whoever
// administers its namespace: nothing else in it is tried, not even dry.
var creatable = map[string]string{
	"ServiceAccount": "v1", "Job": "batch/v1",
	"Role": rbac, "RoleBinding": rbac, "ClusterRole": rbac, "ClusterRoleBinding": rbac,
}

const rbac = "rbac.authorization.k8s.io/v1"

// hookObjects are what Helm creates for the hook, and the Pod of its Job.
func hookObjects(r *release.Revision) []*unstructured.Unstructured {
	var out []*unstructured.Unstructured
	add := func(o *unstructured.Unstructured) {
		if creatable[o.GetKind()] == "" || creatable[o.GetKind()] != o.GetAPIVersion() {
			return
		}
		if o.GetNamespace() == "" {
			o.SetNamespace(r.Namespace)
		}
		if o.GetAPIVersion() != rbac && o.GetNamespace() != r.Namespace {
			return // the Job and its ServiceAccount are the release's own
		}
		out = append(out, o)
		if o.GetKind() == "Job" {
			if pod := podOf(o); pod != nil {
				out = append(out, pod)
			}
		}
	}
	for _, h := range enrol.Ours(r.Hooks) {
		o := &unstructured.Unstructured{}
		if yaml.Unmarshal([]byte(h.Manifest), &o.Object) != nil {
			continue
		}
		add(o)
		items, _, _ := unstructured.NestedSlice(o.Object, "items") // of the List with the rights
		for _, item := range items {
			if object, is := item.(map[string]any); is {
				add(&unstructured.Unstructured{Object: object})
			}
		}
	}
	return out
}

// podOf is a Pod of a Job as its controller would make it, but with the ServiceAccount
// of its namespace: the Job's own is not there yet.
func podOf(job *unstructured.Unstructured) *unstructured.Unstructured {
	template, is, err := unstructured.NestedMap(job.Object, "spec", "template")
	if !is || err != nil {
		return nil
	}
	pod := &unstructured.Unstructured{Object: template}
	pod.SetAPIVersion("v1")
	pod.SetKind("Pod")
	pod.SetNamespace(job.GetNamespace())
	pod.SetName(job.GetName() + "-00000")
	unstructured.RemoveNestedField(pod.Object, "spec", "serviceAccountName")
	return pod
}

// creation tries to create an object of the hook, dry.
func (f *Forecast) creation(ctx context.Context, c *kube.Client, o *unstructured.Unstructured) {
	gvr, namespaced, err := c.ResourceOf(ctx, o.GetAPIVersion(), o.GetKind())
	what := fmt.Sprintf("the hook's %s %q", o.GetKind(), o.GetName())
	if err != nil || gvr.Resource == "" {
		f.unknown("whether admission lets Helm create %s: %v", what, cmp.Or(err, fmt.Errorf("%s is not served", o.GetAPIVersion())))
		return
	}
	namespace := ""
	if namespaced {
		namespace = o.GetNamespace()
	} else {
		o.SetNamespace("")
	}
	dry := c.DryRun()
	err = kube.Retry(ctx, func(ctx context.Context) error {
		_, err := dry.Dynamic.Resource(gvr).Namespace(namespace).Create(ctx, o, dry.Creating())
		return err
	})
	if denial, denied := kube.Denied(err); denied {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.Refused = append(f.Refused, cleanup.DenialOf(fmt.Sprintf("to create %s, so that helm uninstall fails", what), denial))
		return
	}
	if err != nil && !apierrors.IsAlreadyExists(err) {
		f.unknown("whether admission lets Helm create %s: %v", what, err)
	}
}
