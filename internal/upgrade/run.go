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
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/cleanup"
	"github.com/arc-cleanup/arc-cleanup/internal/enrol"
	"github.com/arc-cleanup/arc-cleanup/internal/hook"
	"github.com/arc-cleanup/arc-cleanup/internal/kube"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
)

const (
	// writeTime bounds what is no more than some reads and a write.
	writeTime = 2 * time.Minute
	// readyPoll is how often the new CRDs are looked at.
	readyPoll = 250 * time.Millisecond
)

var (
	crds = schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}
	pods = schema.GroupVersionResource{Version: "v1", Resource: "pods"}
)

// Upgrade carries out plans.
type Upgrade struct {
	Client *kube.Client
	Helm   *Helm
	// BusyRunners and Grace are the engine's, and Budget bounds each of its runs.
	BusyRunners   plan.BusyRunnersPolicy
	Grace, Budget time.Duration
	Log           zerolog.Logger
}

// Stopped is how an upgrade ends that is not over.
type Stopped struct {
	// Step is the index of the one that failed.
	Step int
	Err  error
	// Report is the engine's, where that did not come to its end.
	Report *cleanup.Report
}

func (s *Stopped) Error() string { return s.Err.Error() }

func (s *Stopped) Unwrap() error { return s.Err }

// Run carries out a plan. It stops at the first step that fails.
func (u *Upgrade) Run(ctx context.Context, p *Plan) *Stopped {
	for i, s := range p.Steps {
		u.Log.Info().Str("step", string(s.Kind)).Str("release", s.Release.key().String()).Msg(s.What)
		report, err := u.step(ctx, p.State, s)
		if err != nil {
			return &Stopped{i, fmt.Errorf("%s of release %s: %w", s.Kind, s.Release, err), report}
		}
	}
	return nil
}

// step carries out one step, which may have been done already.
func (u *Upgrade) step(ctx context.Context, state State, s Step) (*cleanup.Report, error) {
	r := s.Release
	switch s.Kind {
	case Clean:
		return u.engine(ctx, u.clean(r))
	case Remove:
		if !r.Controller {
			if report, err := u.engine(ctx, u.remove(r, state)); err != nil {
				return report, err
			}
		}
		return nil, u.Helm.uninstall(ctx, r)
	case Uninstall:
		return nil, u.Helm.uninstall(ctx, r)
	case Note:
		return nil, u.note(ctx, state)
	case Install:
		return nil, u.install(ctx, r, state.Target.of(r))
	case Ready:
		return nil, u.ready(ctx)
	}
	ctx, cancel := context.WithTimeout(ctx, writeTime)
	defer cancel()
	switch s.Kind {
	case Save:
		return nil, save(ctx, u.Client, state)
	case Enrol:
		_, err := enrol.Put(ctx, u.Client, hook.Release{Name: r.Name, Namespace: r.Namespace}, r.Hooks, false)
		return nil, err
	case Forget:
		return nil, forget(ctx, u.Client, state)
	}
	return nil, fmt.Errorf("no step is called %q", s.Kind)
}

// clean is what the engine does in the first half: what the hook would, with the
// Helm releases of scale sets.
func (u *Upgrade) clean(controller Release) plan.Options {
	return plan.Options{
		Scope: plan.ScopeController, Release: controller.Name, ReleaseNamespace: controller.Namespace,
		WatchNamespaces: controller.watches(), ControllerNamespaces: controller.namespaces(), ScaleSets: plan.UninstallScaleSets,
		BusyRunners: u.BusyRunners, Grace: u.Grace,
	}
}

// remove is what the engine does about a scale set's installation that broke off.
func (u *Upgrade) remove(r Release, state State) plan.Options {
	return plan.Options{
		Scope: plan.ScopeScaleSet, Release: r.Name, ReleaseNamespace: r.Namespace,
		ControllerNamespaces: state.Releases[0].namespaces(), RunnerNamespaces: r.namespaces(), ScaleSets: plan.RefuseScaleSets,
		BusyRunners: u.BusyRunners, Grace: u.Grace,
	}
}

func (u *Upgrade) engine(ctx context.Context, o plan.Options) (*cleanup.Report, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, u.Budget, cleanup.ErrBudget)
	defer cancel()
	report := cleanup.Run(ctx, u.Client, o, u.Log, nil)
	if report.Verdict != plan.Done {
		return report, fmt.Errorf("the cleanup ended with %s", report.Verdict)
	}
	if kept := inTheWay(report.Kept); len(kept) > 0 {
		return report, fmt.Errorf("%s was kept: %s", kept[0].Object, kept[0].Why)
	}
	return nil, nil
}

// inTheWay is what of that which the engine keeps an upgrade cannot go on with: the CRDs,
// and their objects. The rest is what a tenant may have made to look like ARC's, and
// namespaces that something else holds.
func inTheWay(kept []plan.Finding) []plan.Finding {
	return slices.DeleteFunc(slices.Clone(kept), func(k plan.Finding) bool {
		return k.Object.Resource.GroupResource() != crds.GroupResource() && k.Object.Resource.Group != arc.Group
	})
}

// note saves that the first half is over, when it is.
func (u *Upgrade) note(ctx context.Context, state State) error {
	if err := u.podsGone(ctx, state.Releases[0]); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, writeTime)
	defer cancel()
	state.Uninstalled = true
	return save(ctx, u.Client, state)
}

// podsGone makes sure that no Pod of the old controller is left, which would delete
// the new scale sets: Helm waits for nothing where the release is gone already. They
// are those which its Deployments select, whatever else their labels say.
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
			Resource: pods, Namespace: c.Namespace,
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

// install installs a release. Its values may have been changed where they lie since they
// were checked, and so are once more.
func (u *Upgrade) install(ctx context.Context, r Release, c Chart) error {
	now, err := u.Helm.render(ctx, r, c)
	if err != nil {
		return err
	}
	if now.strays != "" {
		return fmt.Errorf("it %s", now.strays)
	}
	return u.Helm.install(ctx, r, c)
}

// ready waits until the API server serves the CRDs. That the controller runs Helm
// has waited for.
func (u *Upgrade) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, u.Helm.Timeout)
	defer cancel()
	for _, name := range arc.CRDs() {
		late := fmt.Errorf("the CRD %s is not served after %s", name, u.Helm.Timeout)
		for looked := false; ; looked = true {
			var crd *unstructured.Unstructured
			err := kube.Retry(ctx, func(ctx context.Context) (err error) {
				crd, err = u.Client.Dynamic.Resource(crds).Get(ctx, name, metav1.GetOptions{})
				return err
			})
			switch {
			case err == nil, apierrors.IsNotFound(err):
			case looked && ctx.Err() != nil: // the time ended during a read
				return late
			default:
				return fmt.Errorf("reading the CRD %s: %w", name, err)
			}
			if err == nil && established(crd) {
				break
			}
			select {
			case <-ctx.Done():
				return late
			case <-time.After(readyPoll):
			}
		}
	}
	return nil
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
