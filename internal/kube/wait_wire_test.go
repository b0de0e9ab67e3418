package kube

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestWaitGoneSaysAtWhatItStood: what was not seen when the time was over is why it was
// waited for, whether there was an error or no answer at all.
func TestWaitGoneSaysAtWhatItStood(t *testing.T) {
	t.Parallel()
	silence := make(chan struct{})
	t.Cleanup(func() { close(silence) })
	for name, test := range map[string]struct {
		server http.Handler
		want   string
	}{
		"an error": {http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			respond(w, reply{code: http.StatusInternalServerError, body: metav1.Status{Status: metav1.StatusFailure, Code: 500, Reason: metav1.StatusReasonInternalError, Message: "etcd"}})
		}), "watching things.example.com in namespace ns: failed to list"},
		"no answer": {http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			select {
			case <-silence:
			case <-r.Context().Done():
			}
		}), "watching things.example.com in namespace ns: no answer yet"},
	} {
		t.Run(name, func(t *testing.T) {
			budget := errors.New("the budget")
			ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, budget)
			defer cancel()
			err := connect(t, test.server).WaitGone(ctx, []Selection{{Resource: things, Namespace: "ns"}}, 20*time.Second, func(int, []string) {})
			if !errors.Is(err, budget) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want the budget and %q", err, test.want)
			}
		})
	}
}
