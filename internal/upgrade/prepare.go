package upgrade

import (
	"context"
	"time"
)

// surveyTime bounds the survey of a cluster with many releases.
const surveyTime = 2 * time.Minute

// Prepare makes the plan for a request: it surveys the cluster, fetches the charts into a folder below
// dir, plans, and tries all that can be tried before the first write. It writes nothing to the cluster.
// The error is a UsageError if the request does not say which charts to install.
func (u *Upgrade) Prepare(ctx context.Context, q Request, dir string) (*Plan, error) {
	if err := u.Helm.identify(ctx); err != nil {
		return nil, err
	}
	within, cancel := context.WithTimeout(ctx, surveyTime)
	defer cancel()
	s, err := look(within, u.Client, q.Namespace)
	if err != nil {
		return nil, err
	}
	target, err := q.resolve(s)
	if err != nil {
		return nil, err
	}
	if s.Target, err = u.Helm.fetch(ctx, target, dir); err != nil {
		return nil, err
	}
	if err := q.contradicts(s.Target); err != nil {
		return nil, err
	}
	s.PostRenderer = u.Helm.postRendererCommand()
	s.Strategy, s.AllowExperimental = q.Strategy, q.AllowExperimental
	after, cancel := context.WithTimeout(ctx, surveyTime) // fetching the charts may have taken as long
	defer cancel()
	if s.lacking, s.unknownCRDs, err = lackingCRDs(after, u.Client, s); err != nil {
		return nil, err
	}
	p := newPlan(s)
	if len(p.Steps) == 0 {
		return p, nil
	}
	if err := u.check(ctx, s, p); err != nil || !p.untold || s.Saved != nil || s.Strategy == InPlace {
		return p, err
	}
	s.Strategy = Reinstall
	why := "the image of the new controller names no version, so nothing tells whether it tolerates the scale sets"
	if p = newPlan(s); len(p.Steps) == 0 {
		return p, nil
	}
	p.Why = why
	return p, u.check(ctx, s, p)
}
