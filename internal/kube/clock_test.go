package kube

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"github.com/arc-cleanup/arc-cleanup/internal/object"
)

// The time is the API server's, once it has answered.
func TestNow(t *testing.T) {
	t.Parallel()
	for _, ahead := range []time.Duration{-time.Hour, 0, time.Hour} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Date", time.Now().Add(ahead).UTC().Format(http.TimeFormat))
			w.WriteHeader(http.StatusNotFound)
		}))
		t.Cleanup(server.Close)
		c, err := New(&rest.Config{Host: server.URL})
		if err != nil {
			t.Fatal(err)
		}
		is := func(want time.Duration) {
			t.Helper()
			if got := time.Until(c.Now()); (got - want).Abs() > 10*time.Second {
				t.Errorf("the server is ahead by %s: %s, want %s", ahead, got, want)
			}
		}
		is(0)
		_, _ = c.Get(t.Context(), object.Roles, "runners", "any")
		is(ahead)
	}
}
