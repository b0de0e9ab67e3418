package status

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/chart"
	"github.com/arc-cleanup/arc-cleanup/internal/detect"
	"github.com/arc-cleanup/arc-cleanup/internal/enrol"
	"github.com/arc-cleanup/arc-cleanup/internal/helm"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
	"github.com/arc-cleanup/arc-cleanup/internal/release"
)

// releases finds the releases of ARC by the objects in their manifests: users rename charts, mirror
// them, and make them part of others.
func (r *reader) releases() {
	err := release.Each(r.ctx, r.client, r.query.Namespace, r.query.Release, func(rev *helm.Record, err error) {
		switch {
		case errors.Is(err, release.ErrUnreadable):
			r.note(err)
			return
		case err != nil:
			r.unknown(err)
			return
		}
		a, _, err := detect.Find([]byte(rev.Manifest))
		if err != nil {
			r.note(fmt.Errorf("the manifest of release %s in namespace %s: %w", rev.Name, rev.Namespace, err))
			return
		}
		if a != nil {
			r.release(rev, a)
		}
	})
	if err != nil {
		r.unknown(err)
	}
	slices.SortFunc(r.document.Releases, func(a, b Release) int {
		return cmp.Or(cmp.Compare(a.Installs, b.Installs), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
}

// release reports one release of ARC.
func (r *reader) release(rev *helm.Record, a *detect.Anchor) {
	r.record(rev)
	out := Release{
		Name: rev.Name, Namespace: rev.Namespace, Revision: rev.Revision, State: string(rev.Status),
		Chart: rev.Chart, Installs: a.Scope, Hook: r.hook(rev), Rollbacks: r.rollbacks(rev, a), CRDs: r.lackingCRDs(rev, a),
	}
	if rev.StoredElsewhere() {
		out.Storage = rev.StorageNamespace
	}
	if r.closed(rev) {
		out.Uninstall = impossible(rev, a.Scope)
	} else {
		var planned *plan.Plan
		out.Uninstall, planned = r.uninstall(rev, out.Hook)
		r.forecast(rev, planned, &out.Uninstall)
	}
	r.document.Releases = append(r.document.Releases, out)
}

// record notes which scale sets a release installs. Both sides have to say so, since the writer of each
// can speak only for itself: the set names the release, and the record in the release's own namespace
// has the set.
func (r *reader) record(rev *helm.Record) {
	if rev.StoredElsewhere() || !rev.Status.Installed() {
		return
	}
	for _, o := range rev.Objects {
		if arc.IsScaleSet(o.APIVersion, o.Kind) {
			r.recorded[claim{
				types.NamespacedName{Namespace: o.Namespace, Name: o.Name},
				types.NamespacedName{Namespace: rev.Namespace, Name: rev.Name},
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

// jobOf returns the hook's Job in a record; nil if there is none.
func jobOf(rev *helm.Record) *hookJob {
	for _, h := range enrol.Ours(rev.Hooks) {
		var j hookJob
		if h.Kind == "Job" && yaml.Unmarshal([]byte(h.Manifest), &j) == nil && len(j.Spec.Template.Spec.Containers) > 0 {
			return &j
		}
	}
	return nil
}

func (r *reader) hook(rev *helm.Record) HookReport {
	if job := jobOf(rev); job != nil {
		return HookReport{State: Present, Chart: job.Metadata.Labels["helm.sh/chart"]}
	}
	enroller, err := enrol.Enroller(rev)
	if err != nil {
		r.note(fmt.Errorf("the manifest of release %s in namespace %s: %w", rev.Name, rev.Namespace, err))
	}
	switch {
	case enroller.Name == "":
		return HookReport{State: Absent, Why: "this revision was rendered without it"}
	case enroller.Namespace != rev.Namespace:
		return HookReport{State: Absent, Why: enrol.Misplaced(chart.Release{Name: rev.Name, Namespace: rev.Namespace}, enroller.Namespace)}
	}
	return r.enrolling(rev.Namespace, enroller.Name)
}
