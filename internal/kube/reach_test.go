package kube

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
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
			check(t, c.Reach(t.Context(), time.Minute, func(err error) { t.Errorf("told to wait: %v", err) }), test.want)
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
	told := make(chan error, 2)
	err = c.Reach(t.Context(), time.Second, func(err error) { told <- err })
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

// What Reach says comes before what its caller says about the result.
func TestReachReturnsAfterWhatItSays(t *testing.T) {
	before := noticeAfter
	noticeAfter = 50 * time.Millisecond
	defer func() { noticeAfter = before }()
	c, err := New(&rest.Config{Host: "https://127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	var said atomic.Bool
	if err := c.Reach(t.Context(), 100*time.Millisecond, func(error) {
		time.Sleep(300 * time.Millisecond)
		said.Store(true)
	}); err == nil {
		t.Error("reached nobody")
	}
	if !said.Load() {
		t.Error("returned while it was saying that it waits")
	}
}

// A server that takes the connection and says nothing gives no error of its own.
func TestReachOfASilentServer(t *testing.T) {
	t.Parallel()
	c := connect(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	check(t, c.Reach(t.Context(), 300*time.Millisecond, func(error) {}), "could not reach the API server "+c.Server+" (from the Pod's service account): no answer")
}

// The program in a kubeconfig that logs you in may open a browser and wait for you: that is not the time of the server.
func TestReachDoesNotCountTheLogin(t *testing.T) {
	login := filepath.Join(t.TempDir(), "login")
	const script = "#!/bin/sh\nsleep 1\n" + `echo '{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"token": "t"}}'` + "\n"
	if err := os.WriteFile(login, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	var token string
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { token = r.Header.Get("Authorization") }))
	t.Cleanup(server.Close)
	c, err := New(&rest.Config{Host: server.URL, ExecProvider: &clientcmdapi.ExecConfig{
		Command: login, APIVersion: "client.authentication.k8s.io/v1", InteractiveMode: clientcmdapi.NeverExecInteractiveMode,
	}})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Reach(t.Context(), 500*time.Millisecond, func(error) {}); err != nil || token != "Bearer t" {
		t.Errorf("%q, %v", token, err)
	}
}
