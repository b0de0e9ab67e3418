package cleanup

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/arc-cleanup/arc-cleanup/internal/github"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
)

// A scale set that GitHub does not have in the runner group is named: its name may be wrong, or the group.
func TestFindNamesWhatIsNotThere(t *testing.T) {
	t.Parallel()
	var s *httptest.Server
	s = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch part := base64.RawURLEncoding.EncodeToString; {
		case strings.HasSuffix(r.URL.Path, "/registration-token"):
			w.WriteHeader(http.StatusCreated)
			fmt.Fprint(w, `{"token":"a"}`)
		case strings.HasSuffix(r.URL.Path, "/runner-registration"):
			token := part([]byte(`{"alg":"HS256"}`)) + "." + part(fmt.Appendf(nil, `{"exp":%d}`, time.Now().Add(time.Hour).Unix())) + ".AAAA"
			fmt.Fprintf(w, `{"url":%q,"token":%q}`, s.URL+"/tenant/", token)
		case r.Method == http.MethodGet && r.URL.Query().Get("name") == "there":
			fmt.Fprint(w, `{"count":1,"value":[{"id":7,"name":"there"}]}`)
		case r.Method == http.MethodGet && r.URL.Query().Has("name"):
			fmt.Fprint(w, `{"count":0,"value":[]}`)
		default:
			w.WriteHeader(http.StatusForbidden)
		}
	}))
	t.Cleanup(s.Close)
	token, err := github.Token("token")
	if err != nil {
		t.Fatal(err)
	}
	own := &github.Own{URL: configURL(t, s.URL+"/acme"), Credentials: token}
	found, err := Find(t.Context(), own, []string{"there", "typo"}, "", nil)
	if err != nil || len(found) != 2 || found[0].ID != "7" || found[0].Outcome != "" {
		t.Fatal(found, err)
	}
	named, err := Find(t.Context(), own, []string{"there"}, "", []string{"r"})
	if err != nil || len(named) != 2 || named[1].Kind != plan.KindRunner || named[1].Name != "r" || named[1].ID != "7" || named[1].URL != named[0].URL {
		t.Error(named, err)
	}
	DeregisterAll(t.Context(), own, found, true)
	if want := (github.Result{Outcome: github.Gone, Why: "the runner group has no scale set of this name"}); found[0].Outcome != github.Kept || found[1].Result != want {
		t.Errorf("%+v", found)
	}
}
