package cleanup

import (
	"cmp"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/kube"
	"github.com/arc-cleanup/arc-cleanup/internal/kube/kubetest"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
	"github.com/arc-cleanup/arc-cleanup/internal/plan/plantest"
)

const (
	crdOfRunners = "crd ephemeralrunners." + arc.Group
	byPolicy     = `customresourcedefinitions.apiextensions.k8s.io "x" is forbidden: ValidatingAdmissionPolicy 'keep-crds' with binding 'everywhere' denied request: CRDs stay`
)

// Each kind of write is tried against admission before the first write.
func TestAdmissionIsAskedFirst(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		says map[string]string
		want []string
	}{
		"a policy, of a deletion": {
			map[string]string{"DELETE " + crdOfRunners: byPolicy},
			[]string{
				"admission refuses to delete customresourcedefinitions.apiextensions.k8s.io ephemeralrunners.actions.github.com: the ValidatingAdmissionPolicy keep-crds (binding everywhere) says: CRDs stay",
				"kubectl get validatingadmissionpolicy keep-crds",
			},
		},
		"a webhook, of a patch": {
			map[string]string{"PATCH er runners/r": `admission webhook "no.example.com" denied the request: not today`},
			[]string{"admission refuses to patch ephemeralrunners.actions.github.com in namespace runners: the admission webhook no.example.com says: not today", "kubectl get validatingwebhookconfigurations"},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, c := kubetest.New(t, kubetest.Stuck()...)
			a.Admission = test.says
			r := Run(t.Context(), c, graced(plantest.OfRelease, ample), quiet, Person{})
			text := r.Text(20)
			if r.Verdict != plan.Refused || len(r.Refusals) != 1 || len(a.Written()) > 0 {
				t.Errorf("wrote %v\n%s", a.Written(), text)
			}
			for _, want := range test.want {
				if !strings.Contains(text, want) {
					t.Errorf("want %q in\n%s", want, text)
				}
			}
			if p := Preview(t.Context(), c, graced(plantest.OfRelease, ample), nil); len(p.Refusals) != 1 || p.Refusals[0].Message != r.Refusals[0].Message {
				t.Errorf("plan: %v", p.Refusals)
			}
		})
	}
}

// A denial that appears only during the run ends it after one try, and is reported once.
func TestAdmissionThatRefusesLaterIsNotTriedAgain(t *testing.T) {
	t.Parallel()
	for _, request := range []string{"PATCH er runners/r", "DELETE " + crdOfRunners} {
		t.Run(request, func(t *testing.T) {
			t.Parallel()
			a, c := kubetest.New(t, kubetest.Stuck()...)
			tries := 0
			a.Fault = func(r string) int {
				if r == "DRY "+request {
					a.Mu.Lock() // from now on
					a.Admission = map[string]string{request: byPolicy}
					a.Mu.Unlock()
				}
				if r == request {
					tries++
				}
				return 0
			}
			r := Run(t.Context(), c, graced(plantest.OfRelease, ample), quiet, Person{})
			text := r.Text(20)
			if r.Verdict != plan.Refused || tries != 1 || len(r.Left) == 0 || strings.Count(text, "CRDs stay") != 1 {
				t.Errorf("%d tries\n%s", tries, text)
			}
			if slices.ContainsFunc(r.Done, func(o plan.Step) bool { return o.Action == plan.Relax }) {
				t.Error("the schema was relaxed, which has nothing to do with it")
			}
		})
	}
}

func TestWhatADryRunsAnswerMeans(t *testing.T) {
	t.Parallel()
	status := func(code int32, reason metav1.StatusReason, message string) error {
		return &apierrors.StatusError{ErrStatus: metav1.Status{Status: metav1.StatusFailure, Code: code, Reason: reason, Message: message}}
	}
	er := schema.GroupResource{Group: arc.Group, Resource: arc.EphemeralRunners}
	tests := map[string]struct {
		err     error
		verdict plan.Verdict
		note    string
		action  plan.Action
	}{
		"yes":                       {},
		"gone":                      {err: apierrors.NewNotFound(er, "a")},
		"no namespace for a backup": {err: apierrors.NewNotFound(object.Namespaces.GroupResource(), "a"), action: plan.Create, verdict: plan.Refused},
		"a policy of either kind":   {err: status(403, metav1.StatusReasonInvalid, `policy 'p' with binding 'b' denied request: no`), verdict: plan.Refused},
		"a change of a deletion":    {err: apierrors.NewInternalError(errors.New(`admission webhook "w" attempted to modify the object, which is not supported for this operation`)), verdict: plan.Refused},
		"changed":                   {err: apierrors.NewConflict(er, "a", errors.New("uid"))},
		"there already":             {err: apierrors.NewAlreadyExists(er, "a")},
		"not valid to its schema":   {err: apierrors.NewInvalid(schema.GroupKind{}, "a", nil)},
		"a policy":                  {err: status(422, metav1.StatusReasonInvalid, byPolicy), verdict: plan.Refused},
		"a policy, 403":             {err: status(403, metav1.StatusReasonForbidden, byPolicy), verdict: plan.Refused},
		"a webhook, 404":            {err: status(404, metav1.StatusReasonNotFound, `admission webhook "w" denied the request: no`), verdict: plan.Refused},
		"a webhook, 409":            {err: status(409, metav1.StatusReasonConflict, `admission webhook "w" denied the request without explanation`), verdict: plan.Refused},
		"nobody answers":            {err: apierrors.NewInternalError(errors.New(`failed calling webhook "w": no endpoints`)), verdict: plan.Refused},
		"another plugin":            {err: apierrors.NewForbidden(er, "a", errors.New("exceeded quota")), verdict: plan.NotPermitted},
		"it cannot be tried":        {err: apierrors.NewBadRequest(`admission webhook "w" does not support dry run`), note: "the webhook w does not support dry runs"},
		"the API server has failed": {err: apierrors.NewInternalError(errors.New("etcd")), verdict: plan.Failed},
		"no answer":                 {err: errors.New("connection reset"), verdict: plan.Failed},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			refusal, note := judge(plan.Trial{Right: plan.Right{Verb: "delete", Resource: "pods"}, Step: plan.Step{Action: cmp.Or(test.action, plan.Delete)}}, test.err)
			var verdict plan.Verdict
			if refusal != nil {
				verdict = refusal.Verdict
			}
			if verdict != test.verdict || (note != "") != (test.note != "") || !strings.Contains(note, test.note) {
				t.Errorf("%v, %q", refusal, note)
			}
		})
	}
}

// A write that cannot be tried is reported, and the run begins. A question that fails stops the
// run.
func TestADryRunWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	a, c := kubetest.New(t, kubetest.Stuck()...)
	a.Admission = map[string]string{"DRY DELETE " + crdOfRunners: `admission webhook "w" does not support dry run`}
	if p := Preview(t.Context(), c, graced(plantest.OfRelease, ample), nil); len(p.Refusals) > 0 || !slices.ContainsFunc(p.Notes, func(note string) bool { return strings.Contains(note, "does not support dry runs") }) {
		t.Errorf("%v, %v", p.Refusals, p.Notes)
	}
	if r := Run(t.Context(), c, graced(plantest.OfRelease, ample), quiet, Person{}); r.Verdict != plan.Done {
		t.Error(r.Text(20))
	}
	a, c = kubetest.New(t, kubetest.Stuck()...)
	a.Fault = kubetest.On(http.StatusBadRequest, kubetest.Always, "DRY DELETE "+crdOfRunners)
	if r := Run(t.Context(), c, graced(plantest.OfRelease, ample), quiet, Person{}); r.Verdict != plan.Failed || len(a.Written()) > 0 {
		t.Errorf("wrote %v\n%s", a.Written(), r.Text(20))
	}
}

// A scale set is woken several times, also after a nudge, but the dry run tries it only once.
func TestADryRunDoesNotWait(t *testing.T) {
	t.Parallel()
	for _, action := range []plan.Action{plan.Wake, plan.Nudge} {
		a, c := kubetest.New(t, kubetest.Stuck()...)
		tries := 0
		a.Fault = func(request string) int {
			if request == "DRY PATCH ars runners/set" {
				tries++
			}
			return 0
		}
		p := &plan.Plan{Phases: []plan.Phase{{Name: plan.PhaseWake, Ranks: [][]plan.Step{{{Action: action, Object: kubetest.Object("ars runners/set"), Why: ""}}}}}}
		preflight(t.Context(), c, p, graced(plantest.OfRelease, ample))
		if len(p.Refusals) > 0 || tries != 1 {
			t.Errorf("%s: %d tries, %v", action, tries, p.Refusals)
		}
	}
}

// A backup in a namespace that does not exist refuses the run before the first write.
func TestABackupWithoutANamespace(t *testing.T) {
	t.Parallel()
	a, c := kubetest.New(t, kubetest.Stuck()...)
	a.Fault = kubetest.On(http.StatusNotFound, kubetest.Always, "DRY POST secret systems", "POST secret systems")
	o := plantest.Kept(graced(plantest.OfRelease, ample))
	r := Run(t.Context(), c, o, quiet, Person{})
	if text := r.Text(20); r.Verdict != plan.Refused || len(a.Written()) > 0 || !strings.Contains(text, "there is no namespace systems") || !strings.Contains(text, "--backup=false") {
		t.Errorf("wrote %v\n%s", a.Written(), text)
	}
}

// A policy whose kind the answer does not tell may be of either kind.
func TestAPolicyOfEitherKindIsNamed(t *testing.T) {
	t.Parallel()
	r := DenialOf("to delete pods", kube.Denial{Policy: "p", Binding: "b", AnyKind: true, Message: "no"})
	want := plan.Refusal{
		Verdict: plan.Refused, Message: "admission refuses to delete pods: the admission policy p (binding b) says: no",
		Do: []string{
			"ask the policy's owner to exempt this uninstall, then run it again; it is one of these:",
			"kubectl get validatingadmissionpolicy p --output yaml", "kubectl get mutatingadmissionpolicy p --output yaml",
		},
	}
	if diff := gocmp.Diff(want, r); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
