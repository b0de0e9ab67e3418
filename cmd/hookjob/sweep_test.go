package main

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/kube/kubetest"
)

// orphan is a controller that works and a listener whose scale set is gone.
func orphan() []kubetest.Item {
	controller := kubetest.Deployment("systems/arc", "")
	controller.Rest["status"] = map[string]any{"readyReplicas": 1, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1}
	listener := kubetest.Whole(kubetest.Object("al systems/gone-1-listener"))[0]
	listener.Rest = map[string]any{"spec": map[string]any{"autoscalingRunnerSetNamespace": "runners", "autoscalingRunnerSetName": "gone"}}
	return append(kubetest.Whole(kubetest.CRDs()...), controller, listener)
}

func TestSweep(t *testing.T) {
	t.Parallel()
	const deletion = "DELETE al systems/gone-1-listener"
	tests := map[string]struct {
		args []string
		fail string
		code int
		want string
		left bool
	}{
		"looks": {
			[]string{"-A"},
			"", exitWork,
			"ACTION   NAMESPACE   OBJECT                                 WHY\n" +
				"delete   systems     autoscalinglisteners/gone-1-listener   its scale set runners/gone is gone\n" +
				"\nNothing was written. To do this, add --yes.\n", true,
		},
		"acts": {
			[]string{"--all-namespaces", "--yes"},
			"", exitDone,
			"ACTION   NAMESPACE   OBJECT                                 WHY\n" +
				"delete   systems     autoscalinglisteners/gone-1-listener   its scale set runners/gone is gone\n" +
				"\ndone: 1 done, 0 kept, 0 left\n", false,
		},
		"of another namespace":  {[]string{"-n", "others", "--yes"}, "GET ns others", exitDone, "Nothing to do.\n", true},
		"of one that is absent": {[]string{"-n", "others", "--yes"}, "", exitRefused, "REFUSED: the namespace others does not exist\n    kubectl get namespaces\n", true},
		"may not read": {
			[]string{"-A", "--yes"},
			"LIST secret", exitNotPermitted,
			"NOT PERMITTED: could not read secrets: listing secrets in all namespaces: LIST secret is refused\n", true,
		},
		"may not write": {
			[]string{"-A", "--yes"},
			deletion, exitNotPermitted,
			"Error: deleting autoscalinglisteners.actions.github.com/gone-1-listener in namespace systems: " + deletion + " is refused\n", true,
		},
		"finds no controller":     {[]string{"-A", "--controller-namespace", "others", "--yes"}, "", exitRefused, "\n\nrefused: nothing was done\n", true},
		"does not say what":       {[]string{"--yes"}, "", exitUsage, "say what to sweep", true},
		"says two things":         {[]string{"-A", "-n", "runners"}, "", exitUsage, "give one", true},
		"three things":            {[]string{"-A", "--runner-namespace", "runners"}, "", exitUsage, "give one", true},
		"two kinds of namespaces": {[]string{"-n", "runners", "--runner-namespace", "more"}, "", exitUsage, "--namespace, --runner-namespace (repeatable) and", true},
		"several namespaces":      {[]string{"--runner-namespace", "others,more", "--yes"}, "", exitRefused, "REFUSED: the namespace more does not exist", true},
		"an empty namespace":      {[]string{"-n", ""}, "", exitUsage, "say what to sweep", true},
		"no age":                  {[]string{"-A", "--older-than", "0s"}, "", exitUsage, "must be a second or more", true},
		"more than the flags":     {[]string{"-A", "more"}, "", exitUsage, "more", true},
		"another form of report":  {[]string{"-A", "-o", "yaml"}, "", exitUsage, "table", true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, c := kubetest.New(t, orphan()...)
			a.Fault = kubetest.On(http.StatusForbidden, kubetest.Always, test.fail)
			a.React = func(a *kubetest.Server, request string) {
				if request == deletion {
					a.Take("al systems/gone-1-listener")
				}
			}
			got := command(t.Context(), nil, append([]string{"sweep", "--kubeconfig", kubeconfigOf(t, c.Server)}, test.args...)...)
			if got.code != test.code || !strings.Contains(got.stdout+got.stderr, test.want) {
				t.Errorf("exit code %d, want %d and %q\n%s%s", got.code, test.code, test.want, got.stdout, got.stderr)
			}
			if left := len(a.Left()) > len(arc.CRDs())+1; left != test.left {
				t.Errorf("left %q", a.Left())
			}
		})
	}
}

func TestTheSweepIsADocument(t *testing.T) {
	t.Parallel()
	_, c := kubetest.New(t, orphan()...)
	got := command(t.Context(), nil, "sweep", "--kubeconfig", kubeconfigOf(t, c.Server), "-A", "-o", "json")
	var document struct {
		Version, Verdict string
		Steps            []struct{ Action, Resource, Name, Why string }
	}
	if err := json.Unmarshal([]byte(got.stdout), &document); err != nil || got.code != exitWork {
		t.Fatalf("exit code %d, %v\n%s", got.code, err, got.stdout+got.stderr)
	}
	if len(document.Steps) != 1 || document.Version != "arc-cleanup/sweep/v1" || document.Verdict != "done" ||
		document.Steps[0].Action != "delete" || document.Steps[0].Resource != "autoscalinglisteners" || document.Steps[0].Why == "" {
		t.Errorf("%+v", document)
	}
	for _, list := range []string{"refusals", "done", "kept", "left", "errors"} {
		if !strings.Contains(got.stdout, `"`+list+`": []`) {
			t.Errorf("%s is not an empty list:\n%s", list, got.stdout)
		}
	}
}
