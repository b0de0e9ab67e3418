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
	"github.com/arc-cleanup/arc-cleanup/internal/helm"
	"github.com/arc-cleanup/arc-cleanup/internal/kube"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
)

// atOnce is how many requests are in flight at once: a record may name any number of objects.
const atOnce = 8

// Forecast is what Helm itself decides in an uninstall. It holds for a user with the same rights: Helm
// reads and writes with the rights of its user.
type Forecast struct {
	// Leaves are the objects of the release that Helm 4.3 and later skip, and then forget.
	Leaves []Object
	// Refused says which objects of the hook admission does not let Helm create.
	Refused []plan.Refusal
	// Unknown says what could not be found out.
	Unknown []string

	mu sync.Mutex
}

// NewForecast looks at the objects of a release and at its hook. It leaves out the objects that the
// hook's plan deletes, since they are gone when Helm looks; plan may be nil.
func NewForecast(ctx context.Context, c *kube.Client, r *helm.Record, planned *plan.Plan) *Forecast {
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
	g.SetLimit(atOnce)
	for _, o := range r.Objects {
		if !o.Keep && o.Name != "" { // Helm itself names what it was told to keep
			g.Go(func() error { f.ownership(ctx, c, r, o, deleted); return nil })
		}
	}
	for _, o := range hookObjects(r) {
		g.Go(func() error { f.creation(ctx, c, o); return nil })
	}
	// There is no error: a request that failed is in f.Unknown.
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

// ownership checks an object as Helm does before it deletes the object
// (helm.sh/helm/v4 pkg/action/validate.go, verifyOwnershipBeforeDelete).
func (f *Forecast) ownership(ctx context.Context, c *kube.Client, r *helm.Record, o helm.Object, deleted map[string]bool) {
	gvr, namespaced, err := c.ResourceOf(ctx, o.APIVersion, o.Kind)
	switch {
	case err != nil:
		f.unknown("whether Helm will delete %s %q: %v", o.Kind, o.Name, err)
		return
	case gvr.Resource == "":
		return // Helm fails, and forgets nothing
	}
	namespace := ""
	if namespaced {
		namespace = o.Namespace
	}
	t := object.Object{Resource: gvr, Namespace: namespace, Name: o.Name}
	if deleted[t.String()] {
		return
	}
	m, err := c.GetMetadata(ctx, gvr, namespace, o.Name)
	why := ""
	switch {
	case apierrors.IsNotFound(err):
	case apierrors.IsForbidden(err):
		why = "Helm deletes only what its user may read, and you may not read it"
	case err != nil:
		f.unknown("whether Helm will delete it: %v", err)
	default:
		why = unowned(m, r)
	}
	if why != "" {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.Leaves = append(f.Leaves, Object{Resource: gvr.GroupResource().String(), Namespace: namespace, Name: o.Name, Why: why})
	}
}

// unowned says which of the release's labels and annotations an object lacks; "" if it has all.
func unowned(m *metav1.PartialObjectMetadata, r *helm.Record) string {
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

// creatable are the kinds of the hook's objects. The administrator of a namespace can write a record
// there, so no other kind in it is tried, not even as a dry run.
var creatable = map[string]string{
	"ServiceAccount": "v1", "Job": "batch/v1",
	"Role": rbac, "RoleBinding": rbac, "ClusterRole": rbac, "ClusterRoleBinding": rbac,
}

const rbac = "rbac.authorization.k8s.io/v1"

// hookObjects returns the objects that Helm creates for the hook, and the Pod of its Job.
func hookObjects(r *helm.Record) []*unstructured.Unstructured {
	var out []*unstructured.Unstructured
	add := func(o *unstructured.Unstructured) {
		if creatable[o.GetKind()] == "" || creatable[o.GetKind()] != o.GetAPIVersion() {
			return
		}
		if o.GetNamespace() == "" {
			o.SetNamespace(r.Namespace)
		}
		if o.GetAPIVersion() != rbac && o.GetNamespace() != r.Namespace {
			return // the Job and its ServiceAccount are in the release's namespace
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

// podOf returns the Pod that the Job controller would make of a Job, but with the default ServiceAccount:
// the Job's own does not exist yet.
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

// creation tries to create an object of the hook, as a dry run.
func (f *Forecast) creation(ctx context.Context, c *kube.Client, o *unstructured.Unstructured) {
	gvr, namespaced, err := c.ResourceOf(ctx, o.GetAPIVersion(), o.GetKind())
	what := fmt.Sprintf("the hook's %s %q", o.GetKind(), o.GetName())
	if err != nil || gvr.Resource == "" {
		f.unknown("whether admission lets Helm create %s: %v", what, cmp.Or(err, fmt.Errorf("%s is not served", o.GetAPIVersion())))
		return
	}
	if !namespaced {
		o.SetNamespace("")
	}
	_, err = c.DryRun().Create(ctx, gvr, o)
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
