// Package kube is the thin layer between arc-cleanup and the API server: configuration, single reads and
// writes, paged lists, retries and waits. It knows nothing of ARC.
package kube

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
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
	turn      chan struct{} // of large answers, see limiter

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
	cfg.Wrap(func(rt http.RoundTripper) http.RoundTripper { return limiter{clock{rt, ahead}} })
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
	return &Client{Metadata: m, Dynamic: d, discovery: disco, ahead: ahead, turn: make(chan struct{}, 1), Server: cfg.Host}, nil
}
