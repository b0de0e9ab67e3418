package upgrade

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"
)

// arcAt is a controller and the record of its release.
func arcAt(t *testing.T) []kubeObject {
	t.Helper()
	d := controllerAt("arc-systems", "arc-systems", "arc")
	return []kubeObject{d, helmRecord{namespace: "arc-systems", name: "arc", objects: []kubeObject{d}, chart: `{"metadata": {"name": "controller", "version": "1"}}`}.object(t)}
}

// runnersAt is a scale set and the record of its release.
func runnersAt(t *testing.T) []kubeObject {
	t.Helper()
	set := setAt("a", "set", "a", "runners")
	return []kubeObject{set, helmRecord{namespace: "a", name: "runners", objects: []kubeObject{set}}.object(t)}
}

func join(all ...[]kubeObject) (out []kubeObject) {
	for _, some := range all {
		out = append(out, some...)
	}
	return out
}

// seen writes what was found in a line each.
func seen(s Situation) []string {
	out := []string{}
	for _, f := range s.Found {
		what := "set"
		if f.Controller {
			what = "controller"
		}
		line := fmt.Sprintf("%s %s/%s %s", what, f.Namespace, f.Name, f.Status)
		if f.Mixed {
			line += " mixed"
		}
		if f.Controller {
			line += fmt.Sprintf(" watches %v", f.watches())
		}
		out = append(out, line)
	}
	for _, l := range s.Unmanaged {
		out = append(out, "unmanaged "+l.String())
	}
	return out
}

func TestSurvey(t *testing.T) {
	t.Parallel()
	const (
		arcThere     = "controller arc-systems/arc deployed watches []"
		runnersThere = "set a/runners deployed"
	)
	all := join(arcAt(t), runnersAt(t))
	overridden := controllerAt("control", "platform", "arc", "--watch-single-namespace=b")
	second := controllerAt("control", "platform", "arc", "--watch-single-namespace=a")
	metadata(second)["name"] = "second"
	far := setAt("a", "set", "platform", "runners")
	pod := kind("Pod", "tenant", "x", nil)
	pretender := controllerAt("tenant", "tenant", "mine")
	ofTheReal := controllerAt("tenant", "arc-systems", "arc")
	watcher := controllerAt("tenant", "tenant", "mine", "--watch-single-namespace=tenant")
	deleting := setAt("a", "set", "a", "runners")
	metadata(deleting)["deletionTimestamp"] = "2026-01-01T00:00:00Z"
	renamed := controllerAt("arc-systems", "arc-systems", "arc")
	metadata(renamed)["labels"] = map[string]any{"app.kubernetes.io/part-of": "gha-rs-controller"}

	garbage := kind("Secret", "a", "sh.helm.release.v1.runners.v9", kubeObject{
		"type": "helm.sh/release.v1", "labels": map[string]any{"owner": "helm", "name": "runners", "version": "9", "status": "deployed"}, "data": map[string]any{"release": "Pz8/"},
	})
	listener := kubeObject{"apiVersion": "actions.github.com/v1alpha1", "kind": "AutoscalingListener", "metadata": map[string]any{"name": "x"}}
	notes := kind("ConfigMap", "", "of-the-Deployment", kubeObject{"labels": metadata(all[0])["labels"]})

	tests := map[string]struct {
		objects   []kubeObject
		namespace string
		may       []string
		want      []string
	}{
		"nothing":                                           {nil, "", nil, []string{}},
		"a controller and a scale set":                      {all, "", nil, []string{runnersThere, arcThere}},
		"the controller's namespace too":                    {all, "arc-systems", nil, []string{runnersThere, arcThere}},
		"an old controller's labels":                        {[]kubeObject{renamed, all[1]}, "", nil, []string{arcThere}},
		"its controller is gone":                            {all[1:], "", nil, []string{runnersThere}},
		"its controller is gone, and where it was is given": {all[1:], "arc-systems", nil, []string{runnersThere, arcThere}},
		"somewhere else is given":                           {all[1:], "a", nil, []string{runnersThere}},
		"namespaceOverride, two controllers": {
			[]kubeObject{overridden, second, far, helmRecord{namespace: "platform", name: "arc", objects: []kubeObject{overridden, second}}.object(t), helmRecord{namespace: "platform", name: "runners", objects: []kubeObject{far}}.object(t)},
			"",
			[]string{"control:arc"},
			[]string{"controller platform/arc deployed watches [a b]", "set platform/runners deployed"},
		},
		"controller and scale sets in one": {
			[]kubeObject{
				all[0], setAt("arc-systems", "set", "arc-systems", "arc"),
				helmRecord{namespace: "arc-systems", name: "arc", objects: []kubeObject{all[0], setAt("", "set", "arc-systems", "arc")}}.object(t),
			},
			"", nil,
			[]string{"controller arc-systems/arc deployed mixed watches []"},
		},
		"a kept history": {
			append(arcAt(t), helmRecord{namespace: "a", name: "old", status: "uninstalled", objects: []kubeObject{setAt("a", "set", "a", "old")}}.object(t)), "",
			nil,
			[]string{arcThere},
		},
		"a kept history, and the set is there": {
			[]kubeObject{all[2], helmRecord{namespace: "a", name: "runners", status: "uninstalled", objects: []kubeObject{all[2]}}.object(t)},
			"",
			nil,
			[]string{"unmanaged a/set"},
		},
		"failed": {
			[]kubeObject{all[2], all[3], helmRecord{namespace: "a", name: "runners", revision: 2, status: "failed", objects: []kubeObject{all[2]}}.object(t)},
			"",
			nil,
			[]string{"set a/runners failed"},
		},
		"without a release":       {[]kubeObject{kind("AutoscalingRunnerSet", "a", "set", nil)}, "", nil, []string{"unmanaged a/set"}},
		"without, and it goes":    {[]kubeObject{deleting}, "", nil, []string{}},
		"goes, and has a release": {[]kubeObject{deleting, all[3]}, "", nil, []string{runnersThere}},

		// What a tenant can write in one namespace.
		"a record of no scale set that there is": {
			append(arcAt(t), helmRecord{namespace: "tenant", name: "x", objects: []kubeObject{setAt("tenant", "x", "tenant", "x")}}.object(t)), "",
			nil,
			[]string{arcThere},
		},
		"a record that speaks for another namespace": {
			join(all, []kubeObject{helmRecord{at: "tenant", driver: "configmap", namespace: "kube-system", name: "x", objects: []kubeObject{setAt("", "x", "kube-system", "x")}}.object(t)}), "",
			nil,
			[]string{runnersThere, arcThere},
		},
		"and has its scale set there": {
			[]kubeObject{setAt("tenant", "set", "flux", "x"), helmRecord{at: "flux", namespace: "tenant", name: "x", objects: []kubeObject{setAt("", "set", "", "")}}.object(t)},
			"",
			nil,
			[]string{"unmanaged tenant/set"},
		},
		"a newer record without the scale set": {
			append(runnersAt(t), helmRecord{namespace: "a", name: "runners", revision: 9, objects: []kubeObject{pod}}.object(t)), "",
			nil,
			[]string{"unmanaged a/set"},
		},
		"a second record, of the other kind": {
			append(runnersAt(t), helmRecord{namespace: "a", name: "runners", driver: "configmap", revision: 9, status: "failed", objects: []kubeObject{all[2]}}.object(t)), "",
			nil,
			[]string{runnersThere},
		},
		"a ConfigMap that is no record": {
			append(runnersAt(t), kind("ConfigMap", "a", "x", kubeObject{"labels": map[string]any{"owner": "helm", "name": "runners", "version": "1"}, "data": map[string]any{"release": "?"}})), "",
			nil,
			[]string{runnersThere},
		},
		"a newer one that is unreadable": {
			append(runnersAt(t), kind("ConfigMap", "b", "x", nil), garbage), "",
			nil,
			[]string{"unmanaged a/set"},
		},
		"of the controller, and not a scale set": {
			[]kubeObject{all[0], helmRecord{namespace: "arc-systems", name: "arc", objects: []kubeObject{all[0], listener}}.object(t)},
			"",
			nil,
			[]string{arcThere},
		},
		"labels of a controller, on something else": {
			[]kubeObject{helmRecord{namespace: "arc-systems", name: "arc", objects: []kubeObject{notes}}.object(t)},
			"arc-systems",
			nil,
			[]string{},
		},
		"a manifest that is no YAML": {
			append(arcAt(t), helmRecord{namespace: "arc-systems", name: "other", manifest: "kind: Deployment\n\t- actions.github.com/: {"}.object(t)), "arc-systems",
			nil,
			[]string{arcThere},
		},
		"a Deployment that looks like a controller": {
			append(arcAt(t), pretender, helmRecord{namespace: "tenant", name: "mine", objects: []kubeObject{pretender}}.object(t)), "",
			nil,
			[]string{arcThere},
		},
		"one that says it is of the real release": {append(arcAt(t), ofTheReal), "", nil, []string{arcThere}},
		"a controller that has the rights there": {
			append(arcAt(t), watcher, helmRecord{namespace: "tenant", name: "mine", objects: []kubeObject{watcher}}.object(t)), "",
			[]string{"tenant:arc"},
			[]string{arcThere, "controller tenant/mine deployed watches [tenant]"},
		},
		"a name that would be a flag": {[]kubeObject{setAt("a", "set", "a", "--post-renderer=x")}, "", nil, []string{"unmanaged a/set"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, c := newAPI(t, test.objects...)
			for _, account := range test.may {
				a.May[account] = true
			}
			s, err := look(t.Context(), c, test.namespace)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, seen(s)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if len(a.Writes) > 0 {
				t.Errorf("looking wrote %v", a.Writes)
			}
		})
	}
}

// An object that cannot be read does not count as absent.
func TestSurveyFails(t *testing.T) {
	t.Parallel()
	objects := join(arcAt(t), runnersAt(t))
	for _, forbidden := range []string{
		"LIST deploy", "LIST ars", "REVIEW system:serviceaccount:arc-systems:arc", "LIST secret arc-systems", "LIST configmap a",
		"GET secret arc-systems/arc-cleanup-upgrade", "GET secret a/arc-cleanup-upgrade", "GET secret a/sh.helm.release.v1.runners.v1",
	} {
		a, c := newAPI(t, objects...)
		a.Fault = func(request string) int {
			if strings.HasPrefix(request, forbidden) {
				return http.StatusForbidden
			}
			return 0
		}
		if s, err := look(t.Context(), c, ""); err == nil {
			t.Errorf("%s: %v", forbidden, seen(s))
		}
	}
	state := saved(false, installed("arc-systems", "arc", ""), installed("a", "runners", ""))
	for forbidden, objects := range map[string][]kubeObject{
		"LIST configmap arc-systems":     nil,
		"LIST configmap a":               secretsOf(t, state),
		"GET secret arc-cleanup-upgrade": nil, // which is never asked for
	} {
		a, c := newAPI(t, objects...)
		a.Fault = func(request string) int {
			if request == forbidden {
				return http.StatusForbidden
			}
			return 0
		}
		namespace := "arc-systems"
		if forbidden == "GET secret arc-cleanup-upgrade" {
			namespace = ""
		}
		if _, err := look(t.Context(), c, namespace); (err == nil) != (namespace == "") {
			t.Errorf("%s: %v", forbidden, err)
		}
	}
	broken := controllerAt("b", "b", "x")
	broken["spec"] = "?"
	_, c := newAPI(t, broken)
	if _, err := look(t.Context(), c, ""); err == nil || !strings.Contains(err.Error(), "reading Deployment b/arc") {
		t.Errorf("an invalid Deployment: %v", err)
	}
	a, c := newAPI(t, objects...)
	a.Fault = func(request string) int {
		if request == "LIST ars" {
			return http.StatusNotFound
		}
		return 0
	}
	if s, err := look(t.Context(), c, ""); err != nil || len(s.Found) != 1 {
		t.Errorf("without CRDs: %v, %v", seen(s), err)
	}
}

// The survey reads from a record what its release is.
func TestFound(t *testing.T) {
	t.Parallel()
	hooks := strings.Replace(ourHook, `[`, `[{"name":"theirs","kind":"Job","manifest":"kind: Job\nmetadata: {annotations: {helm.sh/hook: pre-delete}}"},{"name":"test","kind":"Pod","manifest":"kind: Pod\nmetadata: {annotations: {helm.sh/hook: test}}"},`, 1)
	set, others := setAt("", "set", "a", "runners"), setAt("kube-system", "set", "a", "runners")
	_, c := newAPI(t, setAt("a", "set", "a", "runners"), setAt("kube-system", "set", "kube-system", "x"), helmRecord{
		namespace: "a", name: "runners", revision: 3, driver: "configmap", objects: []kubeObject{set, others, controllerAt("kube-system", "a", "runners")}, hooks: hooks,
	}.object(t))
	s, err := look(t.Context(), c, "")
	if err != nil || len(s.Found) != 1 {
		t.Fatalf("%v, %v", seen(s), err)
	}
	f := s.Found[0]
	if len(f.Controllers) > 0 || f.Controller || f.Mixed {
		t.Errorf("a controller that does not run: %+v", f)
	}
	if f.Revision != 3 || f.Driver != "configmap" || string(f.Values) != `{"of":"the user"}` || f.Chart.Name != "scale-set" || f.HookErr != nil {
		t.Errorf("%+v", f)
	}
	if len(f.Hooks) != 1 || f.Hooks[0].Name != "h" {
		t.Errorf("our hook: %+v", f.Hooks)
	}
	if diff := cmp.Diff([]string{"Job theirs"}, f.OtherHooks); diff != "" {
		t.Errorf("other hooks (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]types.NamespacedName{{Namespace: "a", Name: "set"}}, f.Sets); diff != "" {
		t.Errorf("sets (-want +got):\n%s", diff)
	}
}

// In the middle of an upgrade, a release may have records and no objects: the state knows its objects.
func TestFoundByTheState(t *testing.T) {
	t.Parallel()
	state := saved(false, installed("arc-systems", "arc", ""), installed("a", "runners", ""))
	state.Releases[0].Controllers = []Controller{{Namespace: "control", Name: "arc", Watches: []string{"a", "b"}}}
	state.Releases[1].Sets = []types.NamespacedName{{Namespace: "b", Name: "set"}}
	_, c := newAPI(t, append(secretsOf(t, state),
		helmRecord{namespace: "arc-systems", name: "arc", status: "uninstalling"}.object(t),
		helmRecord{namespace: "a", name: "runners", objects: []kubeObject{setAt("b", "set", "", "")}}.object(t),
		helmRecord{namespace: "c", name: "another"}.object(t))...)
	s, err := look(t.Context(), c, "arc-systems")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"set a/runners deployed", "controller arc-systems/arc uninstalling watches [a b]"}, seen(s)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"b"}, s.Found[0].namespaces()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// The survey asks once about each account, and not about Deployments that are no controllers.
func TestSurveyAsksOnce(t *testing.T) {
	t.Parallel()
	second, none := controllerAt("arc-systems", "arc-systems", "arc"), kind("Deployment", "shop", "shop", kubeObject{"labels": map[string]any{"app.kubernetes.io/part-of": "gha-rs-controller"}})
	metadata(second)["name"] = "second"
	a, c := newAPI(t, append(arcAt(t), second, none)...)
	if _, err := look(t.Context(), c, ""); err != nil || a.reviews() != 1 {
		t.Errorf("%d questions, %v", a.reviews(), err)
	}
}
