package sweep

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/arc-cleanup/arc-cleanup/internal/plan"
)

// The latest change of a rollout counts, of its conditions and of their two times.
func TestRolloutSaysUntilWhen(t *testing.T) {
	t.Parallel()
	l := looking{facts: &facts{now: now}}
	for name, test := range map[string]struct {
		changed, updated []time.Duration // ago, of each condition
		want             time.Duration   // from now
	}{
		"long ago":      {[]time.Duration{time.Hour, OlderThan}, []time.Duration{time.Hour, OlderThan}, 0},
		"a change":      {[]time.Duration{time.Minute, 20 * time.Second, time.Hour}, []time.Duration{time.Hour, time.Hour, time.Hour}, 100 * time.Second},
		"an update":     {[]time.Duration{time.Hour}, []time.Duration{90 * time.Second}, 30 * time.Second},
		"no conditions": {nil, nil, 0},
	} {
		var d deployment
		d.Status.Replicas, d.Status.Updated, d.Status.Available = 1, 1, 1
		for i := range test.changed {
			d.Status.Conditions = append(d.Status.Conditions, struct {
				Changed metav1.Time `json:"lastTransitionTime"`
				Updated metav1.Time `json:"lastUpdateTime"`
			}{metav1.NewTime(now.Add(-test.changed[i])), metav1.NewTime(now.Add(-test.updated[i]))})
		}
		why, until := l.rollout(d)
		if (why != "") != (test.want != 0) || test.want != 0 && until.Sub(now) != test.want || test.want == 0 && !until.IsZero() {
			t.Errorf("%s: %q until %s, want %s from now", name, why, until, test.want)
		}
	}
}

func TestSummaryOfARefusal(t *testing.T) {
	t.Parallel()
	for want, done := range map[string][]Step{"refused: nothing was done": nil, "refused: nothing more was done": {{}}} {
		r := &Report{Verdict: plan.Refused, Refusals: []plan.Refusal{{}}, Done: done}
		if got := r.Summary(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
