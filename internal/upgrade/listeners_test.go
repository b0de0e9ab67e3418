package upgrade

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// Listeners of an old image go, one scale set after the other, and none that is in use for ever.
func TestReplaceListeners(t *testing.T) {
	const old, current = "arc:0.14.1", "arc:0.14.2"
	listenerAt := func(name, set, image string) kubeObject {
		return kind("AutoscalingListener", "arc-systems", name, kubeObject{"spec": kubeObject{
			"image": image, "autoscalingRunnerSetNamespace": "a", "autoscalingRunnerSetName": set,
		}})
	}
	registered := func(name string) kubeObject {
		set := setAt("a", name, "a", "runners")
		metadata(set)["annotations"].(map[string]any)["runner-scale-set-id"] = "7"
		return set
	}
	// A controller makes a listener of its own image as soon as there is none.
	controls := func(a *api, set string) {
		for range 100 {
			time.Sleep(20 * time.Millisecond)
			if a.get(listenerAt(set, "", "")) == nil {
				a.put(listenerAt(set, set, current))
				return
			}
		}
	}
	begin := func(args ...string) (*Upgrade, *api, State) {
		controller := controllerAt("arc-systems", "arc-systems", "arc", args...)
		container := specOf(controller)["template"].(kubeObject)["spec"].(kubeObject)["containers"].([]any)[0].(kubeObject)
		container["image"] = "mirror/" + current
		container["env"] = []any{kubeObject{"name": "x"}, kubeObject{"name": "CONTROLLER_MANAGER_CONTAINER_IMAGE", "value": current}}
		u, a, _ := upgradingWith(t, controller, registered("set"))
		state := theState()
		state.Releases[0].Controllers = state.Releases[0].Controllers[:1]
		state.Way = ByHelm
		return u, a, state
	}

	u, a, state := begin()
	a.put(listenerAt("set", "set", old))
	a.put(listenerAt("other", "other", old)) // of a scale set that is not upgraded
	go controls(a, "set")
	if err := u.replaceListeners(t.Context(), state); err != nil {
		t.Error(err)
	}
	if spec := specOf(a.get(listenerAt("set", "", ""))); spec["image"] != current || a.get(listenerAt("other", "", "")) == nil {
		t.Errorf("it has %v", spec)
	}

	// The new controller has made one of another name.
	state.Way = BySwap
	a.put(listenerAt("before", "set", old))
	if err := u.replaceListeners(t.Context(), state); err != nil || a.get(listenerAt("before", "", "")) != nil {
		t.Errorf("the one with the old name is left: %v", err)
	}

	// The new controller gets the time to replace it by itself.
	u, a, state = begin()
	state.Way = BySwap
	a.put(listenerAt("set", "set", old))
	u.Helm.Timeout = 300 * time.Millisecond
	if err := u.replaceListeners(t.Context(), state); err == nil || !strings.Contains(err.Error(), "scale set set in namespace a: it has no listener of the image "+current) || len(a.Writes) > 0 {
		t.Errorf("%v, %v", err, a.Writes)
	}

	// A controller that makes none while there are runners.
	busy := registered("set")
	busy["status"] = kubeObject{"runningEphemeralRunners": 1}
	unregistered := setAt("a", "set", "a", "runners")
	for name, test := range map[string]struct {
		args  []string
		set   kubeObject
		fails bool
	}{
		"eventual, busy":  {[]string{"--update-strategy=eventual"}, busy, false},
		"eventual, idle":  {[]string{"--update-strategy=eventual"}, registered("set"), true},
		"immediate, busy": {[]string{"--update-strategy=immediate"}, busy, true},
		"not registered":  {nil, unregistered, false},
	} {
		u, a, state = begin(test.args...)
		a.put(test.set)
		a.put(listenerAt("set", "set", old))
		u.Helm.Timeout = 300 * time.Millisecond
		err := u.replaceListeners(t.Context(), state)
		if deleted := a.get(listenerAt("set", "", "")) == nil; (err != nil) != test.fails || deleted != test.fails {
			t.Errorf("%s: %v, deleted %t", name, err, deleted)
		}
	}
}

// A scale set that gets no listener does not keep the others from theirs, as long as a controller runs.
func TestReplaceListenersOfTheOthers(t *testing.T) {
	for name, ready := range map[string]int{"the controller runs": 1, "no controller runs": 0} {
		t.Run(name, func(t *testing.T) {
			controller := merge(controllerAt("arc-systems", "arc-systems", "arc"), kubeObject{"status": kubeObject{"readyReplicas": ready}})
			container := specOf(controller)["template"].(kubeObject)["spec"].(kubeObject)["containers"].([]any)[0].(kubeObject)
			container["image"] = "arc:0.14.2"
			objects := []kubeObject{controller}
			state := theState()
			state.Way, state.Releases[0].Controllers, state.Releases[1].Sets = ByHelm, state.Releases[0].Controllers[:1], nil
			of := func(set, image string) kubeObject {
				return kind("AutoscalingListener", "arc-systems", set, kubeObject{"spec": kubeObject{
					"image": image, "autoscalingRunnerSetNamespace": "a", "autoscalingRunnerSetName": set,
				}})
			}
			for _, set := range []string{"first", "second"} {
				registered := setAt("a", set, "a", "runners")
				metadata(registered)["annotations"].(map[string]any)["runner-scale-set-id"] = "7"
				objects = append(objects, registered, of(set, "arc:0.14.1"))
				state.Releases[1].Sets = append(state.Releases[1].Sets, types.NamespacedName{Namespace: "a", Name: set})
			}
			u, a, _ := upgradingWith(t, objects...)
			u.Helm.Timeout = 700 * time.Millisecond // less than between two looks
			err := u.replaceListeners(t.Context(), state)
			both := a.get(of("first", "")) == nil && a.get(of("second", "")) == nil
			switch text := fmt.Sprint(err); {
			case !strings.Contains(text, "scale set first in namespace a: it has no listener"), both != (ready > 0),
				strings.Contains(text, "scale set second") != (ready > 0), strings.Contains(text, "deployment arc-systems/arc is not ready") != (ready == 0):
				t.Errorf("%v; both are replaced: %t", err, both)
			}
		})
	}
}
