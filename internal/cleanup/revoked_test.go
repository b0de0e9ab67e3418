package cleanup

import (
	"bytes"
	"context"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/arc-cleanup/arc-cleanup/internal/kube/kubetest"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
	"github.com/arc-cleanup/arc-cleanup/internal/plan/plantest"
	"github.com/arc-cleanup/arc-cleanup/internal/survey"
)

// ofHookJob is ofRelease as the hook's own Job runs it. Argo CD made the Job, because a Helm
// release would need a record.
var ofHookJob = plan.Options{Scope: plan.ScopeController, Release: "arc", Job: "arc-arc-cleanup", ReleaseNamespace: "systems"}

func itsJob() kubetest.Item {
	it := kubetest.Whole(kubetest.Object("job systems/arc-arc-cleanup"))[0]
	it.Annotations[survey.TrackingID] = "apps_arc:batch/Job:systems/arc-arc-cleanup"
	return it
}

// TestMain shortens the time for which a hook without rights waits for them.
func TestMain(m *testing.M) {
	rightsWithin = time.Second
	os.Exit(m.Run())
}

// Argo CD may create the Job before its rights. Whichever comes last, the hook waits for it, and says so once. By hand nobody
// waits.
func TestRightsThatComeLate(t *testing.T) {
	t.Parallel()
	for _, late := range []string{"GET configmap systems/" + survey.OffSwitch, "LIST er", "LIST deploy"} {
		for want, o := range map[plan.Verdict]plan.Options{plan.Done: ofHookJob, plan.NotPermitted: plantest.ByHand} {
			a, c := kubetest.New(t, kubetest.Stuck(itsJob())...)
			a.Fault = kubetest.On(http.StatusForbidden, 1, late)
			var log bytes.Buffer
			o = graced(o, ample)
			o.ReleaseNamespace = ofHookJob.ReleaseNamespace // the off switch is read there
			r := Run(t.Context(), c, o, zerolog.New(&log), Person{})
			if r.Verdict != want {
				t.Errorf("%s: %s", late, r.Text(10))
			}
			said := strings.Count(log.String(), "waiting up to 1s for the rights of this hook: could not read")
			if want == plan.Done && said != 1 || want == plan.NotPermitted && said != 0 {
				t.Errorf("%s, %s: the log is\n%s", late, want, log.String())
			}
		}
	}
}

// sayTo calls a function with each log line, before the run goes on.
type sayTo func(line string)

func (f sayTo) Write(line []byte) (int, error) {
	f(string(line))
	return len(line), nil
}

// What ends a hook that waits for its rights is the reason that it gives: a switch that is on is no failure, and a Pod that was
// told to stop gets a successor, which not-permitted would not.
func TestWhatEndsTheWaitForRights(t *testing.T) {
	t.Parallel()
	for want, cause := range map[plan.Verdict]error{plan.Off: errOff, plan.Interrupted: ErrInterrupted, plan.NotPermitted: ErrBudget} {
		a, c := kubetest.New(t, kubetest.Stuck(itsJob())...)
		a.Fault = kubetest.On(http.StatusForbidden, kubetest.Always, "LIST deploy")
		ctx, cancel := context.WithCancelCause(t.Context())
		log := sayTo(func(line string) {
			if strings.Contains(line, "waiting up to") {
				cancel(cause)
			}
		})
		r := Run(ctx, c, graced(ofHookJob, ample), zerolog.New(log), Person{})
		if text := r.Text(10); r.Verdict != want || (want != plan.Off) != strings.Contains(text, "could not read ARC controllers") {
			t.Errorf("%v: %s", cause, text)
		}
	}
}

// A first look may take longer than the wait, for the rights to one namespace may be there, and it is large. The hook looks again.
func TestASlowFirstLookWithoutRights(t *testing.T) {
	t.Parallel()
	a, c := kubetest.New(t, kubetest.Stuck(itsJob())...)
	var once sync.Once
	a.Fault = func(request string) (code int) {
		if request == "LIST deploy" {
			once.Do(func() {
				time.Sleep(rightsWithin + rightsWithin/10)
				code = http.StatusForbidden
			})
		}
		return code
	}
	if r := Run(t.Context(), c, graced(ofHookJob, ample), quiet, Person{}); r.Verdict != plan.Done {
		t.Error(r.Text(10))
	}
}

// The credentials of a scale set may be among what a hook could not read at first. With the rights it reads them again.
func TestCredentialsThatCouldNotBeReadAtFirst(t *testing.T) {
	t.Parallel()
	a, c := kubetest.New(t, append(registeredAtGitHub(t), itsJob())...)
	a.Fault = kubetest.On(http.StatusForbidden, 2, "GET secret runners/token", "LIST deploy")
	r := Run(t.Context(), c, recording(ofHookJob), quiet, Person{})
	if r.Verdict != plan.Done || len(r.Registered) != 2 {
		t.Fatal(r.Text(10))
	}
	for _, reg := range r.Registered {
		if !strings.HasPrefix(reg.Why, "GitHub does not accept the credentials") {
			t.Errorf("%s: %s", reg, reg.Why)
		}
	}
}

// Helm removes the rights while the hook waits or works. The hook says so in one line, and ends
// without another try.
func TestRightsTakenAway(t *testing.T) {
	t.Parallel()
	live := kubetest.Deployment("systems/arc", "", kubetest.By("systems/arc"))
	for name, test := range map[string]struct {
		items []kubetest.Item
		code  int
	}{
		"during a wait, the roles":          {kubetest.Stuck(live, itsJob()), http.StatusForbidden},
		"during a wait, the ServiceAccount": {kubetest.Stuck(live, itsJob()), http.StatusUnauthorized},
		"during the work":                   {kubetest.Stuck(itsJob()), http.StatusForbidden},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, c := kubetest.New(t, test.items...)
			o := graced(ofHookJob, time.Minute)
			gone := make(chan struct{})
			a.Fault = func(string) int {
				select {
				case <-gone:
					return test.code
				default:
					return 0
				}
			}
			if name == "during the work" {
				a.React = func(a *kubetest.Server, _ string) {
					a.Mu.Lock()
					defer a.Mu.Unlock()
					if len(a.Writes) == 1 {
						close(gone)
					}
				}
			} else {
				time.AfterFunc(time.Second, func() { close(gone) })
			}
			start := time.Now()
			r := Run(t.Context(), c, o, quiet, Person{})
			text := r.Text(50)
			if took := time.Since(start); r.Verdict != plan.NotPermitted || took > 10*time.Second || !strings.Contains(r.Summary(), "Helm took this hook's rights away") || !strings.Contains(r.Summary(), "reading ConfigMap systems/"+survey.OffSwitch) {
				t.Errorf("after %s:\n%s", took, text)
			}
			for line := range strings.Lines(text) {
				if !strings.HasPrefix(line, "not-permitted: ") && !strings.HasPrefix(line, "time: ") && !strings.HasPrefix(line, "still registered") {
					t.Errorf("more than one line: %s", line)
				}
			}
		})
	}
}

// If one rule is missing, the hook has not lost all its rights: the report names the missing rule.
func TestOneRuleIsMissing(t *testing.T) {
	t.Parallel()
	for _, missing := range []string{"GET configmap systems/" + survey.OffSwitch, "GET job systems/arc-arc-cleanup"} {
		a, c := kubetest.New(t, kubetest.Stuck(itsJob())...)
		a.Fault = kubetest.On(http.StatusForbidden, kubetest.Always, missing)
		o := graced(ofHookJob, ample)
		if r := Run(t.Context(), c, o, quiet, Person{}); r.Revoked != nil || r.Verdict != plan.NotPermitted || len(a.Written()) > 0 {
			t.Errorf("%s: %s", missing, r.Text(10))
		}
	}
}

// Rights that the hook never had were not taken away: an expired token, or a missing right, is
// named with the request that failed.
func TestRightsThatWereNeverThere(t *testing.T) {
	t.Parallel()
	for _, code := range []int{http.StatusUnauthorized, http.StatusForbidden} {
		a, c := kubetest.New(t, kubetest.Stuck(itsJob())...)
		a.Fault = func(string) int { return code }
		r := Run(t.Context(), c, graced(ofHookJob, ample), quiet, Person{})
		if text := r.Text(10); r.Revoked != nil || r.Verdict == plan.Done || strings.Contains(text, "took this hook's rights away") || !strings.Contains(text, "could not read") {
			t.Errorf("%d: %s", code, text)
		}
	}
}
