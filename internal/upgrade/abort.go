package upgrade

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/arc-cleanup/arc-cleanup/internal/helm"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
)

// PrepareAbort makes the plan that takes a freeze and swap back. namespace is as in a Request. It writes
// nothing.
func (u *Upgrade) PrepareAbort(ctx context.Context, namespace string) (*Plan, error) {
	if err := u.Helm.identify(ctx); err != nil {
		return nil, err
	}
	within, cancel := context.WithTimeout(ctx, surveyTime)
	defer cancel()
	s, err := look(within, u.Client, namespace)
	if err != nil {
		return nil, err
	}
	p := newAbort(s)
	return p, u.checkRollbacks(ctx, s, p)
}

// newAbort decides how to take an upgrade back. It is a pure function.
func newAbort(s Situation) *Plan {
	p := &planner{s: s}
	switch {
	case s.Saved == nil:
		p.refuse("no upgrade is under way: there is nothing to take back",
			"if the controller's release is in a namespace that is not known, give it with --namespace")
	case s.Saved.Way != BySwap:
		p.refuse("an upgrade has begun that cannot be taken back",
			"go on with it, or go back with `arc-cleanup upgrade --version OLD`")
	case s.Saved.forward():
		p.refuse("the new controller may have started: the old one would delete every scale set of the new version",
			"run the upgrade again, which goes on")
	default:
		p.State, p.Why = *s.Saved, "--abort takes the upgrade back"
		p.State.secrets = s.secrets
		p.planAbort()
	}
	if len(p.Refusals) > 0 {
		p.Steps = nil
	}
	return &p.Plan
}

// planAbort plans the way back: releases, CRDs, controller.
func (p *planner) planAbort() {
	controller := p.State.Releases[0]
	p.refuseStopped(controller)
	for _, f := range p.s.Found {
		r := p.State.release(f.key())
		if r == nil {
			continue
		}
		if r.Controller && (f.Status != helm.Deployed || f.Chart != r.Chart) {
			p.refuse(fmt.Sprintf("release %s is not %s any more: the new controller may have started", r, version(r.Chart)),
				"run the upgrade again, which goes on")
			return
		}
		if f.Status == helm.Deployed && f.Chart == r.Chart {
			continue
		}
		if !upgradable(f.Status) {
			p.refuse(fmt.Sprintf("release %s is %s", r, printable(string(f.Status))), f.wayOut())
			return
		}
		p.add(Rollback, *r, fmt.Sprintf("takes the release back to revision %d, %s", r.Revision, version(r.Chart)))
	}
	p.add(RestoreCRDs, controller, "puts the CRDs back")
	p.add(Thaw, controller, "starts the old controller")
	p.forget()
}

// thaw starts the old controller, after it has made sure that it will delete nothing.
func (u *Upgrade) thaw(ctx context.Context, state State) error {
	controller := state.Releases[0]
	sets, err := u.watchedSets(ctx, controller)
	if err != nil {
		return err
	}
	if err := tolerated(sets, controller.Chart.AppVersion); err != nil {
		return err
	}
	for _, c := range state.Swap.Controllers {
		if err := u.Client.Scale(ctx, c.object(), c.Replicas); err != nil {
			return err
		}
	}
	for _, c := range state.Swap.Controllers {
		if err := u.comesUp(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

// comesUp waits until a Deployment has its replicas.
func (u *Upgrade) comesUp(ctx context.Context, c SavedController) error {
	ctx, cancel := context.WithTimeout(ctx, u.Helm.Timeout)
	defer cancel()
	for {
		o, err := u.Client.Get(ctx, object.Deployments, c.Namespace, c.Name)
		if err != nil {
			return err
		}
		if ready, _, _ := unstructured.NestedInt64(o.Object, "status", "readyReplicas"); ready >= int64(c.Replicas) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("deployment %s/%s is not ready after %s", c.Namespace, c.Name, u.Helm.Timeout)
		case <-time.After(listenerPoll):
		}
	}
}
