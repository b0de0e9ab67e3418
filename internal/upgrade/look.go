package upgrade

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/enrol"
	"github.com/arc-cleanup/arc-cleanup/internal/hook"
	"github.com/arc-cleanup/arc-cleanup/internal/kube"
	"github.com/arc-cleanup/arc-cleanup/internal/manifest"
	"github.com/arc-cleanup/arc-cleanup/internal/release"
)

var (
	deployments   = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}
	accessReviews = schema.GroupVersionResource{Group: "authorization.k8s.io", Version: "v1", Resource: "subjectaccessreviews"}
)

// Look reads the situation, but for what is asked for. It writes nothing. namespace is
// that of the controller's release; "" to go by the controller that runs.
//
// A Helm record is a claim of whoever may create a Secret beside it. So it begins with
// what only those can make who install ARC, its scale sets and a controller that has a
// controller's rights, and reads the records of the releases which these name. Such a
// record counts if it names the object in turn. Of any other release, only the state in
// the controller's own namespace is believed, and what namespace says.
func Look(ctx context.Context, c *kube.Client, namespace string) (Situation, error) {
	l := &looker{
		ctx: ctx, client: c, read: map[types.NamespacedName]*Found{},
		s: Situation{Namespace: namespace, Now: time.Now(), secrets: map[string]secret{}},
	}
	for _, step := range []func() error{l.controllers, l.scaleSets, l.state, l.releases, l.values} {
		if err := step(); err != nil {
			return Situation{}, err
		}
	}
	return l.s, nil
}

type looker struct {
	ctx    context.Context
	client *kube.Client
	s      Situation

	// running are the controllers that run, and live the scale sets there are.
	running, live []object
	// read are the releases that were looked for; nil if there is none.
	read map[types.NamespacedName]*Found
}

// object is one of ARC's objects, and the release it says it is of.
type object struct {
	types.NamespacedName
	of       types.NamespacedName
	watches  []string // of a controller
	deleting bool
	flux     string // the HelmRelease that installed it
}

// labelFlux is put by Flux on what a HelmRelease installs
// (fluxcd/helm-controller internal/postrender/origin_labels.go).
const labelFlux = "helm.toolkit.fluxcd.io/name"

func releaseOf(annotations map[string]string) types.NamespacedName {
	return types.NamespacedName{Namespace: annotations[arc.AnnotationReleaseNamespace], Name: annotations[arc.AnnotationReleaseName]}
}

// deployment is what is read of one, live or in a manifest.
type deployment struct {
	Kind     string            `json:"kind"`
	Metadata metav1.ObjectMeta `json:"metadata"`
	Spec     struct {
		Selector metav1.LabelSelector `json:"selector"`
		Template struct {
			Spec struct {
				Containers         []arc.Container `json:"containers"`
				ServiceAccountName string          `json:"serviceAccountName"`
			} `json:"spec"`
		} `json:"template"`
	} `json:"spec"`
}

// controllers finds the Deployments that may be a controller and have a controller's
// rights, which nobody can give who has not got them.
func (l *looker) controllers() error {
	asked := map[string]bool{}
	for _, selector := range arc.ControllerSelectors() {
		options := metav1.ListOptions{LabelSelector: selector, Limit: 500}
		for {
			var page *unstructured.UnstructuredList
			err := kube.Retry(l.ctx, func(ctx context.Context) (err error) {
				page, err = l.client.Dynamic.Resource(deployments).List(ctx, options)
				return err
			})
			if err != nil {
				return fmt.Errorf("listing deployments in all namespaces: %w", err)
			}
			for _, item := range page.Items {
				var d deployment
				if err := runtime.DefaultUnstructuredConverter.FromUnstructured(item.Object, &d); err != nil {
					return fmt.Errorf("reading Deployment %s/%s: %w", item.GetNamespace(), item.GetName(), err)
				}
				o := object{NamespacedName: types.NamespacedName{Namespace: d.Metadata.Namespace, Name: d.Metadata.Name}, of: releaseOf(d.Metadata.Annotations)}
				watches, is := arc.Controller(d.Metadata.Labels, d.Spec.Template.Spec.Containers)
				if !is {
					continue
				}
				o.watches = watches
				user := fmt.Sprintf("system:serviceaccount:%s:%s", o.Namespace, cmp.Or(d.Spec.Template.Spec.ServiceAccountName, "default"))
				question := user + " " + strings.Join(watches, " ")
				may, known := asked[question]
				if !known {
					if may, err = l.mayControl(o.Namespace, user, watches); err != nil {
						return err
					}
					asked[question] = may
				}
				if may {
					l.running = append(l.running, o)
				}
			}
			if options.Continue = page.GetContinue(); options.Continue == "" {
				break
			}
		}
	}
	return nil
}

// mayControl asks whether a ServiceAccount has the rights of a controller in the
// namespaces which it watches, or in the whole cluster.
func (l *looker) mayControl(namespace, user string, watches []string) (bool, error) {
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
		var answer *unstructured.Unstructured
		err := kube.Retry(l.ctx, func(ctx context.Context) (err error) {
			answer, err = l.client.Dynamic.Resource(accessReviews).Create(ctx, review, metav1.CreateOptions{})
			return err
		})
		if err != nil {
			return false, fmt.Errorf("asking for the rights of %s: %w", user, err)
		}
		if allowed, _, _ := unstructured.NestedBool(answer.Object, "status", "allowed"); !allowed {
			return false, nil
		}
	}
	return true, nil
}

func (l *looker) scaleSets() error {
	err := l.client.Each(l.ctx, arc.Resource(arc.AutoscalingRunnerSets), "", metav1.ListOptions{}, func(m *metav1.PartialObjectMetadata) error {
		l.live = append(l.live, object{
			NamespacedName: types.NamespacedName{Namespace: m.Namespace, Name: m.Name}, of: releaseOf(m.Annotations),
			deleting: m.DeletionTimestamp != nil, flux: m.Labels[labelFlux],
		})
		return nil
	})
	if apierrors.IsNotFound(err) {
		return nil // no CRDs, no scale sets
	}
	return err
}

// state reads what an upgrade has saved: in the namespace that was given, or in that of
// the one release whose controllers run.
func (l *looker) state() error {
	home := l.s.Namespace
	for _, o := range l.running {
		switch {
		case l.s.Namespace != "", home == o.of.Namespace:
		case home == "":
			home = o.of.Namespace
		default:
			return nil // which of them it is has to be said
		}
	}
	if home == "" {
		return nil
	}
	var err error
	l.s.Saved, err = load(l.ctx, l.client, home, l.s.secrets)
	return err
}

// releases reads the releases that are ARC's.
func (l *looker) releases() error {
	if l.s.Namespace != "" {
		// Where no controller runs any more, its record is in the namespace that was given.
		if err := l.each(types.NamespacedName{Namespace: l.s.Namespace}); err != nil {
			return err
		}
	}
	for _, o := range slices.Concat(l.running, l.live) {
		if err := l.look(o.of); err != nil {
			return err
		}
	}
	if l.s.Saved != nil {
		for _, r := range l.s.Saved.Releases {
			if err := l.look(r.key()); err != nil {
				return err
			}
		}
	}
	for _, f := range l.read {
		if f != nil && l.counts(f) {
			l.s.Found = append(l.s.Found, *f)
		}
	}
	slices.SortFunc(l.s.Found, func(a, b Found) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	for _, set := range l.live {
		if f := l.read[set.of]; !set.deleting && (f == nil || !slices.Contains(f.Sets, set.NamespacedName)) {
			l.s.Loose = append(l.s.Loose, Loose{set.NamespacedName, set.flux})
		}
	}
	return nil
}

// counts reports whether a record is of a release of ARC: one of the objects that it
// names exists and names it, or the state does; and of a controller, the user. What
// else it names is forgotten: a record may name what it likes.
func (l *looker) counts(f *Found) bool {
	f.Mixed = len(f.Sets) > 0
	f.Sets = slices.DeleteFunc(f.Sets, func(set types.NamespacedName) bool {
		return !slices.ContainsFunc(l.live, func(o object) bool { return o.of == f.key() && o.NamespacedName == set })
	})
	var controllers []Controller
	for _, c := range f.Controllers {
		i := slices.IndexFunc(l.running, func(o object) bool { return o.of == f.key() && o.NamespacedName == c.key() })
		if i >= 0 {
			c.Watches = l.running[i].watches
		}
		if i >= 0 || f.Namespace == l.s.Namespace {
			controllers = append(controllers, c)
		}
	}
	f.Controllers = controllers
	f.Controller = len(f.Controllers) > 0
	f.Mixed = f.Mixed && f.Controller
	if l.s.Saved != nil {
		for _, r := range l.s.Saved.Releases {
			if r.key() == f.key() {
				// What it had may be gone by now.
				f.Controller = r.Controller
				f.Sets = append(f.Sets, r.Sets...)
				if len(f.Controllers) == 0 {
					f.Controllers = r.Controllers
				}
				return true
			}
		}
	}
	return f.Controller || len(f.Sets) > 0
}

// look reads a release, unless that was done.
func (l *looker) look(key types.NamespacedName) error {
	if _, done := l.read[key]; done || !isName(key.Name) || !isName(key.Namespace) {
		return nil
	}
	l.read[key] = nil
	return l.each(key)
}

// each reads the releases in a namespace, or the one of that name. What is not in
// Helm's format, or speaks for another namespace, is no record, and of a release whose
// history was kept nothing is installed. Where Secrets and ConfigMaps both hold one,
// Helm reads the Secrets unless it is told otherwise.
func (l *looker) each(key types.NamespacedName) error {
	var failed error
	err := release.Each(l.ctx, l.client, key.Namespace, key.Name, func(r *release.Revision, err error) {
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
		if before := l.read[f.key()]; before == nil || before.Driver != "secret" {
			l.read[f.key()] = f
		}
	})
	return errors.Join(err, failed)
}

var name = regexp.MustCompile(`^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$`)

// isName reports whether a text can be the name of a release or a namespace. It may be
// somebody's who hopes for it to be taken for a flag.
func isName(text string) bool { return name.MatchString(text) }

// found is a release as its record has it.
func found(r *release.Revision) *Found {
	f := &Found{Status: r.Status, Revision: r.Revision, record: r, Release: Release{
		Namespace: r.Namespace, Name: r.Name, Controllers: controllersOf([]byte(r.Manifest), r.Namespace),
		Chart: r.Chart, Driver: r.Driver, ServerSide: r.ServerSide, Values: r.Config,
	}}
	for _, o := range r.Objects {
		if o.Kind == arc.AutoscalingRunnerSet && strings.HasPrefix(o.APIVersion, arc.Group+"/") {
			f.Sets = append(f.Sets, types.NamespacedName{Namespace: o.Namespace, Name: o.Name})
		}
	}
	f.Hooks, f.HookErr = enrol.Of(r)
	for _, h := range r.Hooks {
		m := enrol.Metadata(h)
		if !hook.IsOurs(m.Labels, m.Annotations) && strings.Contains(m.Annotations[hook.Annotation], "-delete") {
			f.OtherHooks = append(f.OtherHooks, h.Kind+" "+h.Name)
		}
	}
	return f
}

// controllersOf are the controllers among the Deployments of a manifest. A document that
// cannot be read is none: Helm has applied it, and it is somebody else's business.
func controllersOf(stream []byte, namespace string) (out []Controller) {
	for d := range manifest.Documents(stream) {
		if !d.Contains("Deployment") {
			continue
		}
		var o deployment
		if yaml.Unmarshal(d.Bytes(), &o) != nil || o.Kind != "Deployment" {
			continue
		}
		if watches, is := arc.Controller(o.Metadata.Labels, o.Spec.Template.Spec.Containers); is {
			out = append(out, Controller{
				Namespace: cmp.Or(o.Metadata.Namespace, namespace), Name: o.Metadata.Name,
				Watches: watches, Selector: o.Spec.Selector,
			})
		}
	}
	return out
}
