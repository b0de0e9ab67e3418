package cleanup

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/arc-cleanup/arc-cleanup/internal/kube/kubetest"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
	"github.com/arc-cleanup/arc-cleanup/internal/plan/plantest"
	"github.com/arc-cleanup/arc-cleanup/internal/survey"
)

// The refusal names all missing rights at once, before the first write.
func TestPreflightRefusesBeforeTheFirstWrite(t *testing.T) {
	t.Parallel()
	a, c := kubetest.New(t, kubetest.Stuck()...)
	a.DeniedRights = map[string]bool{"patch secrets": true, "delete customresourcedefinitions": true}
	r := Run(t.Context(), c, graced(plantest.ByHand, ample), quiet, Person{})
	text := r.Text(10)
	if r.Verdict != plan.NotPermitted || len(a.Written()) > 0 {
		t.Errorf("%s after %v", r.Verdict, a.Written())
	}
	for _, want := range []string{
		"not permitted to patch secrets in namespace runners",
		`{apiGroups: [""], resources: [secrets], verbs: [patch]} in a Role or ClusterRole bound in that namespace`,
		"not permitted to delete customresourcedefinitions.apiextensions.k8s.io ephemeralrunners.actions.github.com",
		"resourceNames: [ephemeralrunners.actions.github.com]} in a ClusterRole",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("it does not say %q:\n%s", want, text)
		}
	}
}

// A scale set or runner that was freed by force was not de-registered.
func TestReportNamesWhatIsLeftAtGitHub(t *testing.T) {
	s := plantest.BusySet()
	r := &run{report: &Report{Verdict: plan.Done}}
	for _, o := range s.Custom {
		r.noteRegistered(plan.Step{Action: plan.Free, Object: o, Why: ""}, &s)
		r.report.Done = append(r.report.Done, plan.Step{Action: plan.Free, Object: o})
	}
	r.noteRegistered(plan.Step{Action: plan.Delete, Object: s.Custom[2], Why: ""}, &s)
	var got []string
	for _, reg := range r.report.Registered {
		got = append(got, reg.String())
	}
	if want := []string{"runner r", "scale set  (id 7) of "}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if text := r.report.Text(5); !strings.Contains(text, "still registered at GitHub: 1 runner: r: \n") || !strings.Contains(text, "2 registrations are left at GitHub") {
		t.Error(text)
	}
}

func TestOffSwitchEndsARun(t *testing.T) {
	t.Parallel()
	a, c := kubetest.New(t, kubetest.Stuck(kubetest.Whole(kubetest.Object("configmap systems/"+survey.OffSwitch))...)...)
	o := graced(plantest.ByHand, ample)
	o.ReleaseNamespace = "systems"
	if r := Run(context.WithoutCancel(t.Context()), c, o, quiet, Person{}); r.Verdict != plan.Off || len(a.Written()) > 0 {
		t.Errorf("%s after %v", r.Summary(), a.Written())
	}
}

// If the switch cannot be read, it is neither known to be on nor known to be off.
func TestAnUnreadableOffSwitch(t *testing.T) {
	t.Parallel()
	a, c := kubetest.New(t, kubetest.Stuck()...)
	a.Fault = kubetest.On(http.StatusForbidden, kubetest.Always, "GET configmap systems/"+survey.OffSwitch)
	r := Run(t.Context(), c, graced(plantest.OfRelease, ample), quiet, Person{})
	if r.Verdict != plan.NotPermitted || len(a.Writes) > 0 {
		t.Errorf("%v\n%s", a.Writes, r.Text(10))
	}
}

// The switch is also read while the hook waits.
func TestOffSwitchEndsAWait(t *testing.T) {
	t.Parallel()
	a, c := kubetest.New(t, kubetest.Stuck(kubetest.Deployment("systems/arc", "", kubetest.By("systems/arc")))...)
	time.AfterFunc(offEvery/2, func() { a.Put(kubetest.Whole(kubetest.Object("configmap systems/" + survey.OffSwitch))[0]) })
	start := time.Now()
	r := Run(t.Context(), c, graced(plantest.OfRelease, time.Minute), quiet, Person{})
	if r.Verdict != plan.Off || time.Since(start) > 10*time.Second || len(a.Writes) > 0 {
		t.Errorf("%s after %s: %v\n%s", r.Verdict, time.Since(start), a.Writes, r.Text(10))
	}
}
