package survey

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/internal/helm"
	"github.com/arc-cleanup/arc-cleanup/internal/kube"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
	"github.com/arc-cleanup/arc-cleanup/internal/release"
)

// prove checks in Helm's records whether the installed objects that name a release are part of it.
// The result is used for advice only, so a failed read only means "not proved". It reads one record at
// a time: anyone may write one, and each may take most of a hook's memory.
func (r *reading) prove() {
	r.s.Proven = map[types.UID]bool{}
	ctx, cancel := advice(r.ctx)
	defer cancel()
	claims := slices.Clone(r.s.Custom)
	if r.s.ProofErr != nil {
		for _, c := range r.s.Controllers {
			claims = append(claims, c.Object)
		}
	}
	for _, o := range claims {
		if o.Deleting || o.Owner != "" || o.Release.Name == "" || !r.o.RemovesCRDs() {
			continue
		}
		r.proveManager(ctx, o, r.s.Managers[o.UID])
		at := release.Place{Namespace: o.Release.Namespace}
		if release.Installing(ctx, r.c, at, o.Release.Name, func(m helm.Object) bool { return isOf(o, m) }) != nil {
			r.s.Proven[o.UID] = true
		}
	}
}

// isOf reports whether an object of a manifest is this object.
func isOf(o *object.Object, m helm.Object) bool {
	group, _, _ := strings.Cut(m.APIVersion, "/")
	return group == o.Resource.Group && strings.ToLower(m.Kind)+"s" == o.Resource.Resource &&
		cmp.Or(m.Namespace, o.Release.Namespace) == o.Namespace && m.Name == o.Name
}

// proof reads what decides whether the run may do anything: the off switch, and the proof of an
// uninstall. plan/proof.go decides whether it is one.
func (r *reading) proof() {
	if r.o.ReleaseNamespace != "" {
		r.read(OffSwitchRead, func(add func(func())) error {
			off, err := SwitchedOff(r.ctx, r.c, r.o.ReleaseNamespace)
			add(func() { r.s.Off = off })
			return err
		})
	}
	if r.o.Job != "" && !r.o.RequireUninstalling {
		r.read("the hook's Job", func(add func(func())) error {
			byArgoCD, err := MadeByArgoCD(r.ctx, r.c, r.o.ReleaseNamespace, r.o.Job)
			add(func() { r.s.ByArgoCD = byArgoCD })
			return err
		})
	}
	r.read("the Helm release", func(add func(func())) error {
		record, err := FindRecord(r.ctx, r.c, r.o)
		if errors.Is(err, release.ErrNotFound) || errors.Is(err, release.ErrAmbiguous) {
			add(func() { r.s.ProofErr = err })
			return nil
		}
		add(func() { r.s.Record = record })
		return err
	})
}

// TrackingID is the annotation that Argo CD puts on everything that it renders, including hooks:
// APPLICATION:GROUP/KIND:NAMESPACE/NAME (argoproj/argo-cd v3.3.0 util/argo/resource_tracking.go;
// tracking by annotation is the default since 3.0). Argo CD creates a pre-delete hook only while it
// deletes the Application (controller/hook.go, executeHooks). Tools that create a chart's hooks as
// ordinary objects leave no such mark.
const TrackingID = "argocd.argoproj.io/tracking-id"

// MadeByArgoCD reports whether Argo CD created a Job.
func MadeByArgoCD(ctx context.Context, c *kube.Client, namespace, name string) (bool, error) {
	m, err := c.GetMetadata(ctx, object.Jobs, namespace, name)
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return strings.HasSuffix(m.Annotations[TrackingID], fmt.Sprintf(":batch/Job:%s/%s", namespace, name)), nil
}

// FindRecord finds Helm's record of the release that the options name: by its name, or by the name of
// the hook's Job, which is among its hooks. It is nil if they name none.
func FindRecord(ctx context.Context, c *kube.Client, o plan.Options) (*helm.Record, error) {
	at := release.Place{Namespace: o.ReleaseNamespace, Storage: o.StorageNamespace}
	switch {
	case o.Release != "":
		return release.Get(ctx, c, at, o.Release)
	case o.Job != "":
		return release.ByHookJob(ctx, c, at, o.Job)
	}
	return nil, nil
}
