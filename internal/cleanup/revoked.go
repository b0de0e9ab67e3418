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

// errRevoked is the cause of a context that ended because the hook has lost its rights.
var errRevoked = errors.New("the API server denies it every read")

// revokedLook limits the reads of explainEnd, which come last: after SIGTERM, the last survey and
// the Event take most of the remaining time.
const revokedLook = time.Second

// revoked returns an error with the API server's answer if the hook has lost its own rights. Helm
// deletes these, with the hooks of lower weight, when the Job fails or Helm's --timeout passes, and
// the Job keeps running (helm.sh/helm pkg/action/hooks.go, deleteHooksByPolicy). One missing rule
// does not count: the hook reads its own objects by two rules, and both must be gone. Outside a
// hook, revoked knows nothing about the user's rights and returns nil.
func revoked(ctx context.Context, c *kube.Client, o plan.Options) error {
	if o.Job == "" {
		return nil
	}
	_, switchErr := survey.SwitchedOff(ctx, c, o.ReleaseNamespace)
	if !noRights(switchErr) {
		return nil
	}
	if _, jobErr := survey.MadeByArgoCD(ctx, c, o.ReleaseNamespace, o.Job); !noRights(jobErr) {
		return nil
	}
	return fmt.Errorf("%w: reading ConfigMap %s/%s: %s", errRevoked, o.ReleaseNamespace, survey.OffSwitch, apierrors.ReasonForError(switchErr))
}

// noRights reports whether the API server denied a request for missing rights or, some seconds
// after the ServiceAccount was deleted, for its token.
func noRights(err error) bool { return apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err) }

// explainEnd replaces the errors of a run that Helm stopped by removing its rights with that
// reason. A run that never had the rights, or that ended with another refusal, keeps its own
// reason.
func (r *run) explainEnd(ctx context.Context) {
	switch {
	case r.report.Verdict == plan.Done, r.report.Verdict == plan.Off, r.report.Verdict == plan.Refused, !r.permitted.Load():
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

// unreached explains, for a hook, why the API server answered nothing: in a Pod the API server
// itself is rarely the reason.
func unreached(o plan.Options, unread []plan.Unknown) []error {
	answered := func(u plan.Unknown) bool {
		var status apierrors.APIStatus
		return errors.As(u.Err, &status)
	}
	if o.Job == "" || len(unread) == 0 || slices.ContainsFunc(unread, answered) {
		return nil
	}
	return []error{ErrUnreached}
}

// ErrUnreached names the likely reasons why a hook got no answer.
var ErrUnreached = errors.New("the API server answered none of these requests: if a NetworkPolicy or a proxy is between it and the hook's Pod, let the Pod through (podLabels gives it labels that a policy can select)")
