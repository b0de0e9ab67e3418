package upgrade

import (
	"context"
	"errors"
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/internal/helm"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
	"github.com/arc-cleanup/arc-cleanup/internal/release"
	"github.com/arc-cleanup/arc-cleanup/internal/shell"
)

// Swap is what a freeze and swap saves besides the releases.
type Swap struct {
	// Sets are the scale sets that the new controller will find. It would delete any other.
	Sets []SavedSet `json:"sets"`
	// Controllers are the Deployments to stop.
	Controllers []SavedController `json:"controllers"`
	// Forward says that the new controller may have started: from here on, the old one would delete the
	// scale sets.
	Forward bool `json:"forward,omitempty"`

	crds unstructured.UnstructuredList // as they were
}

// SavedSet is a scale set before the upgrade.
type SavedSet struct {
	Namespace string    `json:"namespace"`
	Name      string    `json:"name"`
	UID       types.UID `json:"uid"`
}

// SavedController is a Deployment of a controller before the upgrade.
type SavedController struct {
	Namespace string    `json:"namespace"`
	Name      string    `json:"name"`
	UID       types.UID `json:"uid"`
	Replicas  int32     `json:"replicas"`
}

func (c SavedController) object() object.Object {
	return object.Object{Resource: object.Deployments, Namespace: c.Namespace, Name: c.Name, UID: c.UID}
}

// forward reports whether the state, which may be nil, is of a swap that cannot be taken back.
func (s *State) forward() bool { return s != nil && s.Swap != nil && s.Swap.Forward }

// toUpgrade returns the releases that may have to be upgraded, the controller's first. Once a swap is forward,
// those of scale sets have their version. Whatever a tenant does with one of them, or with what was saved of
// it, does not keep the controller stopped.
func (s *State) toUpgrade() []Release {
	if s.forward() {
		return s.Releases[:1]
	}
	return s.Releases
}

// newSwap returns what to save of the controllers and scale sets that are there.
func (p *planner) newSwap() *Swap {
	controller := p.State.Releases[0]
	s := &Swap{}
	for _, c := range p.s.running {
		saved := SavedController{c.Namespace, c.Name, c.uid, c.replicas}
		if c.of == controller.key() && !slices.Contains(s.Controllers, saved) { // two selectors find it
			s.Controllers = append(s.Controllers, saved)
		}
	}
	for _, set := range p.s.live {
		if watched(controller, set.Namespace) {
			s.Sets = append(s.Sets, SavedSet{set.Namespace, set.Name, set.uid})
		}
	}
	return s
}

// watched reports whether a release's controllers watch a namespace.
func watched(controller Release, namespace string) bool {
	watches := controller.watches()
	return len(watches) == 0 || slices.Contains(watches, namespace)
}

// freeze stops the old controller, and makes sure that the scale sets are those of the plan.
func (u *Upgrade) freeze(ctx context.Context, state State) error {
	for _, c := range state.Swap.Controllers {
		if err := u.Client.Scale(ctx, c.object(), 0); err != nil {
			return err
		}
	}
	if err := u.stopped(ctx, state); err != nil {
		return err
	}
	_, err := u.sameSets(ctx, state)
	return err
}

// sameSets lists the scale sets that the controller watches, and fails if one of them was not there when
// the upgrade was planned.
func (u *Upgrade) sameSets(ctx context.Context, state State) ([]metav1.PartialObjectMetadata, error) {
	sets, err := u.watchedSets(ctx, state.Releases[0])
	var added []error
	for _, m := range sets {
		if m.DeletionTimestamp == nil && !slices.Contains(state.Swap.Sets, SavedSet{m.Namespace, m.Name, m.UID}) {
			added = append(added, fmt.Errorf("scale set %s in namespace %s was created after the upgrade was planned, "+
				"and the new controller would delete it: run `arc-cleanup upgrade --abort`, and upgrade again", m.Name, m.Namespace))
		}
	}
	return sets, errors.Join(err, errors.Join(added...))
}

// goForward makes sure that the new controller will delete nothing, and records that it may start.
func (u *Upgrade) goForward(ctx context.Context, state *State) error {
	if err := u.stopped(ctx, *state); err != nil {
		return err
	}
	sets, err := u.sameSets(ctx, *state)
	if err != nil {
		return err
	}
	if err := tolerated(sets, state.Target.Controller.Metadata.AppVersion); err != nil {
		return err
	}
	state.Swap.Forward = true
	return saveProgress(ctx, u.Client, *state)
}

// stepInPlace carries out one step of an upgrade in place, if it is one.
func (u *Upgrade) stepInPlace(ctx context.Context, state *State, s Step) (is bool, err error) {
	r := s.Release
	switch s.Kind {
	case Freeze:
		return true, u.freeze(ctx, *state)
	case CRDs:
		return true, u.applyCRDs(ctx, state.Target.Controller)
	case Unlock:
		return true, release.Fail(ctx, u.Client, r.Namespace, r.Name)
	case UpgradeRelease:
		return true, u.upgradeRelease(ctx, *state, r)
	case Forward:
		return true, u.goForward(ctx, state)
	case Listeners:
		return true, u.replaceListeners(ctx, *state)
	case Rollback:
		return true, u.rollback(ctx, r)
	case RestoreCRDs:
		return true, u.restoreCRDs(ctx, state.Swap.crds.Items)
	case Thaw:
		return true, u.thaw(ctx, *state)
	}
	return false, nil
}

// upgradable reports whether `helm upgrade` can go on from a release's state; unlock ends a pending one.
func upgradable(s helm.Status) bool {
	return s == helm.Deployed || s == helm.Failed || s == helm.PendingUpgrade || s == helm.PendingRollback
}

// Help returns what helps when a step of an upgrade in place fails.
func (u *Upgrade) Help(p *Plan, stopped int) []string {
	step := p.Steps[stopped]
	if p.State.Way == BySwap && slices.ContainsFunc(p.Steps[stopped:], func(s Step) bool { return s.Kind == Forward }) {
		return []string{
			"No scale set is deleted, and running jobs go on. The controller may be stopped, and is not started by itself.",
			"To take everything back:",
			"    " + shell.Command(slices.Concat([]string{"arc-cleanup", "upgrade", "--abort", "--namespace", p.State.namespace()}, u.cluster())...),
		}
	}
	if p.State.Way != BySwap || step.Kind != UpgradeRelease || !step.Release.Controller {
		return nil
	}
	lines := []string{
		"No scale set is deleted, and running jobs go on. Do not run `helm rollback`: the old controller would delete them.",
		"See why the new controller does not come up:",
	}
	for _, c := range step.Release.Controllers {
		lines = append(lines,
			"    "+u.kubectl("describe", "deployment", c.Name, "--namespace", c.Namespace),
			"    "+u.kubectl("logs", "deployment/"+c.Name, "--namespace", c.Namespace))
	}
	return lines
}
