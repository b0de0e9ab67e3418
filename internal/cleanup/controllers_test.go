package cleanup

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/kube"
)

func TestCrashLooping(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	running := func(restarts int64, since time.Duration) map[string]any {
		return map[string]any{"restartCount": restarts, "state": map[string]any{"running": map[string]any{"startedAt": now.Add(-since).Format(time.RFC3339)}}}
	}
	waiting := func(reason string) map[string]any {
		return map[string]any{"restartCount": int64(1), "state": map[string]any{"waiting": map[string]any{"reason": reason}}}
	}
	tests := map[string]struct {
		statuses []any
		want     bool
	}{
		"no status yet":                   {nil, false},
		"fresh":                           {[]any{running(0, time.Second)}, false},
		"restarted once, as after a node": {[]any{running(1, time.Second)}, false},
		"many restarts, but for long now": {[]any{running(9, time.Hour)}, false},
		"many restarts, and just now":     {[]any{running(3, 5*time.Second)}, true},
		"waits for the next try":          {[]any{waiting("CrashLoopBackOff")}, true},
		"waits for its image":             {[]any{waiting("ImagePullBackOff")}, false},
		"one of two containers":           {[]any{running(0, time.Hour), waiting("CrashLoopBackOff")}, true},
		"not as we know it":               {[]any{"text"}, false},
	}
	for name, test := range tests {
		pod := unstructured.Unstructured{Object: map[string]any{"status": map[string]any{"containerStatuses": test.statuses}}}
		if got := crashLooping(pod, now); got != test.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

// loop is the Pod of a controller that crashes again and again.
func loop(name string) item {
	it := whole(obj("pod " + name))[0]
	it.labels["app"] = it.Name
	it.rest = map[string]any{"status": map[string]any{"containerStatuses": []any{
		map[string]any{"restartCount": 7, "state": map[string]any{"waiting": map[string]any{"reason": "CrashLoopBackOff"}}},
	}}}
	return it
}

func TestAControllerThatCannotFinishCostsNoGrace(t *testing.T) {
	t.Parallel()
	ours := deployment("systems/arc", "", by("systems/arc"))
	tests := map[string]struct {
		items  []item
		denied string
	}{
		"it crashes":          {stuck(ours, loop("systems/arc")), ""},
		"its rights are gone": {stuck(ours), "system:serviceaccount:systems:arc delete pods in runners"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, c := newAPI(t, test.items...)
			a.denied = map[string]bool{test.denied: true}
			start := time.Now()
			r := Run(t.Context(), c, graced(ofRelease, ample), quiet, nil)
			if r.Verdict != Done || time.Since(start) > ample/2 {
				t.Errorf("%s after %s:\n%s", r.Verdict, time.Since(start), r.Text(10))
			}
		})
	}
}

// TestOthersNeedNotBeLookedInto: a single-namespace controller's hook may not list
// Pods elsewhere, and another controller counts whether it crashes or not.
func TestOthersNeedNotBeLookedInto(t *testing.T) {
	t.Parallel()
	a, c := newAPI(t, stuck(deployment("team/b", "theirs"))...)
	a.fault = on(http.StatusForbidden, always, "LIST pod team")
	r := Run(t.Context(), c, graced(ofRelease, ample), quiet, nil)
	if r.Verdict != Done || len(r.Kept) != 4 {
		t.Errorf("%s", r.Text(10))
	}
}

// TestWhereControllersAreLockedOut: only a controller that runs, is known by name and
// watches the namespace can be locked out of it, and only where the API server says so.
func TestWhereControllersAreLockedOut(t *testing.T) {
	t.Parallel()
	nameless := deployment("systems/arc", "")
	nameless.rest["spec"].(map[string]any)["template"] = map[string]any{}
	const arcs, teams = "system:serviceaccount:systems:arc delete pods in ", "system:serviceaccount:team:b delete pods in "
	tests := map[string]struct {
		items []item
		fault func(string) int
		want  []string
	}{
		"it is":                               {stuck(deployment("systems/arc", "")), nil, []string{"arc in other", "arc in runners"}},
		"in the namespace that it watches":    {stuck(deployment("team/b", "other")), nil, []string{"b in other"}},
		"it does not run":                     {stuck(down(deployment("systems/arc", ""))), nil, nil},
		"nobody knows as whom it runs":        {stuck(nameless), nil, nil},
		"the answer cannot be had":            {stuck(deployment("systems/arc", "")), on(http.StatusForbidden, always, "REVIEW "+arcs+"other", "REVIEW "+arcs+"runners"), nil},
		"the answer cannot be had of one":     {stuck(deployment("systems/arc", "")), on(http.StatusForbidden, always, "REVIEW "+arcs+"runners"), []string{"arc in other"}},
		"another controller is not locked":    {stuck(deployment("c/c", "")), nil, nil},
		"listeners' namespace does not count": {append(stuck(deployment("systems/arc", "systems")), whole(obj("al systems/m", of("runners/set")))...), nil, nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, c := newAPI(t, append(test.items, whole(obj("er other/x"))...)...)
			a.denied = map[string]bool{arcs + "runners": true, arcs + "other": true, arcs + "systems": true, teams + "runners": true, teams + "other": true}
			a.fault = test.fault
			s := survey(t.Context(), c, byHand)
			var got []string
			for _, controller := range s.Controllers {
				for namespace := range controller.LockedOut {
					got = append(got, controller.Name+" in "+namespace)
				}
			}
			slices.Sort(got)
			if diff := cmp.Diff(test.want, got); diff != "" || len(s.Unknown) > 0 {
				t.Errorf("locked out (-want +got), unknown %v:\n%s", s.Unknown, diff)
			}
		})
	}
}

// Whether a controller crashes cannot be told without its Pods; without a selector it
// has none that could be told from others.
func TestAControllersPods(t *testing.T) {
	t.Parallel()
	unselective := deployment("systems/arc", "")
	unselective.rest["spec"].(map[string]any)["selector"] = map[string]any{}
	_, c := newAPI(t, unselective, loop("systems/other"))
	if s := survey(t.Context(), c, byHand); len(s.Unknown) > 0 || len(s.Controllers) != 1 || s.Controllers[0].Down != "" {
		t.Errorf("unknown %v, controllers %+v", s.Unknown, s.Controllers)
	}
	a, c := newAPI(t, deployment("systems/arc", ""))
	a.fault = on(http.StatusBadRequest, always, "LIST pod systems")
	if s := survey(t.Context(), c, byHand); len(s.Unknown) != 1 {
		t.Errorf("unknown %v, want the controllers", s.Unknown)
	}
}

// The API server is asked about exactly the account, the verb and the objects, and an
// answer that says neither yes nor no is none.
func TestWhatIsAskedAboutAController(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	asked := map[string]any{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var review struct {
			Kind, APIVersion string
			Metadata, Spec   map[string]any
		}
		_ = json.NewDecoder(r.Body).Decode(&review)
		mu.Lock()
		defer mu.Unlock()
		asked[r.URL.Path] = []any{review.APIVersion, review.Kind, review.Metadata["namespace"], review.Spec}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview"}`)
	}))
	t.Cleanup(server.Close)
	c, err := kube.New(&rest.Config{Host: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	a := named("systems/arc")
	if watches, controls := watched(t.Context(), c, a, []string{"runners"}, arc.Resource(arc.AutoscalingRunnerSets)); !controls || !slices.Equal(watches, []string{"runners"}) {
		t.Errorf("without an answer it watches %q, %t", watches, controls)
	}
	if allowed, err := mayDeletePods(t.Context(), c, a, "runners"); err == nil {
		t.Errorf("without an answer: %t", allowed)
	}
	spec := func(attributes map[string]any) map[string]any {
		return map[string]any{
			"user": "system:serviceaccount:systems:arc", "groups": []any{"system:serviceaccounts", "system:serviceaccounts:systems", "system:authenticated"},
			"resourceAttributes": attributes,
		}
	}
	want := map[string]any{
		"/apis/authorization.k8s.io/v1/subjectaccessreviews": []any{"authorization.k8s.io/v1", "SubjectAccessReview", nil, spec(map[string]any{
			"namespace": "runners", "verb": "list", "group": "actions.github.com", "version": "v1alpha1", "resource": "autoscalingrunnersets",
		})},
		"/apis/authorization.k8s.io/v1/namespaces/runners/localsubjectaccessreviews": []any{"authorization.k8s.io/v1", "LocalSubjectAccessReview", "runners", spec(map[string]any{
			"namespace": "runners", "verb": "delete", "version": "v1", "resource": "pods",
		})},
	}
	if diff := cmp.Diff(want, asked); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A Deployment watches the namespaces that it says only as far as its rights go: one
// of its own would keep all others from being cleaned up.
func TestAControllerWatchesWhatItMay(t *testing.T) {
	t.Parallel()
	it := deployment("tenant/arc", "tenant")
	spec := it.rest["spec"].(map[string]any)["template"].(map[string]any)["spec"].(map[string]any)
	says := func(namespaces ...string) {
		var containers []any
		for _, namespace := range namespaces {
			containers = append(containers, map[string]any{"args": []any{"--auto-scaling-runner-set-only", "--watch-single-namespace=" + namespace}})
		}
		spec["containers"] = containers
	}
	says("tenant", "runners", "tenant")
	a, c := newAPI(t, stuck(it)...)
	asked := 0
	a.fault = func(request string) int {
		if strings.HasPrefix(request, "REVIEW system:serviceaccount:tenant:arc list autoscalingrunnersets in ") {
			asked++
		}
		return 0
	}
	a.denied = map[string]bool{"system:serviceaccount:tenant:arc list autoscalingrunnersets in runners": true}
	r := Run(t.Context(), c, graced(byHand, ample), quiet, nil)
	if slices.Contains(a.left(), "ars runners/set") {
		t.Errorf("a tenant keeps another namespace from being cleaned up:\n%s", r.Text(10))
	}
	var many []string
	for i := range 1000 {
		many = append(many, fmt.Sprint("n", i))
	}
	says(many...)
	asked = 0
	if found, err := controllers(t.Context(), c, everywhere); err != nil || len(found) != 1 || asked > mostWatched {
		t.Errorf("%d controllers, %v, after %d questions", len(found), err, asked)
	}
}

// A namespace that is named again and again hides no other one.
func TestWhatIsWatchedIsAskedOnce(t *testing.T) {
	t.Parallel()
	var says []string
	for range mostWatched {
		says = append(says, "a", "c")
	}
	_, c := newAPI(t)
	watches, _ := watched(t.Context(), c, named("systems/arc"), append(says, "b"), arc.Resource(arc.AutoscalingRunnerSets))
	expectStrings(t, "watches", watches, "a", "b", "c")
}
