package status

import (
	"context"
	"slices"
	"time"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/detect"
	"github.com/arc-cleanup/arc-cleanup/internal/helm"
	"github.com/arc-cleanup/arc-cleanup/internal/release"
)

// revisions is how many earlier revisions of a release status reads: as many as Helm keeps by default.
const revisions = 10

// rollbacks returns the earlier revisions with another version of ARC, of which a controller deletes scale
// sets. An upgrade in place leaves such revisions in Helm's history.
func (r *reader) rollbacks(rev *helm.Record, a *detect.Anchor) (out []Revision) {
	if a.Scope == detect.Legacy || a.Version == "" || !rev.Status.Installed() {
		return nil
	}
	begun := time.Now()
	ctx, cancel := context.WithTimeout(r.ctx, max(0, r.patience))
	defer cancel()
	defer func() { r.patience -= time.Since(begun) }()
	last := len(rev.Storage) - 1 // this revision
	for _, o := range slices.Backward(rev.Storage[max(0, last-revisions):max(0, last)]) {
		if ctx.Err() != nil {
			break
		}
		earlier, err := release.At(ctx, r.client, o)
		if err != nil {
			continue // Helm cannot roll back to what is no record
		}
		to, _, err := detect.Find([]byte(earlier.Manifest))
		if err == nil && to != nil && to.Version != "" && !arc.Tolerates(a.Version, to.Version) {
			out = append(out, Revision{earlier.Revision, to.Version})
		}
	}
	return out
}
