package upgrade

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/rs/zerolog"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/chart"
	"github.com/arc-cleanup/arc-cleanup/internal/cleanup"
	"github.com/arc-cleanup/arc-cleanup/internal/enrol"
	"github.com/arc-cleanup/arc-cleanup/internal/kube"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
)

const (
	// writeTime bounds a step of some reads and a write.
	writeTime = 2 * time.Minute
	// readyPoll is the time between two looks at the new CRDs.
	readyPoll = 250 * time.Millisecond
)

// Upgrade prepares plans and carries them out.
type Upgrade struct {
	Client *kube.Client
	Helm   *Helm
	// BusyRunners and Grace are options of the cleanup. Budget bounds each of its runs.
	BusyRunners   plan.BusyRunnersPolicy
	Grace, Budget time.Duration
	Log           zerolog.Logger
}

// Stopped says how an upgrade stopped before its end.
type Stopped struct {
	// Step is the index of the step that failed.
	Step int
	Err  error
	// Report is set if the cleanup did not finish.
	Report *cleanup.Report
	// Taken says that the upgrade is, or may be, another run's now: nothing of it is to be done by hand.
	Taken bool
}

func (s *Stopped) Error() string { return s.Err.Error() }

func (s *Stopped) Unwrap() error { return s.Err }

// Run carries out a plan. It stops at the first step that fails.
func (u *Upgrade) Run(ctx context.Context, p *Plan) *Stopped {
	if err := u.claim(ctx, p); err != nil {
		return &Stopped{Err: err, Taken: true}
	}
	for i, s := range p.Steps {
		if err := u.claimed(ctx, p.State, s.Kind); err != nil {
			return &Stopped{Step: i, Err: err, Taken: taken(err)}
		}
		u.Log.Info().Str("step", string(s.Kind)).Str("release", s.Release.key().String()).Msg(s.What)
		report, err := u.step(ctx, &p.State, s)
		if err != nil {
			return &Stopped{Step: i, Err: fmt.Errorf("%s of release %s: %w", s.Kind, s.Release, err), Report: report, Taken: taken(err)}
		}
	}
	return nil
}

// step carries out one step. It may have been done before.
func (u *Upgrade) step(ctx context.Context, state *State, s Step) (*cleanup.Report, error) {
	r := s.Release
	switch s.Kind {
	case Clean:
		return u.cleanup(ctx, u.clean(r))
	case Remove:
		return u.removeBroken(ctx, r, *state)
	case Uninstall:
		return nil, u.Helm.uninstall(ctx, r)
	case MarkUninstalled:
		return nil, u.markUninstalled(ctx, *state)
	case Install:
		return nil, u.install(ctx, r, state.Target.of(r), u.Helm.install)
	case Ready:
		return nil, u.ready(ctx)
	}
	if done, err := u.stepInPlace(ctx, state, s); done {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, writeTime)
	defer cancel()
	switch s.Kind {
	case Save:
		return nil, save(ctx, u.Client, *state)
	case Enrol:
		_, err := enrol.Put(ctx, u.Client, chart.Release{Name: r.Name, Namespace: r.Namespace}, r.Hooks, false)
		return nil, err
	case Forget:
		return nil, forget(ctx, u.Client, *state)
	}
	return nil, fmt.Errorf("no step is called %q", s.Kind)
}

// removeBroken removes what a broken installation of a release has left.
func (u *Upgrade) removeBroken(ctx context.Context, r Release, state State) (*cleanup.Report, error) {
	if !r.Controller {
		if err := u.unforged(ctx, r); err != nil {
			return nil, err
		}
		if report, err := u.cleanup(ctx, u.remove(r, state)); err != nil {
			return report, err
		}
	}
	if err := u.unforged(ctx, r); err != nil { // the cleanup can take long
		return nil, err
	}
	return nil, u.Helm.uninstall(ctx, r)
}

// clean returns the options of the cleanup in the first half. It does what the hook would do, and also
// uninstalls the releases of scale sets.
func (u *Upgrade) clean(controller Release) plan.Options {
	return plan.Options{
		Scope: plan.ScopeController, Release: controller.Name, ReleaseNamespace: controller.Namespace,
		WatchNamespaces: controller.watches(), ControllerNamespaces: controller.namespaces(), ScaleSets: plan.UninstallScaleSets,
		BusyRunners: u.BusyRunners, Grace: u.Grace,
	}
}

// remove returns the options of the cleanup after a broken installation of a scale set.
func (u *Upgrade) remove(r Release, state State) plan.Options {
	return plan.Options{
		Scope: plan.ScopeScaleSet, Release: r.Name, ReleaseNamespace: r.Namespace,
		ControllerNamespaces: state.Releases[0].namespaces(), RunnerNamespaces: r.namespaces(), ScaleSets: plan.RefuseScaleSets,
		BusyRunners: u.BusyRunners, Grace: u.Grace,
	}
}

// cleanup runs the cleanup. It returns the report if the cleanup did not finish.
func (u *Upgrade) cleanup(ctx context.Context, o plan.Options) (*cleanup.Report, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, u.Budget, cleanup.ErrBudget)
	defer cancel()
	report := cleanup.Run(ctx, u.Client, o, u.Log, cleanup.Person{})
	if report.Verdict != plan.Done {
		return report, fmt.Errorf("the cleanup ended with %s", report.Verdict)
	}
	if kept := inTheWay(report.Kept); len(kept) > 0 {
		return report, fmt.Errorf("%s was kept: %s", kept[0].Object, kept[0].Why)
	}
	return nil, nil
}

// inTheWay returns those objects that the cleanup keeps and that stop an upgrade: the CRDs and their
// objects. The others do no harm: objects that a tenant may have made to look like ARC's, and namespaces
// that something else holds.
func inTheWay(kept []plan.Finding) []plan.Finding {
	return slices.DeleteFunc(slices.Clone(kept), func(k plan.Finding) bool {
		return k.Object.Resource.GroupResource() != object.CRDs.GroupResource() && k.Object.Resource.Group != arc.Group
	})
}

// markUninstalled records that the first half is done, after it has made sure of that.
func (u *Upgrade) markUninstalled(ctx context.Context, state State) error {
	if err := u.podsGone(ctx, state.Releases[0]); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, writeTime)
	defer cancel()
	state.Uninstalled = true
	return saveProgress(ctx, u.Client, state)
}

// podsGone waits until no Pod of the old controller is left: it would delete the new scale sets. Helm does
// not wait if the release is gone already. The Pods are those that the controller's Deployments select.
func (u *Upgrade) podsGone(ctx context.Context, controller Release) error {
	ctx, cancel := context.WithTimeout(ctx, u.Helm.Timeout)
	defer cancel()
	var selections []kube.Selection
	for _, c := range controller.Controllers {
		selector, err := metav1.LabelSelectorAsSelector(&c.Selector)
		if err != nil {
			return fmt.Errorf("the selector of Deployment %s: %w", c.key(), err)
		}
		selections = append(selections, kube.Selection{
			Resource: object.Pods, Namespace: c.Namespace,
			// One that was evicted stays when the Deployment is scaled to 0, and does nothing any more.
			Fields: "status.phase!=Succeeded,status.phase!=Failed",
			Match: func(m *metav1.PartialObjectMetadata) bool {
				return !selector.Empty() && selector.Matches(labels.Set(m.Labels))
			},
		})
	}
	if err := u.Client.WaitGone(ctx, selections, u.Helm.Timeout, func(int, []string) {}); err != nil {
		return fmt.Errorf("waiting until the old controller's Pods are gone: %w", err)
	}
	return nil
}

// install installs a release, or upgrades it. It checks once more how the release renders: the saved
// values may have changed since the first check.
func (u *Upgrade) install(ctx context.Context, r Release, c Chart, do func(context.Context, Release, Chart) error) error {
	if err := c.unchanged(); err != nil {
		return err
	}
	now, err := u.Helm.render(ctx, r, c)
	if err != nil {
		return err
	}
	if now.strays != "" {
		return fmt.Errorf("it %s", now.strays)
	}
	return do(ctx, r, c)
}

// ready waits until the API server serves the CRDs. Helm has already waited for the controller.
func (u *Upgrade) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, u.Helm.Timeout)
	defer cancel()
	for _, name := range arc.CRDs() {
		if err := u.served(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

// served waits until the API server serves a CRD.
func (u *Upgrade) served(ctx context.Context, name string) error {
	late := fmt.Errorf("the CRD %s is not served after %s", name, u.Helm.Timeout)
	for looked := false; ; looked = true {
		crd, err := u.Client.Get(ctx, object.CRDs, "", name)
		switch {
		case err == nil && established(crd):
			return nil
		case err == nil, apierrors.IsNotFound(err):
		case looked && ctx.Err() != nil: // the time ended during a read
			return late
		default:
			return err
		}
		select {
		case <-ctx.Done():
			return late
		case <-time.After(readyPoll):
		}
	}
}

func established(crd *unstructured.Unstructured) bool {
	conditions, _, _ := unstructured.NestedSlice(crd.Object, "status", "conditions")
	for _, c := range conditions {
		if m, ok := c.(map[string]any); ok && m["type"] == "Established" && m["status"] == "True" {
			return crd.GetDeletionTimestamp() == nil
		}
	}
	return false
}
