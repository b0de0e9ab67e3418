package survey

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/arc-cleanup/arc-cleanup/internal/kube"
)

// pageSize is how many whole objects one request asks for.
const pageSize = 20

// list reads whole objects, a page at a time; only kinds of which there are few.
func list(ctx context.Context, c *kube.Client, gvr schema.GroupVersionResource, namespace, selector string) ([]unstructured.Unstructured, error) {
	var all []unstructured.Unstructured
	options := metav1.ListOptions{LabelSelector: selector, Limit: pageSize}
	for {
		var page *unstructured.UnstructuredList
		err := kube.Retry(ctx, func(ctx context.Context) (err error) {
			page, err = c.Dynamic.Resource(gvr).Namespace(namespace).List(ctx, options)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("listing %s: %w", gvr.GroupResource(), err)
		}
		all = append(all, page.Items...)
		if options.Continue = page.GetContinue(); options.Continue == "" {
			return all, nil
		}
	}
}

func getMetadata(ctx context.Context, c *kube.Client, gvr schema.GroupVersionResource, name string) (*metav1.PartialObjectMetadata, error) {
	var m *metav1.PartialObjectMetadata
	err := kube.Retry(ctx, func(ctx context.Context) (err error) {
		m, err = c.Metadata.Resource(gvr).Get(ctx, name, metav1.GetOptions{})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading %s/%s: %w", gvr.GroupResource(), name, err)
	}
	return m, nil
}
