package kube

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
)

func TestReach(t *testing.T) {
	t.Parallel()
	unauthorized := failure(http.StatusUnauthorized, metav1.StatusReasonUnauthorized)
	for name, test := range map[string]struct {
		replies  []reply
		requests int
		want     string
	}{
		"it answers":                         {[]reply{success}, 1, ""},
		"forbidden is an answer":             {[]reply{forbidden}, 1, ""},
		"not found is an answer":             {[]reply{notFound}, 1, ""},
		"it is tried again":                  {[]reply{{drop: true}, busy, success}, 3, ""},
		"wrong credentials are said at once": {[]reply{unauthorized}, 1, "does not accept your credentials: the server has asked"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, s := script(t, test.replies...)
			check(t, c.Reach(t.Context(), func(err error) { t.Errorf("told to wait: %v", err) }), test.want)
			if got := len(s.methods()); got != test.requests {
				t.Errorf("%d requests, want %d", got, test.requests)
			}
		})
	}
}

// One line names the server, the context and the error, and it comes before the end.
func TestReachSaysWhatItWaitsFor(t *testing.T) {
	before := noticeAfter
	noticeAfter = 200 * time.Millisecond
	defer func() { noticeAfter = before }()
	c, err := New(&rest.Config{Host: "https://127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	c.Context, c.kubeconfig = "prod", "/some/file"
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	told := make(chan error, 2)
	err = c.Reach(ctx, func(err error) { told <- err })
	const want = `could not reach the API server https://127.0.0.1:1 (context "prod" of /some/file): dial tcp 127.0.0.1:1: `
	if err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("%v, want %s", err, want)
	}
	if len(told) != 1 {
		t.Fatalf("told %d times", len(told))
	}
	if err := <-told; !strings.HasPrefix(err.Error(), want) {
		t.Errorf("told %v, want %s", err, want)
	}
}

// A server that takes the connection and says nothing gives no error of its own.
func TestReachOfASilentServer(t *testing.T) {
	t.Parallel()
	c := connect(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	check(t, c.Reach(ctx, func(error) {}), "could not reach the API server "+c.Server+" (from the Pod's service account): no answer")
}
