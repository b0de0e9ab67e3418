package kube

import (
	"context"
	"encoding/json"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"
)

// discovery makes the client that asks the API server what it serves. client-go's
// own discovery client would link every typed API there is.
func discovery(cfg *rest.Config) (rest.Interface, error) {
	cfg = rest.CopyConfig(cfg)
	cfg.NegotiatedSerializer = serializer.NewCodecFactory(runtime.NewScheme()).WithoutConversion()
	return rest.UnversionedRESTClientFor(cfg)
}

// Served asks the API server which resources of a group it serves, and each in
// which versions. A group that it does not know has none.
func (c *Client) Served(ctx context.Context, group string) (map[string][]string, error) {
	var g metav1.APIGroup
	if err := c.discover(ctx, "/apis/"+group, &g); err != nil {
		if apierrors.IsNotFound(err) {
			return nil, nil
		}
		return nil, err
	}
	served := map[string][]string{}
	for _, v := range g.Versions {
		var l metav1.APIResourceList
		if err := c.discover(ctx, "/apis/"+v.GroupVersion, &l); err != nil {
			if apierrors.IsNotFound(err) {
				continue
			}
			return nil, err
		}
		for _, r := range l.APIResources {
			served[r.Name] = append(served[r.Name], v.Version)
		}
	}
	return served, nil
}

func (c *Client) discover(ctx context.Context, path string, into any) error {
	var raw []byte
	err := Retry(ctx, func(ctx context.Context) (err error) {
		raw, err = c.discovery.Get().AbsPath(path).Do(ctx).Raw()
		return err
	})
	if err == nil {
		err = json.Unmarshal(raw, into)
	}
	if err != nil {
		return fmt.Errorf("asking the API server for %s: %w", path, err)
	}
	return nil
}
