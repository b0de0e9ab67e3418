package status

import (
	"context"
	"time"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/detect"
	"github.com/arc-cleanup/arc-cleanup/internal/helm"
	"github.com/arc-cleanup/arc-cleanup/internal/survey"
)

// lackingCRDs returns the CRDs in the cluster that are not those of a controller's chart. Helm has installed
// them with the first revision, and an upgrade of the release does not change them.
func (r *reader) lackingCRDs(rev *helm.Record, a *detect.Anchor) []arc.LackingCRD {
	if a.Scope != detect.Controller || !rev.Status.Installed() || r.patience <= 0 {
		return nil
	}
	begun := time.Now()
	ctx, cancel := context.WithTimeout(r.ctx, r.patience)
	defer cancel()
	defer func() { r.patience -= time.Since(begun) }()
	crds, err := detect.CRDs(rev)
	if err != nil {
		r.note(err)
		return nil
	}
	lacking, err := survey.LackingCRDs(ctx, r.client, crds)
	if err != nil {
		r.unknown(err)
	}
	return lacking
}
