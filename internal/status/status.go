// Package status reports the state of ARC in a cluster: its releases, whether they have the hook, what
// an uninstall would do, and what is stuck. It only reads.
package status

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/kube"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
)

// Query says what to report.
type Query struct {
	// Namespace is where Read looks for releases; "" means everywhere. Release is the one release to
	// report; "" means all.
	Namespace, Release string
	// Options parses the arguments of a hook's Job.
	Options func(args []string) (plan.Options, error)
}

// Read reads the state of the cluster. What it could not read is in Unknown and in the error.
func Read(ctx context.Context, c *kube.Client, q Query) (*Document, error) {
	r := newReader(ctx, c, q)
	r.releases()
	r.scaleSets()
	r.stuck()
	r.surveyed()
	return &r.document, errors.Join(r.errs...)
}

type reader struct {
	ctx      context.Context
	client   *kube.Client
	query    Query
	document Document
	errs     []error
	// patience is the time left for previews: a tenant may store any number of records, and each preview
	// costs some twenty requests.
	patience time.Duration
	// noLegacy says that the cluster has no legacy ARC, whose kinds may not be read.
	noLegacy bool
	// recorded are the scale sets that a release's record installs and that would have to name that
	// release. The record is stored where Helm would find it.
	recorded map[claim]bool
}

// claim is what an AutoscalingRunnerSet says of itself: the release that it belongs to.
type claim struct{ set, release types.NamespacedName }

// previews bounds the time for previews of all releases together.
const previews = time.Minute

func newReader(ctx context.Context, c *kube.Client, q Query) *reader {
	return &reader{ctx: ctx, client: c, query: q, patience: previews, recorded: map[claim]bool{}, document: Document{
		Version: Version, Releases: []Release{}, Controllers: []Controller{}, ScaleSets: []ScaleSet{}, Stuck: []Object{},
		Remains: []plan.Remain{}, Unknown: []string{},
	}}
}

// unknown notes an error that leaves the state of the cluster uncertain.
func (r *reader) unknown(err error) {
	r.note(err)
	r.errs = append(r.errs, err)
}

// ErrNotPermitted is that a survey lacked a right.
var ErrNotPermitted = errors.New("a right is missing")

// unread notes what a survey could not read.
func (r *reader) unread(refusal plan.Refusal) {
	err := errors.New(refusal.Message)
	r.note(err)
	if refusal.Verdict == plan.NotPermitted {
		err = fmt.Errorf("%w: %w", ErrNotPermitted, err)
	}
	r.errs = append(r.errs, err)
}

// note notes something that was read and not understood. It belongs to one release, and the rest of the
// state remains certain.
func (r *reader) note(err error) { r.document.Unknown = append(r.document.Unknown, err.Error()) }

func (r *reader) scaleSets() {
	for _, u := range r.list(arc.Resource(arc.AutoscalingRunnerSets), "", "") {
		set := ScaleSet{Namespace: u.GetNamespace(), Name: u.GetName(), Deleting: u.GetDeletionTimestamp() != nil}
		of := types.NamespacedName{
			Namespace: u.GetAnnotations()[arc.AnnotationReleaseNamespace], Name: u.GetAnnotations()[arc.AnnotationReleaseName],
		}
		if r.recorded[claim{types.NamespacedName{Namespace: set.Namespace, Name: set.Name}, of}] {
			set.Release, set.ReleaseNamespace = of.Name, of.Namespace
		}
		set.Runners, _, _ = unstructured.NestedInt64(u.Object, "status", "currentRunners")
		set.Busy, _, _ = unstructured.NestedInt64(u.Object, "status", "runningEphemeralRunners")
		r.document.ScaleSets = append(r.document.ScaleSets, set)
	}
}

// list reads whole objects: only of kinds with few objects. A kind that the API server does not serve
// has no objects.
func (r *reader) list(gvr schema.GroupVersionResource, namespace, selector string) []unstructured.Unstructured {
	all, err := r.client.List(r.ctx, gvr, namespace, selector)
	if err != nil && !apierrors.IsNotFound(err) {
		r.unknown(err)
	}
	return all
}
