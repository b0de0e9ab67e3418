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
	"syscall"
)

// failure says why a request failed, in words of this package only.
type failure struct {
	kind kind
	why  string
}

// kind says what a failure means for the rest.
type kind int

const (
	// misunderstood is everything that is not one of the others.
	misunderstood kind = iota
	// gone means that the set or the runner does not exist.
	gone
	// busy means that GitHub removes neither, because of a job.
	busy
	// conflict means that another client has what was asked for.
	conflict
	// denied means that the credentials are not good enough: for all of this place.
	denied
	// unavailable means that GitHub does not answer, or not now: further requests would only cost time.
	unavailable
)

const notUnderstood = "GitHub's answer is not one that arc-cleanup understands"

// explain classifies an error of the library by the last answer. It takes nothing from the library's text, which may
// contain the server's answer.
func (c *Client) explain(err error) *failure {
	var proxy proxyError
	a := c.last
	switch isProxy := errors.As(err, &proxy); {
	case isProxy && proxy != http.StatusProxyAuthRequired:
		return &failure{unavailable, fmt.Sprintf("the proxy answered with status %d", int(proxy))}
	case isProxy, a.status == http.StatusProxyAuthRequired:
		return &failure{unavailable, "the proxy does not accept the user and the password"}
	case a.gone():
		return &failure{gone, ""} // no reason to stay
	case a.exception == "JobStillRunningException":
		return &failure{busy, "GitHub says that a job is still running"}
	case a.limited:
		return &failure{unavailable, "GitHub allows no more requests for now"}
	case a.status >= http.StatusMultipleChoices:
		return c.byStatus(a.status, a.signIn)
	case a.whole:
		return &failure{misunderstood, notUnderstood}
	}
	if why := network(err); why != "" {
		return &failure{unavailable, why}
	}
	return &failure{misunderstood, notUnderstood}
}

func (c *Client) byStatus(status int, signIn bool) *failure {
	switch {
	case status == http.StatusConflict && !signIn:
		return &failure{conflict, "GitHub answered with status 409"}
	case status == http.StatusUnauthorized:
		return &failure{denied, "GitHub does not accept the credentials; " + c.url.rights()}
	case status == http.StatusForbidden:
		return &failure{denied, "the credentials lack a right; " + c.url.rights()}
	case status == http.StatusNotFound && signIn:
		return &failure{denied, "GitHub has no such place, or the credentials may not see it; " + c.url.rights()}
	case status >= http.StatusInternalServerError:
		return &failure{unavailable, fmt.Sprintf("GitHub failed with status %d", status)}
	}
	return &failure{misunderstood, fmt.Sprintf("GitHub answered with status %d", status)}
}

// network names the cause of a request without an answer; "" if it is none.
func network(err error) string {
	var (
		authority x509.UnknownAuthorityError
		host      x509.HostnameError
		invalid   x509.CertificateInvalidError
		record    tls.RecordHeaderError
		lookup    *net.DNSError
		timeout   net.Error
		operation *net.OpError
	)
	switch {
	case errors.As(err, &authority):
		return "no authority that is trusted has signed GitHub's certificate"
	case errors.As(err, &host):
		return "GitHub's certificate is for another host"
	case errors.As(err, &invalid):
		return "GitHub's certificate is not valid, or no longer"
	case errors.As(err, &record), errors.Is(err, http.ErrSchemeMismatch):
		return "GitHub does not answer with TLS at this address"
	case errors.As(err, &lookup):
		return "the name of GitHub's host could not be resolved"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "the connection to GitHub was refused"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return "GitHub did not answer in time"
	case errors.Is(err, context.Canceled):
		return "the run ended before GitHub answered"
	case errors.As(err, &operation), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the connection to GitHub broke"
	}
	return ""
}
