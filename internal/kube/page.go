package kube

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/pager"
)

const (
	// pageSize is how many objects a list request asks for at most, as kubectl does. firstPage is how many the
	// first one asks for, and growth is how many times as many the next one may ask for.
	pageSize, firstPage, growth = 500, 10, 8
	// wholeSize is how many whole objects a list request asks for at most.
	wholeSize = 20
	// pageBytes is how large a page should be. A tenant may write 256 KiB of annotations into each object,
	// and 500 such objects take more memory than a hook has; several lists are read at the same time. A page of whole
	// objects may be no larger, since 1 MiB can take 30 MiB in Go's maps.
	pageBytes = 1 << 20
	// metadataBytes is how large a page of metadata may be, with all that nextPage does not count.
	metadataBytes = 2 * pageBytes
)

// Each calls do for the metadata of every object of a resource in a namespace ("" means all namespaces). It
// reads one page at a time. If a continue token expires, the list goes on from the same place with the
// objects that exist by then: it has no object twice, and it has every object that existed all the time.
func (c *Client) Each(
	ctx context.Context, gvr schema.GroupVersionResource, namespace string, opts metav1.ListOptions,
	do func(*metav1.PartialObjectMetadata) error,
) error {
	limit := int64(firstPage)
	p := pager.New(func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
		var page *metav1.PartialObjectMetadataList
		o.Limit = limit
		err := readPage(ctx, &o, metadataBytes, func(ctx context.Context) (err error) {
			page, err = c.Metadata.Resource(gvr).Namespace(namespace).List(ctx, o)
			return err
		})
		if err == nil {
			limit = min(nextPage(page.Items), growth*o.Limit)
		}
		return page, err
	})
	// No page is read ahead.
	p.PageSize, p.PageBufferSize = pageSize, 0
	err := p.EachListItem(ctx, opts, func(o runtime.Object) error {
		return do(o.(*metav1.PartialObjectMetadata))
	})
	if err != nil {
		return fmt.Errorf("listing %s: %w", where(gvr, namespace), err)
	}
	return nil
}

// EachPage calls do for the objects that List returns, and keeps in memory one object, or several that have 1 MiB
// together. It goes on after an expired continue token as Each does: the work on small pages may outlast a token.
func (c *Client) EachPage(
	ctx context.Context, gvr schema.GroupVersionResource, namespace, selector string, do func([]unstructured.Unstructured) error,
) error {
	options := metav1.ListOptions{LabelSelector: selector, Limit: wholeSize}
	for {
		var page *unstructured.UnstructuredList
		err := readPage(ctx, &options, pageBytes, func(ctx context.Context) (err error) {
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
		options.Limit = min(wholeSize, growth*options.Limit)
	}
}

// readPage reads one page of a list as Retry does. While it has more bytes than it may have, it asks for fewer objects: anybody
// may make large ones, and small ones before them. If the continue token has expired, it goes on with the token in the error
// (k8s.io/apiserver pkg/storage/etcd3/errors.go).
func readPage(ctx context.Context, o *metav1.ListOptions, most int64, list func(context.Context) error) error {
	for {
		of := ctx
		if o.Limit > 1 { // The API server itself limits how large an object is.
			of = context.WithValue(ctx, mostBytes{}, most)
		}
		err := Retry(of, func(ctx context.Context) error {
			err := list(ctx)
			var expired apierrors.APIStatus
			if o.Continue != "" && apierrors.IsResourceExpired(err) && errors.As(err, &expired) && expired.Status().Continue != "" {
				o.Continue = expired.Status().Continue
				err = list(ctx)
			}
			return err
		})
		if !errors.Is(err, errTooLarge) {
			return err
		}
		o.Limit = max(1, o.Limit/growth)
	}
}

// nextPage returns how many objects like these make a page.
func nextPage(items []metav1.PartialObjectMetadata) int64 {
	total := 1
	for i := range items {
		for k, v := range items[i].Annotations {
			total += len(k) + len(v)
		}
		for _, f := range items[i].ManagedFields {
			if f.FieldsV1 != nil {
				total += len(f.FieldsV1.GetRawBytes())
			}
		}
	}
	return max(1, min(pageSize, int64(pageBytes*max(1, len(items))/total)))
}

func where(gvr schema.GroupVersionResource, namespace string) string {
	if namespace == "" {
		return gvr.GroupResource().String() + " in all namespaces"
	}
	return gvr.GroupResource().String() + " in namespace " + namespace
}

// mostBytes is the key of how many bytes an answer may have, in the context of a request.
type mostBytes struct{}

// errTooLarge is the error of a request whose answer has more.
var errTooLarge = errors.New("the answer is larger than there is memory for")

// limiter drops an answer that has more bytes than it may have, before it fills the memory.
type limiter struct{ http.RoundTripper }

// RoundTrip reads the whole answer to a request whose context limits it.
func (l limiter) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := l.RoundTripper.RoundTrip(r)
	most, limited := r.Context().Value(mostBytes{}).(int64)
	if err != nil || !limited {
		return answer, err
	}
	text, err := io.ReadAll(io.LimitReader(answer.Body, most+1))
	if err := errors.Join(err, answer.Body.Close()); err != nil {
		return nil, err
	}
	if int64(len(text)) > most {
		return nil, errTooLarge
	}
	answer.Body = io.NopCloser(bytes.NewReader(text))
	return answer, nil
}
