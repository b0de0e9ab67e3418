package upgrade

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"regexp"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/chart"
	"github.com/arc-cleanup/arc-cleanup/internal/enrol"
	"github.com/arc-cleanup/arc-cleanup/internal/helm"
	"github.com/arc-cleanup/arc-cleanup/internal/kube"
	"github.com/arc-cleanup/arc-cleanup/internal/manifest"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
	"github.com/arc-cleanup/arc-cleanup/internal/release"
)

// look reads the situation, without the target. It writes nothing. namespace is that of the controller's
// release; "" means that of the controller that runs.
//
// Whoever may create a Secret can write a Helm record, so a record proves nothing. The survey starts with
// objects that a tenant cannot make: ARC's scale sets, and Deployments with a controller's rights. It
// reads the records of the releases that these name, and a record counts if it names the object in turn.
// Other releases count only if the state in the controller's own namespace or the user names them.
func look(ctx context.Context, c *kube.Client, namespace string) (Situation, error) {
	l := &surveyor{
		ctx: ctx, client: c, records: map[types.NamespacedName]*Found{},
		s: Situation{Namespace: namespace, Now: time.Now(), secrets: map[string]secret{}},
	}
	for _, step := range []func() error{l.controllers, l.scaleSets, l.state, l.releases, l.values} {
		if err := step(); err != nil {
			return Situation{}, err
		}
	}
	return l.s, nil
}

type surveyor struct {
	ctx    context.Context
	client *kube.Client
	s      Situation

	// records are the releases that were looked for; nil for one without a record.
	records map[types.NamespacedName]*Found
}

// claimant is one of ARC's objects, with the release that it names.
type claimant struct {
	types.NamespacedName
	of       types.NamespacedName
	uid      types.UID
	gitops   gitops
	watches  []string // of a controller
	replicas int32    // of a controller
	version  string   // of a scale set: ARC's, which the controller compares
	deleting bool
}

func releaseOf(annotations map[string]string) types.NamespacedName {
	return types.NamespacedName{Namespace: annotations[arc.AnnotationReleaseNamespace], Name: annotations[arc.AnnotationReleaseName]}
}

// deployment is what is read of a Deployment, in the cluster or in a manifest.
type deployment struct {
	Kind     string            `json:"kind"`
	Metadata metav1.ObjectMeta `json:"metadata"`
	Spec     struct {
		Replicas *int32               `json:"replicas"`
		Selector metav1.LabelSelector `json:"selector"`
		Template struct {
			Spec struct {
				Containers         []arc.Container `json:"containers"`
				ServiceAccountName string          `json:"serviceAccountName"`
			} `json:"spec"`
		} `json:"template"`
	} `json:"spec"`
}

// controllers finds the Deployments that look like a controller and have a controller's rights. Only a
// user who has these rights can grant them.
func (l *surveyor) controllers() error {
	asked := map[string]bool{}
	for _, selector := range arc.ControllerSelectors() {
		all, err := l.client.List(l.ctx, object.Deployments, "", selector)
		if err != nil {
			return err
		}
		for _, item := range all {
			if err := l.controller(item, asked); err != nil {
				return err
			}
		}
	}
	return nil
}

// controller adds a Deployment if it is a controller. asked has the answers to the questions that were
// asked before.
func (l *surveyor) controller(item unstructured.Unstructured, asked map[string]bool) error {
	var d deployment
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(item.Object, &d); err != nil {
		return fmt.Errorf("reading Deployment %s/%s: %w", item.GetNamespace(), item.GetName(), err)
	}
	watches, is := arc.Controller(d.Metadata.Labels, d.Spec.Template.Spec.Containers)
	if !is {
		return nil
	}
	namespace := d.Metadata.Namespace
	user := fmt.Sprintf("system:serviceaccount:%s:%s", namespace, cmp.Or(d.Spec.Template.Spec.ServiceAccountName, "default"))
	question := user + " " + strings.Join(watches, " ")
	may, known := asked[question]
	if !known {
		var err error
		if may, err = l.mayControl(namespace, user, watches); err != nil {
			return err
		}
		asked[question] = may
	}
	if may {
		replicas := int32(1) // the API server's default
		if d.Spec.Replicas != nil {
			replicas = *d.Spec.Replicas
		}
		l.s.running = append(l.s.running, claimant{
			NamespacedName: types.NamespacedName{Namespace: namespace, Name: d.Metadata.Name},
			of:             releaseOf(d.Metadata.Annotations), uid: d.Metadata.UID, watches: watches, replicas: replicas,
			gitops: gitopsOf(d.Metadata.Labels, d.Metadata.Annotations),
		})
	}
	return nil
}

// mayControl asks whether a ServiceAccount has a controller's rights in the namespaces that it watches, or
// in the whole cluster.
func (l *surveyor) mayControl(namespace, user string, watches []string) (bool, error) {
	if len(watches) == 0 {
		watches = []string{""}
	}
	for _, watched := range watches {
		review := &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
			"spec": map[string]any{
				"user":   user,
				"groups": []any{"system:serviceaccounts", "system:serviceaccounts:" + namespace, "system:authenticated"},
				"resourceAttributes": map[string]any{
					"namespace": watched, "verb": "update", "group": arc.Group, "version": arc.Version, "resource": arc.AutoscalingRunnerSets,
				},
			},
		}}
		answer, err := l.client.Create(l.ctx, object.SubjectAccessReviews, review)
		if err != nil {
			return false, fmt.Errorf("asking for the rights of %s: %w", user, err)
		}
		if allowed, _, _ := unstructured.NestedBool(answer.Object, "status", "allowed"); !allowed {
			return false, nil
		}
	}
	return true, nil
}

func (l *surveyor) scaleSets() error {
	sets := arc.Resource(arc.AutoscalingRunnerSets)
	err := l.client.Each(l.ctx, sets, "", metav1.ListOptions{}, func(m *metav1.PartialObjectMetadata) error {
		l.s.live = append(l.s.live, claimant{
			NamespacedName: types.NamespacedName{Namespace: m.Namespace, Name: m.Name}, of: releaseOf(m.Annotations),
			uid: m.UID, version: m.Labels[arc.LabelVersion], deleting: m.DeletionTimestamp != nil,
			gitops: gitopsOf(m.Labels, m.Annotations),
		})
		return nil
	})
	if apierrors.IsNotFound(err) {
		return nil // no CRDs, no scale sets
	}
	return err
}

// state reads what an upgrade has saved, in the namespace that was given or in that of the release whose
// controllers run. Whoever may change the scale sets of one namespace can make a controller there, and a state, which
// says what is to be installed in other namespaces. So a controller of single namespaces does not say where it is.
func (l *surveyor) state() error {
	home, proven := l.s.Namespace, l.s.Namespace != ""
	for _, o := range l.s.running {
		proven = proven || len(o.watches) == 0
		switch {
		case l.s.Namespace != "", home == o.of.Namespace:
		case home == "":
			home = o.of.Namespace
		default:
			return nil // the user has to say which of them is meant
		}
	}
	if home == "" {
		return nil
	}
	var err error
	if l.s.Saved, err = load(l.ctx, l.client, home, l.s.secrets); err != nil || l.s.Saved == nil || proven {
		return err
	}
	return fmt.Errorf("the %s is the state of an upgrade, but the only controllers that name this namespace watch single namespaces, "+
		"and whoever works there could have made them: if the controller's release is there, give --namespace %s", secretOf(*l.s.Saved), home)
}

// releases reads ARC's releases.
func (l *surveyor) releases() error {
	if l.s.Namespace != "" {
		// If no controller runs any more, its record is in the namespace that was given.
		if err := l.readAll(types.NamespacedName{Namespace: l.s.Namespace}); err != nil {
			return err
		}
	}
	for _, o := range slices.Concat(l.s.running, l.s.live) {
		if err := l.read(o.of); err != nil {
			return err
		}
	}
	if l.s.Saved != nil {
		for _, r := range l.s.Saved.Releases {
			if err := l.read(r.key()); err != nil {
				return err
			}
		}
	}
	for _, f := range l.records {
		if f != nil && l.counts(f) {
			l.s.Found = append(l.s.Found, *f)
		}
	}
	slices.SortFunc(l.s.Found, func(a, b Found) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	for _, set := range l.s.live {
		if f := l.records[set.of]; !set.deleting && (f == nil || !slices.Contains(f.Sets, set.NamespacedName)) {
			l.s.Unmanaged = append(l.s.Unmanaged, Unmanaged{set.NamespacedName, set.gitops.flux()})
		}
	}
	return nil
}

// counts reports whether a record is of a release of ARC: one of its objects exists and names the release,
// or the state names it, or the user names a controller's. It removes all other objects from the release:
// a record may claim any object.
func (l *surveyor) counts(f *Found) bool {
	f.Mixed = len(f.Sets) > 0
	f.Sets = slices.DeleteFunc(f.Sets, func(set types.NamespacedName) bool {
		return !slices.ContainsFunc(l.s.live, func(o claimant) bool { return o.of == f.key() && o.NamespacedName == set })
	})
	f.Controllers = l.proven(f)
	f.Controller = len(f.Controllers) > 0
	f.Mixed = f.Mixed && f.Controller
	if saved := l.s.Saved.release(f.key()); saved != nil {
		// Its objects may be gone by now.
		f.Controller = saved.Controller
		f.Sets = append(f.Sets, saved.Sets...)
		if len(f.Controllers) == 0 {
			f.Controllers = saved.Controllers
		}
		return true
	}
	return f.Controller || len(f.Sets) > 0
}

// proven returns those controllers of a release that run and name it, and all of them if the user has
// named its namespace.
func (l *surveyor) proven(f *Found) (out []Controller) {
	for _, c := range f.Controllers {
		i := slices.IndexFunc(l.s.running, func(o claimant) bool { return o.of == f.key() && o.NamespacedName == c.key() })
		if i >= 0 {
			c.Watches = l.s.running[i].watches
		}
		if i >= 0 || f.Namespace == l.s.Namespace {
			out = append(out, c)
		}
	}
	return out
}

// read reads a release, unless it was read before.
func (l *surveyor) read(key types.NamespacedName) error {
	if _, done := l.records[key]; done || !isName(key.Name) || !isName(key.Namespace) {
		return nil
	}
	l.records[key] = nil
	return l.readAll(key)
}

// readAll reads the releases in a namespace, or the one of that name. It skips records that are not in
// Helm's format, those for another namespace, and uninstalled releases whose history was kept. If
// Secrets and ConfigMaps both hold a release, the Secrets count, as for Helm by default.
func (l *surveyor) readAll(key types.NamespacedName) error {
	var failed error
	err := release.Each(l.ctx, l.client, key.Namespace, key.Name, func(r *helm.Record, err error) {
		switch {
		case errors.Is(err, release.ErrUnreadable):
			return
		case err != nil:
			failed = errors.Join(failed, err)
			return
		case r.StoredElsewhere() || !r.Status.Installed() || !isName(r.Name):
			return
		}
		f := found(r)
		if before := l.records[f.key()]; before == nil || before.Driver != "secret" {
			l.records[f.key()] = f
		}
	})
	return errors.Join(err, failed)
}

var name = regexp.MustCompile(`^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$`)

// isName reports whether a text can be the name of a release or a namespace. A tenant may have written a
// text that looks like a flag.
func isName(text string) bool { return name.MatchString(text) }

// found returns a release as its record describes it.
func found(r *helm.Record) *Found {
	f := &Found{Status: r.Status, record: r, Release: Release{
		Namespace: r.Namespace, Name: r.Name, Revision: r.Revision, Controllers: controllersOf([]byte(r.Manifest), r.Namespace),
		Chart: r.Chart, Driver: r.Driver, ServerSide: r.ServerSide, Values: r.Config,
	}}
	for _, o := range r.Objects {
		if arc.IsScaleSet(o.APIVersion, o.Kind) {
			f.Sets = append(f.Sets, types.NamespacedName{Namespace: o.Namespace, Name: o.Name})
		}
	}
	f.Hooks, f.HookErr = enrol.Of(r)
	for _, h := range r.Hooks {
		labels, annotations := h.Metadata()
		if !chart.IsOurs(labels, annotations) && strings.Contains(annotations[helm.AnnotationHook], "-delete") {
			f.OtherHooks = append(f.OtherHooks, h.Kind+" "+h.Name)
		}
	}
	return f
}

// controllersOf returns the controllers among the Deployments of a manifest.
func controllersOf(stream []byte, namespace string) (out []Controller) {
	for d, watches := range controllerDeployments(stream) {
		out = append(out, Controller{
			Namespace: cmp.Or(d.Metadata.Namespace, namespace), Name: d.Metadata.Name, Watches: watches, Selector: d.Spec.Selector,
		})
	}
	return out
}

// controllerDeployments yields the Deployments of controllers in a manifest, with the namespaces that they
// watch. It skips a document that cannot be read: Helm has applied it, and no controller is written like
// that.
func controllerDeployments(stream []byte) iter.Seq2[deployment, []string] {
	return func(yield func(deployment, []string) bool) {
		for d := range manifest.Documents(stream) {
			if !d.Contains("Deployment") {
				continue
			}
			var o deployment
			if yaml.Unmarshal(d.Bytes(), &o) != nil || o.Kind != "Deployment" {
				continue
			}
			if watches, is := arc.Controller(o.Metadata.Labels, o.Spec.Template.Spec.Containers); is && !yield(o, watches) {
				return
			}
		}
	}
}
