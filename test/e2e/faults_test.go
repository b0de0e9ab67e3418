package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/arc-cleanup/arc-cleanup/test/harness"
)

// TestFaults has what can fail of a request fail on the real API server, at a list,
// a write and a watch: nothing is called done, and the request is named. That every
// request fails is a unit test of the engine.
func TestFaults(t *testing.T) {
	l := newLab(t)
	l.disaster()
	status := func(code int, reason metav1.StatusReason) func(http.ResponseWriter, *http.Request, http.Handler) {
		return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(code)
			_ = json.NewEncoder(w).Encode(metav1.Status{
				TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}, Status: metav1.StatusFailure, Code: int32(code), Reason: reason, Message: "no",
			})
		}
	}
	faults := map[string]func(http.ResponseWriter, *http.Request, http.Handler){
		"forbidden":         status(http.StatusForbidden, metav1.StatusReasonForbidden),
		"not found":         status(http.StatusNotFound, metav1.StatusReasonNotFound),
		"conflict":          status(http.StatusConflict, metav1.StatusReasonConflict),
		"gone":              status(http.StatusGone, metav1.StatusReasonExpired),
		"unprocessable":     status(http.StatusUnprocessableEntity, metav1.StatusReasonInvalid),
		"too many requests": status(http.StatusTooManyRequests, metav1.StatusReasonTooManyRequests),
		"internal error":    status(http.StatusInternalServerError, metav1.StatusReasonInternalError),
		"expired token":     status(http.StatusUnauthorized, metav1.StatusReasonUnauthorized),
		"reset":             func(http.ResponseWriter, *http.Request, http.Handler) { panic(http.ErrAbortHandler) },
		"slow": func(_ http.ResponseWriter, r *http.Request, _ http.Handler) {
			_, _ = io.Copy(io.Discard, r.Body) // else nobody notices that the client goes
			<-r.Context().Done()
		},
		"truncated": func(w http.ResponseWriter, r *http.Request, behind http.Handler) {
			whole := httptest.NewRecorder()
			behind.ServeHTTP(whole, r)
			maps.Copy(w.Header(), whole.Header())
			w.Header().Set("Content-Length", fmt.Sprint(whole.Body.Len()+1))
			w.WriteHeader(whole.Code)
			_, _ = w.Write(whole.Body.Bytes()[:whole.Body.Len()/2])
			panic(http.ErrAbortHandler)
		},
	}
	began := time.Now()
	for name, fault := range faults {
		requests := []string{http.MethodPatch}
		switch name {
		case "truncated": // a patch is carried out
			requests = []string{http.MethodGet}
		case "not found", "internal error", "slow":
			requests = append(requests, http.MethodGet)
		}
		for _, request := range requests {
			var met atomic.Bool
			path := l.front(func(w http.ResponseWriter, r *http.Request, behind http.Handler) {
				if strings.HasPrefix(r.URL.Path, "/apis/actions.github.com/") && strings.Contains(r.URL.Path, "/ephemeralrunners") && r.Method == request {
					met.Store(true)
					fault(w, r, behind)
					return
				}
				behind.ServeHTTP(w, r)
			})
			out, code := l.hookjob("run", "--all-namespaces", "--yes", "--budget", harness.Patience(1500*time.Millisecond).String(), "--backup=false", "--log-format", "console", "--kubeconfig", path)
			switch {
			case !met.Load():
				t.Errorf("%s of %s: never asked", name, request)
			case code == 0 || strings.Contains(out, "\ndone"):
				t.Errorf("%s of %s: it is called done:\n%s", name, request, out)
			case !strings.Contains(out, "ephemeralrunners"):
				t.Errorf("%s of %s: the request is not named:\n%s", name, request, out)
			}
		}
	}
	// A watch that is closed at once begins again.
	path := l.front(func(w http.ResponseWriter, r *http.Request, behind http.Handler) {
		if r.URL.Query().Get("watch") != "" {
			w.Header().Set("Content-Type", "application/json")
			return
		}
		behind.ServeHTTP(w, r)
	})
	out, code := l.hookjob("run", "--all-namespaces", "--yes", "--grace", "5s", "--log-format", "console", "--kubeconfig", path)
	if code != 0 && !strings.Contains(out, "watching ") {
		t.Errorf("the watch is not named: exit code %d\n%s", code, out)
	}
	t.Logf("the faults took %s", time.Since(began).Round(time.Second))
	if out, code := l.hookjob("run", "--all-namespaces", "--yes"); code != 0 {
		t.Errorf("without a fault: exit code %d\n%s", code, out)
	}
	l.nothingLeft()
}

// TestBothGroups: a legacy Runner holds a namespace, and no controller is there. Whoever
// asks without knowing of legacy ARC is not told that there is nothing.
func TestBothGroups(t *testing.T) {
	l := newLab(t)
	l.legacyCRDs()
	l.legacyObject("Runner", "stuck", nil, map[string]any{"repository": "acme/app"}, runnerFinalizer)
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: "old-gha-rs-controller"}}
	if _, err := l.client.CoordinationV1().Leases(controllerNamespace).Create(l.ctx, lease, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := l.client.CoreV1().Namespaces().Delete(l.ctx, runnerNamespace, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	const beside = "legacy ARC, with 5 CRDs of actions.summerwind.dev and 1 object"
	if out, _ := l.hookjob("status"); !strings.Contains(out, "runners.actions.summerwind.dev/stuck") || !strings.Contains(out, "is Terminating, and has 1 custom resource of ARC") {
		t.Errorf("status:\n%s", out)
	}
	if out, _ := l.hookjob("plan", "--all-namespaces"); !strings.Contains(out, "Also there: "+beside) || !strings.Contains(out, "plan --scope legacy --all-namespaces") || strings.Contains(out, "Nothing to do.\n") {
		t.Errorf("plan:\n%s", out)
	}
	out, code := l.console("run", "--all-namespaces", "--yes")
	if code != 0 || strings.Contains(out, "nothing of ARC is left") || !strings.Contains(out, "; also there: "+beside+"; the Lease old-gha-rs-controller in namespace "+controllerNamespace) {
		t.Errorf("run: exit code %d\n%s", code, out)
	}
	if out, code := l.console("run", "--yes", "--namespace", runnerNamespace); code != 0 || !l.namespaceGone(runnerNamespace) {
		t.Errorf("run --namespace: exit code %d\n%s", code, out)
	}
	if out, code := l.console("run", "--all-namespaces", "--yes", "--scope", "legacy"); code != 0 || !strings.Contains(out, "done: nothing of legacy ARC is left") {
		t.Errorf("run --scope legacy: exit code %d\n%s", code, out)
	}
	if err := l.client.CoordinationV1().Leases(controllerNamespace).Delete(l.ctx, "old-gha-rs-controller", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if out, code := l.console("run", "--all-namespaces", "--yes"); code != 0 || !strings.Contains(out, "done: nothing of ARC is left") {
		t.Errorf("run: exit code %d\n%s", code, out)
	}
	l.nothingLeft()
}

// TestWhatJobsLeave: of a runner in kubernetes mode whose controller is gone, the job's Pod
// and Secret go, too; what only has the label of one stays.
func TestWhatJobsLeave(t *testing.T) {
	l := newLab(t)
	l.disaster()
	runners, err := l.dynamic.Resource(l.resource("ephemeralrunners")).Namespace(runnerNamespace).List(l.ctx, metav1.ListOptions{})
	if err != nil || len(runners.Items) == 0 {
		t.Fatalf("runners: %v, %v", runners, err)
	}
	for name, runner := range map[string]string{"workflow": runners.Items[0].GetName(), "theirs": "no-runner"} {
		m := metav1.ObjectMeta{Name: name, Labels: map[string]string{"runner-pod": runner}}
		pod := &corev1.Pod{ObjectMeta: m, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "job", Image: "example.com/none"}}}}
		if _, err := l.client.CoreV1().Pods(runnerNamespace).Create(l.ctx, pod, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		if _, err := l.client.CoreV1().Secrets(runnerNamespace).Create(l.ctx, &corev1.Secret{ObjectMeta: m}, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if out, code := l.console("run", "--all-namespaces", "--yes"); code != 0 || !strings.Contains(out, "done: nothing of ARC is left") {
		t.Errorf("exit code %d\n%s", code, out)
	}
	l.nothingLeft(
		harness.Object{Resource: "pods", Namespace: runnerNamespace, Name: "theirs"},
		harness.Object{Resource: "secrets", Namespace: runnerNamespace, Name: "theirs"},
	)
}
