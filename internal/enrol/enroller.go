package enrol

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/chart"
	"github.com/arc-cleanup/arc-cleanup/internal/helm"
	"github.com/arc-cleanup/arc-cleanup/internal/kube"
	"github.com/arc-cleanup/arc-cleanup/internal/manifest"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
	"github.com/arc-cleanup/arc-cleanup/internal/release"
	"github.com/arc-cleanup/arc-cleanup/internal/shell"
)

// firstLook and lastLook are the shortest and the longest wait between two looks at a pending
// release. The first is short, since most releases are deployed within seconds.
const (
	firstLook = 250 * time.Millisecond
	lastLook  = 5 * time.Second
)

// FromCluster runs in the enroller's Pod. It waits up to patience for Helm to finish with the release
// that installed the enroller's Deployment, adds the hook that the revision's manifest carries to
// Helm's record, and scales the Deployment to zero. It reports progress to say.
//
// It scales to zero whatever the result is, so that nothing keeps running: Helm scales the Deployment
// up again with every upgrade and rollback. It returns an error only for what may pass by itself (an
// API server that does not answer, a right that is missing): then the Pod is restarted.
func FromCluster(ctx context.Context, c *kube.Client, namespace, name string, patience time.Duration, say func(string)) error {
	end := time.Now().Add(patience)
	for delay := firstLook; ; delay = min(delay*3/2, lastLook) {
		of, why, err := releaseOf(ctx, c, namespace, name)
		switch {
		case apierrors.IsNotFound(err):
			say("the Deployment is gone: there is nothing to enrol")
			return nil
		case err != nil:
			return err
		case why != "":
			say(why)
			return scale(ctx, c, namespace, name, 0)
		}
		tried, err := enrolOwn(ctx, c, of, name)
		if err != nil {
			return err
		}
		if !tried.status.Pending() || !time.Now().Before(end) {
			say(tried.result)
			return finish(ctx, c, of, name, tried.revision)
		}
		if delay == firstLook {
			say(fmt.Sprintf("waiting for Helm: revision %d of release %s is %s", tried.revision, of.Name, tried.status))
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(delay):
		}
	}
}

// Misplaced says why an enroller in this namespace cannot find its release, which is in another one.
// ARC's charts have namespaceOverride, and a post-renderer of Helm 3 is not told the release's
// namespace: it takes that of ARC's objects.
func Misplaced(of chart.Release, namespace string) string {
	return fmt.Sprintf("release %s is in namespace %s, and its enroller in %s (namespaceOverride), where the record is not; "+
		"add --post-renderer-args=--namespace --post-renderer-args=%s to the command line of Helm, or use `%s`",
		of.Name, of.Namespace, namespace, shell.Quote(of.Namespace), shell.Command("arc-cleanup", "enrol", of.Name, "--namespace", of.Namespace))
}

// releaseOf returns the Helm release that installed the Deployment, or why there is none to enrol.
func releaseOf(ctx context.Context, c *kube.Client, namespace, name string) (of chart.Release, why string, err error) {
	d, err := c.GetMetadata(ctx, object.Deployments, namespace, name)
	if err != nil {
		return of, "", err
	}
	of = chart.Release{
		Name:      d.Annotations[arc.AnnotationReleaseName],
		Namespace: cmp.Or(d.Annotations[arc.AnnotationReleaseNamespace], namespace),
	}
	switch {
	case of.Name == "":
		why = "the Deployment was not installed by Helm: there is no release to enrol"
	case of.Namespace != namespace:
		why = Misplaced(of, namespace)
	}
	return of, why, nil
}

// attempt is how one attempt to enrol the newest revision ended.
type attempt struct {
	revision int
	// status is set where it keeps the revision from being edited.
	status helm.Status
	result string
}

// enrolOwn adds the hook which the newest revision's manifest carries in the ConfigMap of that name.
// It takes the hook from the manifest, not from the cluster: only there it is certain to belong to
// this revision. A revision that was rendered without the post-renderer carries no hook, and gets none.
//
// It returns an error only for what may pass by itself.
func enrolOwn(ctx context.Context, c *kube.Client, target chart.Release, configMap string) (a attempt, err error) {
	err = release.Edit(ctx, c, target.Namespace, target.Name, func(r *helm.Record) ([]helm.Hook, bool, error) {
		a.revision = r.Revision
		hooks, err := carried(r.Manifest, configMap)
		switch {
		case err != nil:
			return nil, false, release.Unfit{Why: fmt.Sprintf("revision %d of release %s: %v", r.Revision, r.Name, err)}
		case len(hooks) == 0:
			a.result = fmt.Sprintf("revision %d of release %s was rendered without the post-renderer: there is nothing to enrol", r.Revision, r.Name)
			return nil, false, nil
		case len(Ours(r.Hooks)) > 0:
			// A rollback has copied it, or a person has enrolled it by hand, perhaps with other values.
			a.result = fmt.Sprintf("revision %d of release %s has the hook already", r.Revision, r.Name)
			return nil, false, nil
		}
		a.result = fmt.Sprintf("enrolled: revision %d of release %s has the hook", r.Revision, r.Name)
		return replace(r.Hooks, hooks), true, nil
	})
	var unfit release.Unfit
	switch {
	case errors.As(err, &unfit) && unfit.Record != nil:
		return attempt{unfit.Record.Revision, unfit.Record.Status, err.Error()}, nil
	case errors.As(err, &unfit), errors.Is(err, release.ErrNotFound), errors.Is(err, release.ErrUnreadable):
		a.result, err = err.Error(), nil
	}
	return a, err
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

// findConfigMap returns the enroller's ConfigMap in a manifest; nil if there is none.
func findConfigMap(text string) (*configMap, error) {
	for d := range manifest.Documents([]byte(text)) {
		if !d.Contains("ConfigMap", chart.Name, chart.EnrolData) || len(d.Bytes()) > helm.MaxObject {
			continue
		}
		var o configMap
		if err := yaml.Unmarshal(d.Bytes(), &o); err != nil {
			return nil, fmt.Errorf("reading the enroller's ConfigMap: %w", err)
		}
		if o.Kind == "ConfigMap" && chart.IsEnroller(o.Metadata.Labels) {
			return &o, nil
		}
	}
	return nil, nil
}

// Enroller names the Deployment that, according to the revision's manifest, enrols the release; it is
// empty if there is none.
func Enroller(r *helm.Record) (types.NamespacedName, error) {
	o, err := findConfigMap(r.Manifest)
	if err != nil || o == nil {
		return types.NamespacedName{}, err
	}
	return types.NamespacedName{Namespace: cmp.Or(o.Metadata.Namespace, r.Namespace), Name: o.Metadata.Name}, nil
}

// carried returns the hook that a manifest carries for the enroller of that name; none if it has no
// such enroller.
func carried(text, name string) ([]helm.Hook, error) {
	o, err := findConfigMap(text)
	if err != nil || o == nil || o.Metadata.Name != name {
		return nil, err
	}
	return parse([]byte(o.Data[chart.EnrolData]))
}

// finish scales the Deployment to zero, and back to one if Helm has begun a newer revision since.
// Helm records a revision before it changes any object. So either this finds the new record, or Helm
// finds zero replicas and sets them to one itself: no revision is missed.
func finish(ctx context.Context, c *kube.Client, of chart.Release, name string, seen int) error {
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

// scale sets the Deployment's replicas. A Deployment that is gone needs no scaling.
func scale(ctx context.Context, c *kube.Client, namespace, name string, replicas int) error {
	patch := fmt.Appendf(nil, `{"spec": {"replicas": %d}}`, replicas)
	r := c.Dynamic.Resource(object.Deployments).Namespace(namespace)
	err := kube.Retry(ctx, func(ctx context.Context) error {
		_, err := r.Patch(ctx, name, types.MergePatchType, patch, metav1.PatchOptions{}, "scale")
		return err
	})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("scaling Deployment %s/%s to %d: %w", namespace, name, replicas, err)
	}
	return nil
}
