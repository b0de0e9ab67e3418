package release

import (
	"context"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/arc-cleanup/arc-cleanup/internal/helm"
	"github.com/arc-cleanup/arc-cleanup/internal/kube"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
)

// Earlier reads another revision of a release than its newest one.
func Earlier(ctx context.Context, c *kube.Client, newest *helm.Record, revision int) (*helm.Record, error) {
	name := fmt.Sprintf("%s%s.v%d", namePrefix, newest.Name, revision)
	i := slices.IndexFunc(newest.Storage, func(o object.Object) bool { return o.Name == name })
	if i < 0 {
		return nil, fmt.Errorf("%w: revision %d of release %s in namespace %s", ErrNotFound, revision, newest.Name, newest.Namespace)
	}
	return At(ctx, c, newest.Storage[i])
}

// At reads the revision that an object holds.
func At(ctx context.Context, c *kube.Client, o object.Object) (*helm.Record, error) {
	r, _, err := entry{Object: o}.read(ctx, c)
	return r, err
}

// Bases reads the revisions of a release that Helm compares with what it is to apply: the newest one, and those
// that the label status calls deployed (helm.sh/helm pkg/action/upgrade.go, prepareUpgrade). driver is a Record's.
func Bases(ctx context.Context, c *kube.Client, namespace, name, driver string) (out []*helm.Record, err error) {
	all, err := histories(ctx, c, namespace, name, storage...)
	if err != nil {
		return nil, err
	}
	for _, h := range all {
		for i, e := range h {
			if e.driver() != driver || i > 0 && e.status != helm.Deployed {
				continue
			}
			r, _, err := e.read(ctx, c)
			if apierrors.IsNotFound(err) {
				continue
			}
			if err != nil {
				return nil, err
			}
			out = append(out, r)
		}
	}
	return out, nil
}

// driver is the value of HELM_DRIVER with which Helm finds the entry.
func (e entry) driver() string {
	if e.Resource == object.ConfigMaps {
		return "configmap"
	}
	return "secret"
}

// Revision reads a revision of a release. driver is a Record's.
func Revision(ctx context.Context, c *kube.Client, namespace, name, driver string, revision int) (*helm.Record, error) {
	at := object.Object{Resource: object.Secrets, Namespace: namespace, Name: fmt.Sprintf("%s%s.v%d", namePrefix, name, revision)}
	if driver == "configmap" {
		at.Resource = object.ConfigMaps
	}
	return At(ctx, c, at)
}
