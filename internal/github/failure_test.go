package github

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/actions/scaleset"
)

func TestExplain(t *testing.T) {
	t.Parallel()
	const set, runner = "/t/_apis/runtime/runnerscalesets/1", "/t/_apis/distributedtask/pools/0/agents/1"
	c := &Client{url: parsed(t, "https://github.com/acme")}
	for name, test := range map[string]struct {
		last answer
		err  error
		want kind
		why  string
	}{
		"a set that is gone":            {answer{status: 404, path: set, exception: "RunnerScaleSetNotFoundException"}, nil, gone, ""},
		"a set that is gone, otherwise": {answer{status: 400, path: set, exception: "RunnerScaleSetNotFoundException"}, nil, misunderstood, "status 400"},
		"a set that a proxy hides":      {answer{status: 404, path: set}, nil, misunderstood, "status 404"},
		"a place that GitHub forgot":    {answer{status: 404, path: set, exception: "TaskAgentPoolNotFoundException"}, nil, misunderstood, "status 404"},
		"a set for a runner":            {answer{status: 404, path: runner, exception: "RunnerScaleSetNotFoundException"}, nil, misunderstood, "status 404"},
		"a runner for a set":            {answer{status: 404, path: set, exception: "AgentNotFoundException"}, nil, misunderstood, "status 404"},
		"a runner that is gone":         {answer{status: 404, path: runner, exception: "AgentNotFoundException"}, nil, gone, ""},
		"a sign-in as a set":            {answer{status: 404, signIn: true, path: set, exception: "RunnerScaleSetNotFoundException"}, nil, denied, "no such place"},
		"a job":                         {answer{status: 400, path: set, exception: "JobStillRunningException"}, nil, busy, "job"},
		"a session":                     {answer{status: 409, path: set}, nil, conflict, "status 409"},
		"a conflict of a sign-in":       {answer{status: 409, signIn: true}, nil, misunderstood, "status 409"},
		"401":                           {answer{status: 401}, nil, denied, "does not accept the credentials; an organisation needs"},
		"401 of a sign-in":              {answer{status: 401, signIn: true}, nil, denied, "does not accept the credentials"},
		"403":                           {answer{status: 403}, nil, denied, "lack a right; an organisation needs"},
		"403 for too many requests":     {answer{status: 403, limited: true}, nil, unavailable, "no more requests"},
		"404 of a sign-in":              {answer{status: 404, signIn: true}, nil, denied, "no such place"},
		"429":                           {answer{status: 429, limited: true}, nil, unavailable, "no more requests"},
		"407":                           {answer{status: 407}, nil, unavailable, "the proxy does not accept"},
		"500":                           {answer{status: 500}, nil, unavailable, "status 500"},
		"504":                           {answer{status: 504, whole: true}, nil, unavailable, "status 504"},
		"422":                           {answer{status: 422}, nil, misunderstood, "status 422"},
		"302":                           {answer{status: 302, whole: true}, nil, misunderstood, "status 302"},
		"200 that is no JSON":           {answer{status: 200, whole: true}, io.EOF, misunderstood, "not one that arc-cleanup understands"},
		"200 that breaks off":           {answer{status: 200}, io.ErrUnexpectedEOF, unavailable, "broke"},
		"200, and then no proxy":        {answer{status: 200}, proxyError(407), unavailable, "the proxy does not accept"},
		"no proxy":                      {answer{}, &url.Error{Op: "Get", Err: proxyError(407)}, unavailable, "the proxy does not accept"},
		"a proxy that fails":            {answer{}, proxyError(502), unavailable, "the proxy answered with status 502"},
		"an unknown error":              {answer{}, errors.New("planted"), misunderstood, "not one that arc-cleanup understands"},
	} {
		c.last = test.last
		err := test.err
		if err == nil { // what the library says is of no account
			err = fmt.Errorf("planted RunnerScaleSetNotFoundException: %w %w", scaleset.RunnerNotFoundError, scaleset.JobStillRunningError)
		}
		if got := c.explain(fmt.Errorf("planted: %w", err)); got.kind != test.want || !strings.Contains(got.why, test.why) || strings.Contains(got.why, "planted") {
			t.Errorf("%s: %+v", name, *got)
		}
	}
}

func TestNetwork(t *testing.T) {
	t.Parallel()
	refused := &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	for name, test := range map[string]struct {
		err  error
		want string
	}{
		"authority":  {&tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}, "no authority that is trusted"},
		"host":       {&tls.CertificateVerificationError{Err: x509.HostnameError{Certificate: &x509.Certificate{}, Host: "planted"}}, "another host"},
		"expired":    {&tls.CertificateVerificationError{Err: x509.CertificateInvalidError{Reason: x509.Expired, Detail: "planted"}}, "not valid"},
		"plain":      {tls.RecordHeaderError{Msg: "planted"}, "does not answer with TLS"},
		"plain HTTP": {fmt.Errorf("%w: planted", http.ErrSchemeMismatch), "does not answer with TLS"},
		"name":       {&net.OpError{Op: "dial", Err: &net.DNSError{Err: "planted", Name: "planted"}}, "could not be resolved"},
		"refused":    {refused, "refused"},
		"reset":      {&net.OpError{Op: "read", Err: os.NewSyscallError("read", syscall.ECONNRESET)}, "broke"},
		"end":        {io.EOF, "broke"},
		"half":       {io.ErrUnexpectedEOF, "broke"},
		"timeout":    {&net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}, "in time"},
		"deadline":   {context.DeadlineExceeded, "in time"},
		"canceled":   {context.Canceled, "the run ended"},
		"other":      {errors.New("planted"), ""},
	} {
		err := fmt.Errorf("request POST https://planted: %w", &url.Error{Op: "Post", URL: "https://planted", Err: test.err})
		if got := network(err); !strings.Contains(got, test.want) || (got == "") != (test.want == "") || strings.Contains(got, "planted") {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestAnswer(t *testing.T) {
	t.Parallel()
	const notFound = `"GitHub.DistributedTask.WebApi.RunnerScaleSetNotFoundException, GitHub.DistributedTask.WebApi"`
	for name, test := range map[string]struct {
		status int
		body   string
		header http.Header
		left   string // of the body, for the library
		want   answer
	}{
		"an object":             {200, `{"id":1}`, nil, `{"id":1}`, answer{whole: true}},
		"a mark of byte order":  {200, "\xef\xbb\xbf{}", nil, "{}", answer{whole: true}},
		"null":                  {200, "null", nil, "null", answer{whole: true}},
		"nothing":               {204, "", nil, "", answer{whole: true}},
		"no JSON":               {200, "<html>", nil, "", answer{whole: true}},
		"an error":              {404, `{"typeName":` + notFound + `,"message":"planted"}`, nil, "", answer{whole: true, exception: "RunnerScaleSetNotFoundException"}},
		"an error of one word":  {404, `{"typeName":"AgentNotFoundException"}`, nil, "", answer{whole: true, exception: "AgentNotFoundException"}},
		"an error's message":    {404, `{"typeName":"Other","message":` + notFound + `}`, nil, "", answer{whole: true, exception: "Other"}},
		"an error in another":   {404, `{"typeName":"NotRunnerScaleSetNotFoundException"}`, nil, "", answer{whole: true, exception: "NotRunnerScaleSetNotFoundException"}},
		"an error that is long": {404, `{"a":"` + strings.Repeat("x", maxAnswer) + `","typeName":` + notFound + `}`, nil, "", answer{whole: true}},
		"429":                   {429, "", nil, "", answer{whole: true, limited: true}},
		"403":                   {403, "", http.Header{"X-Ratelimit-Remaining": {"1"}}, "", answer{whole: true}},
		"403, and wait":         {403, "", http.Header{"Retry-After": {"60"}}, "", answer{whole: true, limited: true}},
		"403, and no requests":  {403, "", http.Header{"X-Ratelimit-Remaining": {"0"}}, "", answer{whole: true, limited: true}},
		"200, and no requests":  {200, "{}", http.Header{"X-Ratelimit-Remaining": {"0"}}, "{}", answer{whole: true}},
	} {
		var got answer
		r := &http.Response{StatusCode: test.status, Header: test.header, Body: io.NopCloser(strings.NewReader(test.body)), ContentLength: -1}
		got.read(r)
		left, err := io.ReadAll(r.Body)
		test.want.status = test.status
		if err != nil || string(left) != test.left || r.ContentLength != int64(len(left)) || got != test.want {
			t.Errorf("%s: %+v, and %q, %v is left", name, got, left, err)
		}
	}

	var got answer
	r := &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(io.MultiReader(strings.NewReader(`{"count":0`), broken{io.ErrUnexpectedEOF}))}
	got.read(r)
	if _, err := io.ReadAll(r.Body); !errors.Is(err, io.ErrUnexpectedEOF) || got.whole || got.count != nil {
		t.Errorf("an answer that breaks off: %+v, %v", got, err)
	}
	r = &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(`{"count":0,"value":[]}`))}
	if got.read(r); got.count == nil || *got.count != 0 {
		t.Errorf("an empty list: %+v", got)
	}
}

func TestSignIn(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]bool{
		"/api/v3/orgs/acme/actions/runners/registration-token": true,
		"/app/installations/1/access_tokens":                   true,
		"/actions/runner-registration":                         true,
		"/t/_apis/runtime/runnerscalesets/1":                   false,
		"/t/_apis/distributedtask/pools/0/agents":              false,
	} {
		// A runner may have any name.
		if got := about(&http.Request{URL: &url.URL{Path: path, RawQuery: "agentName=/access_tokens"}}, 0); got.signIn != want || got.path != path || got.again {
			t.Errorf("%s: %+v", path, got)
		}
	}
}
