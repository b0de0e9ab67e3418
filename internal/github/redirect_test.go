package github

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

// A server sends nobody elsewhere: not to another port of its host, and not to another host. Credentials would go there, and a
// team could make the hook ask any server of its network. On the same server GitHub sends on who asks for an old name.
func TestRedirects(t *testing.T) {
	t.Parallel()
	var elsewhere atomic.Int32
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	t.Cleanup(other.Close)
	for name, to := range map[string]string{
		"another port": other.URL, "another host": strings.Replace(other.URL, "127.0.0.1", "localhost", 1), "another scheme": strings.Replace(other.URL, "http", "https", 1),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := &fake{Server: httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, to+r.URL.Path, http.StatusTemporaryRedirect)
			}))}
			t.Cleanup(f.Close)
			results := f.client(t).Deregister(t.Context(), Set{ID: 1, Name: "set"}, false)
			if want := (Result{Kept, "GitHub answered with status 307"}); results.Set != want || elsewhere.Load() > 0 {
				t.Errorf("%+v, %d requests elsewhere", results.Set, elsewhere.Load())
			}
		})
	}
	f := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if path, old := strings.CutPrefix(r.URL.Path, "/tenant/"); old {
			http.Redirect(w, r, "/new/"+path, http.StatusTemporaryRedirect)
			return
		}
		w.WriteHeader(http.StatusNotFound)
		w.Write([]byte(`{"typeName": "x.RunnerScaleSetNotFoundException"}`)) //nolint:errcheck // the test fails then
	})
	if results := f.client(t).Deregister(t.Context(), Set{ID: 1, Name: "set"}, false); results.Set.Outcome != Gone {
		t.Errorf("on the same server: %+v", results.Set)
	}
}
