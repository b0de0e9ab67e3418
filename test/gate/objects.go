package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
)

const (
	setFinalizer      = "autoscalingrunnerset.actions.github.com/finalizer"
	listenerFinalizer = "autoscalinglistener.actions.github.com/finalizer"
	runnerFinalizer   = "ephemeralrunner.actions.github.com/finalizer"

	idAnnotation   = "runner-scale-set-id"
	hashAnnotation = "arc-cleanup.test/hash"
	versionLabel   = "app.kubernetes.io/version"
)

// set does for a scale set what there is to do.
func (g *gate) set(ctx context.Context, set *unstructured.Unstructured) error {
	listeners, err := g.of(ctx, "autoscalinglisteners", g.namespace, set)
	if err != nil {
		return err
	}
	runnerSets, err := g.of(ctx, "ephemeralrunnersets", set.GetNamespace(), set)
	if err != nil {
		return err
	}
	if set.GetDeletionTimestamp() != nil {
		// The listener, then runners, then GitHub, then the finalizer.
		for _, first := range [][]unstructured.Unstructured{listeners, runnerSets} {
			if len(first) > 0 {
				return g.deleteAll(ctx, first)
			}
		}
		return g.finalizers(ctx, set, nil)
	}
	version := set.GetLabels()[versionLabel]
	if !allows(version, g.version) {
		return g.deleteAll(ctx, []unstructured.Unstructured{*set})
	}
	if err := g.finalizers(ctx, set, []string{setFinalizer}); err != nil {
		return err
	}
	if set.GetAnnotations()[idAnnotation] == "" {
		g.ids++
		return g.patch(ctx, set, map[string]any{"metadata": map[string]any{"annotations": map[string]any{idAnnotation: fmt.Sprint(g.ids)}}})
	}
	like, _ := minor(version)
	want := hash(set.Object["spec"], like)
	return g.follow(ctx, set, want, runnerSets, listeners)
}

// follow makes a runner set and a listener of a scale set's present form. Others of the scale set go; a
// listener of another name stays, and so does one of another image.
func (g *gate) follow(ctx context.Context, set *unstructured.Unstructured, want string, runnerSets, listeners []unstructured.Unstructured) error {
	old := slices.DeleteFunc(slices.Clone(runnerSets), func(o unstructured.Unstructured) bool { return o.GetAnnotations()[hashAnnotation] == want })
	if len(old) == len(runnerSets) {
		return g.create(ctx, "ephemeralrunnersets", set, set.GetNamespace(), set.GetName()+"-"+want[:5], want, []string{runnerFinalizer}, map[string]any{"replicas": 1})
	}
	if err := g.deleteAll(ctx, old); err != nil {
		return err
	}
	name := set.GetName() + "-" + g.listenerHash(set) + "-listener"
	for _, l := range listeners {
		if l.GetName() != name {
			continue
		}
		if l.GetAnnotations()[hashAnnotation] == want {
			return nil
		}
		return g.deleteAll(ctx, []unstructured.Unstructured{l})
	}
	return g.create(ctx, "autoscalinglisteners", set, g.namespace, name, want, []string{listenerFinalizer}, map[string]any{
		"image": g.image, "autoscalingRunnerSetNamespace": set.GetNamespace(), "autoscalingRunnerSetName": set.GetName(),
	})
}

// listenerHash is part of a listener's name. From 0.13 on it is another one.
func (g *gate) listenerHash(set *unstructured.Unstructured) string {
	if m, _ := minor(g.version); m == "0.12" {
		return hash(set.GetNamespace())[:8]
	}
	return hash(set.GetNamespace(), set.GetName())[:8]
}

// listener lets a deleted listener go.
func (g *gate) listener(ctx context.Context, l *unstructured.Unstructured) error {
	if l.GetDeletionTimestamp() == nil {
		return nil
	}
	return g.finalizers(ctx, l, nil)
}

// runnerSet keeps one runner, or lets all go.
func (g *gate) runnerSet(ctx context.Context, rs *unstructured.Unstructured) error {
	all, err := g.list(ctx, "ephemeralrunners", rs.GetNamespace())
	if err != nil {
		return err
	}
	runners := slices.DeleteFunc(all, func(o unstructured.Unstructured) bool { return !metav1.IsControlledBy(&o, rs) })
	switch {
	case rs.GetDeletionTimestamp() == nil && len(runners) == 0:
		return g.create(ctx, "ephemeralrunners", rs, rs.GetNamespace(), rs.GetName()+"-runner-"+hash(rs.GetUID())[:5], "", []string{runnerFinalizer}, rs.Object["spec"])
	case rs.GetDeletionTimestamp() == nil:
		return nil
	case len(runners) == 0:
		return g.finalizers(ctx, rs, nil)
	}
	return g.deleteAll(ctx, slices.DeleteFunc(runners, func(o unstructured.Unstructured) bool { return busy(&o) }))
}

// runner gives a runner its Pod, and lets it go when its Pod is gone.
func (g *gate) runner(ctx context.Context, r *unstructured.Unstructured) error {
	pods := g.client.Resource(resource("pods")).Namespace(r.GetNamespace())
	pod, err := pods.Get(ctx, r.GetName(), metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err) && r.GetDeletionTimestamp() != nil:
		return g.finalizers(ctx, r, nil)
	case apierrors.IsNotFound(err):
		return g.create(ctx, "pods", r, r.GetNamespace(), r.GetName(), "", nil, map[string]any{"containers": []any{map[string]any{
			"name": "runner", "image": "ghcr.io/actions/actions-runner:latest", "command": []any{"/home/runner/run.sh"},
		}}})
	case err != nil:
		return err
	}
	phase, _, _ := unstructured.NestedString(pod.Object, "status", "phase")
	switch {
	case phase == "Succeeded" || phase == "Failed":
		return g.deleteAll(ctx, []unstructured.Unstructured{*r, *pod})
	case r.GetDeletionTimestamp() != nil && !busy(r):
		return g.deleteAll(ctx, []unstructured.Unstructured{*pod})
	}
	return nil
}

// busy reports whether a runner has a job.
func busy(r *unstructured.Unstructured) bool {
	job, _, _ := unstructured.NestedInt64(r.Object, "status", "jobRequestId")
	return job != 0
}

func (g *gate) list(ctx context.Context, name, namespace string) ([]unstructured.Unstructured, error) {
	all, err := g.client.Resource(resource(name)).Namespace(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	return all.Items, nil
}

// of lists the objects of a scale set in a namespace.
func (g *gate) of(ctx context.Context, name, namespace string, set *unstructured.Unstructured) ([]unstructured.Unstructured, error) {
	all, err := g.list(ctx, name, namespace)
	return slices.DeleteFunc(all, func(o unstructured.Unstructured) bool {
		l := o.GetLabels()
		return l["actions.github.com/scale-set-name"] != set.GetName() || l["actions.github.com/scale-set-namespace"] != set.GetNamespace()
	}), err
}

// create creates an object of a scale set or of something it has.
func (g *gate) create(
	ctx context.Context, name string, owner *unstructured.Unstructured, namespace, called, hash string, finalizers []string, spec any,
) error {
	kinds := map[string]string{
		"pods": "Pod", "ephemeralrunners": "EphemeralRunner", "ephemeralrunnersets": "EphemeralRunnerSet", "autoscalinglisteners": "AutoscalingListener",
	}
	o := &unstructured.Unstructured{Object: map[string]any{"spec": spec}}
	if name == "ephemeralrunners" {
		o.Object["spec"] = map[string]any{}
	}
	r := resource(name)
	o.SetAPIVersion(r.GroupVersion().String())
	o.SetKind(kinds[name])
	o.SetNamespace(namespace)
	o.SetName(called)
	o.SetFinalizers(finalizers)
	labels := owner.GetLabels()
	set := map[string]string{"actions.github.com/scale-set-name": owner.GetName(), "actions.github.com/scale-set-namespace": owner.GetNamespace()}
	if owner.GetKind() != "AutoscalingRunnerSet" {
		for key := range set {
			set[key] = labels[key]
		}
	}
	o.SetLabels(set)
	if hash != "" {
		o.SetAnnotations(map[string]string{hashAnnotation: hash})
	}
	if namespace == owner.GetNamespace() {
		yes := true
		o.SetOwnerReferences([]metav1.OwnerReference{{
			APIVersion: owner.GetAPIVersion(), Kind: owner.GetKind(), Name: owner.GetName(), UID: owner.GetUID(), Controller: &yes,
		}})
	}
	_, err := g.client.Resource(r).Namespace(namespace).Create(ctx, o, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		return nil // one that goes has the name
	}
	return err
}

func (g *gate) deleteAll(ctx context.Context, all []unstructured.Unstructured) error {
	for _, o := range all {
		if o.GetDeletionTimestamp() != nil {
			continue
		}
		uid := o.GetUID()
		err := g.client.Resource(resourceOf(&o)).Namespace(o.GetNamespace()).Delete(ctx, o.GetName(), metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}})
		if err != nil && !apierrors.IsNotFound(err) {
			return err
		}
	}
	return nil
}

// finalizers gives an object these finalizers, and no others.
func (g *gate) finalizers(ctx context.Context, o *unstructured.Unstructured, want []string) error {
	if slices.Equal(o.GetFinalizers(), want) {
		return nil
	}
	return g.patch(ctx, o, map[string]any{"metadata": map[string]any{"finalizers": want}})
}

func (g *gate) patch(ctx context.Context, o *unstructured.Unstructured, change map[string]any) error {
	body, err := json.Marshal(change)
	if err != nil {
		return err
	}
	_, err = g.client.Resource(resourceOf(o)).Namespace(o.GetNamespace()).Patch(ctx, o.GetName(), types.MergePatchType, body, metav1.PatchOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

func hash(of ...any) string {
	text, err := json.Marshal(of)
	if err != nil {
		panic(err)
	}
	return fmt.Sprintf("%x", sha256.Sum256(text))
}
