package kube

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"github.com/arc-cleanup/arc-cleanup/internal/object"
)

var (
	things = schema.GroupVersionResource{Group: "example.com", Version: "v1", Resource: "things"}
	thing  = object.Object{Resource: things, Namespace: "ns", Name: "a", UID: "1"}
)

// request is what the API server was asked.
type request struct {
	Method string
	Query  string
	Body   string
}

// reply is what it answers: a body as JSON, or a dropped connection.
type reply struct {
	code   int
	body   any
	header map[string]string
	drop   bool
}

// server is an API server that answers the nth request with the nth reply, and
// all further ones with the last.
type server struct {
	mu       sync.Mutex
	replies  []reply
	requests []request
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	s.mu.Lock()
	s.requests = append(s.requests, request{r.Method, r.URL.RawQuery, string(body)})
	answer := s.replies[min(len(s.requests), len(s.replies))-1]
	s.mu.Unlock()
	if answer.drop {
		panic(http.ErrAbortHandler)
	}
	respond(w, answer)
}

func respond(w http.ResponseWriter, r reply) {
	w.Header().Set("Content-Type", "application/json")
	for k, v := range r.header {
		w.Header().Set(k, v)
	}
	w.WriteHeader(r.code)
	_ = json.NewEncoder(w).Encode(r.body)
}

// methods are the methods of all requests so far.
func (s *server) methods() (out []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.requests {
		out = append(out, r.Method)
	}
	return out
}

func script(t *testing.T, replies ...reply) (*Client, *server) {
	t.Helper()
	s := &server{replies: replies}
	return connect(t, s), s
}

func connect(t *testing.T, h http.Handler) *Client {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	c, err := New(&rest.Config{Host: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func failure(code int, reason metav1.StatusReason) reply {
	return reply{code: code, body: status(code, reason)}
}

func status(code int, reason metav1.StatusReason) metav1.Status {
	return metav1.Status{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"},
		Status:   metav1.StatusFailure, Code: int32(code), Reason: reason, Message: "told to fail",
	}
}

func partial(name string, uid types.UID, finalizers ...string) metav1.PartialObjectMetadata {
	return metav1.PartialObjectMetadata{
		TypeMeta:   metav1.TypeMeta{APIVersion: "meta.k8s.io/v1", Kind: "PartialObjectMetadata"},
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name, UID: uid, Finalizers: finalizers, ResourceVersion: "1"},
	}
}

// found is the object that thing is, with another UID perhaps.
func found(uid types.UID, finalizers ...string) reply {
	return reply{code: http.StatusOK, body: partial(thing.Name, uid, finalizers...)}
}

func page(next string, names ...string) reply {
	l := metav1.PartialObjectMetadataList{
		TypeMeta: metav1.TypeMeta{APIVersion: "meta.k8s.io/v1", Kind: "PartialObjectMetadataList"},
		ListMeta: metav1.ListMeta{Continue: next, ResourceVersion: "1"},
	}
	for _, n := range names {
		l.Items = append(l.Items, partial(n, types.UID(n)))
	}
	return reply{code: http.StatusOK, body: l}
}

var success = reply{code: http.StatusOK, body: metav1.Status{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}, Status: metav1.StatusSuccess}}
