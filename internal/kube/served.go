package kube

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"
)

// discovery returns the client for questions about what the API server serves. client-go's own discovery
// client would link every typed API.
func discovery(cfg *rest.Config) (rest.Interface, error) {
	cfg = rest.CopyConfig(cfg)
	cfg.NegotiatedSerializer = serializer.NewCodecFactory(runtime.NewScheme()).WithoutConversion()
	return rest.UnversionedRESTClientFor(cfg)
}

// Served asks the API server which resources of a group it serves, and in which versions. A group that it
// does not serve has none.
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

// ResourceOf asks the API server for the resource of a kind. The resource of a kind that it does not serve
// has no name.
func (c *Client) ResourceOf(ctx context.Context, apiVersion, kind string) (gvr schema.GroupVersionResource, namespaced bool, err error) {
	if strings.Count(apiVersion, "/") > 1 {
		return gvr, false, nil // that is no version
	}
	gv, err := schema.ParseGroupVersion(apiVersion)
	if err != nil {
		return gvr, false, err
	}
	path := "/apis/" + gv.String()
	if gv.Group == "" {
		path = "/api/" + gv.Version
	}
	var l metav1.APIResourceList
	if err := c.discover(ctx, path, &l); err != nil && !apierrors.IsNotFound(err) {
		return gvr, false, err
	}
	for _, r := range l.APIResources {
		if r.Kind == kind && !strings.Contains(r.Name, "/") {
			return gv.WithResource(r.Name), r.Namespaced, nil
		}
	}
	return gvr, false, nil
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
