package survey

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"golang.org/x/net/http/httpproxy"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/arc-cleanup/arc-cleanup/internal/english"
	"github.com/arc-cleanup/arc-cleanup/internal/github"
	"github.com/arc-cleanup/arc-cleanup/internal/kube"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
)

// These limit, in bytes, what a scale set uses to reach GitHub. A run keeps it in memory for many scale sets, their teams
// write it, and a hook has 128 MiB: less than half of that for 200 scale sets.
const (
	maxSecret = 16 << 10 // what is needed of a Secret, and the proxy without it
	maxRoots  = 64 << 10
)

// scaleSetSpec is what GitHubAccess reads of an AutoscalingRunnerSet
// (apis/actions.github.com/v1alpha1/autoscalingrunnerset_types.go).
type scaleSetSpec struct {
	URL         string         `json:"githubConfigUrl"`
	Secret      string         `json:"githubConfigSecret"`
	VaultConfig map[string]any `json:"vaultConfig"`
	Proxy       struct {
		HTTP    *proxySpec `json:"http"`
		HTTPS   *proxySpec `json:"https"`
		NoProxy []string   `json:"noProxy"`
	} `json:"proxy"`
	TLS struct {
		CertificateFrom struct {
			ConfigMapKeyRef struct {
				Name string `json:"name"`
				Key  string `json:"key"`
			} `json:"configMapKeyRef"`
		} `json:"certificateFrom"`
	} `json:"githubServerTLS"`
}

type proxySpec struct {
	URL    string `json:"url"`
	Secret string `json:"credentialSecretRef"`
}

// GitHubAccess reads what the controller of an AutoscalingRunnerSet uses to reach GitHub: the credentials in the Secret
// that the set names, its proxy and its certificate authorities. Credentials of the person who runs it go before
// those. Its errors name objects, and nothing of what is in a Secret.
func GitHubAccess(ctx context.Context, c *kube.Client, set *object.Object, own *github.Own) (github.Access, error) {
	u, err := c.Get(ctx, set.Resource, set.Namespace, set.Name)
	switch {
	case err != nil:
		return github.Access{}, err
	case u.GetUID() != set.UID:
		return github.Access{}, fmt.Errorf("%s was replaced", set)
	}
	var spec scaleSetSpec
	if err := decodeSpec(u, &spec); err != nil {
		return github.Access{}, fmt.Errorf("%s: its spec is not that of a scale set", set)
	}
	where, err := github.ParseConfigURL(spec.URL)
	if err != nil {
		return github.Access{}, fmt.Errorf("%s: githubConfigUrl: %w", set, err)
	}
	if a, is := own.For(where); is {
		return a, nil
	}
	if len(spec.VaultConfig) > 0 {
		return github.Access{}, fmt.Errorf("%s: its credentials are in a vault, which only its controller can open", set)
	}
	a := github.Access{URL: where}
	if a.Credentials, err = credentials(ctx, c, set.Namespace, spec.Secret); err != nil {
		return github.Access{}, err
	}
	if a.Proxy, err = proxy(ctx, c, set.Namespace, spec); err != nil {
		return github.Access{}, err
	}
	a.Roots, err = roots(ctx, c, set.Namespace, spec)
	return a, err
}

// decodeSpec reads a spec. Its error may quote the spec.
func decodeSpec(u *unstructured.Unstructured, spec *scaleSetSpec) error {
	m, _, err := unstructured.NestedMap(u.Object, "spec")
	if err != nil {
		return err
	}
	return runtime.DefaultUnstructuredConverter.FromUnstructured(m, spec)
}

func credentials(ctx context.Context, c *kube.Client, namespace, name string) (github.Credentials, error) {
	if name == "" {
		return github.Credentials{}, errors.New("the scale set names no Secret with credentials")
	}
	data, err := secretData(ctx, c, namespace, name, github.SecretKeys()...)
	if err != nil {
		return github.Credentials{}, err
	}
	found, err := github.FromSecret(data)
	if err != nil {
		return github.Credentials{}, fmt.Errorf("Secret %s/%s: %w", namespace, name, err) //nolint:staticcheck // the kind's name
	}
	return found, nil
}

// secretData returns some keys of a Secret.
func secretData(ctx context.Context, c *kube.Client, namespace, name string, keys ...string) (map[string][]byte, error) {
	u, err := c.Get(ctx, object.Secrets, namespace, name)
	if apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("Secret %s/%s does not exist", namespace, name) //nolint:staticcheck // the kind's name
	}
	if err != nil {
		return nil, err
	}
	encoded, _, err := unstructured.NestedStringMap(u.Object, "data")
	data, size := map[string][]byte{}, 0
	for _, key := range keys {
		value, bad := base64.StdEncoding.DecodeString(encoded[key])
		err = errors.Join(err, bad)
		data[key] = value
		size += len(value)
	}
	switch {
	case err != nil:
		return nil, fmt.Errorf("Secret %s/%s: its data is not that of a Secret", namespace, name) //nolint:staticcheck // the kind's name
	case size > maxSecret:
		return nil, fmt.Errorf("Secret %s/%s is too large for credentials: %s", namespace, name, english.Count(size, "byte")) //nolint:staticcheck // the kind's name
	}
	return data, nil
}

// proxy returns the proxy of a scale set as its controller uses it; nil if the set has none.
func proxy(ctx context.Context, c *kube.Client, namespace string, spec scaleSetSpec) (func(*url.URL) (*url.URL, error), error) {
	if spec.Proxy.HTTP == nil && spec.Proxy.HTTPS == nil {
		return nil, nil //nolint:nilnil // then the environment says it
	}
	noProxy := strings.Join(spec.Proxy.NoProxy, ",")
	servers := [2]*url.URL{{}, {}} // an empty one is none
	for i, server := range []*proxySpec{spec.Proxy.HTTP, spec.Proxy.HTTPS} {
		if server == nil {
			continue
		}
		u, err := url.Parse(server.URL)
		if err != nil || len(server.URL)+len(noProxy) > maxSecret {
			return nil, errors.New("the scale set's proxy is not a URL")
		}
		if server.Secret != "" {
			data, err := secretData(ctx, c, namespace, server.Secret, "username", "password")
			if err != nil {
				return nil, err
			}
			u.User = url.UserPassword(string(data["username"]), string(data["password"]))
		}
		servers[i] = u
	}
	return func(to *url.URL) (*url.URL, error) { // only now, because this takes a lot of memory
		config := httpproxy.Config{HTTPProxy: servers[0].String(), HTTPSProxy: servers[1].String(), NoProxy: noProxy}
		return config.ProxyFunc()(to)
	}, nil
}

// roots returns the certificate authorities of a scale set, beside the system's; nil if the set has none of its own.
func roots(ctx context.Context, c *kube.Client, namespace string, spec scaleSetSpec) (*x509.CertPool, error) {
	ref := spec.TLS.CertificateFrom.ConfigMapKeyRef
	if ref.Name == "" {
		return nil, nil //nolint:nilnil // then the system says it
	}
	u, err := c.Get(ctx, object.ConfigMaps, namespace, ref.Name)
	if err != nil {
		return nil, err
	}
	text, _, err := unstructured.NestedString(u.Object, "data", ref.Key)
	switch {
	case err != nil:
		return nil, fmt.Errorf("ConfigMap %s/%s: its data is not that of a ConfigMap", namespace, ref.Name)
	case len(text) > maxRoots:
		return nil, fmt.Errorf("ConfigMap %s/%s: %s is larger than the %d KiB that a run keeps of it", namespace, ref.Name, ref.Key, maxRoots>>10)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM([]byte(text)) {
		return nil, fmt.Errorf("ConfigMap %s/%s: %s has no certificate in PEM", namespace, ref.Name, ref.Key)
	}
	return pool, nil
}
