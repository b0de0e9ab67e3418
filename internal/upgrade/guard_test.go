package upgrade

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/internal/helm"
)

// Whatever would delete a scale set, or leave the controller stopped, is found before the first write.
func TestPlanInPlaceGuards(t *testing.T) {
	t.Parallel()
	resumed := func(s *Situation) { s.Saved = savedSwap(*s, false) }
	other := func(c claimant) func(*Situation) {
		return func(s *Situation) { s.running = append(s.running, c) }
	}
	elsewhere := claimant{NamespacedName: types.NamespacedName{Namespace: "c", Name: "other"}}
	beside := claimant{NamespacedName: types.NamespacedName{Namespace: "arc-systems", Name: "old"}, of: types.NamespacedName{Namespace: "arc-systems", Name: "arc"}}
	const is = "is not in the record of release arc in namespace arc-systems: it would go on, and delete scale sets of another version"
	tests := map[string]struct {
		from    string
		changes []func(*Situation)
		refused string
		want    string
	}{
		"a controller that no Helm release has":     {from: "0.13.1", changes: []func(*Situation){other(elsewhere)}, refused: "controller other in namespace c " + is},
		"the same, in a minor":                      {from: "0.14.1", changes: []func(*Situation){other(elsewhere)}, refused: "controller other in namespace c " + is},
		"the same, when frozen":                     {from: "0.13.1", changes: []func(*Situation){resumed, other(elsewhere)}, refused: "controller other in namespace c " + is},
		"a controller that only claims the release": {from: "0.13.1", changes: []func(*Situation){other(beside)}, refused: "controller old in namespace arc-systems " + is},
		"a controller that cannot be stopped": {
			from: "0.13.1", refused: "controller arc in namespace arc-systems does not exist, or has no controller's labels and rights",
			changes: []func(*Situation){func(s *Situation) { s.running = nil }},
		},
		"a copied scale set, which names the release": {
			from: "0.13.1", refused: "scale set copy in namespace a is of no release that is upgraded",
			changes: []func(*Situation){func(s *Situation) {
				set := s.live[0]
				set.Name, set.uid = "copy", "uid-copy"
				s.live = append(s.live, set)
			}},
		},
		"a scale set of another version than its record": {
			from: "0.14.1", refused: `the record of release runners in namespace a names the version "0.14.1", and its scale set runners has "0.13.1"`,
			changes: []func(*Situation){func(s *Situation) { s.live[0].version = "0.13.1" }},
		},
		"a record that would have everything uninstalled": {
			from: "0.13.1", refused: `the record of release more in namespace b names the version "0.11.0", and its scale set more has "0.13.1"`,
			changes: []func(*Situation){func(s *Situation) { s.Found[2].Chart.AppVersion = "0.11.0" }},
		},
		"a scale set of another version, stopped": {
			from: "0.14.1", refused: `scale set runners in namespace a has the version "0.13.1", and a controller 0.14.2 would delete it`,
			changes: []func(*Situation){resumed, func(s *Situation) { s.Saved.Way, s.Saved.Swap, s.live[0].version = ByHelm, nil, "0.13.1" }},
		},
		"a loose scale set of another version": {
			from: "0.14.1", refused: `scale set loose in namespace c has the version "", and a controller 0.14.2 would delete it`,
			changes: []func(*Situation){func(s *Situation) {
				s.live = append(s.live, claimant{NamespacedName: types.NamespacedName{Namespace: "c", Name: "loose"}})
			}},
		},
		// No controller runs that could finish the deletion: to wait for it would be for ever.
		"a scale set is deleted while the controller is stopped": {
			from: "0.13.1", changes: []func(*Situation){resumed, func(s *Situation) { s.live[0].deleting = true }},
			want: "freeze arc, crds arc, upgrade runners, enrol runners, upgrade more, forward arc, upgrade arc, listeners arc, forget arc",
		},
		"a tenant breaks a release after the step forward": {
			from: "0.13.1", want: "upgrade arc, listeners arc, forget arc",
			changes: []func(*Situation){func(s *Situation) {
				s.Saved = savedSwap(*s, true)
				s.Saved.Releases[1].lost = errors.New("its key values.runners.gz: broken")
				s.Found[1] = of(s.Found[1], "0.14.2", helm.PendingInstall)
				s.Found[2] = of(s.Found[2], "0.14.2", helm.Deployed)
				s.Found[2].record = &helm.Record{Objects: []helm.Object{{APIVersion: "v1", Kind: "Namespace", Name: "x"}}}
			}},
		},
		"the chart's version is the same, ARC's is not": {
			from: "0.13.1", changes: []func(*Situation){func(s *Situation) { s.Target.Controller.Metadata.Version = "0.13.1" }},
			want: "save arc, freeze arc, crds arc, upgrade runners, enrol runners, upgrade more, forward arc, upgrade arc, listeners arc, forget arc",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := inPlaceSituation(test.from, "0.14.2")
			for _, change := range test.changes {
				change(&s)
			}
			p := newPlan(s)
			if test.refused != "" {
				if len(p.Refusals) == 0 || !strings.Contains(p.Refusals[0].Message, test.refused) || len(p.Steps) > 0 || len(p.Refusals[0].Do) == 0 {
					t.Errorf("refused %+v, steps %v", p.Refusals, steps(p))
				}
			} else if got := strings.Join(steps(p), ", "); got != test.want || len(p.Refusals) > 0 {
				t.Errorf("refused %+v, steps %s", p.Refusals, got)
			}
		})
	}
}

// While the sets may still have the old version, nothing that is printed installs the new controller.
func TestAbortOfAnotherDeployment(t *testing.T) {
	t.Parallel()
	s := inPlaceSituation("0.13.1", "0.14.2")
	s.Saved = savedSwap(s, false)
	s.Found[1] = of(s.Found[1], "0.14.2", helm.Deployed)
	s.running[0].uid = "uid-of-another"
	for name, p := range map[string]*Plan{"abort": newAbort(s), "resume": newPlan(s)} {
		if len(p.Refusals) == 0 || !strings.Contains(strings.Join(p.Refusals[0].Do, " "), "start no controller by hand") {
			t.Errorf("%s: %+v", name, p.Refusals)
		}
	}
}

// Before each write that a running controller would answer with the deletion of scale sets, it looks again.
func TestUpgradesNothingThatWouldBeDeleted(t *testing.T) {
	for name, test := range map[string]struct {
		release int
		change  func(*api)
		want    string
	}{
		"the old controller is started again": {1, func(a *api) {
			c := controllerAt("arc-systems", "arc-systems", "arc")
			specOf(c)["replicas"] = 1
			a.put(c)
		}, "deployment arc-systems/arc has 1 replica again"},
		"its Pod is there": {1, func(a *api) {
			a.put(kind("Pod", "arc-systems", "old", kubeObject{"labels": kubeObject{"app": "arc"}}))
		}, "the old controller's Pods"},
		"it is not counted yet": {1, func(a *api) {
			c := controllerAt("arc-systems", "arc-systems", "arc")
			specOf(c)["replicas"] = 0
			a.put(merge(c, kubeObject{"status": kubeObject{"replicas": 1}}))
		}, "deployment arc-systems/arc is not scaled to 0 after"},
		"a set was made since": {
			0, func(a *api) { a.put(versioned(setAt("b", "new", "b", "new"), "0.13.1")) },
			`scale set new in namespace b has the version "0.13.1", and a controller 0.14.2 would delete it`,
		},
	} {
		u, a, helm, state := frozenARC(t)
		u.Helm.Timeout = 300 * time.Millisecond
		c := controllerAt("arc-systems", "arc-systems", "arc")
		specOf(c)["replicas"] = 0
		a.put(c)
		state.Swap.Forward = test.release == 0
		if state.Swap.Forward {
			a.put(versioned(setAt("a", "runners", "a", "runners"), "0.14.2"))
		}
		helm.renders("arc", controllerAt("arc-systems", "arc-systems", "arc"))
		helm.renders("runners", versioned(setAt("a", "runners", "a", "runners"), "0.14.2"))
		step := Step{UpgradeRelease, state.Releases[test.release], ""}
		if _, err := u.step(t.Context(), &state, step); err != nil {
			t.Errorf("%s: it stops even without: %v", name, err)
		}
		_ = os.Remove(filepath.Join(helm.dir, "log"))
		test.change(a)
		_, err := u.step(t.Context(), &state, step)
		if err == nil || !strings.Contains(err.Error(), test.want) || len(helm.said()) > 0 {
			t.Errorf("%s: %v, told Helm %v", name, err, helm.said())
		}
	}
}

// A set that is being deleted goes with any controller: it keeps neither the new one nor the old one stopped.
func TestDeletedSetHoldsNoController(t *testing.T) {
	u, a, _, state := frozenARC(t)
	c := controllerAt("arc-systems", "arc-systems", "arc")
	metadata(c)["uid"] = "uid-arc"
	specOf(c)["replicas"] = 0
	a.put(merge(c, kubeObject{"status": kubeObject{"readyReplicas": 0}}))
	going := func(version string) {
		set := versioned(setAt("a", "runners", "a", "runners"), version)
		metadata(set)["deletionTimestamp"], metadata(set)["finalizers"] = "2026-01-01T00:00:00Z", []any{"x/y"}
		a.put(set)
	}
	going("0.14.2")
	state.Swap.Controllers[0].Replicas = 0
	if err := u.thaw(t.Context(), state); err != nil {
		t.Errorf("thaw: %v", err)
	}
	going("0.13.1")
	if err := u.goForward(t.Context(), &state); err != nil {
		t.Errorf("forward: %v", err)
	}
}

// A field manager is no proof that its tool still runs: the user is told.
func TestCRDsOfAFieldManager(t *testing.T) {
	t.Parallel()
	for manager, want := range map[string]int{"argocd-controller": 1, "kustomize-controller": 1, "helm": 0, fieldManager: 0} {
		crd := &unstructured.Unstructured{Object: kubeObject{"metadata": kubeObject{"managedFields": []any{kubeObject{"manager": manager}}}}}
		p := &Plan{}
		if p.refuseCRD("x", crd); len(p.Notes) != want || len(p.Refusals) > 0 {
			t.Errorf("%s: notes %q, refused %+v", manager, p.Notes, p.Refusals)
		}
	}
}
