package release

import (
	"cmp"
	"context"
	"encoding/base64"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/arc-cleanup/arc-cleanup/internal/helm"
	"github.com/arc-cleanup/arc-cleanup/internal/kube"
	"github.com/arc-cleanup/arc-cleanup/internal/shell"
)

// turns bounds how often a record that keeps changing is read again.
const turns = 10

// Unfit says why a record is not edited. Nothing was written.
type Unfit struct {
	Why string
	// Record is set instead of Why if its state does not allow edits.
	Record *helm.Record
}

func (u Unfit) Error() string {
	if u.Record != nil {
		u.Why = WhyNot(u.Record)
	}
	return u.Why + "; nothing was written"
}

// WhyNot says why a revision in a state that is not editable is not edited, and what helps.
func WhyNot(r *helm.Record) string {
	command := func(command string) string {
		return "`" + shell.Command("helm", command, r.Name, "--namespace", r.Namespace) + "`"
	}
	const atWork = "Helm is at work on it, and would overwrite the edit; try again when Helm has finished; if it was stopped, "
	because := ""
	switch r.Status {
	case helm.PendingInstall:
		because = atWork + command("uninstall") + " and install it again"
	case helm.PendingUpgrade, helm.PendingRollback:
		because = atWork + command("rollback") + " ends that"
	case helm.Uninstalling:
		because = "it is being uninstalled with its present hooks; " + command("uninstall") +
			" goes on with that, and `arc-cleanup run --all-namespaces` removes what it leaves of ARC"
	case helm.Uninstalled:
		because = "only its history is kept, and no hook of it will run; `arc-cleanup plan --all-namespaces` shows what it has left of ARC"
	default:
		return fmt.Sprintf("release %s in namespace %s is in the state %q (revision %d), which is not known",
			r.Name, r.Namespace, r.Status, r.Revision)
	}
	return fmt.Sprintf("release %s in namespace %s is %s (revision %d): %s", r.Name, r.Namespace, r.Status, r.Revision, because)
}

// Edit replaces the hooks in the record of a release's newest revision, and nothing else. The revision has
// to be Editable. change gets the revision, and returns its new hooks and whether to write them. If the
// record has changed since it was read, Edit reads it and calls change again.
//
// It returns an Unfit, ErrNotFound, or the error of change.
func Edit(
	ctx context.Context, c *kube.Client, namespace, name string, change func(*helm.Record) (hooks []helm.Hook, write bool, err error),
) error {
	for turn := 1; ; turn++ {
		r, holder, err := editable(ctx, c, namespace, name)
		if err != nil {
			return err
		}
		hooks, write, err := change(r)
		if err != nil || !write {
			return err
		}
		if err := setHooks(holder, r, hooks); err != nil {
			return err
		}
		at := r.Storage[len(r.Storage)-1].Resource
		if _, err = c.Update(ctx, at, holder); !apierrors.IsConflict(err) || turn == turns {
			return err
		}
	}
}

// editable reads the newest revision of a release, with the object that holds its record, and checks that it
// can be edited.
func editable(
	ctx context.Context, c *kube.Client, namespace, name string,
) (found *helm.Record, holder *unstructured.Unstructured, err error) {
	var failed error
	n := 0
	err = each(ctx, c, namespace, name, func(r *helm.Record, o *unstructured.Unstructured, err error) {
		n++
		found, holder, failed = r, o, cmp.Or(failed, err)
	})
	if err == nil {
		err = failed
	}
	switch {
	case err != nil:
	case n == 0:
		err = fmt.Errorf("%w: %q in namespace %q, neither in Secrets nor in ConfigMaps; records in SQL (HELM_DRIVER=sql) cannot be edited",
			ErrNotFound, name, namespace)
	case n > 1:
		err = Unfit{Why: fmt.Sprintf("release %s in namespace %s is recorded both in Secrets and in ConfigMaps, "+
			"and only its user knows which of them Helm reads", name, namespace)}
	case found.StoredElsewhere():
		err = Unfit{Why: fmt.Sprintf("the record %s/%s is of a release in namespace %q, and is not edited: "+
			"the tool that stores it here, such as Flux, has to add the hook; make arc-cleanup a dependency of the chart",
			namespace, holder.GetName(), found.Namespace)}
	case !found.Status.Editable():
		err = Unfit{Record: found}
	}
	return found, holder, err
}

// setHooks puts hooks into the object that holds a record.
func setHooks(holder *unstructured.Unstructured, r *helm.Record, hooks []helm.Hook) error {
	data, err := r.Encode(hooks)
	if err != nil {
		return err
	}
	if len(data) > helm.MaxSize {
		return Unfit{Why: fmt.Sprintf("with these hooks the record of release %s in namespace %s would have %d bytes, and Kubernetes stores %d",
			r.Name, r.Namespace, len(data), helm.MaxSize)}
	}
	return putRecord(holder, data)
}

// putRecord puts a record into the object that holds it.
func putRecord(holder *unstructured.Unstructured, data []byte) error {
	text := string(data)
	if holder.GetKind() == "Secret" {
		text = base64.StdEncoding.EncodeToString(data)
	}
	return unstructured.SetNestedField(holder.Object, text, "data", "release")
}
