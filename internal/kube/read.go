package kube

import (
	"context"
	"errors"
	"fmt"
	"math"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/arc-cleanup/arc-cleanup/internal/object"
)

// Get reads one object. namespace is "" for a resource without namespaces. A large one is dropped, and read again when no other
// is: anybody may make large ones, and many workers read.
func (c *Client) Get(ctx context.Context, gvr schema.GroupVersionResource, namespace, name string) (*unstructured.Unstructured, error) {
	what := object.Object{Resource: gvr, Namespace: namespace, Name: name}.String()
	return retried(ctx, "reading "+what, func(ctx context.Context) (*unstructured.Unstructured, error) {
		get := func(a *answer) (*unstructured.Unstructured, error) {
			return c.Dynamic.Resource(gvr).Namespace(namespace).Get(context.WithValue(ctx, answerKey{}, a), name, metav1.GetOptions{})
		}
		u, err := get(&answer{most: largeBytes})
		if !errors.Is(err, errTooLarge) {
			return u, err
		}
		a := &answer{most: math.MaxInt32, turn: c.turn}
		if err := a.take(ctx); err != nil {
			return nil, err
		}
		defer a.done()
		return get(a)
	})
}

// GetMetadata reads the metadata of one object, as Get does.
func (c *Client) GetMetadata(
	ctx context.Context, gvr schema.GroupVersionResource, namespace, name string,
) (*metav1.PartialObjectMetadata, error) {
	what := object.Object{Resource: gvr, Namespace: namespace, Name: name}.String()
	return retried(ctx, "reading "+what, func(ctx context.Context) (*metav1.PartialObjectMetadata, error) {
		return c.Metadata.Resource(gvr).Namespace(namespace).Get(ctx, name, metav1.GetOptions{})
	})
}

// List reads all objects of a resource in a namespace ("" means all namespaces) which the label
// selector matches ("" means all objects). It keeps whole objects in memory: use Each where there
// may be many.
func (c *Client) List(
	ctx context.Context, gvr schema.GroupVersionResource, namespace, selector string,
) ([]unstructured.Unstructured, error) {
	var all []unstructured.Unstructured
	err := c.EachPage(ctx, gvr, namespace, selector, func(page []unstructured.Unstructured) error {
		all = append(all, page...)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}

// retried makes one request as Retry does and returns its answer. An error says what was being done.
func retried[T any](ctx context.Context, doing string, do func(context.Context) (T, error)) (T, error) {
	var answer T
	err := Retry(ctx, func(ctx context.Context) (err error) {
		answer, err = do(ctx)
		return err
	})
	if err != nil {
		var none T
		return none, fmt.Errorf("%s: %w", doing, err)
	}
	return answer, nil
}

// Ask has the API server answer an access review, and reports whether it allows.
func (c *Client) Ask(ctx context.Context, reviews schema.GroupVersionResource, review *unstructured.Unstructured) (bool, error) {
	answer, err := c.Create(ctx, reviews, review)
	if err != nil {
		return false, err
	}
	allowed, found, err := unstructured.NestedBool(answer.Object, "status", "allowed")
	if err == nil && !found {
		err = errors.New("the answer to an access review says neither yes nor no")
	}
	return allowed, err
}
