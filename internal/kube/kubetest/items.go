package kubetest

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
)

// Item is an object of the server: its metadata, and the rest, which only whole reads return.
type Item struct {
	*object.Object
	Labels, Annotations map[string]string
	Owners              []metav1.OwnerReference
	Rest                map[string]any // spec, status, data
	Created             metav1.Time
	Deleted             *metav1.Time
	version             int
}

// Stored converts objects as the API has them into objects of the server.
func Stored(objects ...map[string]any) (out []Item) {
	for _, o := range objects {
		out = append(out, stored(o))
	}
	return out
}

func stored(o map[string]any) Item {
	var whole map[string]any
	data, err := json.Marshal(o)
	if err = errors.Join(err, json.Unmarshal(data, &whole)); err != nil {
		panic(err)
	}
	u := unstructured.Unstructured{Object: whole}
	resource, _ := meta.UnsafeGuessKindToResource(u.GroupVersionKind())
	it := Item{
		Object: &object.Object{Resource: resource, Namespace: u.GetNamespace(), Name: u.GetName(), UID: u.GetUID(), Finalizers: u.GetFinalizers()},
		Labels: u.GetLabels(), Annotations: u.GetAnnotations(), Owners: u.GetOwnerReferences(),
		Created: u.GetCreationTimestamp(), Deleted: u.GetDeletionTimestamp(), Rest: whole,
	}
	if it.UID == "" {
		it.UID = types.UID(Ref(it.Object))
	}
	delete(whole, "metadata")
	return it
}

// fields returns the fields that a field selector may name.
func (it *Item) fields() fields.Set {
	set := fields.Set{"metadata.name": it.Name}
	for field, at := range map[string][]string{"type": {"type"}, "status.phase": {"phase"}, "spec.nodeName": {"spec", "nodeName"}} {
		set[field], _, _ = unstructured.NestedString(it.Rest, at...)
	}
	return set
}

// Whole converts objects as a survey has them into objects of the API.
func Whole(objects ...*object.Object) (out []Item) {
	for _, o := range objects {
		it := Item{Object: o, Labels: map[string]string{}, Annotations: map[string]string{}}
		if o.ScaleSet.Name != "" {
			it.Labels[arc.LabelScaleSetName], it.Labels[arc.LabelScaleSetNamespace] = o.ScaleSet.Name, o.ScaleSet.Namespace
		}
		if o.Release.Name != "" {
			it.Annotations[arc.AnnotationReleaseName], it.Annotations[arc.AnnotationReleaseNamespace] = o.Release.Name, o.Release.Namespace
		}
		if o.Keep {
			it.Annotations["helm.sh/resource-policy"] = "keep"
		}
		if o.Owner != "" {
			group := arc.Group
			switch kind, _, _ := strings.Cut(string(o.Owner), " "); kind {
			case "run", "rrs", "rset", "rd":
				group = arc.LegacyGroup
			case "sts":
				group = "apps"
			}
			it.Owners = []metav1.OwnerReference{{APIVersion: group + "/v1alpha1", UID: o.Owner}}
		}
		if o.Deleting {
			now := metav1.Now()
			it.Deleted = &now
		}
		out = append(out, it)
	}
	return out
}

// Deployment returns a running controller. It watches one namespace, or all.
func Deployment(name, watches string, mods ...Change) Item {
	o := Object("deploy "+name, mods...)
	it := Whole(o)[0]
	it.Labels[arc.LabelControllerAccount] = o.Name
	args := []any{"--auto-scaling-runner-set-only"}
	if watches != "" {
		args = append(args, "--watch-single-namespace="+watches)
	}
	it.Rest = map[string]any{"spec": map[string]any{
		"selector": map[string]any{"matchLabels": map[string]any{"app": o.Name}},
		"template": map[string]any{"spec": map[string]any{
			"serviceAccountName": o.Name,
			"containers":         []any{map[string]any{"name": "manager", "command": []any{"/manager"}, "args": args}},
		}},
	}}
	it.Rest["status"] = map[string]any{"readyReplicas": 1}
	return it
}

// Down turns a controller into one without a ready replica.
func Down(controller Item) Item {
	delete(controller.Rest, "status")
	return controller
}

// RunnerWithPod returns an EphemeralRunner with a status, and its Pod.
func RunnerWithPod(name string, status map[string]any) []Item {
	items := Whole(Object("er runners/"+name), Object("pod runners/"+name, Owned("er runners/"+name)))
	items[0].Rest = map[string]any{"status": status}
	items[1].Owners[0].Kind = arc.EphemeralRunner
	return items
}

// CrashLoopingPod returns the Pod of a controller that crashes again and again.
func CrashLoopingPod(name string) Item {
	it := Whole(Object("pod " + name))[0]
	it.Labels["app"] = it.Name
	it.Rest = map[string]any{"status": map[string]any{"containerStatuses": []any{
		map[string]any{"restartCount": 7, "state": map[string]any{"waiting": map[string]any{"reason": "CrashLoopBackOff"}}},
	}}}
	return it
}

func LegacyCRDs() (out []*object.Object) {
	for _, name := range arc.LegacyCRDs() {
		out = append(out, Object("crd "+name))
	}
	return out
}

// RunnerPod returns a legacy runner's Pod with the controller's finalizer.
func RunnerPod(text, owner string, mods ...Change) *object.Object {
	return Object(text, append([]Change{Finalizers(arc.LegacyPodFinalizer), Owned(owner)}, mods...)...)
}

// Family returns a RunnerDeployment and everything that its controller creates from it.
func Family(mods ...Change) []*object.Object {
	return []*object.Object{
		RunnerPod("pod ci/r", "run ci/r"), Object("run ci/r", Owned("rrs ci/d-1")),
		Object("rrs ci/d-1", Owned("rd ci/d")), Object("rd ci/d", mods...), Object("hra ci/d"),
	}
}

// LegacyDeployment returns a legacy controller of which ready replicas are ready.
func LegacyDeployment(name, path string, ready int, args ...any) Item {
	it := Whole(Object("deploy " + name))[0]
	it.Labels[arc.LabelChart] = "actions-runner-controller-0.23.7"
	it.Rest = map[string]any{
		"spec": map[string]any{
			"selector": map[string]any{"matchLabels": map[string]any{"app": it.Name}},
			"template": map[string]any{"spec": map[string]any{"containers": []any{map[string]any{"image": "mirror/arc:1", "command": []any{path}, "args": args}}}},
		},
		"status": map[string]any{"readyReplicas": ready},
	}
	return it
}

// LegacyHooks returns a webhook configuration of the legacy chart.
func LegacyHooks(text, service string, names ...string) Item {
	it := Whole(Object(text, By("systems/arc")))[0]
	n := Named(service)
	var webhooks []any
	for _, name := range names {
		webhooks = append(webhooks, map[string]any{"name": name, "clientConfig": map[string]any{"service": map[string]any{"namespace": n.Namespace, "name": n.Name}}})
	}
	it.Rest = map[string]any{"webhooks": webhooks}
	return it
}

func OnNode(it Item) Item {
	it.Rest = map[string]any{"spec": map[string]any{"nodeName": "n"}}
	return it
}

// Endpoints returns a Service and its EndpointSlice; ready is true, false or nil.
func Endpoints(name string, ready any) []Item {
	n := Named(name)
	items := Whole(Object("svc "+name), Object("eps "+name+"-abc"))
	items[1].Labels["kubernetes.io/service-name"] = n.Name
	conditions := map[string]any{}
	if ready != nil {
		conditions["ready"] = ready
	}
	items[1].Rest = map[string]any{"endpoints": []any{map[string]any{"conditions": conditions}}}
	return items
}

// ListenerRBAC returns a listener's Role or RoleBinding, which only a controller would delete.
func ListenerRBAC(text string, set string) Item {
	it := Whole(Object(text, Of(set)))[0]
	it.Labels[arc.LabelListenerName], it.Labels[arc.LabelListenerNamespace] = "l", "systems"
	return it
}

// Stuck returns what is left if the controller was removed first.
func Stuck(more ...Item) []Item {
	items := Whole(CRDs()...)
	items = append(items, Whole(
		Object("ars runners/set", Deleting), Object("al systems/l", Of("runners/set"), Deleting),
		Object("ers runners/s", Of("runners/set"), Owned("ars runners/set")), Object("er runners/r", Of("runners/set"), Owned("ers runners/s")),
		Protected("role runners/set-manager"), Protected("secret runners/github", Deleting),
		Object("pod runners/lost", Owned("gone")), Object("secret runners/theirs"),
	)...)
	return append(append(items, ListenerRBAC("role runners/l", "runners/set")), more...)
}

// Refs returns the references of objects.
func Refs(objects []*object.Object) (out []string) {
	for _, o := range objects {
		out = append(out, Ref(o))
	}
	return out
}

// Record returns the Secret of a release's revision 1, stored in a namespace.
func Record(in, namespace, name, status, manifest string) Item {
	it := Whole(Object("secret " + in + "/sh.helm.release.v1." + name + ".v1"))[0]
	it.Labels["owner"], it.Labels["name"], it.Labels["version"], it.Labels["status"] = "helm", name, "1", status
	raw, _ := json.Marshal(map[string]any{
		"name": name, "namespace": namespace, "version": 1, "info": map[string]any{"status": status}, "manifest": manifest,
		"hooks": []any{map[string]any{"name": name + "-arc-cleanup", "kind": "Job"}},
	})
	data := base64.StdEncoding.EncodeToString(raw)
	it.Rest = map[string]any{"kind": "Secret", "type": "helm.sh/release.v1", "data": map[string]any{"release": base64.StdEncoding.EncodeToString([]byte(data))}}
	return it
}

const ArcManifest = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: arc}\n"
