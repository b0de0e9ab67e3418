package upgrade

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
)

const (
	// listenerPoll is the time between two looks at the listeners.
	listenerPoll = time.Second
	// listenerPatience is how long the new controller has to replace a listener by itself.
	listenerPatience = 20 * time.Second
	// imageVariable names the image of listeners in the controller's Pod (main.go).
	imageVariable = "CONTROLLER_MANAGER_CONTAINER_IMAGE"
)

// listener is an AutoscalingListener.
type listener struct {
	object.Object
	image string
}

// replaceListeners waits until every scale set has a listener of the new controller's image, and no other.
// A controller of the same minor version keeps listeners of the old image until they are deleted, and from
// 0.14 on a listener has another name. A scale set whose jobs would wait for it keeps its listener. If one gets
// none, the others still do, as long as the controller runs.
func (u *Upgrade) replaceListeners(ctx context.Context, state State) error {
	image, eventual, err := u.controllerOf(ctx, state.Releases[0])
	if err != nil {
		return err
	}
	var sets []unstructured.Unstructured
	for _, r := range state.Releases[1:] {
		for _, namespace := range r.namespaces() {
			in, err := u.Client.List(ctx, arc.Resource(arc.AutoscalingRunnerSets), namespace, "")
			if err != nil {
				return err
			}
			for _, set := range in {
				if slices.Contains(r.Sets, types.NamespacedName{Namespace: namespace, Name: set.GetName()}) {
					sets = append(sets, set)
				}
			}
		}
	}
	start := time.Now()
	patience := time.Duration(0)
	if state.Way == BySwap {
		patience = listenerPatience
	}
	var failed []error
	for _, set := range sets {
		name := set.GetName() + " in namespace " + set.GetNamespace()
		if set.GetAnnotations()[arc.AnnotationRunnerScaleSetID] == "" {
			u.Log.Warn().Msgf("scale set %s is not registered at GitHub, and has no listener to wait for", name)
			continue
		}
		if eventual && hasRunners(set) {
			u.Log.Warn().Msgf("scale set %s gets a new listener when its runners are done (--update-strategy=eventual); "+
				"if its listener has the old image then, delete it", name)
			continue
		}
		if err := u.replaceListener(ctx, state.Releases[0], set, image, start.Add(patience)); err != nil {
			failed = append(failed, fmt.Errorf("scale set %s: %w", name, err))
			if down := u.controllersUp(ctx, state.Releases[0]); down != nil {
				return errors.Join(append(failed, down)...)
			}
		}
	}
	return errors.Join(failed...)
}

// controllersUp waits until a release's controllers run. Without one, no scale set gets a new listener.
func (u *Upgrade) controllersUp(ctx context.Context, controller Release) error {
	for _, c := range controller.Controllers {
		if err := u.comesUp(ctx, SavedController{Namespace: c.Namespace, Name: c.Name, Replicas: 1}); err != nil {
			return err
		}
	}
	return nil
}

// hasRunners reports whether a scale set has runners that a controller waits for.
func hasRunners(set unstructured.Unstructured) bool {
	for _, field := range []string{"pendingEphemeralRunners", "runningEphemeralRunners"} {
		if n, _, _ := unstructured.NestedInt64(set.Object, "status", field); n > 0 {
			return true
		}
	}
	return false
}

// controllerOf returns the image that the running controller gives listeners, and whether it makes none
// while there are runners.
func (u *Upgrade) controllerOf(ctx context.Context, controller Release) (image string, eventual bool, err error) {
	for _, c := range controller.Controllers {
		o, err := u.Client.Get(ctx, object.Deployments, c.Namespace, c.Name)
		if err != nil {
			return "", false, err
		}
		var d deployment
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, &d); err != nil {
			return "", false, fmt.Errorf("reading Deployment %s: %w", c.key(), err)
		}
		containers := d.Spec.Template.Spec.Containers
		if image = listenerImage(o); image == "" {
			image = arc.ControllerImage(containers)
		}
		eventual = eventual || arc.Eventual(containers)
	}
	if image == "" {
		return "", false, fmt.Errorf("the image of listeners is not known: the controllers of release %s do not name it", controller)
	}
	return image, eventual, nil
}

// listenerImage is the image that a controller's Deployment names for listeners.
func listenerImage(o *unstructured.Unstructured) string {
	containers, _, _ := unstructured.NestedSlice(o.Object, "spec", "template", "spec", "containers")
	for _, c := range containers {
		of, _ := c.(map[string]any)
		variables, _ := of["env"].([]any)
		for _, v := range variables {
			if e, _ := v.(map[string]any); e["name"] == imageVariable {
				value, _ := e["value"].(string)
				return value
			}
		}
	}
	return ""
}

// replaceListener waits until a scale set has a listener of an image, and no other. From a time on, it
// deletes the last one of another image, too.
func (u *Upgrade) replaceListener(
	ctx context.Context, controller Release, set unstructured.Unstructured, image string, from time.Time,
) error {
	ctx, cancel := context.WithTimeoutCause(ctx, u.Helm.Timeout, fmt.Errorf("it has no listener of the image %s after %s", image, u.Helm.Timeout))
	defer cancel()
	for {
		found, err := u.listenersOf(ctx, controller, set)
		if err != nil {
			return err
		}
		old := slices.DeleteFunc(slices.Clone(found), func(l listener) bool { return l.image == image })
		is := len(found) > len(old)
		if is && len(old) == 0 {
			return nil
		}
		for _, l := range old {
			if l.Deleting || !is && time.Now().Before(from) {
				continue
			}
			if err := u.Client.Delete(ctx, l.Object, metav1.DeletePropagationBackground); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(listenerPoll):
		}
	}
}

// listenersOf lists the listeners of a scale set, which are beside the controller.
func (u *Upgrade) listenersOf(ctx context.Context, controller Release, set unstructured.Unstructured) (out []listener, err error) {
	for _, c := range controller.Controllers {
		all, err := u.Client.List(ctx, arc.Resource(arc.AutoscalingListeners), c.Namespace, "")
		if err != nil {
			return nil, err
		}
		for _, o := range all {
			var l struct {
				Spec struct {
					Image     string `json:"image"`
					Namespace string `json:"autoscalingRunnerSetNamespace"`
					Name      string `json:"autoscalingRunnerSetName"`
				} `json:"spec"`
			}
			if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, &l); err != nil {
				return nil, fmt.Errorf("reading AutoscalingListener %s/%s: %w", o.GetNamespace(), o.GetName(), err)
			}
			if l.Spec.Namespace == set.GetNamespace() && l.Spec.Name == set.GetName() {
				out = append(out, listener{object.Object{
					Resource: arc.Resource(arc.AutoscalingListeners), Namespace: o.GetNamespace(), Name: o.GetName(), UID: o.GetUID(),
					Deleting: o.GetDeletionTimestamp() != nil,
				}, l.Spec.Image})
			}
		}
	}
	return out, nil
}
