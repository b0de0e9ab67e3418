package cleanup

import (
	"errors"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
)

// short names of resources, as in "ers runners/set-1".
var short = map[string]schema.GroupVersionResource{
	"ars": arc.Resource(arc.AutoscalingRunnerSets), "al": arc.Resource(arc.AutoscalingListeners),
	"ers": arc.Resource(arc.EphemeralRunnerSets), "er": arc.Resource(arc.EphemeralRunners),
	"run": arc.LegacyResource(arc.Runners), "rrs": arc.LegacyResource(arc.RunnerReplicaSets), "rset": arc.LegacyResource(arc.RunnerSets),
	"rd": arc.LegacyResource(arc.RunnerDeployments), "hra": arc.LegacyResource(arc.HorizontalRunnerAutoscalers), "sts": object.StatefulSets,
	"crd": object.CRDs, "deploy": object.Deployments, "ns": object.Namespaces, "pod": object.Pods,
	"role": object.Roles, "rolebinding": object.RoleBindings, "sa": object.ServiceAccounts, "secret": object.Secrets,
	"vwc": object.ValidatingWebhooks, "mwc": object.MutatingWebhooks, "apiservice": object.APIServices, "svc": object.Services, "eps": object.EndpointSlices,
	"configmap": {Version: "v1", Resource: "configmaps"}, "job": object.Jobs, "lease": object.Leases,
}

func shortOf(gvr schema.GroupVersionResource) string {
	for s, r := range short {
		if r == gvr {
			return s
		}
	}
	return gvr.Resource
}

// ref is an object as the tests name it.
func ref(o *object.Object) string {
	if o.Namespace == "" {
		return shortOf(o.Resource) + " " + o.Name
	}
	return shortOf(o.Resource) + " " + o.Namespace + "/" + o.Name
}

func named(s string) types.NamespacedName {
	ns, name, ok := strings.Cut(s, "/")
	if !ok {
		return types.NamespacedName{Name: s}
	}
	return types.NamespacedName{Namespace: ns, Name: name}
}

type with func(*object.Object)

// obj makes "er runners/r1", whose UID is that text. ARC's kinds carry ARC's
// finalizer unless told otherwise.
func obj(text string, mods ...with) *object.Object {
	kind, name, _ := strings.Cut(text, " ")
	n := named(name)
	o := &object.Object{Resource: short[kind], Namespace: n.Namespace, Name: n.Name, UID: types.UID(text)}
	switch kind {
	case "ars":
		o.ScaleSet = n
		o.Finalizers = []string{arc.AutoscalingRunnerSetFinalizer}
	case "al":
		o.Finalizers = []string{arc.AutoscalingListenerFinalizer}
	case "run":
		o.Finalizers = []string{arc.LegacyRunnerFinalizer}
	case "ers", "er":
		o.Finalizers = []string{arc.EphemeralRunnerFinalizer}
	}
	for _, m := range mods {
		m(o)
	}
	return o
}

func deleting(o *object.Object) { o.Deleting = true }

func finalizers(f ...string) with { return func(o *object.Object) { o.Finalizers = f } }

func of(set string) with { return func(o *object.Object) { o.ScaleSet = named(set) } }

func by(release string) with { return func(o *object.Object) { o.Release = named(release) } }

func owned(owner string) with { return func(o *object.Object) { o.Owner = types.UID(owner) } }

// protected is a core object of ARC's chart with ARC's finalizer.
func protected(text string, mods ...with) *object.Object {
	return obj(text, append([]with{finalizers(arc.CleanupProtectionFinalizer)}, mods...)...)
}

// a controller, running unless told otherwise.
func ctrl(name, watches string, mods ...with) ARC {
	return ARC{Object: obj("deploy "+name, mods...), Watches: list1(watches)}
}

// legacyCtrl is one of the legacy group, which watches all namespaces.
func legacyCtrl(name string, mods ...with) ARC {
	c := ctrl(name, "", mods...)
	c.Legacy = true
	return c
}

// list1 is a list of one, or of none.
func list1(text string) []string {
	if text == "" {
		return nil
	}
	return []string{text}
}

// gone is a namespace on its way out.
func gone(name string) map[string]Terminating {
	return map[string]Terminating{name: {Object: obj("ns "+name, deleting)}}
}

func dead(c ARC) ARC {
	c.Down = "has no ready replica"
	return c
}

func crdObjects(mods ...with) (out []*object.Object) {
	for _, name := range arc.CRDs() {
		out = append(out, obj("crd "+name, mods...))
	}
	return out
}

func uninstalling() *Record {
	return recordOf("systems/arc", "systems/arc")
}

// errNoRelease is why there is no record.
var errNoRelease = errors.New("no Helm release found")

// recordOf is the record of a release that is being uninstalled.
func recordOf(name string, deployments ...string) *Record {
	n := named(name)
	r := &Record{Name: n.Name, Namespace: n.Namespace, Revision: 1, Status: "uninstalling"}
	for _, d := range deployments {
		r.Deployments = append(r.Deployments, named(d))
	}
	return r
}

// lines is a plan in short: the ranks of its phases, a line each, what is
// refused and what is kept.
func lines(p *Plan) (out []string) {
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
				steps = append(steps, fmt.Sprintf("%s %s", s.Action, ref(s.Object)))
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

const allCRDs = "delete crd ephemeralrunners.actions.github.com, delete crd ephemeralrunnersets.actions.github.com, " +
	"delete crd autoscalinglisteners.actions.github.com, delete crd autoscalingrunnersets.actions.github.com"
