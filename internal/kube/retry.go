package kube

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/apimachinery/pkg/util/wait"
)

// webhookTurns is how often a request is tried while an admission webhook cannot be called. A webhook that
// does not answer within some 6 s is not there.
const webhookTurns = 7

// webhookPatience is how long a request is tried again for a webhook that cannot be called: each try lasts up
// to the webhook's own timeout, half a minute at most.
const webhookPatience = 20 * time.Second

// Retry runs do until it succeeds, fails for good, or ctx is done. It retries transient errors (a restart of
// the API server, overload, a dropped connection) with a growing delay of 0.1 to 5 s, and those of a
// webhook for some seconds only. If ctx ends it, the error has the cause and the last error.
func Retry(ctx context.Context, do func(context.Context) error) error {
	b := wait.Backoff{Duration: 100 * time.Millisecond, Factor: 2, Jitter: 0.2, Steps: 7, Cap: 5 * time.Second}
	begun := time.Now()
	for turn := 1; ; turn++ {
		err := do(ctx)
		if cause := context.Cause(ctx); cause != nil && errors.Is(err, ctx.Err()) && !errors.Is(err, cause) {
			return fmt.Errorf("%w: %w", cause, err) // it ended the request itself
		}
		late := turn >= webhookTurns || time.Since(begun) >= webhookPatience
		if err == nil || !Transient(err) || late && unanswered(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", context.Cause(ctx), err)
		case <-time.After(b.Step()):
		}
	}
}

// unanswered reports whether a webhook could not be called.
func unanswered(err error) bool {
	d, is := Denied(err)
	return is && d.Unanswered
}

// Transient reports whether the same request may succeed later.
func Transient(err error) bool {
	var network net.Error
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), Refused(err):
		return false
	case apierrors.IsServerTimeout(err), apierrors.IsTimeout(err), apierrors.IsTooManyRequests(err),
		apierrors.IsServiceUnavailable(err), apierrors.IsInternalError(err):
		return true
	case utilnet.IsConnectionRefused(err), utilnet.IsConnectionReset(err), utilnet.IsProbableEOF(err),
		utilnet.IsHTTP2ConnectionLost(err), errors.Is(err, io.ErrUnexpectedEOF):
		return true
	}
	return errors.As(err, &network) && network.Timeout()
}
