package github

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// fake is a server of one scale set, with ID 1 and the name "set". It signs everyone in.
type fake struct {
	*httptest.Server
	// asked counts the requests that are not about signing in.
	asked atomic.Int32
}

// serve answers with a handler what is not about signing in, and with a set or a runner if there is none.
func serve(t *testing.T, handler http.HandlerFunc) *fake {
	t.Helper()
	f := &fake{}
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasSuffix(r.URL.Path, "/registration-token"):
			w.WriteHeader(http.StatusCreated)
			fmt.Fprint(w, `{"token":"a"}`)
		case strings.HasSuffix(r.URL.Path, "/runner-registration"):
			part := base64.RawURLEncoding.EncodeToString
			claims := fmt.Sprintf(`{"exp":%d}`, time.Now().Add(time.Hour).Unix())
			fmt.Fprintf(w, `{"url":%q,"token":%q}`, f.URL+"/tenant/", part([]byte(`{"alg":"HS256"}`))+"."+part([]byte(claims))+".AAAA")
		default:
			f.asked.Add(1)
			handler(w, r)
		}
	}))
	t.Cleanup(f.Close)
	return f
}

func (f *fake) client(t *testing.T) *Client {
	t.Helper()
	token, err := Token("a-token")
	if err != nil {
		t.Fatal(err)
	}
	c, err := New(Access{URL: parsed(t, f.URL+"/acme"), Credentials: token})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// answerAs answers reads of the set and of a runner of any name, opens sessions, and removes what it is told to.
func answerAs(w http.ResponseWriter, r *http.Request, registered int) {
	switch {
	case r.Method == http.MethodPost: // a session
		fmt.Fprint(w, `{"sessionId":"3f0f6a1e-9d3c-4a55-8a37-6f0c4e1f7d10"}`)
	case r.Method == http.MethodDelete:
		w.WriteHeader(http.StatusNoContent)
	case strings.HasSuffix(r.URL.Path, "/agents"):
		fmt.Fprintf(w, `{"count":1,"value":[{"id":7,"name":%q,"runnerScaleSetId":1}]}`, r.URL.Query().Get("agentName"))
	default:
		fmt.Fprintf(w, `{"id":1,"name":"set","runnerGroupName":"Default","statistics":{"totalRegisteredRunners":%d}}`, registered)
	}
}
