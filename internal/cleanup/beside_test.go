package cleanup

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
)

// TestASuccessNamesWhatElseThereIsOfARC: "nothing of ARC is left" is said of a cluster
// that has nothing of either group.
func TestASuccessNamesWhatElseThereIsOfARC(t *testing.T) {
	t.Parallel()
	leader := deployment(ctrl("systems/arc", "", by("systems/arc")))
	container := leader.rest["spec"].(map[string]any)["template"].(map[string]any)["spec"].(map[string]any)["containers"].([]any)[0].(map[string]any)
	container["args"] = append(container["args"].([]any), "--enable-leader-election", "--leader-election-id=arc-gha-rs-controller")
	legacy := append(whole(legacyCRDs()...), whole(obj("run ci/x", deleting))...)
	job := whole(obj("job systems/arc-arc-cleanup"))[0]
	job.annotations[trackingID] = "arc:batch/Job:systems/arc-arc-cleanup"
	const nothing = "done: nothing of ARC is left"
	tests := map[string]struct {
		items   []item
		options Options
		unknown map[string][]string
		fault   func(string) int
		want    string // the beginning of the summary
		say     string
	}{
		"nothing": {options: byHand, want: nothing},
		"legacy ARC": {
			items: legacy, options: byHand,
			want: "done, and of ARC there is still legacy ARC, with 5 CRDs of actions.summerwind.dev and 1 objects: deleted 4 custom",
			say:  "    arc-cleanup plan --scope legacy\n",
		},
		"legacy ARC, to a hook, which may not read it": {
			items: legacy, options: inArgo, fault: func(request string) int {
				if request == "LIST run" || request == "LIST rd" {
					t.Errorf("it asks for %s", request)
				}
				return 0
			},
			want: "done, and of ARC there is still legacy ARC, with 5 CRDs of actions.summerwind.dev: deleted 4 custom",
		},
		"a finalizer of legacy ARC": {
			items: whole(runnerPod("pod ci/x", "")), options: byHand,
			want: "done, and of ARC there is still 1 Pods with finalizers of legacy ARC, which --scope legacy removes, as pods/x in namespace ci: ",
		},
		"a kind that came later": {
			options: byHand, unknown: map[string][]string{arc.Group: {"runnerpools"}},
			want: "done, and of ARC there is still the CRD runnerpools.actions.github.com, which this version of arc-cleanup does not know: ",
			say:  "    kubectl get runnerpools.actions.github.com --all-namespaces\n",
		},
		"a kind of legacy ARC that came later": {
			options: ofLegacy, unknown: map[string][]string{arc.LegacyGroup: {"runnerpools"}},
			want: "done, and of ARC there is still the CRD runnerpools.actions.summerwind.dev, which ",
		},
		"a Lease": {
			items: whole(obj("lease systems/arc-gha-rs-controller"), obj("lease old/actions-runner-controller"), obj("lease kube-system/scheduler")), options: byHand,
			want: "done, and of ARC there is still the Lease actions-runner-controller in namespace old, which has the name of one of ARC's; the Lease arc-gha-rs-controller in namespace systems, ",
			say:  "    kubectl delete lease actions-runner-controller --namespace old\n",
		},
		"many Leases": {
			items: func() (out []item) {
				for i := range 12 {
					out = append(out, whole(obj(fmt.Sprintf("lease team-%02d/x-gha-rs-controller", i)))...)
				}
				return out
			}(),
			options: byHand,
			want:    "done, and of ARC there is still the Lease x-gha-rs-controller in namespace team-00, ",
			say:     "also there: 7 more Leases with such names\n",
		},
		"what is kept, too": {
			items: append(legacy, leader), options: byHand,
			want: "done, kept 4 objects, and of ARC there is still legacy ARC, with 5 CRDs ",
		},
		"only legacy ARC's Lease": {
			items: whole(obj("lease systems/arc-gha-rs-controller")), options: legacyByHand,
			want: "done: nothing of legacy ARC is left",
		},
		"the Lease of the controller that is uninstalled": {
			items: []item{leader}, options: inArgo, fault: on(http.StatusForbidden, always, "LIST lease"),
			want: "done, and of ARC there is still the Lease arc-gha-rs-controller in namespace systems, if there is one: by it the controller arc elects a leader, and Helm does not delete it: ",
		},
		"the Lease of a controller that lives": {
			items: append(whole(obj("lease systems/arc-gha-rs-controller")), leader), options: byHand,
			want: "done, and kept 4 objects",
		},
		"the Lease of a legacy controller that lives": {
			items: append(whole(obj("lease ci/actions-runner-controller")), legacyDeployment("ci/arc", "/manager", 1)), options: byHand,
			want: nothing,
		},
		"what cannot be read": {
			options: byHand, fault: on(http.StatusForbidden, always, "DISCOVER actions.summerwind.dev"),
			want: "done, and of ARC there is still perhaps more, since this could not be read: asking the API server for /apis/actions.summerwind.dev: ",
		},
		"Leases that cannot be read": {
			options: byHand, fault: on(http.StatusForbidden, always, "LIST lease"),
			want: "done, and of ARC there is still perhaps more, since this could not be read: listing leases.coordination.k8s.io in all namespaces: ",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			items := append([]item{job}, test.items...)
			if test.options.Scope == Controller {
				items = append(whole(crdObjects()...), items...)
			}
			a, c := newAPI(t, items...)
			a.unknown, a.fault = test.unknown, test.fault
			preview := Preview(t.Context(), c, graced(test.options, ample))
			r := Run(t.Context(), c, graced(test.options, ample), quiet)
			if !strings.HasPrefix(r.Summary(), test.want) || !strings.Contains(r.Text(10), test.say) || r.Verdict != Done {
				t.Errorf("want %q and %q:\n%s", test.want, test.say, r.Text(10))
			}
			if diff := cmp.Diff(r.Remains, preview.Remains); diff != "" {
				t.Errorf("the plan has it otherwise (-run +plan):\n%s", diff)
			}
		})
	}
}

// TestRescueFreesWhatLegacyARCHolds: whoever rescues a namespace does not know which of
// the two was installed in it.
func TestRescueFreesWhatLegacyARCHolds(t *testing.T) {
	t.Parallel()
	items := append(whole(crdObjects()...), whole(legacyCRDs()...)...)
	items = append(items, whole(
		obj("ns ci", deleting), obj("run ci/x", deleting), obj("run other/x", deleting),
		runnerPod("pod ci/x", "run ci/x", deleting), obj("secret ci/theirs"), obj("er ci/e", deleting),
	)...)
	a, c := newAPI(t, items...)
	a.react = func(a *api, _ string) { // the namespace controller
		for _, o := range a.left() {
			if strings.Contains(o, " ci/") && !strings.HasPrefix(o, "secret") {
				return
			}
		}
		a.take("secret ci/theirs", "ns ci")
	}
	r := Run(t.Context(), c, graced(Options{Scope: Namespace, Namespace: "ci"}, ample), quiet)
	expect(t, r, outcome{Verdict: Done})
	for _, o := range a.left() {
		if strings.Contains(o, "ci") && !strings.HasPrefix(o, "crd ") {
			t.Errorf("%s is left", o)
		}
	}
	if got := a.objects["run other/x"]; got == nil || len(got.Finalizers) == 0 {
		t.Error("another namespace's runner was touched")
	}
}

// TestRescueLeavesToEachControllerItsOwn: a controller of one group does nothing for
// the other's.
func TestRescueLeavesToEachControllerItsOwn(t *testing.T) {
	custom := func() []*Object { return []*Object{obj("run ci/x", deleting), obj("er ci/e", deleting)} }
	rescue := Options{Scope: Namespace, Namespace: "ci"}
	for name, test := range map[string]struct {
		controller ARC
		want       []string
	}{
		"of scale sets": {ctrl("systems/arc", ""), []string{"drain: await er ci/e", "release: release run ci/x", "release: release er ci/e"}},
		"legacy":        {legacyCtrl("systems/arc"), []string{"drain: await run ci/x", "release: release run ci/x", "release: release er ci/e"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := &Survey{Custom: custom(), Controllers: []ARC{test.controller}}
			if diff := cmp.Diff(test.want, lines(NewPlan(s, rescue, History{}))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
