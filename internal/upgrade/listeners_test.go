package upgrade

import (
	"strings"
	"testing"
	"time"
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
