package github

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// maxAnswer limits, in bytes, how much of an answer is read. Any tenant may name a server, and a run asks many.
const maxAnswer = 64 << 10

// answer is what this package needs of an answer and the library does not tell. The library quotes bodies in its
// errors, so it gets none of an answer that is an error.
type answer struct {
	// signIn says that the request was about the credentials, not about a set or a runner.
	signIn bool
	path   string
	// again says that it was asked before, and that the answer then got lost or was a failure.
	again bool

	status int
	// exception is the type of an error, as the Actions service names it.
	exception string
	// limited says that there were too many requests.
	limited bool
	// count is that of a list; nil if the answer is none.
	count *int
	// whole says that the answer came to its end.
	whole bool
}

// registration ends the path of the request that hands out the service's address and its JWT.
const registration = "/runner-registration"

// about starts the answer to a try of a request; the first has the number 0.
func about(r *http.Request, try int) answer {
	a := answer{path: r.URL.Path, again: try > 0}
	for _, end := range []string{"/registration-token", "/access_tokens", registration} {
		a.signIn = a.signIn || strings.HasSuffix(a.path, end)
	}
	return a
}

// read reads the body, and leaves to the library what it can use.
func (a *answer) read(r *http.Response) {
	a.status = r.StatusCode
	r.Header.Del("Location") // sameServer did not follow it, and the library's outer client would
	a.limited = r.StatusCode == http.StatusTooManyRequests ||
		r.StatusCode == http.StatusForbidden && (r.Header.Get("Retry-After") != "" || r.Header.Get("X-Ratelimit-Remaining") == "0")
	body, err := io.ReadAll(io.LimitReader(r.Body, maxAnswer))
	r.Body.Close()
	if err != nil {
		r.Body = io.NopCloser(broken{err})
		return
	}
	a.whole = true
	body = bytes.TrimPrefix(body, []byte("\xef\xbb\xbf"))
	var known struct {
		TypeName string `json:"typeName"`
		Count    *int   `json:"count"`
	}
	valid := json.Unmarshal(body, &known) == nil
	a.count = known.Count
	name, _, _ := strings.Cut(known.TypeName, ",")
	a.exception = name[strings.LastIndex(name, ".")+1:]
	if !valid || r.StatusCode >= http.StatusMultipleChoices {
		body = nil
	}
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
}

// gone reports whether GitHub says that the set or the runner does not exist. A server in between may answer 404 to
// anything, and so may GitHub to a request that it does not know.
func (a *answer) gone() bool {
	if a.status != http.StatusNotFound || a.signIn {
		return false
	}
	return a.exception == "RunnerScaleSetNotFoundException" && strings.Contains(a.path, "/runnerscalesets/") ||
		a.exception == "AgentNotFoundException" && strings.Contains(a.path, "/agents")
}

// broken is a body that did not come to its end.
type broken struct{ err error }

func (b broken) Read([]byte) (int, error) { return 0, b.err }

// proxyError is the answer of a proxy that does not connect to GitHub.
type proxyError int

func (proxyError) Error() string { return "the proxy does not connect" }

// connected is asked when a proxy has answered.
func connected(_ context.Context, _ *url.URL, _ *http.Request, r *http.Response) error {
	if r.StatusCode != http.StatusOK {
		return proxyError(r.StatusCode)
	}
	return nil
}
