// Package kube is the thin layer between arc-cleanup and the API server: configuration, single reads and
// writes, paged lists, retries and waits. It knows nothing of ARC.
package kube

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/pager"
)

const (
	// pageSize is how many objects a list request asks for at most, as kubectl does. firstPage is how many the
	// first one asks for.
	pageSize, firstPage = 500, 10
	// pageBytes is how large a page should be. A tenant may write 256 KiB of annotations into each object,
	// and 500 such objects take more memory than a hook has; several lists are read at the same time.
	pageBytes = 1 << 20
)

// Workers is how many requests of one client are in flight at once. More does not help:
// the API server gives a client of no special priority about this many seats.
const Workers = 64

// Client reads and writes objects. It uses Metadata wherever an object's spec and status do not matter: that
// is a fraction of the bytes.
type Client struct {
	Metadata metadata.Interface
	Dynamic  dynamic.Interface

	discovery rest.Interface
	ahead     *atomic.Int64 // see Now

	// dryRun is an option of every write, see DryRun.
	dryRun []string

	// Context and Server name the cluster in messages. Context is "" inside a cluster.
	Context, Server string
	// Namespace is the one that kubectl would take by default.
	Namespace string

	// kubeconfig names the files that the configuration was read from.
	kubeconfig string
}

// load reads the kubeconfig as kubectl does (flag, KUBECONFIG, ~/.kube/config), or else takes the Pod's
// ServiceAccount.
func load(kubeconfig string, overrides *clientcmd.ConfigOverrides) clientcmd.ClientConfig {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = kubeconfig
	return clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, overrides)
}

// Connect returns a Client for the kubeconfig and its overrides.
func Connect(kubeconfig string, overrides *clientcmd.ConfigOverrides, userAgent string) (*Client, error) {
	loader := load(kubeconfig, overrides)
	cfg, err := loader.ClientConfig()
	if err != nil {
		return nil, unreadable(loader, overrides, err)
	}
	cfg.UserAgent = userAgent
	contextName := overrides.CurrentContext
	if contextName == "" {
		if raw, err := loader.RawConfig(); err == nil {
			contextName = raw.CurrentContext
		}
	}
	c, err := New(cfg)
	if err != nil {
		return nil, err
	}
	c.Context, c.kubeconfig = contextName, files(loader)
	if c.Namespace, _, err = loader.Namespace(); err != nil {
		return nil, unreadable(loader, overrides, err)
	}
	return c, nil
}

// Contexts returns the names of the contexts of a kubeconfig.
func Contexts(kubeconfig string) ([]string, error) {
	loader := load(kubeconfig, &clientcmd.ConfigOverrides{})
	raw, err := loader.RawConfig()
	switch {
	case err != nil:
		return nil, unreadable(loader, &clientcmd.ConfigOverrides{}, err)
	case len(raw.Contexts) == 0:
		return nil, fmt.Errorf("no kubeconfig with a context at %s: give --kubeconfig FILE, or set KUBECONFIG", files(loader))
	}
	return slices.Sorted(maps.Keys(raw.Contexts)), nil
}

// files names the files that a kubeconfig is read from.
func files(loader clientcmd.ClientConfig) string {
	access := loader.ConfigAccess()
	if access.IsExplicitFile() {
		return access.GetExplicitFile()
	}
	return strings.Join(access.GetLoadingPrecedence(), string(filepath.ListSeparator))
}

// unreadable says what is wrong with the kubeconfig, and what to do.
func unreadable(loader clientcmd.ClientConfig, overrides *clientcmd.ConfigOverrides, err error) error {
	raw, broken := loader.RawConfig()
	wanted := cmp.Or(overrides.CurrentContext, raw.CurrentContext)
	switch {
	case broken != nil:
	case clientcmd.IsEmptyConfig(err):
		return fmt.Errorf("no kubeconfig with a cluster at %s: give --kubeconfig FILE, or set KUBECONFIG", files(loader))
	case wanted != "" && raw.Contexts[wanted] == nil && len(raw.Contexts) > 0:
		return fmt.Errorf("the kubeconfig %s has no context %q: give one of %s",
			files(loader), wanted, strings.Join(slices.Sorted(maps.Keys(raw.Contexts)), ", "))
	}
	return fmt.Errorf("reading the kubeconfig %s: %w", files(loader), err)
}

// New returns a Client for a configuration. It has no client-side rate limit: API Priority and Fairness on
// the server limits it, and client-go honours the server's Retry-After.
func New(cfg *rest.Config) (*Client, error) {
	cfg = rest.CopyConfig(cfg)
	cfg.QPS = -1
	// The API server warns of deprecated things in headers. As log lines they would only bury the verdict.
	cfg.WarningHandler = rest.NoWarnings{}
	ahead := new(atomic.Int64)
	cfg.Wrap(func(rt http.RoundTripper) http.RoundTripper { return clock{rt, ahead} })
	m, err := metadata.NewForConfig(cfg)
	if err != nil {
		return nil, fmt.Errorf("connecting to %s: %w", cfg.Host, err)
	}
	d, err := dynamic.NewForConfig(cfg)
	if err != nil {
		return nil, fmt.Errorf("connecting to %s: %w", cfg.Host, err)
	}
	disco, err := discovery(cfg)
	if err != nil {
		return nil, fmt.Errorf("connecting to %s: %w", cfg.Host, err)
	}
	return &Client{Metadata: m, Dynamic: d, discovery: disco, ahead: ahead, Server: cfg.Host}, nil
}

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
		err := retryPage(ctx, &o, func(ctx context.Context) (err error) {
			page, err = c.Metadata.Resource(gvr).Namespace(namespace).List(ctx, o)
			return err
		})
		if err == nil {
			limit = nextPage(page.Items)
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

// retryPage reads one page of a list as Retry does. If the continue token has expired, it goes on with the token
// in the error (k8s.io/apiserver pkg/storage/etcd3/errors.go).
func retryPage(ctx context.Context, o *metav1.ListOptions, list func(context.Context) error) error {
	return Retry(ctx, func(ctx context.Context) error {
		err := list(ctx)
		var expired apierrors.APIStatus
		if o.Continue != "" && apierrors.IsResourceExpired(err) && errors.As(err, &expired) && expired.Status().Continue != "" {
			o.Continue = expired.Status().Continue
			err = list(ctx)
		}
		return err
	})
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
