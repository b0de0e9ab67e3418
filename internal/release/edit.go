package release

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/arc-cleanup/arc-cleanup/internal/kube"
	"github.com/arc-cleanup/arc-cleanup/internal/shell"
)

const (
	// secretType and namePrefix carry the version of the one format there is
	// (helm.sh/helm pkg/storage/storage.go, pkg/storage/driver/secrets.go).
	secretType = "helm.sh/release.v1"
	namePrefix = "sh.helm.release.v1."

	// turns bounds how often a record is read again that changes under our hands.
	turns = 10
)

// Revision is one revision of a release with all that is in its record.
type Revision struct {
	Record
	// Manifest is what the revision installs, hooks apart.
	Manifest string
	Hooks    []Hook
	// Config holds the user's values, as JSON.
	Config json.RawMessage
	// Driver is the HELM_DRIVER under which Helm finds it: secret or configmap.
	Driver string
	// ServerSide says that Helm applied it on the server's side.
	ServerSide bool

	resource schema.GroupVersionResource
	object   *unstructured.Unstructured
	raw      []byte // the record's JSON
}

// Label returns what the first object of the manifest that has this label has for
// it; "" if none has.
func (r *Revision) Label(key string) string {
	for document := range documents(r.Manifest) {
		if !strings.Contains(document, key) {
			continue
		}
		var o struct {
			Metadata struct{ Labels map[string]string }
		}
		if (parse(head(document), &o) || parse(document, &o)) && o.Metadata.Labels[key] != "" {
			return o.Metadata.Labels[key]
		}
	}
	return ""
}

// Hook is one hook of a record. What is not read here is kept as it was.
type Hook struct {
	Name, Kind, Manifest string

	raw json.RawMessage
}

// UnmarshalJSON reads a hook as Helm stores it (helm.sh/helm pkg/release, Hook).
func (h *Hook) UnmarshalJSON(data []byte) error {
	var read struct{ Name, Kind, Manifest string }
	if err := json.Unmarshal(data, &read); err != nil {
		return err
	}
	*h = Hook{read.Name, read.Kind, read.Manifest, bytes.Clone(data)}
	return nil
}

// MarshalJSON writes the hook as it was read.
func (h Hook) MarshalJSON() ([]byte, error) { return h.raw, nil }

// Unfit says why a record is not edited. Nothing was written.
type Unfit struct{ Why string }

func (u Unfit) Error() string { return u.Why + "; nothing was written" }

// NotEditable is a revision in a state in which it is not edited. Nothing was
// written.
type NotEditable struct{ Record }

func (n NotEditable) Error() string { return n.Why() + "; nothing was written" }

// Why says what keeps the revision from being edited, and what helps.
func (n NotEditable) Why() string {
	because := n.because()
	if because == "" {
		return fmt.Sprintf("release %s in namespace %s is in the state %q (revision %d), which is not known", n.Name, n.Namespace, n.Status, n.Revision)
	}
	return fmt.Sprintf("release %s in namespace %s is %s (revision %d): %s", n.Name, n.Namespace, n.Status, n.Revision, because)
}

func (n NotEditable) because() string {
	helm := func(command string) string {
		return "`" + shell.Command("helm", command, n.Name, "--namespace", n.Namespace) + "`"
	}
	switch n.Status {
	case PendingInstall:
		return "Helm is at work on it, and would overwrite what is edited now; try again when it is done; if it was stopped, " + helm("uninstall") + " and install it again"
	case PendingUpgrade, PendingRollback:
		return "Helm is at work on it, and would overwrite what is edited now; try again when it is done; if it was stopped, " + helm("rollback") + " ends that"
	case Uninstalling:
		return "it is being uninstalled, with the hooks it has; " + helm("uninstall") + " goes on with that, and `arc-cleanup run` removes what it leaves of ARC"
	case Uninstalled:
		return "only its history is kept, and no hook of it will run; `arc-cleanup plan` shows what it has left of ARC"
	}
	return ""
}

// Edit replaces the hooks of a release's newest revision, and nothing else in
// its record. The revision has to be Editable. change is given the revision and
// returns the hooks it shall have, and whether that is to be written; a record that
// has changed meanwhile is read and given again.
//
// Errors: a NotEditable; an Unfit; ErrNotFound; what change returns.
func Edit(ctx context.Context, c *kube.Client, namespace, name string, change func(*Revision) (hooks []Hook, write bool, err error)) error {
	for turn := 1; ; turn++ {
		r, err := editable(ctx, c, namespace, name)
		if err != nil {
			return err
		}
		hooks, write, err := change(r)
		if err != nil || !write {
			return err
		}
		if err := r.setHooks(hooks); err != nil {
			return err
		}
		err = kube.Retry(ctx, func(ctx context.Context) error {
			_, err := c.Dynamic.Resource(r.resource).Namespace(namespace).Update(ctx, r.object, metav1.UpdateOptions{})
			return err
		})
		if apierrors.IsConflict(err) && turn < turns {
			continue
		}
		if err != nil {
			return fmt.Errorf("writing the Helm record %s/%s: %w", namespace, r.object.GetName(), err)
		}
		return nil
	}
}

// editable reads the newest revision of a release and checks that it may be
// edited.
func editable(ctx context.Context, c *kube.Client, namespace, name string) (found *Revision, err error) {
	var failed error
	n := 0
	err = Each(ctx, c, namespace, name, func(r *Revision, err error) {
		n++
		found, failed = r, cmp.Or(failed, err)
	})
	if err := cmp.Or(err, failed); err != nil {
		return nil, err
	}
	switch {
	case n == 0:
		return nil, fmt.Errorf("%w: %q in namespace %q, neither in Secrets nor in ConfigMaps; what Helm keeps in SQL (HELM_DRIVER=sql) cannot be edited", ErrNotFound, name, namespace)
	case n > 1:
		return nil, Unfit{fmt.Sprintf("release %s in namespace %s is recorded both in Secrets and in ConfigMaps, and only its user knows which of them Helm reads", name, namespace)}
	case found.StoredElsewhere():
		return nil, Unfit{fmt.Sprintf("the record %s/%s is of a release in namespace %q, and not edited: who keeps it here, as Flux does, has to add the hook, with the chart as a dependency", namespace, found.object.GetName(), found.Namespace)}
	case !found.Status.Editable():
		return nil, NotEditable{found.Record}
	}
	return found, nil
}

// setHooks puts hooks into the object that holds the record.
func (r *Revision) setHooks(hooks []Hook) error {
	// Field by field, so that what a later Helm writes stays.
	var record map[string]json.RawMessage
	if err := json.Unmarshal(r.raw, &record); err != nil {
		return fmt.Errorf("reading the record of release %s: %w", r.Name, err)
	}
	delete(record, "hooks") // as Helm does where there are none
	if len(hooks) > 0 {
		all, err := json.Marshal(hooks)
		if err != nil {
			return fmt.Errorf("writing the hooks of release %s: %w", r.Name, err)
		}
		record["hooks"] = all
	}
	raw, err := json.Marshal(record)
	if err != nil {
		return fmt.Errorf("writing the record of release %s: %w", r.Name, err)
	}
	data := encode(raw)
	if len(data) > maxSize {
		return Unfit{fmt.Sprintf("with these hooks the record of release %s in namespace %s would have %d bytes, and Kubernetes stores %d", r.Name, r.Namespace, len(data), maxSize)}
	}
	if r.object.GetKind() == "Secret" {
		data = base64.StdEncoding.EncodeToString([]byte(data))
	}
	return unstructured.SetNestedField(r.object.Object, data, "data", "release")
}

// encode does what helm.sh/helm pkg/storage/driver/util.go does.
func encode(raw []byte) string {
	var b bytes.Buffer
	z, _ := gzip.NewWriterLevel(&b, gzip.BestCompression) // fails for an unknown level only
	_, _ = z.Write(raw)                                   // into memory, as Close
	_ = z.Close()
	return base64.StdEncoding.EncodeToString(b.Bytes())
}
