// Package plantest holds what the tests of plan, survey and cleanup share: options, controllers,
// records, and plans written in a few lines.
package plantest

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/arc-cleanup/arc-cleanup/internal/helm"

	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/identity"
	"github.com/arc-cleanup/arc-cleanup/internal/kube/kubetest"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
)

// Kept returns the options with a backup.
func Kept(o plan.Options) plan.Options {
	o.Backup = types.NamespacedName{Namespace: "systems", Name: "backup"}
	return o
}

// Leaving returns the options with busyRunners=leave.
func Leaving(o plan.Options) plan.Options {
	o.BusyRunners = plan.LeaveBusy
	return o
}

// BusySet is a scale set with a busy runner and a running controller.
func BusySet(set ...kubetest.Change) plan.Survey {
	pod := kubetest.Object("pod runners/r", kubetest.Owned("er runners/r"))
	return plan.Survey{
		Record: Uninstalling(), Controllers: []plan.Controller{Ctrl("systems/arc", "", kubetest.By("systems/arc"))},
		Custom: []*object.Object{
			kubetest.Object("er runners/r", kubetest.Of("runners/set"), kubetest.Owned("ers runners/s"), kubetest.Finalizers(arc.EphemeralRunnerFinalizer, arc.RunnerRegistrationFinalizer)),
			kubetest.Object("ers runners/s", kubetest.Of("runners/set"), kubetest.Owned("ars runners/set"), kubetest.Deleting),
			kubetest.Object("ars runners/set", slices.Concat([]kubetest.Change{kubetest.By("systems/arc"), kubetest.Deleting}, set)...),
		},
		Protected:  []*object.Object{kubetest.Protected("role runners/set-manager", kubetest.Of("runners/set")), kubetest.Protected("secret runners/unlabelled")},
		Dependents: []*object.Object{pod},
		Busy:       map[types.UID]plan.Job{"er runners/r": {Repository: "acme/rocket", Workflow: "launch.yml", Name: "launch", Pod: pod}},
		Sets:       map[types.UID]plan.ScaleSetInfo{"ars runners/set": {ID: "7"}},
	}
}

// Uninstalls returns the options with scaleSets=uninstall.
func Uninstalls(o plan.Options) plan.Options {
	o.ScaleSets = plan.UninstallScaleSets
	return o
}

var (
	LegacyByHand = plan.Options{Scope: plan.ScopeLegacy}
	AsLegacyHook = plan.Options{Scope: plan.ScopeLegacy, RequireUninstalling: true, Job: "arc-arc-cleanup", ReleaseNamespace: "systems"}
	OfLegacy     = plan.Options{Scope: plan.ScopeLegacy, Release: "arc", ReleaseNamespace: "systems"}
)

// Ctrl returns a controller that runs, unless mods change that.
func Ctrl(name, watches string, mods ...kubetest.Change) plan.Controller {
	return plan.Controller{Object: kubetest.Object("deploy "+name, mods...), Watches: kubetest.ListOf(watches)}
}

// LegacyCtrl returns a legacy controller that watches all namespaces.
func LegacyCtrl(name string, mods ...kubetest.Change) plan.Controller {
	c := Ctrl(name, "", mods...)
	c.Legacy = true
	return c
}

// Gone returns a namespace that is being deleted.
func Gone(name string) map[string]plan.Terminating {
	return map[string]plan.Terminating{name: {Object: kubetest.Object("ns "+name, kubetest.Deleting)}}
}

func Dead(c plan.Controller) plan.Controller {
	c.Down = "has no ready replica"
	return c
}

func Uninstalling() *helm.Record {
	return RecordOf("systems/arc", "systems/arc")
}

// ErrNoRelease says why there is no record.
var ErrNoRelease = errors.New("no Helm release found")

// RecordOf returns the record of a release that is being uninstalled.
func RecordOf(name string, deployments ...string) *helm.Record {
	n := kubetest.Named(name)
	r := &helm.Record{Name: n.Name, Namespace: n.Namespace, Revision: 1, Status: "uninstalling"}
	for _, d := range deployments {
		r.Objects = append(r.Objects, InRecord("Deployment", d))
	}
	return r
}

// InRecord is an object of a record: a Deployment or an AutoscalingRunnerSet.
func InRecord(kind, name string) helm.Object {
	n := kubetest.Named(name)
	return helm.Object{APIVersion: map[string]string{arc.AutoscalingRunnerSet: arc.Group + "/v1alpha1"}[kind], Kind: kind, Namespace: n.Namespace, Name: n.Name}
}

// Lines writes a plan in short lines: its refusals, the ranks of its phases, and why objects are
// kept.
func Lines(p *plan.Plan) (out []string) {
	for _, r := range p.Refusals {
		out = append(out, fmt.Sprintf("%s: %s", r.Verdict, r.Message))
		for _, do := range r.Do {
			out = append(out, "  "+do)
		}
	}
	for _, phase := range p.Phases {
		for _, rank := range phase.Ranks {
			var steps []string
			for _, s := range rank {
				steps = append(steps, fmt.Sprintf("%s %s", s.Action, kubetest.Ref(s.Object)))
			}
			out = append(out, fmt.Sprintf("%s: %s", phase.Name, strings.Join(steps, ", ")))
		}
	}
	// The four CRDs are kept for the same reason.
	for i, k := range p.Kept {
		if i == 0 || k.Why != p.Kept[i-1].Why {
			out = append(out, "keep: "+k.Why)
		}
	}
	return out
}

var (
	ByHand   = plan.Options{Scope: plan.ScopeController}
	AsHook   = plan.Options{Scope: plan.ScopeController, RequireUninstalling: true, Job: "arc-arc-cleanup", ReleaseNamespace: "systems"}
	InArgo   = plan.Options{Scope: plan.ScopeController, Job: "arc-arc-cleanup", ReleaseNamespace: "systems"}
	OnlyRuns = plan.Options{Scope: plan.ScopeController, RequireUninstalling: true, Job: "arc-arc-cleanup", ReleaseNamespace: "systems", WatchNamespaces: []string{"runners"}}
	OfSet    = plan.Options{Scope: plan.ScopeScaleSet, RequireUninstalling: true, Job: "set-arc-cleanup", ReleaseNamespace: "runners", ControllerNamespaces: []string{"systems"}}
)

// ScaleSetsNamed returns the scope of scale sets with these names in namespace runners.
func ScaleSetsNamed(names ...string) plan.Options {
	return WithNames(plan.Options{Scope: plan.ScopeScaleSet, ReleaseNamespace: "runners", ControllerNamespaces: []string{"systems"}}, names...)
}

func WithNames(o plan.Options, names ...string) plan.Options {
	for _, name := range names {
		o.Sets = append(o.Sets, identity.Set{Namespace: "runners", Name: name})
	}
	return o
}

// OfRelease is the uninstall of a release whose record is already gone.
var OfRelease = plan.Options{Scope: plan.ScopeController, Release: "arc", ReleaseNamespace: "systems"}

// Drained is a drain without progress: a scale set with its listener, runner set and runner, and a
// second runner that the controller has not deleted yet.
func Drained() plan.Survey {
	registered := kubetest.Finalizers(arc.EphemeralRunnerFinalizer, arc.RunnerRegistrationFinalizer)
	return plan.Survey{
		Record: Uninstalling(), Controllers: []plan.Controller{Ctrl("systems/arc", "", kubetest.By("systems/arc"))},
		Custom: []*object.Object{
			kubetest.Object("er runners/next", kubetest.Of("runners/set"), kubetest.Owned("ers runners/s"), registered),
			kubetest.Object("er runners/r", kubetest.Of("runners/set"), kubetest.Owned("ers runners/s"), registered, kubetest.Deleting),
			kubetest.Object("ers runners/s", kubetest.Of("runners/set"), kubetest.Owned("ars runners/set"), kubetest.Deleting),
			kubetest.Object("al systems/l", kubetest.Of("runners/set"), kubetest.Deleting),
			kubetest.Object("ars runners/set", kubetest.By("systems/arc"), kubetest.Deleting),
		},
		Sets: map[types.UID]plan.ScaleSetInfo{"ars runners/set": {ID: "7"}},
	}
}
