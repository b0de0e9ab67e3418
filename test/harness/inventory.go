package harness

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
)

// Object is one object of a cluster, of whatever kind.
type Object struct{ Resource, Namespace, Name string }

func (o Object) String() string {
	if o.Namespace == "" {
		return o.Resource + " " + o.Name
	}
	return o.Resource + " " + o.Namespace + "/" + o.Name
}

// volatile are kinds that come and go by themselves.
var volatile = []string{"events", "leases", "endpoints", "endpointslices", "componentstatuses", "ipaddresses", "apiservices"}

// Kind is a kind of objects.
type Kind struct {
	schema.GroupVersionResource
	Namespaced bool
}

// Kinds asks for every kind that can be listed, but for what comes and goes by
// itself.
func Kinds(config *rest.Config) ([]Kind, error) {
	d, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return nil, err
	}
	lists, err := d.ServerPreferredResources()
	if err != nil {
		return nil, fmt.Errorf("asking which kinds there are: %w", err)
	}
	var kinds []Kind
	for _, list := range lists {
		gv, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil {
			return nil, err
		}
		for _, r := range list.APIResources {
			if slices.Contains(r.Verbs, "list") && !slices.Contains(volatile, r.Name) {
				kinds = append(kinds, Kind{gv.WithResource(r.Name), r.Namespaced})
			}
		}
	}
	return kinds, nil
}

// InEvery reports whether Kubernetes puts such an object into every namespace.
func InEvery(resource, name string) bool {
	return resource == "configmaps" && name == "kube-root-ca.crt" || resource == "serviceaccounts" && name == "default"
}

// Inventory lists every object of every kind, but for what comes and goes by
// itself and what Kubernetes puts into every namespace.
func Inventory(ctx context.Context, config *rest.Config) (map[Object]bool, error) {
	client, err := metadata.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	kinds, err := Kinds(config)
	if err != nil {
		return nil, err
	}
	var (
		g     errgroup.Group
		mu    sync.Mutex
		found = map[Object]bool{}
	)
	g.SetLimit(lists)
	for _, kind := range kinds {
		g.Go(func() error {
			objects, err := client.Resource(kind.GroupVersionResource).List(ctx, metav1.ListOptions{})
			if apierrors.IsNotFound(err) {
				return nil // its CRD went meanwhile
			}
			if err != nil {
				return fmt.Errorf("listing %s: %w", kind.Resource, err)
			}
			mu.Lock()
			defer mu.Unlock()
			for _, o := range objects.Items {
				if !InEvery(kind.Resource, o.Name) {
					found[Object{kind.Resource, o.Namespace, o.Name}] = true
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return found, nil
}

// lists is how many kinds are listed at the same time.
const lists = 8
