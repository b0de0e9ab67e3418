package cleanup

import (
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
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
	ours := deployment(ctrl("systems/arc", "", by("systems/arc")))
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
			r := Run(t.Context(), c, graced(ofRelease, ample), quiet)
			if r.Verdict != Done || time.Since(start) > ample/2 {
				t.Errorf("%s after %s:\n%s", r.Verdict, time.Since(start), r.Text(10))
			}
		})
	}
}
