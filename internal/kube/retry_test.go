package kube

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

func TestTransient(t *testing.T) {
	gr := schema.GroupResource{Resource: "things"}
	network := func(err error) error { return &net.OpError{Op: "dial", Net: "tcp", Err: err} }
	tests := map[string]struct {
		err  error
		want bool
	}{
		"overload":             {apierrors.NewTooManyRequests("later", 1), true},
		"server timeout":       {apierrors.NewServerTimeout(gr, "list", 1), true},
		"timeout":              {apierrors.NewTimeoutError("slow", 1), true},
		"unavailable":          {apierrors.NewServiceUnavailable("restarting"), true},
		"internal error":       {apierrors.NewInternalError(errors.New("etcd")), true},
		"wrapped":              {fmt.Errorf("listing: %w", apierrors.NewServiceUnavailable("x")), true},
		"connection refused":   {network(os.NewSyscallError("connect", syscall.ECONNREFUSED)), true},
		"connection reset":     {network(os.NewSyscallError("read", syscall.ECONNRESET)), true},
		"connection closed":    {io.ErrUnexpectedEOF, true},
		"end of file":          {io.EOF, true},
		"network timeout":      {network(os.ErrDeadlineExceeded), true},
		"forbidden":            {apierrors.NewForbidden(gr, "a", errors.New("no")), false},
		"unauthorized":         {apierrors.NewUnauthorized("no"), false},
		"not found":            {apierrors.NewNotFound(gr, "a"), false},
		"conflict":             {apierrors.NewConflict(gr, "a", errors.New("changed")), false},
		"invalid":              {apierrors.NewInvalid(schema.GroupKind{}, "a", nil), false},
		"expired":              {apierrors.NewResourceExpired("old"), false},
		"told to stop":         {context.Canceled, false},
		"out of time":          {fmt.Errorf("get: %w", context.DeadlineExceeded), false},
		"a name that is wrong": {network(&net.DNSError{IsNotFound: true}), false},
		"anything else":        {errors.New("certificate"), false},
		"nothing":              {nil, false},
	}
	for name, test := range tests {
		if got := Transient(test.err); got != test.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

func TestRetry(t *testing.T) {
	transient, permanent := apierrors.NewServiceUnavailable("restarting"), errors.New("no")
	webhook := apierrors.NewInternalError(errors.New(`failed calling webhook "x": no endpoints available`))
	tests := map[string]struct {
		errs  []error // of each try, the last for all further ones
		want  error
		tries int
	}{
		"success":                {[]error{nil}, nil, 1},
		"success at last":        {[]error{transient, transient, nil}, nil, 3},
		"for good":               {[]error{permanent}, permanent, 1},
		"for good after a while": {[]error{transient, permanent}, permanent, 2},
		"a webhook that starts":  {[]error{webhook, webhook, nil}, nil, 3},
		"a webhook that is gone": {[]error{webhook}, webhook, webhookTurns},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tries := 0
				err := Retry(t.Context(), func(context.Context) error {
					tries++
					return test.errs[min(tries, len(test.errs))-1]
				})
				if !errors.Is(err, test.want) || tries != test.tries {
					t.Errorf("error %v after %d tries, want %v after %d", err, tries, test.want, test.tries)
				}
			})
		})
	}
}

// A webhook that hangs uses up its own timeout each time.
func TestRetryOfAWebhookThatHangs(t *testing.T) {
	for timeout, tries := range map[time.Duration]int{10 * time.Second: 2, 30 * time.Second: 1} {
		synctest.Test(t, func(t *testing.T) {
			n := 0
			err := Retry(t.Context(), func(context.Context) error {
				n++
				time.Sleep(timeout)
				return apierrors.NewInternalError(errors.New(`failed calling webhook "x": context deadline exceeded`))
			})
			if n != tries || !unanswered(err) {
				t.Errorf("%s: %d tries, want %d: %v", timeout, n, tries, err)
			}
		})
	}
}

func TestRetryGoesOnUntilTheContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cause := errors.New("the budget")
		ctx, cancel := context.WithTimeoutCause(t.Context(), 2*time.Minute, cause)
		defer cancel()
		transient := apierrors.NewServiceUnavailable("restarting")
		var last time.Time
		var longest time.Duration
		tries := 0
		err := Retry(ctx, func(context.Context) error {
			if tries++; tries > 1 {
				longest = max(longest, time.Since(last))
			}
			last = time.Now()
			return transient
		})
		if !errors.Is(err, cause) || !apierrors.IsServiceUnavailable(err) {
			t.Errorf("error %v, want both the cause and the last error", err)
		}
		// The delay grows to 5 s (and a fifth more) and no further.
		if longest < 5*time.Second || longest > 6*time.Second || tries < 20 || tries > 40 {
			t.Errorf("%d tries, %s between two of them", tries, longest)
		}
	})
}

// TestRetryNamesTheCause: a request that the context ends says only that it was cancelled. Retry says why.
func TestRetryNamesTheCause(t *testing.T) {
	interrupted := errors.New("interrupted")
	ctx, cancel := context.WithCancelCause(t.Context())
	err := Retry(ctx, func(ctx context.Context) error {
		cancel(interrupted)
		return fmt.Errorf("get: %w", ctx.Err())
	})
	if want := "interrupted: get: context canceled"; err == nil || err.Error() != want || !errors.Is(err, interrupted) {
		t.Errorf("got %v, want %s", err, want)
	}
	ctx, cancelPlain := context.WithCancel(t.Context())
	cancelPlain()
	if err := Retry(ctx, func(ctx context.Context) error { return ctx.Err() }); err == nil || err.Error() != "context canceled" {
		t.Errorf("without a cause: %v", err)
	}
}
