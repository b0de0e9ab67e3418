package github

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/actions/scaleset"
	"github.com/hashicorp/go-retryablehttp"
	_ "golang.org/x/crypto/x509roots/fallback" // the image has no files, and so no roots of a system

	"github.com/arc-cleanup/arc-cleanup/internal/version"
)

// retries limits the tries after the first, which only a dropped connection, 429 and 5xx lead to.
const retries = 3

// maxRedirects is how many redirects net/http follows.
const maxRedirects = 10

// Times are how long GitHub may take. Tests make them shorter.
var Times = struct {
	// Patience is for one request, with its retries: a server that does not answer costs so much for a scale set.
	Patience time.Duration
	// Runner is what a scale set gets beside Patience for each of its runners: any tenant may name a slow server.
	Runner time.Duration
	// Try is for one try of a request.
	Try time.Duration
	// Pause is before the second try. It doubles with each further one.
	Pause time.Duration
	// Settle is until GitHub no longer counts a runner that was removed.
	Settle time.Duration
}{30 * time.Second, 2 * time.Second, 10 * time.Second, 500 * time.Millisecond, 10 * time.Second}

// Access is where a scale set is registered, and how to get there.
type Access struct {
	URL         ConfigURL
	Credentials Credentials
	// Proxy returns the proxy for a request; nil takes that of the environment.
	Proxy func(*url.URL) (*url.URL, error)
	// Roots are the certificate authorities to trust; nil takes the system's, else those in the binary.
	Roots *x509.CertPool
}

// Client makes the requests for one Access, one at a time.
type Client struct {
	url       ConfigURL
	api       *scaleset.Client
	transport *http.Transport
	// last is the answer to the last try.
	last answer
	// deadline is when the present request ends, and end ends it.
	deadline time.Time
	end      context.CancelFunc
}

// New returns a Client. It makes no request.
func New(a Access) (*Client, error) {
	if a.Credentials.open == nil {
		return nil, errors.New("there are no credentials")
	}
	c := &Client{url: a.URL, transport: http.DefaultTransport.(*http.Transport).Clone()} //nolint:forcetypeassert // net/http says so
	c.transport.TLSClientConfig = &tls.Config{RootCAs: a.Roots, MinVersion: tls.VersionTLS12}
	c.transport.MaxResponseHeaderBytes = maxAnswer
	c.transport.OnProxyConnectResponse = connected
	if a.Proxy != nil {
		c.transport.Proxy = func(r *http.Request) (*url.URL, error) { return a.Proxy(r.URL) }
	}
	h := retryablehttp.NewClient()
	h.HTTPClient = &http.Client{Transport: c.transport, Timeout: Times.Try, CheckRedirect: sameServer}
	h.RetryMax, h.Backoff = retries, c.backoff
	h.ErrorHandler = retryablehttp.PassthroughErrorHandler
	h.RequestLogHook = func(_ retryablehttp.Logger, r *http.Request, try int) { c.last = about(r, try) }
	h.ResponseLogHook = func(_ retryablehttp.Logger, r *http.Response) { c.last.read(r) }

	info := scaleset.SystemInfo{System: "arc-cleanup", Version: version.Version, CommitSHA: version.Revision}
	var err error
	if secret := a.Credentials.open(); secret.token != "" {
		c.api, err = scaleset.NewClientWithPersonalAccessToken(scaleset.NewClientWithPersonalAccessTokenConfig{
			GitHubConfigURL: a.URL.String(), PersonalAccessToken: secret.token, SystemInfo: info,
		}, scaleset.WithRetryableHTTPClint(h))
	} else {
		c.api, err = scaleset.NewClientWithGitHubApp(scaleset.ClientWithGitHubAppConfig{
			GitHubConfigURL: a.URL.String(), GitHubAppAuth: secret.app, SystemInfo: info,
		}, scaleset.WithRetryableHTTPClint(h))
	}
	return c, err
}

// sameServer follows a redirect, as of a repository with a new name, on the same server only. net/http would send the credentials
// to every port of its host, without TLS too, and to subdomains.
func sameServer(r *http.Request, via []*http.Request) error {
	if r.URL.Scheme != via[0].URL.Scheme || r.URL.Host != via[0].URL.Host || len(via) >= maxRedirects {
		return http.ErrUseLastResponse
	}
	return nil
}

// Format implements fmt.Formatter: the library's client has the credentials.
func (c *Client) Format(f fmt.State, _ rune) {
	io.WriteString(f, "(client of "+c.url.String()+")") //nolint:errcheck // fmt has no place for an error
}

// Close closes the connections.
func (c *Client) Close() { c.transport.CloseIdleConnections() }

// backoff waits as long as the server asks for, else Times.Pause, twice as long, ... It ends a request whose further tries
// are in vain. The library would wait longer than the request may take, and it repeats whatever is refused, once it has
// done so for the registration: GitHub may not know its own new token at once.
func (c *Client) backoff(_, _ time.Duration, attempt int, r *http.Response) time.Duration {
	wait, refused := Times.Pause<<attempt, false
	if r != nil {
		asked, err := strconv.Atoi(r.Header.Get("Retry-After"))
		if err == nil && asked >= 0 {
			wait = time.Duration(min(asked, 1<<20)) * time.Second
		}
		refused = r.StatusCode == http.StatusUnauthorized || r.StatusCode == http.StatusForbidden && err != nil
		refused = refused && !strings.HasSuffix(c.last.path, registration)
	}
	if refused || time.Now().Add(wait).After(c.deadline) {
		c.end()
		return time.Hour
	}
	return wait
}

// call makes one request of the library within Times.Patience. The library panics on some answers that GitHub does
// not give, so call turns a panic into an error: what a server answers must not end the run.
func (c *Client) call(run context.Context, do func(context.Context) error) (failed *failure) {
	ctx, end := context.WithTimeout(run, Times.Patience)
	c.end = end
	defer end()
	c.deadline, _ = ctx.Deadline()
	c.last = answer{}
	defer func() {
		if recover() != nil {
			failed = &failure{misunderstood, notUnderstood}
		}
	}()
	err := do(ctx)
	if err == nil {
		return nil
	}
	if ctx.Err() != nil && run.Err() == nil {
		err = context.DeadlineExceeded // backoff ended it before its time
	}
	return c.explain(err)
}
