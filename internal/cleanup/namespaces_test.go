package cleanup

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
)

func because(why string, found map[string]Terminating) map[string]Terminating {
	for name, t := range found {
		t.Why = why
		found[name] = t
	}
	return found
}

func waitsFor(found map[string]Terminating, pods ...*object.Object) map[string]Terminating {
	for name, t := range found {
		t.Pods = pods
		found[name] = t
	}
	return found
}

func TestPlanWaitsForNamespacesItFreed(t *testing.T) {
	runners := []*object.Object{protected("role runners/set-manager")}
	waited := func(names ...string) (out History) {
		out.Held, out.Waited = map[string]bool{}, map[string]bool{}
		for _, n := range names {
			out.Held[n], out.Waited[n] = true, true
		}
		return out
	}
	rescue := Options{Scope: Namespace, Namespace: "runners"}
	both := gone("runners")
	maps.Copy(both, gone("shop"))
	tests := map[string]struct {
		survey  Survey
		options Options
		history History
		want    []string
	}{
		"one with ARC's objects, and one without": {
			Survey{Terminating: both, Protected: runners},
			byHand,
			History{},
			[]string{"release: release role runners/set-manager", "namespaces: await ns runners"},
		},
		"one that was freed before": {
			Survey{Terminating: both},
			byHand,
			History{Held: map[string]bool{"runners": true}},
			[]string{"namespaces: await ns runners"},
		},
		"one with objects of another controller's": {
			Survey{Terminating: gone("runners"), Protected: runners, Controllers: []ARC{ctrl("team/other", "runners")}}, byHand, History{}, nil,
		},
		"not the hook's own": {
			Survey{Record: uninstalling(), Terminating: gone("systems"), Protected: []*object.Object{protected("role systems/set-manager")}},
			asHook,
			History{},
			[]string{"release: release role systems/set-manager"},
		},
		"what is not ARC's holds it": {
			Survey{Terminating: because("example.com/f in 1 resource instances", gone("runners"))},
			byHand, waited("runners"),
			[]string{"keep: still Terminating: example.com/f in 1 resource instances"},
		},
		"somebody else's finalizer holds it": {
			Survey{Terminating: because("x; "+finalizersRemain+"actions.github.com/cleanup-protection in 4 resource instances, example.com/f in 1 resource instances", gone("runners")), Protected: runners},
			byHand,
			History{},
			[]string{"release: release role runners/set-manager", "keep: still Terminating: x; " + finalizersRemain + "actions.github.com/cleanup-protection in 4 resource instances, example.com/f in 1 resource instances"},
		},
		"somebody else's finalizer holds a Pod, before which nothing else goes": {
			Survey{Terminating: waitsFor(gone("runners"), obj("pod runners/p", deleting, finalizers("example.com/f"))), Protected: runners},
			byHand,
			History{},
			[]string{"release: release role runners/set-manager", "keep: still Terminating: Kubernetes deletes nothing else before its Pods are gone: p held by finalizers which are not ARC's: example.com/f"},
		},
		"a Pod that ends by itself is waited for": {
			Survey{Terminating: waitsFor(gone("runners"), obj("pod runners/p", deleting)), Protected: runners},
			byHand,
			History{},
			[]string{"release: release role runners/set-manager", "namespaces: await ns runners"},
		},
		"and named when it does not": {
			Survey{Terminating: waitsFor(gone("runners"), obj("pod runners/a", deleting), obj("pod runners/b", deleting), obj("pod runners/c", deleting), obj("pod runners/d", deleting))},
			byHand, waited("runners"),
			[]string{"keep: still Terminating: Kubernetes deletes nothing else before its Pods are gone: a is being deleted, and not gone yet; b is being deleted, and not gone yet; c is being deleted, and not gone yet; and 1 more"},
		},
		"what Kubernetes has not come to is as good as being deleted": {
			Survey{
				Record: uninstalling(), Terminating: waitsFor(gone("runners"), obj("pod runners/p", deleting)),
				Custom: []*object.Object{obj("ars runners/set", by("runners/gpu"))}, Controllers: []ARC{ctrl("systems/arc", "", by("systems/arc"))},
			},
			asHook,
			History{},
			[]string{"drain: delete ars runners/set", "release: release ars runners/set", "namespaces: await ns runners"},
		},
		"ARC's finalizers hold it": {
			Survey{Terminating: because(finalizersRemain+"actions.github.com/cleanup-protection in 4 resource instances", gone("runners")), Protected: runners},
			byHand,
			History{},
			[]string{"release: release role runners/set-manager", "namespaces: await ns runners"},
		},
		"a rescue frees that namespace, with its listener, and nothing else": {
			Survey{
				Terminating: both, CRDs: crdObjects(),
				Custom:    []*object.Object{obj("er runners/r", deleting), obj("er shop/r", deleting), obj("al systems/l", of("runners/set")), obj("al systems/theirs", of("shop/set"))},
				Protected: append(runners, protected("role shop/set-manager")),
			},
			rescue,
			History{},
			[]string{
				"release: delete al systems/l", "release: release er runners/r", "release: release al systems/l",
				"release: release role runners/set-manager", "belongings: await al systems/l", "namespaces: await ns runners",
			},
		},
		"a rescue of a controller's namespace frees listeners of scale sets elsewhere": {
			Survey{Terminating: gone("runners"), Custom: []*object.Object{obj("al runners/l", of("shop/set"), deleting), obj("ars shop/set")}},
			rescue,
			History{},
			[]string{"release: release al runners/l", "namespaces: await ns runners"},
		},
		"a rescue waits also for what ARC does not hold, and says what does": {
			Survey{Terminating: because(finalizersRemain+"example.com/f in 1 resource instances", gone("runners"))},
			rescue,
			History{},
			[]string{"namespaces: await ns runners"},
		},
		"a rescue takes what has lost its owner, whosever the controllers are": {
			Survey{Terminating: gone("runners"), Controllers: []ARC{ctrl("systems/arc", "")}, Dependents: []*object.Object{obj("secret runners/jit", owned("er runners/r"))}},
			rescue,
			History{},
			[]string{"collect: delete secret runners/jit", "namespaces: await ns runners"},
		},
		"a rescue waits for the controller that lives": {
			Survey{Terminating: gone("runners"), Custom: []*object.Object{obj("ars runners/set", deleting)}, Controllers: []ARC{ctrl("systems/arc", "")}},
			rescue,
			History{},
			[]string{"drain: await ars runners/set", "release: release ars runners/set", "namespaces: await ns runners"},
		},
		"nobody deletes it": {
			Survey{Live: true},
			rescue,
			History{},
			[]string{"refused: namespace runners is not being deleted: there is nothing to rescue", "  kubectl delete namespace runners --wait=false"},
		},
		"it is gone": {Survey{}, rescue, History{}, nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, lines(NewPlan(&test.survey, test.options, test.history))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestWhatHoldsANamespaceIsWhatItsControllerSays(t *testing.T) {
	condition := func(status, message string) any {
		return map[string]any{"type": "NamespaceContentRemaining", "status": status, "message": message}
	}
	ns := &unstructured.Unstructured{Object: map[string]any{"status": map[string]any{"conditions": []any{
		condition("True", "pods. has 1 resource instances"), condition("False", "All content successfully deleted"), condition("True", "x in 1"),
	}}}}
	if got := holding(ns); got != "pods. has 1 resource instances; x in 1" {
		t.Error(got)
	}
}

// TestKubernetesSaysNothingOfPods: as long as Pods are left its conditions say that
// nothing is, or name none.
func TestKubernetesSaysNothingOfPods(t *testing.T) {
	t.Parallel()
	const pods = "Kubernetes deletes nothing else before its Pods are gone: p is being deleted, and not gone yet"
	for says, want := range map[string]string{
		"":                              "still Terminating: " + pods,
		"unexpected items still remain": "still Terminating: unexpected items still remain; " + pods,
		contentRemains + "secrets. has 1 resource instances": "still Terminating: " + contentRemains + "secrets. has 1 resource instances",
	} {
		ns := whole(obj("ns runners", deleting))[0]
		if says != "" {
			ns.rest = map[string]any{"status": map[string]any{"conditions": []any{map[string]any{"status": "True", "message": says}}}}
		}
		_, c := newAPI(t, append(whole(obj("pod runners/p", deleting)), ns)...)
		if got := survey(t.Context(), c, byHand).Terminating["runners"].still(); got != want {
			t.Errorf("%q:\n%s", says, got)
		}
	}
}

func TestRunWaitsForANamespace(t *testing.T) {
	t.Parallel()
	a, c := newAPI(t, stuck(whole(obj("ns runners", deleting, finalizers("kubernetes")))...)...)
	a.react = func(a *api, request string) {
		// The namespace's controller notices a little later.
		if request == "PATCH role runners/set-manager" {
			time.AfterFunc(300*time.Millisecond, func() { a.take("ns runners") })
		}
	}
	r := Run(t.Context(), c, graced(ofRelease, ample), quiet, nil)
	if diff := cmp.Diff([]string{"role runners/set-manager", "secret runners/theirs"}, a.left()); r.Verdict != Done || diff != "" {
		t.Errorf("%s\nleft (-want +got):\n%s", r.Text(10), diff)
	}
}

func TestCRDsInstalledAgainAreNotDeletedAgain(t *testing.T) {
	t.Parallel()
	a, c := newAPI(t, stuck()...)
	runners := "crd ephemeralrunners." + arc.Group
	a.react = func(a *api, request string) {
		if request == "DELETE "+runners {
			it := whole(obj(runners))[0]
			it.UID = types.UID("another")
			a.put(it)
			a.put(whole(obj("er runners/new"))[0])
		}
	}
	r := Run(t.Context(), c, graced(ofRelease, ample), quiet, nil)
	left := a.left()
	if want := []string{runners, "er runners/new", "role runners/set-manager", "secret runners/theirs"}; r.Verdict != Done || cmp.Diff(want, left) != "" {
		t.Errorf("%s\nleft: %q", r.Text(10), left)
	}
	if len(r.Kept) != 1 || r.Kept[0].Why != "somebody has installed them again since this uninstall deleted them" {
		t.Errorf("kept %v", r.Kept)
	}
}

// TestSurveyOfTerminatingNamespaces: what is gone by the time it is read is not
// there, and what cannot be read is unknown.
func TestSurveyOfTerminatingNamespaces(t *testing.T) {
	t.Parallel()
	a, c := newAPI(t, whole(obj("ns runners", deleting), obj("ns shop", deleting), obj("ns systems"))...)
	names := func(s *Survey) []string { return slices.Sorted(maps.Keys(s.Terminating)) }
	if s := survey(t.Context(), c, byHand); s.Live || !slices.Equal(names(s), []string{"runners", "shop"}) {
		t.Errorf("%v, live %v", names(s), s.Live)
	}
	if s := survey(t.Context(), c, Options{Scope: Namespace, Namespace: "systems"}); !s.Live {
		t.Error("a namespace that nobody deletes is not live")
	}
	a.fault = on(http.StatusNotFound, always, "GET ns shop")
	if s := survey(t.Context(), c, byHand); !slices.Equal(names(s), []string{"runners"}) {
		t.Errorf("one that is gone by now: %v", names(s))
	}
	a.fault = on(http.StatusForbidden, always, "LIST pod runners")
	if t0 := survey(t.Context(), c, Options{Scope: Namespace, Namespace: "runners"}).Terminating["runners"]; !strings.Contains(t0.still(), "which Pods it waits for is not known: ") {
		t.Error(t0.still())
	}
	a.fault = on(http.StatusForbidden, always, "GET ns shop")
	if s := survey(t.Context(), c, byHand); len(s.Unknown) != 1 || s.Unknown[0].What != "namespaces" {
		t.Errorf("one that may not be read: unknown %v", s.Unknown)
	}
}
