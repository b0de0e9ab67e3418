package upgrade

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/internal/enrol"
	"github.com/arc-cleanup/arc-cleanup/internal/gzip"
	"github.com/arc-cleanup/arc-cleanup/internal/kube"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
)

// SecretName is the name of the Secrets that hold the state. Each namespace of a release has one, with the
// values and hooks of the releases there. The one in the namespace of the controller's release also lists
// all releases. So values never leave their namespace, and a tenant's Secret says nothing of another
// namespace.
const SecretName = "arc-cleanup-upgrade"

const (
	// stateKey holds the State as JSON, without values and hooks.
	stateKey = "upgrade.json"
	// crdsKey holds the CRDs as they were before a swap, compressed JSON.
	crdsKey = "crds.gz"
	// stateVersion is the version of the Secrets' keys and of the JSON. inPlaceVersion is that of an upgrade
	// in place, which an older arc-cleanup would take for the other one and uninstall.
	stateVersion   = "arc-cleanup/upgrade/v2"
	inPlaceVersion = "arc-cleanup/upgrade/v3"
	// stateBytes is a little less than a Secret can hold (k8s.io/api/core/v1, MaxSecretSize), counted
	// before base64.
	stateBytes = 1000 * 1024
	// unpackedBytes bounds the unpacked content of a key, which a tenant may have written.
	unpackedBytes = 32 << 20
)

var secretLabels = map[string]string{"app.kubernetes.io/name": "arc-cleanup", "app.kubernetes.io/component": "upgrade"}

// State is what an upgrade saves in the cluster.
type State struct {
	Target Target `json:"target"`
	// Written is when it was saved.
	Written time.Time `json:"written"`
	// Uninstalled says that the first half is done: what exists now was installed since.
	Uninstalled bool `json:"uninstalled"`
	// PostRenderer is the one that the upgrade began with. It is only compared, never run.
	PostRenderer []string `json:"postRenderer,omitempty"`
	// Releases are those to install, the controller's first.
	Releases []Release `json:"releases"`
	// Way is how; none is ByReinstall.
	Way Way `json:"way,omitempty"`
	// Swap is what BySwap saves besides.
	Swap *Swap `json:"swap,omitempty"`

	run     string            // which run goes on with it, see claim
	secrets map[string]secret // the Secrets in the cluster, by namespace
	dropped []string          // namespaces whose Secrets are forgotten besides
}

// release returns the release of that name; nil if the state, which may be nil, has none.
func (s *State) release(key types.NamespacedName) *Release {
	if s != nil {
		for i := range s.Releases {
			if s.Releases[i].key() == key {
				return &s.Releases[i]
			}
		}
	}
	return nil
}

// secret identifies a Secret as it was read: no other one is overwritten or deleted.
type secret struct {
	uid             types.UID
	resourceVersion string
	// foreign says that it is another program's Secret of this name.
	foreign bool
}

// namespace is that of the controller's release.
func (s State) namespace() string { return s.Releases[0].Namespace }

func secretOf(s State) string {
	return fmt.Sprintf("Secret %s in namespace %s", SecretName, s.namespace())
}

// namespaces returns the namespaces that have a Secret, the controller's last. So the list of releases is
// written after their values, and deleted after them.
func (s State) namespaces() []string {
	all := map[string]bool{}
	for _, r := range s.Releases {
		all[r.Namespace] = true
	}
	delete(all, s.namespace())
	return append(slices.Sorted(maps.Keys(all)), s.namespace())
}

// forgotten returns the namespaces whose Secrets go at the end, the controller's last.
func (s State) forgotten() []string {
	own := s.namespaces()
	return append(slices.DeleteFunc(slices.Clone(s.dropped), func(n string) bool { return slices.Contains(own, n) }), own...)
}

// valuesKey and hooksKey are the keys of the Secret in a release's namespace that hold its values and hooks,
// compressed.
func valuesKey(r Release) string { return "values." + r.Name + ".gz" }
func hooksKey(r Release) string  { return "hooks." + r.Name + ".gz" }

func (s State) version() string {
	if s.Way.inPlace() {
		return inPlaceVersion
	}
	return stateVersion
}

// document is the State as it is saved.
type document struct {
	Version string `json:"version"`
	State
}

// encode returns the data of the Secrets, by namespace.
func encode(s State) (map[string]map[string][]byte, error) {
	text, err := json.MarshalIndent(document{s.version(), s}, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("the state of the upgrade as JSON: %w", err)
	}
	data := map[string]map[string][]byte{s.namespace(): {stateKey: text}}
	if s.Swap != nil {
		if data[s.namespace()][crdsKey], err = s.Swap.packCRDs(); err != nil {
			return nil, err
		}
		data[s.namespace()][runKey] = []byte(s.run)
	}
	for _, r := range s.Releases {
		in := data[r.Namespace]
		if in == nil {
			in = map[string][]byte{}
			data[r.Namespace] = in
		}
		var values bytes.Buffer
		// Indented, not parsed: so every number stays as it is.
		if err := json.Indent(&values, r.values(), "", "  "); err != nil {
			return nil, fmt.Errorf("the values of release %s: %w", r, err)
		}
		in[valuesKey(r)] = gzip.Pack(values.Bytes())
		if len(r.Hooks) > 0 {
			hooks, err := json.Marshal(r.Hooks)
			if err != nil {
				return nil, fmt.Errorf("the hook of release %s as JSON: %w", r, err)
			}
			in[hooksKey(r)] = gzip.Pack(hooks)
		}
	}
	for _, namespace := range s.namespaces() {
		size := 0
		for key, value := range data[namespace] {
			size += len(key) + len(value)
		}
		if size > stateBytes {
			return nil, fmt.Errorf("the state to save in namespace %s has %d bytes compressed, and a Secret can hold %d",
				namespace, size, stateBytes)
		}
	}
	return data, nil
}

// decode undoes encode, without values and hooks. Helm gets all of it as arguments, so it accepts only
// what encode can have written.
func decode(data map[string][]byte, namespace string) (*State, error) {
	if data[stateKey] == nil {
		return nil, fmt.Errorf("it has no key %s: if an upgrade has written it, the controller's release was in another namespace", stateKey)
	}
	var d document
	if err := json.Unmarshal(data[stateKey], &d); err != nil {
		return nil, fmt.Errorf("its key %s: %w", stateKey, err)
	}
	if want := d.version(); d.Version != want {
		return nil, fmt.Errorf("it has the version %q, and only %s is known", d.Version, want)
	}
	if (d.Way == BySwap) != (d.Swap != nil) {
		return nil, errors.New("it does not say how far it is")
	}
	if len(d.Releases) == 0 {
		return nil, errors.New("it names no releases")
	}
	if first := d.Releases[0]; !first.Controller || first.Namespace != namespace {
		return nil, fmt.Errorf("its first release is %q in namespace %q, and not the controller's in this namespace", first.Name, first.Namespace)
	}
	if err := d.wrong(); err != nil {
		return nil, err
	}
	return &d.State, nil
}

// wrong says what in a state cannot be an argument of Helm.
func (s State) wrong() error {
	for i, r := range s.Releases {
		switch {
		case !isName(r.Name) || !isName(r.Namespace):
			return fmt.Errorf("no release can be called %q in namespace %q", r.Name, r.Namespace)
		case r.Driver != "secret" && r.Driver != "configmap":
			return fmt.Errorf("release %s: Helm has no records of the kind %q", r, r.Driver)
		case i > 0 && r.Controller:
			return fmt.Errorf("release %s would be a second controller", r)
		}
	}
	for _, c := range []Chart{s.Target.Controller, s.Target.ScaleSets} {
		place := c.Ref == "" || filepath.IsAbs(c.Ref) || strings.HasPrefix(c.Ref, oci)
		if !place || strings.HasPrefix(c.Version, "-") || c.Ref != printable(c.Ref) || c.Version != printable(c.Version) {
			return fmt.Errorf("%q of version %q is no chart", c.Ref, c.Version)
		}
	}
	return nil
}

// restore reads a release's values and hooks from the Secret in its namespace.
func (r *Release) restore(data map[string][]byte) (err error) {
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

func unpack(data map[string][]byte, key string) ([]byte, error) {
	text, err := gzip.Unpack(data[key], unpackedBytes)
	if err != nil {
		return nil, fmt.Errorf("its key %s: %w", key, err)
	}
	return text, nil
}

// load reads the state of an unfinished upgrade, without values and hooks; nil if there is none.
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

// values reads the Secrets in the namespaces of all releases, and from them the values of the saved
// releases. A tenant who breaks a Secret loses the tenant's own releases, and no others.
func (l *surveyor) values() error {
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
		if s := l.s.Saved; s != nil && s.Swap != nil && s.namespace() == namespace {
			if err := s.Swap.unpackCRDs(data); err != nil {
				return fmt.Errorf("secret %s/%s: %w", namespace, SecretName, err)
			}
		}
		for _, r := range saved[namespace] {
			if err := r.restore(data); err != nil {
				r.lost = fmt.Errorf("secret %s/%s: %w", namespace, SecretName, err)
			}
		}
	}
	return nil
}

// get reads the Secret in a namespace and notes its identity in at. A Secret of another program has no
// data.
func get(ctx context.Context, c *kube.Client, namespace string, at map[string]secret) (map[string][]byte, error) {
	o, err := c.Get(ctx, object.Secrets, namespace, SecretName)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
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
