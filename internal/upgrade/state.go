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
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/internal/enrol"
	"github.com/arc-cleanup/arc-cleanup/internal/kube"
	objects "github.com/arc-cleanup/arc-cleanup/internal/object"
)

// SecretName is what the Secrets with the state are called. The one in the namespace of
// the controller's release says which releases there are; it and one in each namespace
// of a release hold the values and hooks of the releases there. So nobody's values
// leave their namespace, and nobody's Secret speaks of another one.
const SecretName = "arc-cleanup-upgrade"

const (
	// stateKey holds the State as JSON, but for what is saved apart.
	stateKey = "upgrade.json"
	// stateVersion is that of the Secrets' keys and of the JSON in the first.
	stateVersion = "arc-cleanup/upgrade/v2"
	// stateBytes is less than a Secret may hold (k8s.io/api/core/v1, MaxSecretSize),
	// which is counted before base64.
	stateBytes = 1000 * 1024
	// unpackedBytes bounds what is unpacked of a key, which a tenant may have written.
	unpackedBytes = 32 << 20
)

var secretLabels = map[string]string{"app.kubernetes.io/name": "arc-cleanup", "app.kubernetes.io/component": "upgrade"}

var secrets = schema.GroupVersionResource{Version: "v1", Resource: "secrets"}

// secret is one of the Secrets as it was read: no other is written over or deleted.
type secret struct {
	uid             types.UID
	resourceVersion string
	// foreign says that it is somebody else's, who has chosen this name.
	foreign bool
}

// namespace is that of the controller's release.
func (s State) namespace() string { return s.Releases[0].Namespace }

// namespaces are those that have a Secret, the controller's last: what names the
// releases is written when their values are there, and gone when they are.
func (s State) namespaces() []string {
	all := map[string]bool{}
	for _, r := range s.Releases {
		all[r.Namespace] = true
	}
	delete(all, s.namespace())
	return append(slices.Sorted(maps.Keys(all)), s.namespace())
}

// valuesKey and hooksKey are where the Secret in a release's namespace holds its
// values and hook, compressed.
func valuesKey(r Release) string { return "values." + r.Name + ".gz" }
func hooksKey(r Release) string  { return "hooks." + r.Name + ".gz" }

// document is the State as it is saved.
type document struct {
	Version string `json:"version"`
	State
}

// encode returns the data of the Secrets, by namespace.
func encode(s State) (map[string]map[string][]byte, error) {
	text, err := json.MarshalIndent(document{stateVersion, s}, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("the state of the upgrade as JSON: %w", err)
	}
	data := map[string]map[string][]byte{s.namespace(): {stateKey: text}}
	for _, r := range s.Releases {
		in := data[r.Namespace]
		if in == nil {
			in = map[string][]byte{}
			data[r.Namespace] = in
		}
		var values bytes.Buffer
		// Indented and not read: every number stays as it is.
		if err := json.Indent(&values, r.values(), "", "  "); err != nil {
			return nil, fmt.Errorf("the values of release %s: %w", r, err)
		}
		in[valuesKey(r)] = pack(values.Bytes())
		if len(r.Hooks) > 0 {
			hooks, err := json.Marshal(r.Hooks)
			if err != nil {
				return nil, fmt.Errorf("the hook of release %s as JSON: %w", r, err)
			}
			in[hooksKey(r)] = pack(hooks)
		}
	}
	for _, namespace := range s.namespaces() {
		size := 0
		for key, value := range data[namespace] {
			size += len(key) + len(value)
		}
		if size > stateBytes {
			return nil, fmt.Errorf("what there is to save in namespace %s is %d bytes compressed, and a Secret can hold %d", namespace, size, stateBytes)
		}
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

// decode undoes encode, but for values and hooks. All of it becomes arguments of Helm,
// so it has to be what we would have written.
func decode(data map[string][]byte, namespace string) (*State, error) {
	if data[stateKey] == nil {
		return nil, fmt.Errorf("it has no key %s: if it is of an upgrade, the controller's release was in another namespace", stateKey)
	}
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
	if first := d.Releases[0]; !first.Controller || first.Namespace != namespace {
		return nil, fmt.Errorf("its first release is %q in namespace %q, and not the controller's in this namespace", first.Name, first.Namespace)
	}
	for i, r := range d.Releases {
		switch {
		case !isName(r.Name) || !isName(r.Namespace):
			return nil, fmt.Errorf("no release can be called %q in namespace %q", r.Name, r.Namespace)
		case r.Driver != "secret" && r.Driver != "configmap":
			return nil, fmt.Errorf("release %s: Helm has no records of the kind %q", r, r.Driver)
		case i > 0 && r.Controller:
			return nil, fmt.Errorf("release %s would be a second controller", r)
		}
	}
	for _, c := range []Chart{d.Target.Controller, d.Target.ScaleSets} {
		if c.Ref != "" && !filepath.IsAbs(c.Ref) && !strings.HasPrefix(c.Ref, oci) || strings.HasPrefix(c.Version, "-") || c.Ref != printable(c.Ref) || c.Version != printable(c.Version) {
			return nil, fmt.Errorf("%q of version %q is no chart", c.Ref, c.Version)
		}
	}
	return &d.State, nil
}

// take reads a release's values and hook out of the Secret in its namespace.
func (r *Release) take(data map[string][]byte) (err error) {
	if r.Values, err = unpack(data, valuesKey(*r)); err != nil {
		return err
	}
	if !json.Valid(r.Values) {
		return fmt.Errorf("its key %s: not JSON", valuesKey(*r))
	}
	if _, has := data[hooksKey(*r)]; !has {
		return nil
	}
	hooks, err := unpack(data, hooksKey(*r))
	if err != nil {
		return err
	}
	if r.Hooks, err = enrol.Parse(hooks); err != nil {
		return fmt.Errorf("its key %s: %w", hooksKey(*r), err)
	}
	return nil
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
	text, err := io.ReadAll(io.LimitReader(z, unpackedBytes+1))
	if err != nil {
		return nil, fmt.Errorf("its key %s: %w", key, err)
	}
	if len(text) > unpackedBytes {
		return nil, fmt.Errorf("its key %s: more than %d bytes", key, unpackedBytes)
	}
	return text, nil
}

// load reads the state of an upgrade that is not over, values and hooks apart; nil if
// there is none.
func load(ctx context.Context, c *kube.Client, namespace string, at map[string]secret) (*State, error) {
	data, err := get(ctx, c, namespace, at)
	if err != nil || data == nil {
		return nil, err
	}
	s, err := decode(data, namespace)
	if err != nil {
		return nil, fmt.Errorf("secret %s/%s is not the state of an upgrade: %w", namespace, SecretName, err)
	}
	return s, nil
}

// values reads the Secrets in the namespaces of all releases, and the saved releases'
// values out of those. What a tenant did to the Secret is the loss of that tenant's
// releases, and of no other.
func (l *looker) values() error {
	saved := map[string][]*Release{}
	for _, f := range l.s.Found {
		saved[f.Namespace] = nil
	}
	if l.s.Saved != nil {
		for i := range l.s.Saved.Releases {
			r := &l.s.Saved.Releases[i]
			saved[r.Namespace] = append(saved[r.Namespace], r)
		}
	}
	for _, namespace := range slices.Sorted(maps.Keys(saved)) {
		data, err := get(l.ctx, l.client, namespace, l.s.secrets)
		if err != nil {
			return err
		}
		for _, r := range saved[namespace] {
			if err := r.take(data); err != nil {
				r.lost = fmt.Errorf("secret %s/%s: %w", namespace, SecretName, err)
			}
		}
	}
	return nil
}

// get reads the Secret in a namespace, and notes which one it was. There is no data
// where there is none of ours.
func get(ctx context.Context, c *kube.Client, namespace string, at map[string]secret) (map[string][]byte, error) {
	var o *unstructured.Unstructured
	err := kube.Retry(ctx, func(ctx context.Context) (err error) {
		o, err = c.Dynamic.Resource(secrets).Namespace(namespace).Get(ctx, SecretName, metav1.GetOptions{})
		return err
	})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading Secret %s/%s: %w", namespace, SecretName, err)
	}
	found := secret{uid: o.GetUID(), resourceVersion: o.GetResourceVersion()}
	for key, value := range secretLabels {
		found.foreign = found.foreign || o.GetLabels()[key] != value
	}
	at[namespace] = found
	if found.foreign {
		return nil, nil
	}
	data := map[string][]byte{}
	encoded, _, err := unstructured.NestedStringMap(o.Object, "data")
	for key, value := range encoded {
		if err == nil {
			data[key], err = base64.StdEncoding.DecodeString(value)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("reading Secret %s/%s: %w", namespace, SecretName, err)
	}
	return data, nil
}

// save writes the state into its Secrets, over those that were read.
func save(ctx context.Context, c *kube.Client, s State) error {
	s.Written = time.Now().UTC().Truncate(time.Second)
	data, err := encode(s)
	if err != nil {
		return err
	}
	for _, namespace := range s.namespaces() {
		if err := put(ctx, c, namespace, data[namespace], s.secrets); err != nil {
			return err
		}
	}
	return nil
}

// put writes one Secret: the one that was read, or a new one.
func put(ctx context.Context, c *kube.Client, namespace string, data map[string][]byte, at map[string]secret) error {
	labels, encoded := map[string]any{}, map[string]any{}
	for key, value := range secretLabels {
		labels[key] = value
	}
	for key, value := range data {
		encoded[key] = base64.StdEncoding.EncodeToString(value)
	}
	o := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "data": encoded,
		"metadata": map[string]any{"name": SecretName, "namespace": namespace, "labels": labels},
	}}
	there, is := at[namespace]
	if there.foreign {
		return fmt.Errorf("there is a Secret %s/%s already, which is not the state of an upgrade", namespace, SecretName)
	}
	r := c.Dynamic.Resource(secrets).Namespace(namespace)
	err := kube.Retry(ctx, func(ctx context.Context) (err error) {
		var written *unstructured.Unstructured
		if is {
			o.SetUID(there.uid)
			o.SetResourceVersion(there.resourceVersion)
			written, err = r.Update(ctx, o, metav1.UpdateOptions{})
		} else {
			written, err = r.Create(ctx, o, metav1.CreateOptions{})
		}
		if err == nil {
			at[namespace] = secret{uid: written.GetUID(), resourceVersion: written.GetResourceVersion()}
		}
		return err
	})
	switch {
	case apierrors.IsConflict(err), apierrors.IsAlreadyExists(err), apierrors.IsNotFound(err):
		return fmt.Errorf("writing Secret %s/%s: somebody else has written it since it was read; does another upgrade run? %w", namespace, SecretName, err)
	case err != nil:
		return fmt.Errorf("writing Secret %s/%s: %w", namespace, SecretName, err)
	}
	return nil
}

// forget deletes the Secrets.
func forget(ctx context.Context, c *kube.Client, s State) error {
	for _, namespace := range s.namespaces() {
		at, there := s.secrets[namespace]
		if !there || at.foreign {
			continue
		}
		err := c.Delete(ctx, objects.Object{Resource: secrets, Namespace: namespace, Name: SecretName, UID: at.uid}, metav1.DeletePropagationBackground)
		if err != nil {
			return err
		}
	}
	return nil
}
