// Package status says what of ARC is in a cluster: its releases, whether they
// have the hook, what an uninstall would do, and what is stuck. It only reads.
package status

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"github.com/arc-cleanup/arc-cleanup/internal/anchor"
	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/cleanup"
	"github.com/arc-cleanup/arc-cleanup/internal/enrol"
	"github.com/arc-cleanup/arc-cleanup/internal/hook"
	"github.com/arc-cleanup/arc-cleanup/internal/kube"
	"github.com/arc-cleanup/arc-cleanup/internal/release"
	"github.com/arc-cleanup/arc-cleanup/internal/shell"
)

// Query is what is asked for.
type Query struct {
	// Namespace is where releases are looked for; "" is everywhere. Release is the
	// one that is asked for; "" is all.
	Namespace, Release string
	// Options understands the arguments of a hook's Job.
	Options func(args []string) (cleanup.Options, error)
}

// Take takes the picture. What could not be read is in Unknown, and in the error
// as well.
func Take(ctx context.Context, c *kube.Client, q Query) (*Document, error) {
	t := newTaker(ctx, c, q)
	t.releases()
	t.scaleSets()
	t.stuck()
	t.orphans()
	return &t.document, errors.Join(t.errs...)
}

type taker struct {
	ctx      context.Context
	client   *kube.Client
	query    Query
	document Document
	errs     []error
	// patience is what is left for previews: a tenant may store any number of records,
	// and each costs some twenty requests.
	patience time.Duration
	// noLegacy says that there is no legacy ARC, and that its kinds may not be read.
	noLegacy bool
	// recorded are the scale sets that a record of the release which they would have to
	// name installs, stored where Helm would find it.
	recorded map[claim]bool
}

// claim is what an AutoscalingRunnerSet says of itself: which release it is of.
type claim struct{ set, release types.NamespacedName }

const previews = time.Minute

func newTaker(ctx context.Context, c *kube.Client, q Query) *taker {
	return &taker{ctx: ctx, client: c, query: q, patience: previews, recorded: map[claim]bool{}, document: Document{
		Version: Version, Releases: []Release{}, ScaleSets: []ScaleSet{}, Stuck: []Object{}, Remains: []cleanup.RemainDocument{}, Unknown: []string{},
	}}
}

// unknown notes what could not be read.
func (t *taker) unknown(err error) {
	t.note(err)
	t.errs = append(t.errs, err)
}

// note notes what could be read and not understood: somebody's own, which does not
// make the picture of the rest uncertain.
func (t *taker) note(err error) { t.document.Unknown = append(t.document.Unknown, err.Error()) }

// releases finds the releases of ARC by the objects in their manifests: charts
// are renamed, mirrored, and made part of others.
func (t *taker) releases() {
	err := release.Each(t.ctx, t.client, t.query.Namespace, t.query.Release, func(r *release.Revision, err error) {
		switch {
		case errors.Is(err, release.ErrUnreadable):
			t.note(err)
			return
		case err != nil:
			t.unknown(err)
			return
		}
		a, _, err := anchor.Find([]byte(r.Manifest))
		if err != nil {
			t.note(fmt.Errorf("the manifest of release %s in namespace %s: %w", r.Name, r.Namespace, err))
			return
		}
		if a == nil {
			return
		}
		t.record(r)
		out := Release{
			Name: r.Name, Namespace: r.Namespace, Revision: r.Revision, State: string(r.Status),
			Chart: Chart(r.Chart), Installs: a.Scope, Hook: t.hook(r),
		}
		if r.StoredElsewhere() {
			out.Storage = r.StorageNamespace
		}
		var plan *cleanup.Plan
		out.Uninstall, plan = t.uninstall(r, out.Hook)
		t.foretell(r, plan, &out.Uninstall)
		t.document.Releases = append(t.document.Releases, out)
	})
	if err != nil {
		t.unknown(err)
	}
	slices.SortFunc(t.document.Releases, func(a, b Release) int {
		return cmp.Or(cmp.Compare(a.Installs, b.Installs), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
}

// record notes the scale sets that a release installs. Both have to say so, since
// each was written by somebody who could speak for himself alone: the set names the
// release, and the record, in the release's own namespace, has the set.
func (t *taker) record(r *release.Revision) {
	if r.StoredElsewhere() || !r.Status.Installed() {
		return
	}
	for _, o := range r.Objects {
		if group, _, _ := strings.Cut(o.APIVersion, "/"); group == arc.Group && o.Kind == "AutoscalingRunnerSet" {
			t.recorded[claim{
				types.NamespacedName{Namespace: cmp.Or(o.Namespace, r.Namespace), Name: o.Name},
				types.NamespacedName{Namespace: r.Namespace, Name: r.Name},
			}] = true
		}
	}
}

// hookJob is what is read of the hook's Job.
type hookJob struct {
	Metadata struct{ Labels, Annotations map[string]string }
	Spec     struct {
		Template struct {
			Spec struct{ Containers []struct{ Args []string } }
		}
	}
}

// outputLog has Helm print the log of a hook. The chart leaves it out where it knows
// of Flux: with storageNamespace.
const outputLog = "helm.sh/hook-output-log-policy"

// jobOf returns the hook's Job in a record.
func jobOf(r *release.Revision) *hookJob {
	for _, h := range enrol.Ours(r.Hooks) {
		var j hookJob
		if h.Kind == "Job" && yaml.Unmarshal([]byte(h.Manifest), &j) == nil && len(j.Spec.Template.Spec.Containers) > 0 {
			return &j
		}
	}
	return nil
}

func (t *taker) hook(r *release.Revision) Hook {
	if job := jobOf(r); job != nil {
		return Hook{State: Present, Chart: job.Metadata.Labels["helm.sh/chart"]}
	}
	enroller, err := enrol.Enroller(r)
	switch {
	case err != nil:
		t.note(fmt.Errorf("the manifest of release %s in namespace %s: %w", r.Name, r.Namespace, err))
		fallthrough
	case enroller.Name == "":
		return Hook{State: Absent, Why: "this revision was rendered without it"}
	case enroller.Namespace != r.Namespace:
		return Hook{State: Absent, Why: enrol.Misplaced(hook.Release{Name: r.Name, Namespace: r.Namespace}, enroller.Namespace)}
	}
	return t.enrolling(r.Namespace, enroller.Name)
}

// uninstall is what "helm uninstall" would do, and the hook's plan as far as there is
// one.
func (t *taker) uninstall(r *release.Revision, h Hook) (Uninstall, *cleanup.Plan) {
	out := Uninstall{Why: []string{}, Do: []string{}, Phases: []Phase{}, Leaves: []Object{}}
	if !r.Status.Installed() {
		out.Why = append(out.Why, "it is uninstalled, and only its history is kept")
		return out, nil
	}
	if h.State != Present {
		out.Why = append(out.Why, "without the hook ARC's CRDs stay, and what nobody frees of its finalizers")
		out.advise(r)
		return out, nil
	}
	options, err := t.query.Options(jobOf(r).Spec.Template.Spec.Containers[0].Args)
	if err != nil {
		err = fmt.Errorf("the hook of release %s in namespace %s: %w", r.Name, r.Namespace, err)
		t.note(err)
		out.Why = append(out.Why, "its hook is not understood: "+err.Error())
		return out, nil
	}
	if options.ReleaseNamespace != r.Namespace {
		// Nor does a record speak for what another namespace's would do.
		out.Why = append(out.Why, fmt.Sprintf("its hook is for a release in namespace %s, and it is in %s", options.ReleaseNamespace, r.Namespace))
		out.advise(r)
		return out, nil
	}
	if options.RequireUninstalling && !t.proves(r, options, &out) {
		return out, nil
	}
	if of := enrol.Flux(r); of != "" && jobOf(r).Metadata.Annotations[outputLog] != "" {
		out.Why = append(out.Why, fmt.Sprintf("Flux's helm-controller panics over a hook whose log is to be printed: the deletion of HelmRelease %q would not end", of))
		out.Do = append(out.Do, fmt.Sprintf("set storageNamespace: %s among the values of arc-cleanup", r.StorageNamespace))
		return out, nil
	}
	if t.patience <= 0 {
		out.Why = append(out.Why, "not looked at: there are too many releases with the hook to look at each")
		out.Do = append(out.Do, shell.Command("arc-cleanup", "status", r.Name, "--namespace", r.StorageNamespace))
		return out, nil
	}
	options.Release, options.Job, options.RequireUninstalling = r.Name, "", false
	begun := time.Now()
	plan := cleanup.Preview(t.ctx, t.client, options)
	t.patience -= time.Since(begun)
	if plan.Off {
		out.Why = append(out.Why, "the hook is switched off by the ConfigMap "+cleanup.OffSwitch)
	}
	for _, refusal := range plan.Refusals {
		out.Why = append(out.Why, refusal.Message)
		out.Do = append(out.Do, refusal.Do...)
	}
	for _, phase := range plan.Phases {
		out.Phases = append(out.Phases, Phase{phase.Name, len(phase.Steps())})
	}
	out.Ready, out.Kept = len(plan.Refusals) == 0 && !plan.Off, len(plan.Kept)
	return out, plan
}

// foretell adds what Helm itself decides.
func (t *taker) foretell(r *release.Revision, plan *cleanup.Plan, out *Uninstall) {
	if !r.Status.Installed() || t.patience <= 0 {
		return
	}
	begun := time.Now()
	ctx, cancel := context.WithTimeout(t.ctx, t.patience)
	defer cancel()
	f := Foretell(ctx, t.client, r, plan)
	t.patience -= time.Since(begun)
	out.Leaves = append(out.Leaves, f.Leaves...)
	for _, refusal := range f.Refused {
		out.Ready = false
		out.Why = append(out.Why, refusal.Message)
		out.Do = append(out.Do, refusal.Do...)
	}
	for _, unknown := range f.Unknown {
		t.note(fmt.Errorf("release %s in namespace %s: %s", r.Name, r.Namespace, unknown))
	}
}

// advise says how the revision gets the hook that it lacks, or a right one.
func (u *Uninstall) advise(r *release.Revision) {
	of := enrol.Flux(r)
	switch {
	case of != "":
		u.Why = append(u.Why, fmt.Sprintf("Flux's HelmRelease %q would undo an enrolment", of))
		u.Do = append(u.Do, "have its chart depend on arc-cleanup")
	case r.StoredElsewhere():
		u.Why = append(u.Why, fmt.Sprintf("its record is in namespace %s, where it is not enrolled", r.StorageNamespace))
		u.Do = append(u.Do, "have its chart depend on arc-cleanup, with storageNamespace: "+r.StorageNamespace)
	case r.Status.Editable():
		u.Do = append(u.Do, shell.Command("arc-cleanup", "enrol", r.Name, "--namespace", r.Namespace))
	default:
		u.Why = append(u.Why, release.NotEditable{Record: r.Record}.Why())
	}
}

// proves reports whether the hook would find in Helm's record of the release that
// it is being uninstalled. It looks where the hook will: where the arguments of its
// Job say.
func (t *taker) proves(r *release.Revision, o cleanup.Options, out *Uninstall) bool {
	at := release.Place{Namespace: o.ReleaseNamespace, Storage: cmp.Or(o.StorageNamespace, o.ReleaseNamespace)}
	if at.Storage != r.StorageNamespace {
		out.Why = append(out.Why, fmt.Sprintf("its hook looks for Helm's record in namespace %s, and it is in %s: it would refuse", at.Storage, r.StorageNamespace))
		out.Do = append(out.Do, fmt.Sprintf("set storageNamespace: %s among the values of arc-cleanup", r.StorageNamespace))
		return false
	}
	all, err := release.WithHookJob(t.ctx, t.client, at, o.Job)
	if err != nil {
		t.unknown(err)
		out.Why = append(out.Why, err.Error())
		return false
	}
	found, alone := false, true
	for _, other := range all {
		if other.Name == r.Name {
			found = true
			continue
		}
		out.Why = append(out.Why, fmt.Sprintf("release %s, which is %s, has a hook Job %q as well", other.Name, other.Status, o.Job))
		if other.Status == release.Uninstalling {
			alone = false
			if !other.StoredElsewhere() { // where Helm would not find it, and its writer not speak for the namespace
				out.Do = append(out.Do, shell.Command("helm", "uninstall", other.Name, "--namespace", other.Namespace))
			}
		}
	}
	if !found {
		out.Why = append(out.Why, fmt.Sprintf("its hook looks for a release with a hook Job %q, which it has not: it would refuse", o.Job))
		out.advise(r)
	}
	return found && alone
}

func (t *taker) scaleSets() {
	for _, u := range t.list(arc.Resource(arc.AutoscalingRunnerSets), "", "") {
		set := ScaleSet{Namespace: u.GetNamespace(), Name: u.GetName(), Deleting: u.GetDeletionTimestamp() != nil}
		of := types.NamespacedName{Namespace: u.GetAnnotations()[arc.AnnotationReleaseNamespace], Name: u.GetAnnotations()[arc.AnnotationReleaseName]}
		if t.recorded[claim{types.NamespacedName{Namespace: set.Namespace, Name: set.Name}, of}] {
			set.Release, set.ReleaseNamespace = of.Name, of.Namespace
		}
		set.Runners, _, _ = unstructured.NestedInt64(u.Object, "status", "currentRunners")
		set.Busy, _, _ = unstructured.NestedInt64(u.Object, "status", "runningEphemeralRunners")
		t.document.ScaleSets = append(t.document.ScaleSets, set)
	}
}

// list reads whole objects; only kinds of which there are few. A kind that the
// API server does not know has none.
func (t *taker) list(gvr schema.GroupVersionResource, namespace, selector string) []unstructured.Unstructured {
	var l *unstructured.UnstructuredList
	err := kube.Retry(t.ctx, func(ctx context.Context) (err error) {
		l, err = t.client.Dynamic.Resource(gvr).Namespace(namespace).List(ctx, metav1.ListOptions{LabelSelector: selector})
		return err
	})
	switch {
	case apierrors.IsNotFound(err):
		return nil
	case err != nil:
		t.unknown(fmt.Errorf("listing %s: %w", gvr.GroupResource(), err))
		return nil
	}
	return l.Items
}

// stuck lists ARC's custom resources on their way out, and the namespaces which
// they keep from going.
func (t *taker) stuck() {
	terminating := map[string]*metav1.PartialObjectMetadata{}
	namespaces := schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}
	err := t.client.Each(t.ctx, namespaces, "", metav1.ListOptions{}, func(m *metav1.PartialObjectMetadata) error {
		if m.DeletionTimestamp != nil {
			terminating[m.Name] = m
		}
		return nil
	})
	if err != nil {
		t.unknown(err)
	}
	hold, wait := map[string]int{}, map[string]int{}
	for _, gvr := range slices.Backward(slices.Concat(arc.LegacyResources(), arc.Resources())) {
		err := t.client.Each(t.ctx, gvr, "", metav1.ListOptions{}, func(m *metav1.PartialObjectMetadata) error {
			if m.DeletionTimestamp == nil {
				wait[m.Namespace]++
			} else {
				hold[m.Namespace]++
				t.add(gvr.GroupResource().String(), m, "is being deleted, and held by "+strings.Join(m.Finalizers, ", "))
			}
			return nil
		})
		switch {
		case err == nil, apierrors.IsNotFound(err):
		case gvr.Group == arc.LegacyGroup && apierrors.IsForbidden(err) && t.withoutLegacy():
		default:
			t.unknown(err)
		}
	}
	for name, m := range terminating {
		switch {
		case hold[name] > 0:
			t.add("namespaces", m, fmt.Sprintf("is Terminating, and held by %d of ARC's custom resources", hold[name]))
		case wait[name] > 0:
			t.add("namespaces", m, fmt.Sprintf("is Terminating, and has %d of ARC's custom resources, which Kubernetes deletes after the namespace's Pods", wait[name]))
		}
	}
}

// withoutLegacy reports whether the API server says that it serves nothing of legacy
// ARC: who may not read it need not be told so where there is none.
func (t *taker) withoutLegacy() bool {
	if !t.noLegacy {
		served, err := t.client.Served(t.ctx, arc.LegacyGroup)
		t.noLegacy = err == nil && len(served) == 0
	}
	return t.noLegacy
}

// add adds an object that is being deleted.
func (t *taker) add(resource string, m *metav1.PartialObjectMetadata, why string) {
	t.document.Stuck = append(t.document.Stuck, Object{Resource: resource, Namespace: m.Namespace, Name: m.Name, Why: why, Since: &m.DeletionTimestamp.Time})
}

// orphans adds what no controller looks after: what "arc-cleanup run" by hand
// would remove of either group.
func (t *taker) orphans() {
	seen := map[Object]bool{}
	for _, o := range t.document.Stuck {
		seen[Object{Resource: o.Resource, Namespace: o.Namespace, Name: o.Name}] = true
	}
	unknown, beside := map[string]bool{}, map[string]bool{}
	for _, scope := range []cleanup.Scope{cleanup.Controller, cleanup.Legacy} {
		if scope == cleanup.Legacy && t.noLegacy {
			continue
		}
		plan := cleanup.Preview(t.ctx, t.client, cleanup.Options{Scope: scope, ScaleSets: cleanup.RefuseScaleSets})
		for _, r := range plan.Refusals {
			if r.Verdict != cleanup.Refused && !unknown[r.Message] {
				unknown[r.Message] = true
				t.unknown(errors.New(r.Message))
			}
		}
		for _, phase := range plan.Phases {
			for _, s := range phase.Steps() {
				o := Object{Resource: s.Object.Resource.GroupResource().String(), Namespace: s.Object.Namespace, Name: s.Object.Name}
				if !seen[o] {
					seen[o] = true
					o.Why = "no controller looks after it"
					t.document.Stuck = append(t.document.Stuck, o)
				}
			}
		}
		for _, r := range plan.Remains {
			if !beside[r.What] {
				beside[r.What] = true
				t.document.Remains = append(t.document.Remains, cleanup.RemainDocument{What: r.What, Do: append([]string{}, r.Do...)})
			}
		}
	}
	slices.SortStableFunc(t.document.Stuck, func(a, b Object) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Resource, b.Resource), cmp.Compare(a.Name, b.Name))
	})
}
