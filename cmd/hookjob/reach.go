package main

import (
	"context"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/arc-cleanup/arc-cleanup/internal/cleanup"
	"github.com/arc-cleanup/arc-cleanup/internal/kube"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
)

// reachTime limits how long a command that a person runs waits for the first answer of the API server. The
// hook's Job waits as long as its budget lasts: an API server may restart during an uninstall.
const reachTime = 10 * time.Second

// reach connects to the cluster for a person.
func (c *cluster) reach(cmd *cobra.Command) (*kube.Client, error) {
	client, err := c.connect()
	if err != nil {
		return nil, err
	}
	err = client.Reach(cmd.Context(), reachTime, func(error) {})
	return client, err
}

// reach waits until the API server answers, and says so in the log if that takes long. It returns the report of
// a run that ends here, because there was no answer.
func (f *runFlags) reach(ctx context.Context, log zerolog.Logger) *cleanup.Report {
	limit := reachTime
	if f.options.Job != "" {
		limit = f.budget
	}
	err := f.client.Reach(ctx, limit, func(err error) { log.Warn().Err(err).Msg("waiting for the API server") })
	if err == nil {
		return nil
	}
	r := &cleanup.Report{Scope: f.options.Scope, Verdict: plan.Failed, Errs: []error{err}}
	if ctx.Err() != nil {
		r.Verdict = plan.Interrupted
	}
	if f.options.Job != "" && !apierrors.IsUnauthorized(err) {
		r.Errs = append(r.Errs, cleanup.ErrUnreached)
	}
	return r
}
