package survey

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/kube"
	"github.com/arc-cleanup/arc-cleanup/internal/kube/kubetest"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
	"github.com/arc-cleanup/arc-cleanup/internal/plan/plantest"
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

// TestWhereControllersAreLockedOut: only a controller that runs, has a name and watches the
// namespace can be locked out of it, and only if the API server says so.
func TestWhereControllersAreLockedOut(t *testing.T) {
	t.Parallel()
	nameless := kubetest.Deployment("systems/arc", "")
	nameless.Rest["spec"].(map[string]any)["template"] = map[string]any{}
	const arcs, teams = "system:serviceaccount:systems:arc delete pods in ", "system:serviceaccount:team:b delete pods in "
	tests := map[string]struct {
		items []kubetest.Item
		fault func(string) int
		want  []string
	}{
		"it is":                               {kubetest.Stuck(kubetest.Deployment("systems/arc", "")), nil, []string{"arc in other", "arc in runners"}},
		"in the namespace that it watches":    {kubetest.Stuck(kubetest.Deployment("team/b", "other")), nil, []string{"b in other"}},
		"it does not run":                     {kubetest.Stuck(kubetest.Down(kubetest.Deployment("systems/arc", ""))), nil, nil},
		"nobody knows as whom it runs":        {kubetest.Stuck(nameless), nil, nil},
		"the answer cannot be had":            {kubetest.Stuck(kubetest.Deployment("systems/arc", "")), kubetest.On(http.StatusForbidden, kubetest.Always, "REVIEW "+arcs+"other", "REVIEW "+arcs+"runners"), nil},
		"the answer cannot be had of one":     {kubetest.Stuck(kubetest.Deployment("systems/arc", "")), kubetest.On(http.StatusForbidden, kubetest.Always, "REVIEW "+arcs+"runners"), []string{"arc in other"}},
		"another controller is not locked":    {kubetest.Stuck(kubetest.Deployment("c/c", "")), nil, nil},
		"listeners' namespace does not count": {append(kubetest.Stuck(kubetest.Deployment("systems/arc", "systems")), kubetest.Whole(kubetest.Object("al systems/m", kubetest.Of("runners/set")))...), nil, nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, c := kubetest.New(t, append(test.items, kubetest.Whole(kubetest.Object("er other/x"))...)...)
			a.DeniedRights = map[string]bool{arcs + "runners": true, arcs + "other": true, arcs + "systems": true, teams + "runners": true, teams + "other": true}
			a.Fault = test.fault
			s := Read(t.Context(), c, plantest.ByHand)
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

// Only its Pods show whether a controller crashes. Without a selector, its Pods cannot be told from
// others.
func TestAControllersPods(t *testing.T) {
	t.Parallel()
	unselective := kubetest.Deployment("systems/arc", "")
	unselective.Rest["spec"].(map[string]any)["selector"] = map[string]any{}
	_, c := kubetest.New(t, unselective, kubetest.CrashLoopingPod("systems/other"))
	if s := Read(t.Context(), c, plantest.ByHand); len(s.Unknown) > 0 || len(s.Controllers) != 1 || s.Controllers[0].Down != "" {
		t.Errorf("unknown %v, controllers %+v", s.Unknown, s.Controllers)
	}
	a, c := kubetest.New(t, kubetest.Deployment("systems/arc", ""))
	a.Fault = kubetest.On(http.StatusBadRequest, kubetest.Always, "LIST pod systems")
	if s := Read(t.Context(), c, plantest.ByHand); len(s.Unknown) != 1 {
		t.Errorf("unknown %v, want the controllers", s.Unknown)
	}
}

// The API server is asked about exactly this account, verb and resource. An answer that says
// neither yes nor no does not count.
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
	a := kubetest.Named("systems/arc")
	if watches, controls := newRights(c, arc.Resource(arc.AutoscalingRunnerSets)).watched(t.Context(), a, []string{"runners"}); !controls || !slices.Equal(watches, []string{"runners"}) {
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

// A namespace that is named many times hides no other namespace.
func TestWhatIsWatchedIsAskedOnce(t *testing.T) {
	t.Parallel()
	var says []string
	for range MostWatched {
		says = append(says, "a", "c")
	}
	_, c := kubetest.New(t)
	watches, _ := newRights(c, arc.Resource(arc.AutoscalingRunnerSets)).watched(t.Context(), kubetest.Named("systems/arc"), append(says, "b"))
	kubetest.ExpectStrings(t, "watches", watches, "a", "b", "c")
}

// Eight Deployments of 1 MiB took 220 MiB as Go's maps, and a hook has 128: anyone could end every uninstall with
// Deployments that only look like controllers. So there is one page of whole Deployments in memory, which is small.
func TestLargeDeploymentsAreReadOneAtATime(t *testing.T) {
	t.Parallel()
	var items []kubetest.Item
	for i := range 5 {
		web := kubetest.Deployment(fmt.Sprintf("team/web-%d", i), "")
		web.Annotations["large"] = strings.Repeat("x", 800<<10)
		items = append(items, web, kubetest.LegacyDeployment(fmt.Sprintf("team/old-%d", i), "/manager", 1))
	}
	a, _ := kubetest.New(t, items...)
	a.PageSize = 100
	var now, most, lists, gets atomic.Int32
	c, err := kube.New(&rest.Config{Host: a.URL, WrapTransport: func(next http.RoundTripper) http.RoundTripper {
		return roundTrip(func(r *http.Request) (*http.Response, error) {
			whole := strings.Contains(r.URL.Path, "/deployments") && !strings.Contains(r.Header.Get("Accept"), "PartialObjectMetadata")
			switch {
			case !whole:
				return next.RoundTrip(r)
			case r.URL.Query().Has("limit"):
				lists.Add(1)
			default:
				gets.Add(1)
			}
			most.Store(max(most.Load(), now.Add(1)))
			time.Sleep(5 * time.Millisecond)
			defer now.Add(-1)
			return next.RoundTrip(r)
		})
	}})
	if err != nil {
		t.Fatal(err)
	}
	found, err := Controllers(t.Context(), c, plan.AllNamespaces)
	if err != nil || len(found) != 5 || lists.Load() < 5 || lists.Load() > 30 || most.Load() != 1 {
		t.Errorf("%d found, %v, %d lists, %d at once", len(found), err, lists.Load(), most.Load())
	}
	found, err = LegacyControllers(t.Context(), c)
	if err != nil || len(found) != 5 || gets.Load() < 5 || most.Load() != 1 {
		t.Errorf("legacy: %d found, %v, %d reads, %d at once", len(found), err, gets.Load(), most.Load())
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// Anyone can create many Deployments that look like controllers. They cost one page each, and one
// question about each ServiceAccount and namespace.
func TestManyThatLookLikeControllers(t *testing.T) {
	t.Parallel()
	const many, asksAll, asksOne = 100, "system:serviceaccount:team:web list autoscalingrunnersets in ", "system:serviceaccount:team:web list autoscalingrunnersets in runners"
	items := []kubetest.Item{kubetest.Deployment("systems/arc", "")}
	for i := range many {
		it := kubetest.Deployment(fmt.Sprintf("team/web-%d", i), []string{"", "runners"}[i%2])
		_ = unstructured.SetNestedField(it.Rest, "web", "spec", "template", "spec", "serviceAccountName")
		items = append(items, it)
	}
	a, c := kubetest.New(t, items...)
	a.DeniedRights = map[string]bool{asksAll: true, asksOne: true}
	var mu sync.Mutex
	requests := map[string]int{}
	a.Fault = func(request string) int {
		mu.Lock()
		defer mu.Unlock()
		requests[request]++
		return 0
	}
	found, err := Controllers(t.Context(), c, plan.AllNamespaces)
	if err != nil || len(found) != 1 || found[0].Name != "arc" {
		t.Errorf("found %+v, %v", found, err)
	}
	if requests["REVIEW "+asksAll] != 1 || requests["REVIEW "+asksOne] != 1 {
		t.Errorf("asked that often: %v", requests)
	}
	if len(requests) > 5 {
		t.Errorf("%d kinds of requests: %v", len(requests), requests)
	}
}
