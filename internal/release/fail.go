package release

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/arc-cleanup/arc-cleanup/internal/kube"
)

// Fail records that a pending revision has failed, if it is the newest. A Helm that was killed leaves it
// pending, and `helm upgrade` refuses to go on. The caller has to know that no Helm is at work on it.
func Fail(ctx context.Context, c *kube.Client, namespace, name string) error {
	var failed error
	err := Each(ctx, c, namespace, name, func(r *Revision, err error) {
		if failed != nil || err != nil {
			failed = errors.Join(failed, err)
			return
		}
		if r.StoredElsewhere() || !r.Status.Pending() {
			return
		}
		if failed = r.setStatus(Failed); failed == nil {
			_, failed = c.Update(ctx, r.resource, r.object)
		}
	})
	return errors.Join(err, failed)
}

// setStatus puts a status into the object that holds the record, and into its labels.
func (r *Revision) setStatus(status Status) error {
	err := r.edit(func(record map[string]json.RawMessage) error {
		var info map[string]json.RawMessage
		if err := json.Unmarshal(record["info"], &info); err != nil {
			return fmt.Errorf("reading the state of release %s: %w", r.Name, err)
		}
		text, err := json.Marshal(status)
		if err != nil {
			return err
		}
		info["status"] = text
		record["info"], err = json.Marshal(info)
		return err
	})
	labels := r.object.GetLabels()
	labels["status"] = string(status)
	r.object.SetLabels(labels)
	return err
}
