package enrol

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/hook"
	"github.com/arc-cleanup/arc-cleanup/internal/kube"
	"github.com/arc-cleanup/arc-cleanup/internal/manifest"
	"github.com/arc-cleanup/arc-cleanup/internal/release"
	"github.com/arc-cleanup/arc-cleanup/internal/shell"
)

var deployments = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}

// How often a pending release is looked at: soon at first, since most are
// deployed within seconds.
const (
	firstLook = 250 * time.Millisecond
	lastLook  = 5 * time.Second
)

// Attend is what the enroller's Deployment does, in the cluster. It waits, for so
// long, until Helm is done with the release which the Deployment belongs to, gives
// the record the hook that its own manifest carries, and scales the Deployment to
// zero. say is told how it goes.
//
// However it ends, the Deployment is scaled to zero, so that nothing runs on:
// every upgrade and rollback of Helm scales it up again. Only what may pass by
// itself (an API server that cannot be reached, a right that is missing) is
// returned at once, for the Pod to be restarted.
func Attend(ctx context.Context, c *kube.Client, namespace, name string, patience time.Duration, say func(string)) error {
	end := time.Now().Add(patience)
	for delay := firstLook; ; delay = min(delay*3/2, lastLook) {
		of, err := releaseOf(ctx, c, namespace, name)
		switch {
		case apierrors.IsNotFound(err):
			say("the Deployment is gone: there is nothing to enrol")
			return nil
		case err != nil:
			return err
		case of.Name == "":
			say("the Deployment was not installed by Helm: there is no release to enrol")
			return scale(ctx, c, namespace, name, 0)
		case of.Namespace != namespace:
			say(Misplaced(of, namespace))
			return scale(ctx, c, namespace, name, 0)
		}
		target := hook.Release{Name: of.Name, Namespace: namespace}
		revision, result, err := enrolOwn(ctx, c, target, name)
		var (
			state release.NotEditable
			unfit release.Unfit
		)
		switch {
		case err == nil:
		case errors.As(err, &state):
			revision, result = state.Revision, err.Error()
		case errors.As(err, &unfit), errors.Is(err, release.ErrNotFound), errors.Is(err, release.ErrUnreadable):
			result = err.Error()
		default:
			return err
		}
		if state.Status.Pending() && time.Now().Before(end) {
			if delay == firstLook {
				say(fmt.Sprintf("waiting for Helm: revision %d of release %s is %s", revision, of.Name, state.Status))
			}
			select {
			case <-ctx.Done():
				return context.Cause(ctx)
			case <-time.After(delay):
			}
			continue
		}
		say(result)
		return settle(ctx, c, target, name, revision)
	}
}

// Misplaced says why an enroller in a namespace finds nothing of its release, which
// is in another one: ARC's charts have namespaceOverride, a post-renderer of Helm 3
// is told no namespace, and takes that of ARC's objects.
func Misplaced(of hook.Release, namespace string) string {
	return fmt.Sprintf("release %s is in namespace %s, and its enroller in %s (namespaceOverride), where the record is not; add --post-renderer-args=--namespace --post-renderer-args=%s to the command line of Helm, or use ",
		of.Name, of.Namespace, namespace, shell.Quote(of.Namespace)) + "`" + shell.Command("arc-cleanup", "enrol", of.Name, "--namespace", of.Namespace) + "`"
}

// releaseOf is the Helm release which installed the Deployment; empty for none.
func releaseOf(ctx context.Context, c *kube.Client, namespace, name string) (hook.Release, error) {
	var d *metav1.PartialObjectMetadata
	err := kube.Retry(ctx, func(ctx context.Context) (err error) {
		d, err = c.Metadata.Resource(deployments).Namespace(namespace).Get(ctx, name, metav1.GetOptions{})
		return err
	})
	if err != nil {
		return hook.Release{}, fmt.Errorf("reading Deployment %s/%s: %w", namespace, name, err)
	}
	return hook.Release{
		Name:      d.Annotations[arc.AnnotationReleaseName],
		Namespace: cmp.Or(d.Annotations[arc.AnnotationReleaseNamespace], namespace),
	}, nil
}

// enrolOwn enrols the hook which the newest revision's manifest carries in the
// ConfigMap of that name. It comes from the manifest and not from the cluster,
// since only there it is certain to be this revision's: one that was rendered
// without the post-renderer carries none, and gets none.
func enrolOwn(ctx context.Context, c *kube.Client, target hook.Release, configMap string) (revision int, result string, err error) {
	err = release.Edit(ctx, c, target.Namespace, target.Name, func(r *release.Revision) ([]release.Hook, bool, error) {
		revision = r.Revision
		hooks, err := carried(r.Manifest, configMap)
		switch {
		case err != nil:
			return nil, false, release.Unfit{Why: fmt.Sprintf("revision %d of release %s: %v", r.Revision, r.Name, err)}
		case len(hooks) == 0:
			result = fmt.Sprintf("revision %d of release %s was rendered without the post-renderer: there is nothing to enrol", r.Revision, r.Name)
			return nil, false, nil
		case len(Ours(r.Hooks)) > 0:
			// Copied by a rollback, or put there by hand, with other values perhaps.
			result = fmt.Sprintf("revision %d of release %s has the hook already", r.Revision, r.Name)
			return nil, false, nil
		}
		result = fmt.Sprintf("enrolled: revision %d of release %s has the hook", r.Revision, r.Name)
		return replace(r.Hooks, hooks), true, nil
	})
	return revision, result, err
}

// configMap is what is read of the enroller's ConfigMap.
type configMap struct {
	Kind     string
	Metadata struct {
		Namespace, Name string
		Labels          map[string]string
	}
	Data map[string]string
}

// findConfigMap looks in a manifest for the enroller's ConfigMap; nil if there is
// none.
func findConfigMap(text string) (*configMap, error) {
	for d := range manifest.Documents([]byte(text)) {
		if !d.Contains("ConfigMap", hook.Name, hook.EnrolData) || len(d.Bytes()) > maxObject {
			continue
		}
		var o configMap
		if err := yaml.Unmarshal(d.Bytes(), &o); err != nil {
			return nil, fmt.Errorf("reading the enroller's ConfigMap: %w", err)
		}
		if o.Kind == "ConfigMap" && hook.IsEnroller(o.Metadata.Labels) {
			return &o, nil
		}
	}
	return nil, nil
}

// Enroller is the Deployment which, by its manifest, enrols a release; empty if
// there is none.
func Enroller(r *release.Revision) (types.NamespacedName, error) {
	o, err := findConfigMap(r.Manifest)
	if err != nil || o == nil {
		return types.NamespacedName{}, err
	}
	return types.NamespacedName{Namespace: cmp.Or(o.Metadata.Namespace, r.Namespace), Name: o.Metadata.Name}, nil
}

// carried returns the hook which a manifest carries for the enroller of that
// name; none if it has no such enroller.
func carried(text, name string) ([]release.Hook, error) {
	o, err := findConfigMap(text)
	if err != nil || o == nil || o.Metadata.Name != name {
		return nil, err
	}
	return parse([]byte(o.Data[hook.EnrolData]))
}

// settle scales the Deployment to zero, and back to one if Helm has begun a newer
// revision meanwhile. Helm records a revision before it touches any object. So
// either the record is seen here, or Helm finds the zero and sets the Deployment
// to one itself: no revision is missed.
func settle(ctx context.Context, c *kube.Client, of hook.Release, name string, seen int) error {
	if err := scale(ctx, c, of.Namespace, name, 0); err != nil {
		return err
	}
	newest, err := release.Get(ctx, c, release.Place{Namespace: of.Namespace}, of.Name)
	switch {
	case errors.Is(err, release.ErrNotFound), errors.Is(err, release.ErrUnreadable):
		return nil
	case err != nil:
		return err
	case newest.Revision > seen:
		return scale(ctx, c, of.Namespace, name, 1)
	}
	return nil
}

// scale sets the Deployment's replicas. One that is gone needs none.
func scale(ctx context.Context, c *kube.Client, namespace, name string, replicas int) error {
	patch := fmt.Appendf(nil, `{"spec": {"replicas": %d}}`, replicas)
	err := kube.Retry(ctx, func(ctx context.Context) error {
		_, err := c.Dynamic.Resource(deployments).Namespace(namespace).Patch(ctx, name, types.MergePatchType, patch, metav1.PatchOptions{}, "scale")
		return err
	})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("scaling Deployment %s/%s to %d: %w", namespace, name, replicas, err)
	}
	return nil
}
