package release

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/arc-cleanup/arc-cleanup/internal/gzip"
	"github.com/arc-cleanup/arc-cleanup/internal/kube"
	"github.com/arc-cleanup/arc-cleanup/internal/shell"
)

const (
	// secretType and namePrefix have the version of the only format
	// (helm.sh/helm pkg/storage/storage.go, pkg/storage/driver/secrets.go).
	secretType = "helm.sh/release.v1"
	namePrefix = "sh.helm.release.v1."

	// turns bounds how often a record that keeps changing is read again.
	turns = 10
)

// Revision is one revision of a release, with its whole record. A manifest may have 16 MiB: what is kept
// for long is the Record alone.
type Revision struct {
	Record
	// Manifest is what the revision installs, without hooks.
	Manifest string
	Hooks    []Hook
	// Config holds the user's values, as JSON.
	Config json.RawMessage
	// Driver is the HELM_DRIVER with which Helm finds it: secret or configmap.
	Driver string
	// ServerSide says that Helm used a server-side apply.
	ServerSide bool

	resource schema.GroupVersionResource
	object   *unstructured.Unstructured
	raw      []byte // the record's JSON
}

// Label returns the value of a label, from the first object of the manifest that has it; "" if none has.
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

// Hook is one hook of a record. Fields that are not read here are kept as they are.
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

// NotEditable is a revision whose state does not allow edits. Nothing was written.
type NotEditable struct{ Record }

func (n NotEditable) Error() string { return n.Why() + "; nothing was written" }

// Why says why the revision is not edited, and what helps.
func (n NotEditable) Why() string {
	because := n.because()
	if because == "" {
		return fmt.Sprintf("release %s in namespace %s is in the state %q (revision %d), which is not known",
			n.Name, n.Namespace, n.Status, n.Revision)
	}
	return fmt.Sprintf("release %s in namespace %s is %s (revision %d): %s", n.Name, n.Namespace, n.Status, n.Revision, because)
}

func (n NotEditable) because() string {
	helm := func(command string) string {
		return "`" + shell.Command("helm", command, n.Name, "--namespace", n.Namespace) + "`"
	}
	const atWork = "Helm is at work on it, and would overwrite the edit; try again when Helm has finished; if it was stopped, "
	switch n.Status {
	case PendingInstall:
		return atWork + helm("uninstall") + " and install it again"
	case PendingUpgrade, PendingRollback:
		return atWork + helm("rollback") + " ends that"
	case Uninstalling:
		return "it is being uninstalled with its present hooks; " + helm("uninstall") +
			" goes on with that, and `arc-cleanup run` removes what it leaves of ARC"
	case Uninstalled:
		return "only its history is kept, and no hook of it will run; `arc-cleanup plan` shows what it has left of ARC"
	}
	return ""
}

// Edit replaces the hooks in the record of a release's newest revision, and nothing else. The revision has
// to be Editable. change gets the revision, and returns its new hooks and whether to write them. If the
// record has changed since it was read, Edit reads it and calls change again.
//
// It returns a NotEditable, an Unfit, ErrNotFound, or the error of change.
func Edit(
	ctx context.Context, c *kube.Client, namespace, name string, change func(*Revision) (hooks []Hook, write bool, err error),
) error {
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
		if _, err = c.Update(ctx, r.resource, r.object); !apierrors.IsConflict(err) || turn == turns {
			return err
		}
	}
}

// editable reads the newest revision of a release and checks that it can be edited.
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
		return nil, fmt.Errorf("%w: %q in namespace %q, neither in Secrets nor in ConfigMaps; records in SQL (HELM_DRIVER=sql) cannot be edited",
			ErrNotFound, name, namespace)
	case n > 1:
		return nil, Unfit{fmt.Sprintf("release %s in namespace %s is recorded both in Secrets and in ConfigMaps, "+
			"and only its user knows which of them Helm reads", name, namespace)}
	case found.StoredElsewhere():
		return nil, Unfit{fmt.Sprintf("the record %s/%s is of a release in namespace %q, and is not edited: "+
			"the tool that stores it here, such as Flux, has to add the hook; make arc-cleanup a dependency of the chart",
			namespace, found.object.GetName(), found.Namespace)}
	case !found.Status.Editable():
		return nil, NotEditable{found.Record}
	}
	return found, nil
}

// setHooks puts hooks into the object that holds the record.
func (r *Revision) setHooks(hooks []Hook) error {
	return r.edit(func(record map[string]json.RawMessage) error {
		delete(record, "hooks") // as Helm does if there are none
		if len(hooks) == 0 {
			return nil
		}
		all, err := json.Marshal(hooks)
		if err != nil {
			return fmt.Errorf("writing the hooks of release %s: %w", r.Name, err)
		}
		record["hooks"] = all
		return nil
	})
}

// edit changes the record in the object that holds it.
func (r *Revision) edit(change func(record map[string]json.RawMessage) error) error {
	// Field by field, so that fields of a later Helm stay.
	var record map[string]json.RawMessage
	if err := json.Unmarshal(r.raw, &record); err != nil {
		return fmt.Errorf("reading the record of release %s: %w", r.Name, err)
	}
	if err := change(record); err != nil {
		return err
	}
	raw, err := json.Marshal(record)
	if err != nil {
		return fmt.Errorf("writing the record of release %s: %w", r.Name, err)
	}
	data := base64.StdEncoding.EncodeToString(gzip.Pack(raw)) // as helm.sh/helm pkg/storage/driver/util.go does
	if len(data) > maxSize {
		return Unfit{fmt.Sprintf("with these hooks the record of release %s in namespace %s would have %d bytes, and Kubernetes stores %d",
			r.Name, r.Namespace, len(data), maxSize)}
	}
	if r.object.GetKind() == "Secret" {
		data = base64.StdEncoding.EncodeToString([]byte(data))
	}
	return unstructured.SetNestedField(r.object.Object, data, "data", "release")
}
