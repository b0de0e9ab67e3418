package upgrade

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/arc-cleanup/arc-cleanup/internal/kube"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
)

// save writes the state into its Secrets. It overwrites only those that were read. If it cannot write all, it takes back
// those that it has created.
func save(ctx context.Context, c *kube.Client, s State) error {
	s.Written = time.Now().UTC().Truncate(time.Second)
	data, err := encode(s)
	if err != nil {
		return err
	}
	created := State{Releases: s.Releases, secrets: map[string]secret{}}
	for _, namespace := range s.namespaces() {
		_, is := s.secrets[namespace]
		if err := put(ctx, c, namespace, data[namespace], s.secrets); err != nil {
			return errors.Join(err, created.takeBack(ctx, c))
		}
		if !is {
			created.secrets[namespace] = s.secrets[namespace]
		}
	}
	return nil
}

// takeBackTime bounds the deletion of what was saved in vain, also after an interruption.
const takeBackTime = 10 * time.Second

// takeBack deletes Secrets that hold values and that nothing refers to.
func (s State) takeBack(ctx context.Context, c *kube.Client) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), takeBackTime)
	defer cancel()
	for namespace, at := range s.secrets {
		if err := remove(ctx, c, namespace, at); err != nil {
			return fmt.Errorf("the Secret %s in namespace %s, which holds values, is left: %w", SecretName, namespace, err)
		}
	}
	return nil
}

// saveProgress writes how far the upgrade is. Values and hooks do not change, so no other namespace is written to: whoever
// writes to a Secret there, or deletes it, does not stop the upgrade half-way.
func saveProgress(ctx context.Context, c *kube.Client, s State) error {
	s.Written = time.Now().UTC().Truncate(time.Second)
	data, err := encode(s)
	if err != nil {
		return err
	}
	return put(ctx, c, s.namespace(), data[s.namespace()], s.secrets)
}

// put writes one Secret: it overwrites the one that was read, or creates one.
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
	write := c.Create
	if is {
		o.SetUID(there.uid)
		o.SetResourceVersion(there.resourceVersion)
		write = c.Update
	}
	written, err := write(ctx, object.Secrets, o)
	switch {
	case apierrors.IsConflict(err), apierrors.IsAlreadyExists(err), apierrors.IsNotFound(err):
		return fmt.Errorf("%w: %w", err, errChanged)
	case err != nil:
		return err
	}
	at[namespace] = secret{uid: written.GetUID(), resourceVersion: written.GetResourceVersion()}
	return nil
}

// forget deletes the Secrets, unless another run has written the one that names the releases since. A Secret beside scale
// sets goes also if its tenant has changed it.
func forget(ctx context.Context, c *kube.Client, s State) error {
	home, there := s.secrets[s.namespace()]
	if there && !home.foreign {
		now := map[string]secret{}
		if _, err := get(ctx, c, s.namespace(), now); err != nil {
			return err
		}
		if is, left := now[s.namespace()]; left && is != home {
			return fmt.Errorf("the %s is not deleted: %w", secretOf(s), errChanged)
		}
	}
	for _, namespace := range s.forgotten() {
		if at, there := s.secrets[namespace]; there && !at.foreign {
			if err := remove(ctx, c, namespace, at); err != nil {
				return err
			}
		}
	}
	return nil
}

func remove(ctx context.Context, c *kube.Client, namespace string, at secret) error {
	t := object.Object{Resource: object.Secrets, Namespace: namespace, Name: SecretName, UID: at.uid}
	return c.Delete(ctx, t, metav1.DeletePropagationBackground)
}
