package cleanup

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/kube/kubetest"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
	"github.com/arc-cleanup/arc-cleanup/internal/plan/plantest"
	"github.com/arc-cleanup/arc-cleanup/internal/survey"
)

// TestASuccessNamesWhatElseThereIsOfARC: "nothing of ARC is left" means that the cluster has
// nothing of either group.
func TestASuccessNamesWhatElseThereIsOfARC(t *testing.T) {
	t.Parallel()
	leader := kubetest.Deployment("systems/arc", "", kubetest.By("systems/arc"))
	container := leader.Rest["spec"].(map[string]any)["template"].(map[string]any)["spec"].(map[string]any)["containers"].([]any)[0].(map[string]any)
	container["args"] = append(container["args"].([]any), "--enable-leader-election", "--leader-election-id=arc-gha-rs-controller")
	legacy := append(kubetest.Whole(kubetest.LegacyCRDs()...), kubetest.Whole(kubetest.Object("run ci/x", kubetest.Deleting))...)
	job := kubetest.Whole(kubetest.Object("job systems/arc-arc-cleanup"))[0]
	job.Annotations[survey.TrackingID] = "arc:batch/Job:systems/arc-arc-cleanup"
	const nothing = "done: nothing of ARC is left"
	tests := map[string]struct {
		items   []kubetest.Item
		options plan.Options
		unknown map[string][]string
		fault   func(string) int
		want    string // the beginning of the summary
		say     string
	}{
		"nothing": {options: plantest.ByHand, want: nothing},
		"legacy ARC": {
			items: legacy, options: plantest.ByHand,
			want: "done; also there: legacy ARC, with 5 CRDs of actions.summerwind.dev and 1 object: deleted 4 custom",
			say:  "    arc-cleanup plan --scope legacy --all-namespaces\n",
		},
		"legacy ARC, to a hook, which may not read it": {
			items: legacy, options: plantest.InArgo, fault: func(request string) int {
				if request == "LIST run" || request == "LIST rd" {
					t.Errorf("it asks for %s", request)
				}
				return 0
			},
			want: "done; also there: legacy ARC, with 5 CRDs of actions.summerwind.dev: deleted 4 custom",
		},
		"a finalizer of legacy ARC": {
			items: kubetest.Whole(kubetest.RunnerPod("pod ci/x", "")), options: plantest.ByHand,
			want: "done; also there: 1 Pod with finalizers of legacy ARC, which --scope legacy removes, as pods/x in namespace ci: ",
		},
		"a kind that came later": {
			options: plantest.ByHand, unknown: map[string][]string{arc.Group: {"runnerpools"}},
			want: "done; also there: the CRD runnerpools.actions.github.com, which this version of arc-cleanup does not know: ",
			say:  "    kubectl get runnerpools.actions.github.com --all-namespaces\n",
		},
		"a kind of legacy ARC that came later": {
			options: plantest.OfLegacy, unknown: map[string][]string{arc.LegacyGroup: {"runnerpools"}},
			want: "done; also there: the CRD runnerpools.actions.summerwind.dev, which ",
		},
		"a Lease": {
			items: kubetest.Whole(kubetest.Object("lease systems/arc-gha-rs-controller"), kubetest.Object("lease old/actions-runner-controller"), kubetest.Object("lease kube-system/scheduler")), options: plantest.ByHand,
			want: "done; also there: the Lease actions-runner-controller in namespace old, which has the name of one of ARC's; the Lease arc-gha-rs-controller in namespace systems, ",
			say:  "    kubectl delete lease actions-runner-controller --namespace old\n",
		},
		"many Leases": {
			items: func() (out []kubetest.Item) {
				for i := range 12 {
					out = append(out, kubetest.Whole(kubetest.Object(fmt.Sprintf("lease team-%02d/x-gha-rs-controller", i)))...)
				}
				return out
			}(),
			options: plantest.ByHand,
			want:    "done; also there: the Lease x-gha-rs-controller in namespace team-00, ",
			say:     "also there: 7 more Leases with such names\n",
		},
		"what is kept, too": {
			items: append(legacy, leader), options: plantest.ByHand,
			want: "done, kept 4 objects; also there: legacy ARC, with 5 CRDs ",
		},
		"only legacy ARC's Lease": {
			items: kubetest.Whole(kubetest.Object("lease systems/arc-gha-rs-controller")), options: plantest.LegacyByHand,
			want: "done: nothing of legacy ARC is left",
		},
		"the Lease of the controller that is uninstalled": {
			items: []kubetest.Item{leader}, options: plantest.InArgo, fault: kubetest.On(http.StatusForbidden, kubetest.Always, "LIST lease"),
			want: "done; also there: the Lease arc-gha-rs-controller in namespace systems, if it exists: the controller arc elects its leader with it, and Helm does not delete it: ",
		},
		"the Lease of a controller that lives": {
			items: append(kubetest.Whole(kubetest.Object("lease systems/arc-gha-rs-controller")), leader), options: plantest.ByHand,
			want: "done, and kept 4 objects",
		},
		"the Lease of a legacy controller that lives": {
			items: append(kubetest.Whole(kubetest.Object("lease ci/actions-runner-controller")), kubetest.LegacyDeployment("ci/arc", "/manager", 1)), options: plantest.ByHand,
			want: nothing,
		},
		"what cannot be read": {
			options: plantest.ByHand, fault: kubetest.On(http.StatusForbidden, kubetest.Always, "DISCOVER actions.summerwind.dev"),
			want: "done; also there: perhaps more, since this could not be read: asking the API server for /apis/actions.summerwind.dev: ",
		},
		"Leases that cannot be read": {
			options: plantest.ByHand, fault: kubetest.On(http.StatusForbidden, kubetest.Always, "LIST lease"),
			want: "done; also there: perhaps more, since this could not be read: listing leases.coordination.k8s.io in all namespaces: ",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			items := append([]kubetest.Item{job}, test.items...)
			if test.options.Scope == plan.ScopeController {
				items = append(kubetest.Whole(kubetest.CRDs()...), items...)
			}
			a, c := kubetest.New(t, items...)
			a.Unknown, a.Fault = test.unknown, test.fault
			preview := Preview(t.Context(), c, graced(test.options, ample), nil)
			r := Run(t.Context(), c, graced(test.options, ample), quiet, Person{})
			if !strings.HasPrefix(r.Summary(), test.want) || !strings.Contains(r.Text(10), test.say) || r.Verdict != plan.Done {
				t.Errorf("want %q and %q:\n%s", test.want, test.say, r.Text(10))
			}
			if diff := cmp.Diff(r.Remains, preview.Remains); diff != "" {
				t.Errorf("the plan has it otherwise (-run +plan):\n%s", diff)
			}
		})
	}
}

// TestRescueFreesWhatLegacyARCHolds: those who rescue a namespace need not know which of the two
// was installed in it.
func TestRescueFreesWhatLegacyARCHolds(t *testing.T) {
	t.Parallel()
	items := append(kubetest.Whole(kubetest.CRDs()...), kubetest.Whole(kubetest.LegacyCRDs()...)...)
	items = append(items, kubetest.Whole(
		kubetest.Object("ns ci", kubetest.Deleting), kubetest.Object("run ci/x", kubetest.Deleting), kubetest.Object("run other/x", kubetest.Deleting),
		kubetest.RunnerPod("pod ci/x", "run ci/x", kubetest.Deleting), kubetest.Object("secret ci/theirs"), kubetest.Object("er ci/e", kubetest.Deleting),
	)...)
	a, c := kubetest.New(t, items...)
	a.React = func(a *kubetest.Server, _ string) { // acts as the namespace controller
		for _, o := range a.Left() {
			if strings.Contains(o, " ci/") && !strings.HasPrefix(o, "secret") {
				return
			}
		}
		a.Take("secret ci/theirs", "ns ci")
	}
	r := Run(t.Context(), c, graced(plan.Options{Scope: plan.ScopeNamespace, Namespace: "ci"}, ample), quiet, Person{})
	expect(t, r, outcome{Verdict: plan.Done})
	for _, o := range a.Left() {
		if strings.Contains(o, "ci") && !strings.HasPrefix(o, "crd ") {
			t.Errorf("%s is left", o)
		}
	}
	if got := a.Objects["run other/x"]; got == nil || len(got.Finalizers) == 0 {
		t.Error("another namespace's runner was touched")
	}
}
