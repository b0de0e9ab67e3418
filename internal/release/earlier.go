package release

import (
	"context"
	"fmt"
	"slices"

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
