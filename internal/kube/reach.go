package kube

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http/httptrace"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// noticeAfter is how long Reach waits for an answer before it says so.
var noticeAfter = 3 * time.Second

// Reach waits until the API server answers, at most for limit. Every answer counts, even "forbidden"; only
// "unauthorized" is an error, because it is the answer to every later request too. If there is no answer
// after some seconds, Reach calls waiting once, with the last error, and never after it has returned.
//
// The time begins with the first connection. Before it, a program in the kubeconfig may log you in, with a
// browser and a second factor.
func (c *Client) Reach(ctx context.Context, limit time.Duration, waiting func(error)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var last atomic.Pointer[error]
	seen := func() error {
		if err := last.Load(); err != nil {
			return *err
		}
		return errors.New("no answer")
	}
	var telling sync.Mutex // Stop does not wait for a function that has begun
	returned := false
	notice := stopped(func() {
		telling.Lock()
		defer telling.Unlock()
		if !returned {
			waiting(c.unreached(seen()))
		}
	})
	end := stopped(cancel)
	defer func() {
		notice.Stop()
		end.Stop()
		telling.Lock()
		defer telling.Unlock()
		returned = true
	}()
	begin := sync.OnceFunc(func() {
		notice.Reset(noticeAfter)
		end.Reset(limit)
	})
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GetConn: func(string) { begin() }})
	err := Retry(ctx, func(ctx context.Context) error {
		_, err := c.discovery.Get().AbsPath("/version").Do(ctx).Raw()
		if err != nil && ctx.Err() == nil {
			failed := withoutRequest(err)
			last.Store(&failed)
		}
		var answer apierrors.APIStatus
		if errors.As(err, &answer) && !Transient(err) && !apierrors.IsUnauthorized(err) {
			return nil
		}
		return err
	})
	switch {
	case err == nil:
		return nil
	case apierrors.IsUnauthorized(err):
		return fmt.Errorf("%s does not accept your credentials: %w", c.describe(), err)
	}
	return c.unreached(seen())
}

// stopped returns a timer that has not begun.
func stopped(do func()) *time.Timer {
	t := time.AfterFunc(time.Hour, do)
	t.Stop()
	return t
}

func (c *Client) unreached(err error) error {
	return fmt.Errorf("could not reach %s: %w", c.describe(), err)
}

// describe names the API server, and where its address is from.
func (c *Client) describe() string {
	from := "from the Pod's service account"
	if c.Context != "" {
		from = fmt.Sprintf("context %q of %s", c.Context, cmp.Or(c.kubeconfig, "the kubeconfig"))
	}
	return fmt.Sprintf("the API server %s (%s)", c.Server, from)
}

// withoutRequest returns the error of a connection without the request that met it.
func withoutRequest(err error) error {
	var request *url.Error
	if errors.As(err, &request) {
		return request.Err
	}
	return err
}
