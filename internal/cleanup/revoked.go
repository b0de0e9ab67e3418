package cleanup

import (
	"context"
	"errors"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/arc-cleanup/arc-cleanup/internal/kube"
)

// errRevoked is the cause of a context that ended because the hook has no rights any
// more.
var errRevoked = errors.New("the hook's rights are gone")

// revokedLook bounds the look after everything else is over: of the time after SIGTERM
// the last survey and the Event take most.
const revokedLook = time.Second

// revoked reports whether the hook's own rights are gone. Helm deletes them, with the
// hooks of lower weight, when the Job fails or Helm's --timeout passes, and the Job
// runs on (helm.sh/helm pkg/action/hooks.go, deleteHooksByPolicy). Where a single rule
// is missing it is not so: what the hook may read of itself is two rules. Outside of a
// hook nothing is known of anybody's rights.
func revoked(ctx context.Context, c *kube.Client, o Options) bool {
	if o.Job == "" {
		return false
	}
	_, switchErr := switchedOff(ctx, c, o.ReleaseNamespace)
	if !denied(switchErr) {
		return false
	}
	_, jobErr := madeByArgoCD(ctx, c, o.ReleaseNamespace, o.Job)
	return denied(jobErr)
}

// denied recognises what the API server answers without the right to ask, and, some
// seconds after the ServiceAccount was deleted, to its token.
func denied(err error) bool { return apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err) }

// explainEnd has a run that could do no more because Helm took its rights away say
// that, instead of all it could not do.
func (r *run) explainEnd(ctx context.Context) {
	switch r.report.Verdict {
	case Done, Off:
		return
	}
	look, cancel := context.WithTimeout(context.WithoutCancel(ctx), revokedLook)
	defer cancel()
	if errors.Is(context.Cause(ctx), errRevoked) || revoked(look, r.client, r.options) {
		r.report.Verdict, r.report.Revoked = NotPermitted, true
		r.report.Refusals, r.report.Left, r.report.Obstacles, r.report.Errs = nil, nil, nil, nil
	}
}
