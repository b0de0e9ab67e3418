package kube

import (
	"net/http"
	"sync/atomic"
	"time"
)

// clock follows the API server's clock, which stamps the objects. Each answer has the time in a header.
type clock struct {
	http.RoundTripper
	ahead *atomic.Int64 // of this machine's clock, in nanoseconds
}

// RoundTrip notes the time of an answer.
func (c clock) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := c.RoundTripper.RoundTrip(r)
	if err != nil {
		return answer, err
	}
	if t, err := http.ParseTime(answer.Header.Get("Date")); err == nil {
		c.ahead.Store(int64(time.Until(t)))
	}
	return answer, nil
}

// Now returns the time by the API server's clock, to within a second or so. Before the first answer it is
// that of this machine.
func (c *Client) Now() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }
