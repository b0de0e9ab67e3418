package kube

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

const (
	// pageSize is how many objects a list request asks for at most, as kubectl does. firstPage is how many the
	// first one asks for, and growth is how many times as many the next one may ask for.
	pageSize, firstPage, growth = 500, 10, 8
	// wholeSize is how many whole objects a list request asks for at most.
	wholeSize = 20
	// pageBytes is how large a page should be. A tenant may write 1 MiB of labels into each object, and 500 such objects take
	// more memory than a hook has; several lists are read at the same time. A page of whole objects may be no larger, since
	// 1 MiB can take 30 MiB in Go's maps.
	pageBytes = 1 << 20
	// metadataBytes is how large a page of metadata may be.
	metadataBytes = 2 * pageBytes
	// largeBytes is how large an answer may be that is decoded while others are.
	largeBytes = 64 << 10
)

// Each calls do for the metadata of every object of a resource in a namespace ("" means all namespaces). It
// reads one page at a time. If a continue token expires, the list goes on from the same place with the
// objects that exist by then: it has no object twice, and it has every object that existed all the time.
func (c *Client) Each(
	ctx context.Context, gvr schema.GroupVersionResource, namespace string, opts metav1.ListOptions,
	do func(*metav1.PartialObjectMetadata) error,
) error {
	opts.Limit = firstPage
	p := paging{c: c, o: &opts, most: metadataBytes, limit: pageSize}
	for {
		var page *metav1.PartialObjectMetadataList
		err := p.read(ctx, func(ctx context.Context) (err error) {
			page, err = c.Metadata.Resource(gvr).Namespace(namespace).List(ctx, opts)
			return err
		})
		for i := 0; err == nil && i < len(page.Items); i++ {
			err = do(&page.Items[i])
		}
		if err != nil {
			return fmt.Errorf("listing %s: %w", where(gvr, namespace), err)
		}
		if opts.Continue = page.Continue; opts.Continue == "" {
			return nil
		}
		p.next(len(page.Items))
	}
}

// EachPage calls do for the objects that List returns, and keeps in memory one object, or several that have 1 MiB
// together. It goes on after an expired continue token as Each does: the work on small pages may outlast a token.
func (c *Client) EachPage(
	ctx context.Context, gvr schema.GroupVersionResource, namespace, selector string, do func([]unstructured.Unstructured) error,
) error {
	options := metav1.ListOptions{LabelSelector: selector, Limit: wholeSize}
	p := paging{c: c, o: &options, most: pageBytes, limit: wholeSize}
	for {
		var page *unstructured.UnstructuredList
		err := p.read(ctx, func(ctx context.Context) (err error) {
			page, err = c.Dynamic.Resource(gvr).Namespace(namespace).List(ctx, options)
			return err
		})
		if err != nil {
			return fmt.Errorf("listing %s: %w", where(gvr, namespace), err)
		}
		if err := do(page.Items); err != nil {
			return err
		}
		if options.Continue = page.GetContinue(); options.Continue == "" {
			return nil
		}
		p.next(len(page.Items))
	}
}

// paging is a list that is read page by page.
type paging struct {
	c     *Client
	o     *metav1.ListOptions
	most  int   // how many bytes a page may have
	limit int64 // how many objects
	size  int   // how many bytes the last one had
	tight int64 // among how many of the next objects some are known to be large
}

// read reads one page as Retry does. While it has more bytes than it may have, read asks for fewer objects: anybody may make large
// ones, and small ones before them. If the continue token has expired, it goes on with the token in the error
// (k8s.io/apiserver pkg/storage/etcd3/errors.go).
func (p *paging) read(ctx context.Context, list func(context.Context) error) error {
	for {
		err := Retry(ctx, func(ctx context.Context) error {
			a := &answer{turn: p.c.turn, most: p.most}
			if p.o.Limit <= 1 { // The API server itself limits how large an object is.
				a.most = math.MaxInt32
			}
			defer a.done()
			ctx = context.WithValue(ctx, answerKey{}, a)
			err := list(ctx)
			var expired apierrors.APIStatus
			if p.o.Continue != "" && apierrors.IsResourceExpired(err) && errors.As(err, &expired) && expired.Status().Continue != "" {
				p.o.Continue = expired.Status().Continue
				err = list(ctx)
			}
			p.size = a.size
			return err
		})
		if !errors.Is(err, errTooLarge) {
			return err
		}
		p.tight = p.o.Limit
		p.o.Limit = max(1, p.o.Limit/growth)
	}
}

// next sets how many objects to ask for after a page of n. Pages do not grow before the large objects: they would be dropped.
func (p *paging) next(n int) {
	limit := p.limit
	if n > 0 {
		limit = min(limit, int64(pageBytes*n/max(1, p.size)))
	}
	if p.tight -= int64(n); p.tight > 0 {
		limit = min(limit, p.o.Limit)
	}
	p.o.Limit = max(1, min(limit, growth*p.o.Limit))
}

func where(gvr schema.GroupVersionResource, namespace string) string {
	if namespace == "" {
		return gvr.GroupResource().String() + " in all namespaces"
	}
	return gvr.GroupResource().String() + " in namespace " + namespace
}

// answerKey is the key of an answer in the context of a request.
type answerKey struct{}

// answer is what a request's answer may be, and what it is.
type answer struct {
	most int // how many bytes it may have
	size int // how many it has

	turn  chan struct{} // has room for one
	taken bool
}

// take waits until no other large answer is decoded.
func (a *answer) take(ctx context.Context) error {
	if a.taken {
		return nil
	}
	select {
	case a.turn <- struct{}{}:
		a.taken = true
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// done lets the next large answer be decoded.
func (a *answer) done() {
	if a.taken {
		a.taken = false
		<-a.turn
	}
}

// errTooLarge is the error of a request whose answer has more bytes than it may have.
var errTooLarge = errors.New("the answer is larger than there is memory for")

// limiter drops an answer that has more bytes than it may have, before it fills the memory. Of the others it lets through one large
// one at a time: ten lists that decode 1 MiB of labels each would take all that a hook has.
type limiter struct{ http.RoundTripper }

// RoundTrip reads the whole answer to a request whose context limits it.
func (l limiter) RoundTrip(r *http.Request) (*http.Response, error) {
	got, err := l.RoundTripper.RoundTrip(r)
	a, limited := r.Context().Value(answerKey{}).(*answer)
	if err != nil || !limited {
		return got, err
	}
	text, err := io.ReadAll(io.LimitReader(got.Body, int64(a.most)+1))
	closed := got.Body.Close()
	switch {
	case err != nil:
		return nil, err
	case len(text) > a.most:
		return nil, errTooLarge
	case closed != nil:
		return nil, closed
	}
	if a.size = len(text); a.size > largeBytes {
		if err := a.take(r.Context()); err != nil {
			return nil, err
		}
	}
	got.Body = io.NopCloser(bytes.NewReader(text))
	return got, nil
}
