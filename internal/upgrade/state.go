package upgrade

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/internal/enrol"
	"github.com/arc-cleanup/arc-cleanup/internal/kube"
)

// SecretName is what the Secret with the state is called, in the namespace of
// the controller's release.
const SecretName = "arc-cleanup-upgrade"

const (
	// stateKey holds the State as JSON, but for what is saved apart.
	stateKey = "upgrade.json"
	// stateVersion is that of the Secret's keys and of the JSON in it.
	stateVersion = "arc-cleanup/upgrade/v1"
	// stateBytes is less than a Secret may hold (k8s.io/api/core/v1, MaxSecretSize),
	// which is counted before base64.
	stateBytes = 1000 * 1024

	secretLabels = "app.kubernetes.io/name=arc-cleanup,app.kubernetes.io/component=upgrade"
)

var secrets = schema.GroupVersionResource{Version: "v1", Resource: "secrets"}

// namespace is that of the Secret.
func (s State) namespace() string { return s.Releases[0].Namespace }

// valuesKey and hooksKey are where the Secret holds a release's values and hook,
// compressed.
func valuesKey(r Release) string { return fmt.Sprintf("values.%s.%s.gz", r.Namespace, r.Name) }
func hooksKey(r Release) string  { return fmt.Sprintf("hooks.%s.%s.gz", r.Namespace, r.Name) }

// document is the State as it is saved.
type document struct {
	Version string `json:"version"`
	State
}

// encode returns the data of the Secret.
func encode(s State) (map[string][]byte, error) {
	text, err := json.MarshalIndent(document{stateVersion, s}, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("the state of the upgrade as JSON: %w", err)
	}
	data := map[string][]byte{stateKey: text}
	for _, r := range s.Releases {
		var values bytes.Buffer
		// Indented and not read: every number stays as it is.
		if err := json.Indent(&values, r.values(), "", "  "); err != nil {
			return nil, fmt.Errorf("the values of release %s: %w", r, err)
		}
		data[valuesKey(r)] = pack(values.Bytes())
		if len(r.Hooks) > 0 {
			hooks, err := json.Marshal(r.Hooks)
			if err != nil {
				return nil, fmt.Errorf("the hook of release %s as JSON: %w", r, err)
			}
			data[hooksKey(r)] = pack(hooks)
		}
	}
	size := 0
	for key, value := range data {
		size += len(key) + len(value)
	}
	if size > stateBytes {
		return nil, fmt.Errorf("the values of %d releases are %d bytes compressed, and a Secret can hold %d", len(s.Releases), size, stateBytes)
	}
	return data, nil
}

// values are the user's values; Helm records none as null.
func (r Release) values() json.RawMessage {
	if len(r.Values) == 0 || string(r.Values) == "null" {
		return json.RawMessage("{}")
	}
	return r.Values
}

// decode undoes encode.
func decode(data map[string][]byte) (*State, error) {
	var d document
	if err := json.Unmarshal(data[stateKey], &d); err != nil {
		return nil, fmt.Errorf("its key %s: %w", stateKey, err)
	}
	if d.Version != stateVersion {
		return nil, fmt.Errorf("it is of the version %q, and only %s is known", d.Version, stateVersion)
	}
	if len(d.Releases) == 0 {
		return nil, errors.New("it names no releases")
	}
	for i := range d.Releases {
		r := &d.Releases[i]
		var err error
		if r.Values, err = unpack(data, valuesKey(*r)); err != nil {
			return nil, err
		}
		if _, has := data[hooksKey(*r)]; !has {
			continue
		}
		hooks, err := unpack(data, hooksKey(*r))
		if err != nil {
			return nil, err
		}
		if r.Hooks, err = enrol.Parse(hooks); err != nil {
			return nil, fmt.Errorf("its key %s: %w", hooksKey(*r), err)
		}
	}
	return &d.State, nil
}

func pack(text []byte) []byte {
	var b bytes.Buffer
	z, _ := gzip.NewWriterLevel(&b, gzip.BestCompression) // fails for an unknown level only
	_, _ = z.Write(text)                                  // into memory, as Close
	_ = z.Close()
	return b.Bytes()
}

func unpack(data map[string][]byte, key string) ([]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(data[key]))
	if err != nil {
		return nil, fmt.Errorf("its key %s: %w", key, err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		return nil, fmt.Errorf("its key %s: %w", key, err)
	}
	return text, nil
}

// load finds the state of an upgrade that is not over; nil if there is none.
func load(ctx context.Context, c *kube.Client) (*State, error) {
	var found []types.NamespacedName
	err := c.Each(ctx, secrets, "", metav1.ListOptions{LabelSelector: secretLabels}, func(m *metav1.PartialObjectMetadata) error {
		found = append(found, types.NamespacedName{Namespace: m.Namespace, Name: m.Name})
		return nil
	})
	switch {
	case err != nil:
		return nil, err
	case len(found) == 0:
		return nil, nil
	case len(found) > 1:
		return nil, fmt.Errorf("there are the states of %d upgrades that are not over: Secrets %s and %s", len(found), found[0], found[1])
	}
	secret, err := get(ctx, c, found[0])
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	data := map[string][]byte{}
	encoded, _, err := unstructured.NestedStringMap(secret.Object, "data")
	for key, value := range encoded {
		if err == nil {
			data[key], err = base64.StdEncoding.DecodeString(value)
		}
	}
	var s *State
	if err == nil {
		s, err = decode(data)
	}
	if err != nil {
		return nil, fmt.Errorf("secret %s is not the state of an upgrade: %w", found[0], err)
	}
	return s, nil
}

func get(ctx context.Context, c *kube.Client, name types.NamespacedName) (*unstructured.Unstructured, error) {
	var secret *unstructured.Unstructured
	err := kube.Retry(ctx, func(ctx context.Context) (err error) {
		secret, err = c.Dynamic.Resource(secrets).Namespace(name.Namespace).Get(ctx, name.Name, metav1.GetOptions{})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading Secret %s: %w", name, err)
	}
	return secret, nil
}

// save writes the state into its Secret, over what an earlier run has written.
func save(ctx context.Context, c *kube.Client, s State) error {
	data, err := encode(s)
	if err != nil {
		return err
	}
	name := types.NamespacedName{Namespace: s.namespace(), Name: SecretName}
	secret := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Secret", "type": "Opaque",
		"metadata": map[string]any{
			"name": name.Name, "namespace": name.Namespace,
			"labels": map[string]any{"app.kubernetes.io/name": "arc-cleanup", "app.kubernetes.io/component": "upgrade"},
		},
	}}
	encoded := map[string]any{}
	for key, value := range data {
		encoded[key] = base64.StdEncoding.EncodeToString(value)
	}
	secret.Object["data"] = encoded

	r := c.Dynamic.Resource(secrets).Namespace(name.Namespace)
	there, err := get(ctx, c, name)
	switch {
	case apierrors.IsNotFound(err):
		err = kube.Retry(ctx, func(ctx context.Context) error {
			_, err := r.Create(ctx, secret, metav1.CreateOptions{})
			return err
		})
	case err != nil:
		return err
	case there.GetLabels()["app.kubernetes.io/component"] != "upgrade":
		return fmt.Errorf("there is a Secret %s already, which is not the state of an upgrade", name)
	default:
		secret.SetResourceVersion(there.GetResourceVersion())
		err = kube.Retry(ctx, func(ctx context.Context) error {
			_, err := r.Update(ctx, secret, metav1.UpdateOptions{})
			return err
		})
	}
	if err != nil {
		return fmt.Errorf("writing Secret %s: %w", name, err)
	}
	return nil
}

// forget deletes the Secret.
func forget(ctx context.Context, c *kube.Client, s State) error {
	err := kube.Retry(ctx, func(ctx context.Context) error {
		return c.Dynamic.Resource(secrets).Namespace(s.namespace()).Delete(ctx, SecretName, metav1.DeleteOptions{})
	})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("deleting Secret %s/%s: %w", s.namespace(), SecretName, err)
	}
	return nil
}
