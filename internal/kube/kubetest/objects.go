package kubetest

import (
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
)

// Short holds the short names of resources, as in "ers runners/set-1".
var Short = map[string]schema.GroupVersionResource{
	"ars": arc.Resource(arc.AutoscalingRunnerSets), "al": arc.Resource(arc.AutoscalingListeners),
	"ers": arc.Resource(arc.EphemeralRunnerSets), "er": arc.Resource(arc.EphemeralRunners),
	"run": arc.LegacyResource(arc.Runners), "rrs": arc.LegacyResource(arc.RunnerReplicaSets), "rset": arc.LegacyResource(arc.RunnerSets),
	"rd": arc.LegacyResource(arc.RunnerDeployments), "hra": arc.LegacyResource(arc.HorizontalRunnerAutoscalers), "sts": object.StatefulSets,
	"crd": object.CRDs, "deploy": object.Deployments, "ns": object.Namespaces, "pod": object.Pods,
	"role": object.Roles, "rolebinding": object.RoleBindings, "sa": object.ServiceAccounts, "secret": object.Secrets,
	"vwc": object.ValidatingWebhooks, "mwc": object.MutatingWebhooks, "apiservice": object.APIServices, "svc": object.Services, "eps": object.EndpointSlices,
	"configmap": {Version: "v1", Resource: "configmaps"}, "job": object.Jobs, "event": {Version: "v1", Resource: "events"}, "lease": object.Leases,
}

func shortOf(gvr schema.GroupVersionResource) string {
	for s, r := range Short {
		if r == gvr {
			return s
		}
	}
	return gvr.Resource
}

// Ref returns the object's reference in tests: its resource's short name, namespace and name.
func Ref(o *object.Object) string {
	if o.Namespace == "" {
		return shortOf(o.Resource) + " " + o.Name
	}
	return shortOf(o.Resource) + " " + o.Namespace + "/" + o.Name
}

func Named(s string) types.NamespacedName {
	ns, name, ok := strings.Cut(s, "/")
	if !ok {
		return types.NamespacedName{Name: s}
	}
	return types.NamespacedName{Namespace: ns, Name: name}
}

type Change func(*object.Object)

// Object makes the object with a reference such as "er runners/r1", which is also its UID. Objects
// of ARC's kinds have ARC's finalizer unless mods change that.
func Object(text string, mods ...Change) *object.Object {
	kind, name, _ := strings.Cut(text, " ")
	n := Named(name)
	o := &object.Object{Resource: Short[kind], Namespace: n.Namespace, Name: n.Name, UID: types.UID(text)}
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

func Deleting(o *object.Object) { o.Deleting = true }

func Finalizers(f ...string) Change { return func(o *object.Object) { o.Finalizers = f } }

func Of(set string) Change { return func(o *object.Object) { o.ScaleSet = Named(set) } }

func By(release string) Change { return func(o *object.Object) { o.Release = Named(release) } }

func Owned(owner string) Change { return func(o *object.Object) { o.Owner = types.UID(owner) } }

// Protected makes a core object of ARC's chart with ARC's finalizer.
func Protected(text string, mods ...Change) *object.Object {
	return Object(text, append([]Change{Finalizers(arc.CleanupProtectionFinalizer)}, mods...)...)
}

// ListOf returns a list of the text, or an empty list for "".
func ListOf(text string) []string {
	if text == "" {
		return nil
	}
	return []string{text}
}

func CRDs(mods ...Change) (out []*object.Object) {
	for _, name := range arc.CRDs() {
		out = append(out, Object("crd "+name, mods...))
	}
	return out
}
