package upgrade

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
	"github.com/arc-cleanup/arc-cleanup/internal/survey"
)

// heldAt is an object that a tenant has made to look like ARC's, and that the tenant holds.
func heldAt(namespace string) kubeObject {
	o := kind("Secret", namespace, "held", kubeObject{"labels": map[string]any{arc.LabelScaleSetName: "set"}, "deletionTimestamp": "2026-01-02T03:04:05Z"})
	metadata(o)["finalizers"] = []any{"example.com/keep"}
	return o
}

func TestCheck(t *testing.T) {
	controllerNow := func() kubeObject {
		d := controllerAt("arc-systems", "arc-systems", "arc")
		metadata(d)["labels"].(map[string]any)["app.kubernetes.io/version"] = "2"
		return d
	}
	setNow := func(namespace string) kubeObject {
		s := setAt(namespace, "set", "a", "runners")
		metadata(s)["labels"] = map[string]any{"app.kubernetes.io/version": "2"}
		return s
	}
	objects := join(arcAt(t), runnersAt(t), crdObjects("Established"))
	gone := func(revision int) kubeObject {
		return helmRecord{namespace: "b", name: "runners", revision: revision, objects: []kubeObject{setAt("", "gone", "b", "runners")}}.object(t)
	}
	single := controllerAt("arc-systems", "arc-systems", "arc", "--watch-single-namespace=a")
	off := kind("ConfigMap", "arc-systems", survey.OffSwitch, nil)
	other := controllerAt("team", "team", "other")
	metadata(other)["annotations"] = map[string]any{}
	tests := map[string]struct {
		objects  []kubeObject
		change   func(*fakeHelm)
		saved    *State
		refused  []string // in each
		confirm  string
		notes    string
		rendered []string
		err      string
	}{
		"changed by a post-renderer": {
			objects: objects, change: func(h *fakeHelm) { h.renders("runners", setNow("a")) }, rendered: []string{"arc", "runners", "runners"},
			confirm: "release runners in namespace a is not what its chart renders",
		},
		"more than scale sets": {
			objects: join(objects[:3], []kubeObject{helmRecord{namespace: "a", name: "runners", objects: []kubeObject{objects[2], {"apiVersion": "v1", "kind": "Service", "metadata": map[string]any{"name": "cache"}}}}.object(t)}, crdObjects("Established")), rendered: []string{"arc", "runners"},
			refused: []string{"Service cache"},
		},
		"a record of no scale set": {
			objects: join(objects, []kubeObject{gone(1), gone(2)}), rendered: []string{"arc", "runners"},
			notes: "release runners in namespace b does not come back: none of the scale sets in its record exists",
		},
		"all is well": {objects: objects, rendered: []string{"arc", "runners"}},
		"a Lease, which the new controller takes": {
			objects:  join(objects, []kubeObject{kind("Lease", "arc-systems", "arc-gha-rs-controller", nil)}),
			rendered: []string{"arc", "runners"},
		},
		"a legacy runner's Pod": {
			objects: join(objects, []kubeObject{legacyPod()}), rendered: []string{"arc", "runners"},
			notes: "of ARC this does not upgrade 1 Pod with finalizers of legacy ARC, which --scope legacy removes, as pods/old in namespace ci",
		},
		"it does not render": {
			objects: objects, change: func(h *fakeHelm) { h.write("fail.template.runners", "") }, rendered: []string{"arc", "runners"},
			refused: []string{"release runners in namespace a does not render from the chart"},
		},
		"another namespace": {
			objects: objects, change: func(h *fakeHelm) { h.renders("runners", setNow("kube-system")) }, rendered: []string{"arc", "runners"},
			refused: []string{"release runners in namespace a would install the AutoscalingRunnerSet set in namespace kube-system"},
		},
		"another namespace, which the record names": {
			objects: join(arcAt(t), []kubeObject{objects[2], helmRecord{namespace: "a", name: "runners", objects: []kubeObject{objects[2], setAt("kube-system", "set", "a", "runners")}}.object(t)}, crdObjects("Established")),
			change:  func(h *fakeHelm) { h.renders("runners", setNow("kube-system")) }, rendered: []string{"arc", "runners"},
			refused: []string{"release runners in namespace a would install the AutoscalingRunnerSet set in namespace kube-system"},
		},
		"the controller, in another namespace": {
			objects: objects, change: func(h *fakeHelm) {
				d := controllerNow()
				metadata(d)["namespace"] = "kube-system"
				h.renders("arc", d)
			}, rendered: []string{"arc", "runners"},
			refused: []string{"release arc in namespace arc-systems would install the Deployment arc in namespace kube-system"},
		},
		"a single-namespace controller that would watch all": {
			objects: join([]kubeObject{single, helmRecord{namespace: "arc-systems", name: "arc", objects: []kubeObject{single}, chart: `{"metadata": {"name": "controller", "version": "1"}}`}.object(t)}, objects[2:]), rendered: []string{"arc", "runners"},
			refused: []string{`release arc in namespace arc-systems would watch the namespaces [], and watches ["a"]`},
		},
		"its record says that it watches all": {
			objects: join([]kubeObject{single, objects[1]}, objects[2:]), rendered: []string{"arc", "runners"},
			refused: []string{`release arc in namespace arc-systems would watch the namespaces [], and watches ["a"]`},
		},
		"it watches what it did": {
			objects: join([]kubeObject{single, objects[1]}, objects[2:]), rendered: []string{"arc", "runners"},
			change: func(h *fakeHelm) {
				d := controllerNow()
				d["spec"] = single["spec"]
				h.renders("arc", d, kind("Secret", "a", "of-the-watched", nil))
			},
		},
		"Helm sees another release": {objects: objects, change: func(h *fakeHelm) { h.write("fail.history.arc", "") }, err: "told to fail"},
		"switched off": {
			objects: append(slices.Clone(objects), off), rendered: []string{"arc"},
			refused: []string{"the cleanup is switched off by the ConfigMap"},
		},
		"another controller uses the CRDs": {
			objects: append(slices.Clone(objects), other), rendered: []string{"arc"},
			refused: slices.Repeat([]string{"has to be deleted, and would be kept"}, 4),
		},
		"a tenant holds something": {objects: append(slices.Clone(objects), heldAt("tenant")), rendered: []string{"arc", "runners"}},
		"without CRDs":             {objects: objects[:2], rendered: []string{"arc"}},
		"rendered before": {
			objects: objects, saved: saved(false, installed("arc-systems", "arc", ""), installed("a", "runners", "")), rendered: nil,
		},
		"for another target": {
			objects: objects, saved: &State{Target: target("3"), Releases: []Release{installed("arc-systems", "arc", "").Release}}, rendered: []string{"arc", "runners"},
		},
	}
	for name, test := range tests {
		u, a, helm := upgradingWith(t, test.objects...)
		a.May["team:arc"] = true
		helm.renders("arc", controllerNow())
		helm.renders("runners", setNow("a"))
		if test.change != nil {
			test.change(helm)
		}
		s, err := look(t.Context(), u.Client, "")
		if err != nil {
			t.Fatal(err)
		}
		s.Target, s.Saved = target("2"), test.saved
		for i := range s.Found {
			if test.confirm == "" || s.Found[i].Controller {
				s.Found[i].record = nil // what explain does has a test of its own
			}
		}
		p := newPlan(s)
		if len(p.Refusals) > 0 {
			t.Fatalf("%s: %+v", name, p.Refusals)
		}
		err = u.check(t.Context(), s, p)
		if test.err != "" {
			if err == nil || !strings.Contains(err.Error(), test.err) {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if p.Cleanup != nil && len(p.Cleanup.Notes) > 0 {
			t.Errorf("%s: notes of the cleanup: %q", name, p.Cleanup.Notes)
		}
		if err != nil || p.Cleanup == nil || len(p.Refusals) != len(test.refused) || (len(p.Steps) == 0) != (len(test.refused) > 0) {
			t.Errorf("%s: %v, steps %v, refusals %+v", name, err, steps(p), p.Refusals)
			continue
		}
		for i, r := range p.Refusals {
			if !strings.Contains(r.Message, test.refused[i]) || r.Verdict != plan.Refused {
				t.Errorf("%s: refused: %s", name, r.Message)
			}
		}
		confirm := ""
		for _, c := range p.Confirm {
			confirm += c.Message
		}
		if notes := strings.Join(p.Notes, "\n"); !strings.Contains(confirm, test.confirm) || test.confirm == "" && confirm != "" || test.saved == nil && notes != test.notes {
			t.Errorf("%s: confirm %q, notes %q", name, confirm, notes)
		}
		var rendered []string
		for _, said := range helm.said() {
			if of, is := strings.CutPrefix(said, "template "); is {
				rendered = append(rendered, of)
			}
		}
		slices.Sort(rendered)
		if diff := cmp.Diff(test.rendered, rendered); diff != "" {
			t.Errorf("%s: rendered (-want +got):\n%s", name, diff)
		}
		if len(a.Writes) > 0 {
			t.Errorf("%s: wrote %v", name, a.Writes)
		}
	}

	// If it is interrupted, it says so, and does not name requests that failed for that reason.
	interrupted, a, _ := upgradingWith(t, objects...)
	s, err := look(t.Context(), interrupted.Client, "")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("interrupted")
	a.Fault = func(request string) int {
		if request == "LIST er" {
			cancel(cause)
		}
		return 0
	}
	s.Target = target("2")
	p := newPlan(s)
	if err := interrupted.check(ctx, s, p); !errors.Is(err, cause) || len(p.Refusals) > 0 {
		t.Errorf("%v, %v", p.Refusals, err)
	}

	// In the second half the cleanup has nothing left to do.
	u, _, helm := upgradingWith(t, objects...)
	if s, err = look(t.Context(), u.Client, ""); err != nil {
		t.Fatal(err)
	}
	s.Target, s.Saved = target("2"), saved(true, s.Found[1])
	p = newPlan(s)
	if err := u.check(t.Context(), s, p); err != nil || p.Cleanup != nil || len(p.Refusals) > 0 || fmt.Sprint(helm.said()) != "[history arc]" {
		t.Errorf("%v, %v, %v, %v", p.Refusals, p.Cleanup, err, helm.said())
	}
}

// A tenant cannot stop an upgrade by what the tenant writes on an object.
func TestWhatIsInTheWay(t *testing.T) {
	t.Parallel()
	kept := func(group, resource string) plan.Finding {
		o := &object.Object{}
		o.Resource.Group, o.Resource.Resource = group, resource
		return plan.Finding{Object: o}
	}
	all := []plan.Finding{kept("", "secrets"), kept("apiextensions.k8s.io", "customresourcedefinitions"), kept("", "pods"), kept("actions.github.com", "ephemeralrunners")}
	var got []string
	for _, k := range inTheWay(all) {
		got = append(got, k.Object.Resource.Resource)
	}
	if diff := cmp.Diff([]string{"customresourcedefinitions", "ephemeralrunners"}, got); diff != "" || len(all) != 4 {
		t.Error(diff)
	}
}

// legacyPod is what legacy ARC has left.
func legacyPod() kubeObject {
	o := kind("Pod", "ci", "old", nil)
	metadata(o)["finalizers"] = []any{"actions.summerwind.dev/runner-pod"}
	return o
}
