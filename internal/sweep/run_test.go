package sweep

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/kube/kubetest"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
)

// item returns an object with a spec, owned by another one.
func item(text, ownerKind, owner string, spec map[string]any, mods ...kubetest.Change) kubetest.Item {
	it := kubetest.Whole(kubetest.Object(text, mods...))[0]
	if owner != "" {
		it.Owners = []metav1.OwnerReference{{APIVersion: arc.Group + "/" + arc.Version, Kind: ownerKind, UID: types.UID(owner)}}
	}
	it.Rest = map[string]any{"spec": spec}
	return it
}

// setItem returns a scale set with which its controller has finished.
func setItem(name string) kubetest.Item {
	it := item("ars runners/"+name, "", "", map[string]any{"githubConfigUrl": "https://github.com/acme", "githubConfigSecret": "github"})
	it.Annotations = map[string]string{arc.AnnotationRunnerScaleSetID: "7", "actions.github.com/runner-group-name": "Default", arc.AnnotationRunnerScaleSetName: name}
	return it
}

// listenerItem returns the listener of a scale set, with the Role and the RoleBinding that ARC makes for it.
func listenerItem(name, set, runnerSet string) []kubetest.Item {
	role := kubetest.Whole(kubetest.Object("role runners/" + name))[0]
	role.Labels[arc.LabelListenerNamespace], role.Labels[arc.LabelListenerName] = "systems", name
	binding := kubetest.Whole(kubetest.Object("rolebinding runners/" + name))[0]
	binding.Labels = role.Labels
	role.Rest = map[string]any{"rules": []any{
		map[string]any{"apiGroups": []any{arc.Group}, "resources": []any{"ephemeralrunnersets"}, "resourceNames": []any{runnerSet}, "verbs": []any{"patch"}},
		map[string]any{"apiGroups": []any{arc.Group}, "resources": []any{"ephemeralrunners", "ephemeralrunners/status"}, "verbs": []any{"patch"}},
	}}
	binding.Rest = map[string]any{
		"roleRef":  map[string]any{"kind": "Role", "name": name},
		"subjects": []any{map[string]any{"kind": "ServiceAccount", "namespace": "systems", "name": name}},
	}
	return []kubetest.Item{item("al systems/"+name, "", "", map[string]any{
		"autoscalingRunnerSetNamespace": "runners", "autoscalingRunnerSetName": set, "ephemeralRunnerSetName": runnerSet,
		"image": "arc:0.14.2", "githubConfigSecret": "github",
	}), role, binding}
}

// cluster is ARC 0.14.2 with one scale set and what its predecessors have left.
func cluster() []kubetest.Item {
	controller := kubetest.Deployment("systems/arc", "")
	template := controller.Rest["spec"].(map[string]any)["template"].(map[string]any)
	template["metadata"] = map[string]any{"labels": map[string]any{arc.LabelVersion: "0.14.2"}}
	container := template["spec"].(map[string]any)["containers"].([]any)[0].(map[string]any)
	container["env"] = []any{map[string]any{"name": "CONTROLLER_MANAGER_CONTAINER_IMAGE", "value": "arc:0.14.2"}}
	controller.Rest["status"] = map[string]any{"readyReplicas": 1, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1}

	current := item("ers runners/set-new", arc.AutoscalingRunnerSet, "ars runners/set", map[string]any{
		"ephemeralRunnerSpec": map[string]any{"githubConfigSecret": "github"},
	})
	items := []kubetest.Item{
		controller, current,
		setItem("set"),
		item("er runners/busy", arc.EphemeralRunnerSet, "ers runners/set-new", map[string]any{"githubConfigSecret": "github"}),
		item("sa runners/left", "", "", nil, kubetest.Finalizers(arc.CleanupProtectionFinalizer), kubetest.Deleting),
		item("secret runners/github", "", "", nil, kubetest.Finalizers(arc.CleanupProtectionFinalizer), kubetest.Deleting),
	}
	for i := range items {
		if items[i].Deleting {
			items[i].Deleted = &metav1.Time{Time: time.Now().Add(-time.Hour)}
		}
	}
	items = append(items, kubetest.Whole(kubetest.CRDs()...)...)
	items = append(items, listenerItem(since, "set", "set-new")...)
	return append(items, listenerItem("gone-1-listener", "gone", "gone-new")...)
}

// rolledOut makes a Deployment's conditions say when its last rollout ended.
func rolledOut(a *kubetest.Server, ago time.Duration) {
	a.Mu.Lock()
	defer a.Mu.Unlock()
	status := a.Objects["deploy systems/arc"].Rest["status"].(map[string]any)
	long, then := time.Now().Add(-24*time.Hour).UTC().Format(time.RFC3339), time.Now().Add(-ago).UTC().Format(time.RFC3339)
	status["conditions"] = []any{
		map[string]any{"type": "Available", "lastTransitionTime": long, "lastUpdateTime": long},
		map[string]any{"type": "Progressing", "lastTransitionTime": long, "lastUpdateTime": then},
	}
}

// live finishes the deletion of listeners, as the controller does.
func live(a *kubetest.Server, request string) {
	if name, is := strings.CutPrefix(request, "DELETE "); is && strings.HasPrefix(name, "al ") {
		a.Take(name)
	}
}

var deleted = []string{
	"DELETE al systems/gone-1-listener", "DELETE role runners/gone-1-listener", "DELETE rolebinding runners/gone-1-listener", "PATCH sa runners/left",
}

func TestRun(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		scope   Scope
		prepare func(*kubetest.Server)
		verdict plan.Verdict
		writes  []string
	}{
		"everything that is forgotten goes": {Scope{}, nil, plan.Done, deleted},
		"of the namespaces in scope":        {Scope{Namespaces: []string{"others"}}, nil, plan.Done, nil},
		"of one namespace":                  {Scope{Namespaces: []string{"runners"}, ControllerNamespaces: []string{"systems"}}, nil, plan.Done, deleted},
		"a read that fails": {
			Scope{}, func(a *kubetest.Server) {
				a.Fault = kubetest.On(http.StatusForbidden, kubetest.Always, "LIST secret")
			}, plan.NotPermitted, nil,
		},
		"a cluster without ARC": {
			Scope{}, func(a *kubetest.Server) { clear(a.Objects) }, plan.Refused, nil,
		},
		"a cluster without ARC, of which discovery says nothing": {
			Scope{}, func(a *kubetest.Server) {
				clear(a.Objects)
				a.Fault = kubetest.On(http.StatusForbidden, kubetest.Always, "DISCOVER "+arc.Group)
			}, plan.Failed, nil,
		},
		"a question about the rights of what looks like a controller that gets no answer": {
			Scope{}, func(a *kubetest.Server) {
				a.Fault = func(request string) int {
					if strings.HasPrefix(request, "REVIEW ") {
						return http.StatusForbidden
					}
					return 0
				}
			}, plan.NotPermitted, nil,
		},
		"a clock of this machine that is an hour fast, so that nothing is old": {
			Scope{}, func(a *kubetest.Server) { a.Ahead = -time.Hour }, plan.Done, deleted[:3],
		},
		"a controller that was rolled out a minute ago, while the old one may still end": {
			Scope{}, func(a *kubetest.Server) { rolledOut(a, time.Minute) }, plan.Refused, nil,
		},
		"a controller that was rolled out long ago": {
			Scope{}, func(a *kubetest.Server) { rolledOut(a, time.Hour) }, plan.Done, deleted,
		},
		"another that fails": {
			Scope{}, func(a *kubetest.Server) {
				a.Fault = kubetest.On(http.StatusForbidden, kubetest.Always, "GET rolebinding runners/gone-1-listener")
			}, plan.NotPermitted, []string{deleted[0], deleted[3]},
		},
		"an object that changes between the decision and the deletion": {
			Scope{}, func(a *kubetest.Server) {
				a.Fault = kubetest.On(http.StatusConflict, 1, "DELETE al systems/gone-1-listener")
			}, plan.Done, deleted,
		},
		"a right that is missing": {
			Scope{}, func(a *kubetest.Server) {
				a.Fault = kubetest.On(http.StatusForbidden, kubetest.Always, "PATCH sa runners/left")
			}, plan.NotPermitted, deleted[:3],
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, c := kubetest.New(t, append(cluster(), kubetest.Whole(kubetest.Object("ns others"))...)...)
			a.React = live
			if test.prepare != nil {
				test.prepare(a)
			}
			if preview := Plan(t.Context(), c, test.scope); len(a.Written()) > 0 {
				t.Fatalf("Plan wrote %q: %v", a.Written(), said(preview))
			}
			r := Run(t.Context(), c, test.scope)
			got := slices.Compact(slices.Sorted(slices.Values(a.Written())))
			if want := slices.Sorted(slices.Values(test.writes)); r.Verdict != test.verdict || !slices.Equal(got, want) {
				t.Errorf("%s, wrote %q, want %s and %q\n%q %q %v", r.Verdict, got, test.verdict, want, r.Refusals, r.Errs, r.Left)
			}
		})
	}
}

// A RoleBinding goes only with a Role of ARC's, or without one.
func TestTheRoleOfARoleBindingCounts(t *testing.T) {
	t.Parallel()
	const binding = "rolebinding runners/gone-1-listener"
	for name, test := range map[string]struct {
		change func(role *kubetest.Item)
		kept   bool
	}{
		"ARC's":             {func(*kubetest.Item) {}, false},
		"something else":    {func(role *kubetest.Item) { role.Rest["rules"] = []any{} }, true},
		"without its label": {func(role *kubetest.Item) { role.Labels, role.Rest["rules"] = nil, []any{} }, true},
		"gone":              {func(role *kubetest.Item) { role.Name = "other" }, false},
	} {
		items := cluster()
		i := slices.IndexFunc(items, func(it kubetest.Item) bool { return kubetest.Ref(it.Object) == "role runners/gone-1-listener" })
		items[i].Labels = maps.Clone(items[i].Labels) // which the RoleBinding shares
		test.change(&items[i])
		a, c := kubetest.New(t, items...)
		a.React = live
		r := Run(t.Context(), c, Scope{})
		if kept := slices.Contains(a.Left(), binding); kept != test.kept || r.Verdict != plan.Done {
			t.Errorf("%s: kept %t, %s %v", name, kept, r.Verdict, r.Errs)
		}
	}
}

// Of two listeners with an old image, the second is not deleted until the first is there again.
func TestListenersAreReplacedOneByOne(t *testing.T) {
	t.Parallel()
	_, first := arc.ListenerNames("runners", "a", "", "https://github.com/acme")
	_, second := arc.ListenerNames("runners", "b", "", "https://github.com/acme")
	for name, test := range map[string]struct {
		image   string // of the new listener; none if it does not come
		verdict plan.Verdict
		deleted []string
	}{
		"it comes back":              {"arc:0.14.2", plan.Done, []string{"DELETE al systems/" + first, "DELETE al systems/" + second}},
		"it does not":                {"", plan.Residue, []string{"DELETE al systems/" + first}},
		"it has the old one's image": {"arc:0.14.1", plan.Residue, []string{"DELETE al systems/" + first}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			items := cluster()[:1] // the controller
			items = append(items, kubetest.Whole(kubetest.CRDs()...)...)
			for set, listener := range map[string]string{"a": first, "b": second} {
				items = append(items, setItem(set),
					item("ers runners/"+set+"-1", arc.AutoscalingRunnerSet, "ars runners/"+set, nil))
				it := listenerItem(listener, set, set+"-1")[0]
				it.Rest["spec"].(map[string]any)["image"] = "arc:0.14.1"
				items = append(items, it)
			}
			a, c := kubetest.New(t, items...)
			a.React = func(a *kubetest.Server, request string) {
				live(a, request)
				name, is := strings.CutPrefix(request, "DELETE al systems/")
				if !is || test.image == "" {
					return
				}
				set := map[string]string{first: "a", second: "b"}[name]
				it := listenerItem(name, set, set+"-1")[0]
				it.UID, it.Rest["spec"].(map[string]any)["image"] = "new "+it.UID, test.image
				a.Put(it)
			}
			r := run(t.Context(), c, Scope{}, 2*time.Second)
			if r.Verdict != test.verdict || !slices.Equal(a.Written(), test.deleted) {
				t.Errorf("%s, wrote %q\n%v %v", r.Verdict, a.Written(), r.Errs, r.Left)
			}
			if left := len(r.Left) > 0; left != (test.verdict == plan.Residue) {
				t.Errorf("left %v", r.Left)
			}
		})
	}
}

// A controller that does not finish is not waited for without end, and what it has to do is left.
func TestAControllerThatDoesNothing(t *testing.T) {
	t.Parallel()
	a, c := kubetest.New(t, cluster()...)
	r := run(t.Context(), c, Scope{}, 2*time.Second)
	if r.Verdict != plan.Residue || len(r.Left) != 1 || r.Left[0].Object.Name != "gone-1-listener" {
		t.Errorf("%s, left %v", r.Verdict, r.Left)
	}
	if !slices.Contains(a.Left(), "role runners/gone-1-listener") {
		t.Error("the rights of a listener that is there are gone")
	}
}

func TestOwner(t *testing.T) {
	t.Parallel()
	set := metav1.OwnerReference{APIVersion: "actions.github.com/v1alpha1", Kind: arc.AutoscalingRunnerSet, UID: "1"}
	other, elsewhere := set, set
	other.Kind, elsewhere.APIVersion = arc.AutoscalingListener, "example.com/v1"
	for name, test := range map[string]struct {
		refs []metav1.OwnerReference
		want types.UID
	}{
		"none":                {nil, ""},
		"a scale set":         {[]metav1.OwnerReference{set}, "1"},
		"two":                 {[]metav1.OwnerReference{set, set}, ""},
		"another kind":        {[]metav1.OwnerReference{other}, ""},
		"a kind of that name": {[]metav1.OwnerReference{elsewhere}, ""},
	} {
		if got := owner(test.refs, arc.AutoscalingRunnerSet); got != test.want {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// A listener stays if the controller would not make another one: it has to change the scale set at GitHub
// first, and GitHub may refuse.
func TestAListenerThatWouldNotComeBack(t *testing.T) {
	t.Parallel()
	items := cluster()
	for i := range items {
		switch kubetest.Ref(items[i].Object) {
		case "ars runners/set":
			items[i].Annotations[arc.AnnotationRunnerScaleSetID] = ""
		case "al systems/" + since:
			items[i].Rest["spec"].(map[string]any)["image"] = "arc:0.14.1"
		}
	}
	a, c := kubetest.New(t, items...)
	a.React = live
	r := Run(t.Context(), c, Scope{})
	if !slices.Contains(a.Left(), "al systems/"+since) || r.Verdict != plan.Done {
		t.Errorf("%s, wrote %q", r.Verdict, a.Written())
	}
}

// A namespace that is named twice has each object once: a runner set is not its own rival.
func TestANamespaceNamedTwice(t *testing.T) {
	t.Parallel()
	a, c := kubetest.New(t, append(cluster(), listenerItem(before, "set", "set-new")...)...)
	a.React = live
	Run(t.Context(), c, Scope{Namespaces: []string{"runners", "runners"}})
	if slices.Contains(a.Left(), "al systems/"+before) {
		t.Errorf("wrote %q", a.Written())
	}
}

// A protected Role stays while any RoleBinding binds it: a user's may have neither a label nor a finalizer
// of ARC.
func TestAUsersRoleBindingHoldsARole(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		kind string
		kept bool
	}{"a Role": {"Role", true}, "a ClusterRole of that name": {"ClusterRole", false}} {
		role := item("role runners/kube-mode", "", "", nil, kubetest.Finalizers(arc.CleanupProtectionFinalizer), kubetest.Deleting)
		role.Deleted = &metav1.Time{Time: time.Now().Add(-time.Hour)}
		binding := item("rolebinding runners/mine", "", "", nil)
		binding.Rest = map[string]any{"roleRef": map[string]any{"kind": test.kind, "name": "kube-mode"}}
		a, c := kubetest.New(t, append(cluster(), role, binding)...)
		a.React = live
		Run(t.Context(), c, Scope{})
		if kept := slices.Contains(a.Left(), "role runners/kube-mode"); kept != test.kept {
			t.Errorf("%s: kept %t, wrote %q", name, kept, a.Written())
		}
	}
}
