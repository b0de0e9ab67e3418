package cleanup

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/arc-cleanup/arc-cleanup/internal/kube"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
	"github.com/arc-cleanup/arc-cleanup/internal/survey"
)

// errRevoked is the cause of a context that ended because the hook has no rights any
// more.
var errRevoked = errors.New("the API server lets it read nothing any more")

// revokedLook bounds the look after everything else is over: of the time after SIGTERM
// the last survey and the Event take most.
const revokedLook = time.Second

// revoked returns an error if the hook's own rights are gone, with what the API server says. Helm deletes them, with the
// hooks of lower weight, when the Job fails or Helm's --timeout passes, and the Job
// runs on (helm.sh/helm pkg/action/hooks.go, deleteHooksByPolicy). Where a single rule
// is missing it is not so: what the hook may read of itself is two rules. Outside of a
// hook nothing is known of anybody's rights.
func revoked(ctx context.Context, c *kube.Client, o plan.Options) error {
	if o.Job == "" {
		return nil
	}
	_, switchErr := survey.SwitchedOff(ctx, c, o.ReleaseNamespace)
	if !denied(switchErr) {
		return nil
	}
	if _, jobErr := survey.MadeByArgoCD(ctx, c, o.ReleaseNamespace, o.Job); !denied(jobErr) {
		return nil
	}
	return fmt.Errorf("%w: reading ConfigMap %s/%s: %s", errRevoked, o.ReleaseNamespace, survey.OffSwitch, apierrors.ReasonForError(switchErr))
}

// denied recognises what the API server answers without the right to ask, and, some
// seconds after the ServiceAccount was deleted, to its token.
func denied(err error) bool { return apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err) }

// explainEnd has a run that could do no more because Helm took its rights away say
// that, instead of all it could not do. One that never had them, or that was refused
// over something else, has its own reason.
func (r *run) explainEnd(ctx context.Context) {
	switch {
	case r.report.Verdict == plan.Done, r.report.Verdict == plan.Off, r.report.Verdict == plan.Refused, !r.permitted:
		return
	}
	look, cancel := context.WithTimeout(context.WithoutCancel(ctx), revokedLook)
	defer cancel()
	err := context.Cause(ctx)
	if !errors.Is(err, errRevoked) {
		err = revoked(look, r.client, r.options)
	}
	if err != nil {
		r.report.Verdict, r.report.Revoked = plan.NotPermitted, err
		r.report.Refusals, r.report.Left, r.report.Obstacles, r.report.Errs = nil, nil, nil, nil
	}
}

// unreached says, of a hook, why nothing was answered: in a Pod it is seldom the API
// server that is away.
func unreached(o plan.Options, unread []plan.Unknown) []error {
	answered := func(u plan.Unknown) bool {
		var status apierrors.APIStatus
		return errors.As(u.Err, &status)
	}
	if o.Job == "" || len(unread) == 0 || slices.ContainsFunc(unread, answered) {
		return nil
	}
	return []error{errUnreached}
}

// errUnreached is a hint.
var errUnreached = errors.New("the API server answered nothing of this: if a NetworkPolicy or a proxy is between it and the hook's Pod, let the Pod through (podLabels gives it labels that a policy can select)")
