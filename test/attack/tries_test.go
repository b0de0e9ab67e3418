package attack

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
)

// An outcome is the effect of a try.
type outcome string

const (
	nothing   outcome = "nothing differs"
	forbidden outcome = "RBAC refuses it"
	// blocks means that the administrator's uninstall refuses, names the object, and continues
	// when the object is gone. Everyone who may create the kind can do this.
	blocks outcome = "the controller's uninstall refuses, names it with a command of that namespace, and changes nothing; nothing else differs"
)

// A try is one attack by an actor.
type try struct {
	what    string
	by      *actor
	outcome outcome
	// clusterScoped says that its objects have no namespace.
	clusterScoped bool
	make          func(facts) []*unstructured.Unstructured
}

// facts are what an actor may know of the cluster.
type facts struct {
	url                               string // of GitHub
	set, runnerSet, runner, crd, role owner
}

// owner returns an object as an owner reference.
type owner struct{ apiVersion, kind, name, uid string }

// byActor is the label of actors' Pods in the runners' namespace.
const byActor = "attack.test/by"

type object = unstructured.Unstructured

// with changes an object.
type with func(*object)

func thing(apiVersion, kind, name string, changes ...with) *object {
	o := &object{Object: map[string]any{
		"apiVersion": apiVersion, "kind": kind, "metadata": map[string]any{"name": name},
	}}
	for _, change := range changes {
		change(o)
	}
	return o
}

func in(namespace string) with { return func(o *object) { o.SetNamespace(namespace) } }

// labels takes keys and values.
func labels(pairs ...string) with {
	return func(o *object) {
		l := o.GetLabels()
		if l == nil {
			l = map[string]string{}
		}
		for i := 0; i < len(pairs); i += 2 {
			l[pairs[i]] = pairs[i+1]
		}
		o.SetLabels(l)
	}
}

func annotations(pairs ...string) with {
	return func(o *object) {
		a := o.GetAnnotations()
		if a == nil {
			a = map[string]string{}
		}
		for i := 0; i < len(pairs); i += 2 {
			a[pairs[i]] = pairs[i+1]
		}
		o.SetAnnotations(a)
	}
}

func finalizers(names ...string) with { return func(o *object) { o.SetFinalizers(names) } }

func ownedBy(owners ...owner) with {
	return func(o *object) {
		var refs []metav1.OwnerReference
		for _, x := range owners {
			refs = append(refs, metav1.OwnerReference{APIVersion: x.apiVersion, Kind: x.kind, Name: x.name, UID: types.UID(x.uid), Controller: new(len(refs) == 0), BlockOwnerDeletion: new(true)})
		}
		o.SetOwnerReferences(refs)
	}
}

// field sets the value at a path, whose parts are separated by dots.
func field(path string, value any) with {
	return func(o *object) {
		parts := strings.Split(path, ".")
		if err := unstructured.SetNestedField(o.Object, value, parts...); err != nil {
			panic(err) // a mistake in a try
		}
	}
}

func data(pairs ...string) with {
	return func(o *object) {
		d := map[string]any{}
		for i := 0; i < len(pairs); i += 2 {
			value := pairs[i+1]
			if o.GetKind() == "Secret" {
				value = base64.StdEncoding.EncodeToString([]byte(value))
			}
			d[pairs[i]] = value
		}
		o.Object["data"] = d
	}
}

// The labels and annotations of everything that Helm installs.
func ofRelease(namespace, name string) with {
	return func(o *object) {
		labels("app.kubernetes.io/managed-by", "Helm")(o)
		annotations("meta.helm.sh/release-name", name, "meta.helm.sh/release-namespace", namespace)(o)
	}
}

// ofSet are the labels of objects of the real scale set.
var ofSet = labels("actions.github.com/scale-set-name", "runners", "actions.github.com/scale-set-namespace", runnerNamespace,
	"app.kubernetes.io/part-of", "gha-rs", "app.kubernetes.io/instance", "runners")

var protected = finalizers("actions.github.com/cleanup-protection")

// A record is a record of Helm.
type record map[string]any

// release returns a record with a status, a chart, and more.
func release(namespace, name, status, chart, manifest string, more ...any) record {
	r := record{
		"name": name, "namespace": namespace, "version": 1, "manifest": manifest,
		"info":  map[string]any{"status": status, "first_deployed": "2026-01-02T03:04:05Z", "last_deployed": "2026-01-02T03:04:05Z"},
		"chart": map[string]any{"metadata": map[string]any{"name": chart, "version": "0.6.1", "appVersion": "0.6.1"}},
		"config": map[string]any{
			"githubConfigUrl": "https://github.com/evil", "namespaceOverride": neighbour,
			"template": map[string]any{"spec": map[string]any{"hostPID": true}},
		},
	}
	for i := 0; i < len(more); i += 2 {
		r[more[i].(string)] = more[i+1]
	}
	return r
}

func (r record) text() string {
	text, err := json.Marshal(r)
	if err != nil {
		panic(err) // a mistake in a try
	}
	return packed(text)
}

// packed encodes a record as Helm does.
func packed(text []byte) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write(text)
	_ = z.Close()
	return base64.StdEncoding.EncodeToString(b.Bytes())
}

// bomb is about 500 kB that unpack to more than 500 MB, and that fit into a Secret as base64.
var bomb = sync.OnceValue(func() string {
	var member bytes.Buffer
	z, _ := gzip.NewWriterLevel(&member, gzip.BestCompression)
	_, _ = z.Write(bytes.Repeat([]byte(" "), 16<<20))
	_ = z.Close()
	return strings.Repeat(member.String(), 500<<10/member.Len())
})

// stored returns a record as Helm stores it, with the name, labels and type that belong to its
// content.
func stored(kind string, r record) *object {
	name, status := r["name"].(string), r["info"].(map[string]any)["status"].(string)
	return storedAs(kind, fmt.Sprintf("sh.helm.release.v1.%s.v%v", name, r["version"]), r.text(),
		"name", name, "status", status, "version", fmt.Sprint(r["version"]))
}

func storedAs(kind, object, text string, pairs ...string) *object {
	o := thing("v1", kind, object, labels("owner", "helm"), labels(pairs...), data("release", text))
	if kind == "Secret" {
		o.Object["type"] = "helm.sh/release.v1"
	}
	return o
}

// Manifests of releases.
const (
	manifestSet        = "apiVersion: actions.github.com/v1alpha1\nkind: AutoscalingRunnerSet\nmetadata: {name: bait}\nspec: {githubConfigUrl: 'https://github.com/evil'}\n---\n"
	manifestController = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: arc-gha-rs-controller, labels: {app.kubernetes.io/part-of: gha-rs-controller, actions.github.com/controller-service-account-name: x}}\n" +
		"spec: {template: {spec: {serviceAccountName: x, containers: [{name: manager, command: [/manager], args: [--auto-scaling-runner-set-only]}]}}}\n---\n"
	manifestNeighbour = "apiVersion: v1\nkind: Secret\nmetadata: {name: payments-db, namespace: payments}\n---\n" +
		"apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: payments-db, namespace: payments}\n---\n" +
		"apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: payments-db, namespace: payments}\n---\n" +
		"apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {name: payments-db, namespace: payments}\n---\n" +
		"apiVersion: v1\nkind: Secret\nmetadata: {name: sh.helm.release.v1.arc.v1, namespace: arc-systems}\n---\n"
)

// The names of the hooks' Jobs.
const (
	controllerHook = "arc-arc-cleanup"
	setHook        = "runners-arc-cleanup-scale-set"
)

// hookJob returns a hook with the name of the real one.
func hookJob(name string) []any {
	manifest := "apiVersion: batch/v1\nkind: Job\nmetadata: {name: " + name + ", namespace: kube-system, labels: {app.kubernetes.io/name: arc-cleanup}, annotations: {helm.sh/hook: pre-delete}}\n" +
		"spec: {template: {spec: {containers: [{name: c, image: evil, args: [run, --job=" + name + ", --release-namespace=arc-systems]}]}}}\n"
	return []any{map[string]any{"name": name, "kind": "Job", "path": "job.yaml", "manifest": manifest, "events": []any{"pre-delete"}}}
}

// pod returns a Pod; if it runs, the node runs it as a runner.
func pod(name string, runs bool, changes ...with) *object {
	o := thing("v1", "Pod", name, labels(byActor, "actor"), func(o *object) {
		spec := podSpec()
		if !runs {
			spec["schedulingGates"] = []any{map[string]any{"name": "attack.test/never"}}
		}
		o.Object["spec"] = spec
	})
	for _, change := range changes {
		change(o)
	}
	return o
}

func podSpec() map[string]any {
	return map[string]any{
		"terminationGracePeriodSeconds": int64(0),
		"containers": []any{map[string]any{
			"name": "c", "image": "ghcr.io/actions/actions-runner:latest", "command": []any{"/home/runner/run.sh"},
		}},
	}
}

// deployment returns a Deployment that runs, or one that never creates a Pod.
func deployment(name string, runs bool, args []any, changes ...with) *object {
	selector := map[string]any{byActor: name}
	spec := podSpec()
	container := spec["containers"].([]any)[0].(map[string]any)
	container["args"] = args
	template := map[string]any{byActor: name}
	o := thing("apps/v1", "Deployment", name, func(o *object) {
		o.Object["spec"] = map[string]any{
			"replicas": int64(1), "paused": !runs,
			"selector": map[string]any{"matchLabels": selector},
			"template": map[string]any{"metadata": map[string]any{"labels": template}, "spec": spec},
		}
	})
	for _, change := range changes {
		change(o)
	}
	return o
}

var controllerArgs = []any{"--auto-scaling-runner-set-only", "--metrics-addr=0"}

var controllerLabels = labels("app.kubernetes.io/part-of", "gha-rs-controller", "app.kubernetes.io/component", "controller-manager",
	"app.kubernetes.io/instance", "arc", "app.kubernetes.io/version", "0.6.1",
	"actions.github.com/controller-service-account-name", "arc-gha-rs-controller",
	"actions.github.com/controller-service-account-namespace", controllerNamespace)

// many returns several objects of a kind.
func many(n int, one func(i int) *object) []*object {
	var out []*object
	for i := range n {
		out = append(out, one(i))
	}
	return out
}

// large is an annotation almost as large as the API server allows.
func large() with { return annotations("attack.test/large", strings.Repeat("x", 250<<10)) }

func role(name string, changes ...with) *object {
	return thing("rbac.authorization.k8s.io/v1", "Role", name, changes...)
}

func roleBinding(name, to string, changes ...with) *object {
	return thing("rbac.authorization.k8s.io/v1", "RoleBinding", name, append([]with{func(o *object) {
		o.Object["roleRef"] = map[string]any{"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": to}
		o.Object["subjects"] = []any{map[string]any{"kind": "ServiceAccount", "name": "arc-gha-rs-controller", "namespace": controllerNamespace}}
	}}, changes...)...)
}

// both returns a record as a Secret and as a ConfigMap.
func both(r record) []*object { return []*object{stored("Secret", r), stored("ConfigMap", r)} }

const (
	oursName, oursComponent = "app.kubernetes.io/name", "app.kubernetes.io/component"
	arcGroup                = "actions.github.com/v1alpha1"
)

// state returns the Secret of an upgrade.
func state(name, document string, more ...string) *object {
	return thing("v1", "Secret", name, labels(oursName, "arc-cleanup", oursComponent, "upgrade"),
		data(append([]string{"upgrade.json", document}, more...)...))
}

// unzipped compresses a text as arc-cleanup's Secrets hold it.
func zipped(text string) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write([]byte(text))
	_ = z.Close()
	return b.String()
}

const forgedState = `{"version":"arc-cleanup/upgrade/v1","uninstalled":true,` +
	`"target":{"controller":{"ref":"oci://evil.example/charts/gha-runner-scale-set-controller","version":"6.6.6","metadata":{"Name":"gha-runner-scale-set-controller","Version":"6.6.6","AppVersion":"0.6.1"}},` +
	`"scaleSets":{"ref":"oci://evil.example/charts/gha-runner-scale-set","version":"6.6.6","metadata":{"Name":"gha-runner-scale-set","Version":"6.6.6","AppVersion":"0.6.1"}}},` +
	`"releases":[{"namespace":"arc-systems","name":"arc","controller":true,"chart":{"Name":"gha-runner-scale-set-controller","Version":"0.6.1","AppVersion":"0.6.1"},"driver":"secret"},` +
	`{"namespace":"payments","name":"bait","chart":{"Name":"gha-runner-scale-set","Version":"0.6.1","AppVersion":"0.6.1"},"driver":"secret"}]}`

const forgedBackup = `apiVersion: v1
kind: List
items:
- apiVersion: rbac.authorization.k8s.io/v1
  kind: ClusterRoleBinding
  metadata: {name: bait}
  roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}
  subjects: [{kind: ServiceAccount, name: admin, namespace: tenant}]
- apiVersion: v1
  kind: Secret
  metadata: {name: bait, namespace: kube-system}
- apiVersion: actions.github.com/v1alpha1
  kind: AutoscalingRunnerSet
  metadata: {name: bait, namespace: payments}
  spec: {githubConfigUrl: 'https://github.com/evil', template: {spec: {hostPID: true, containers: [{name: runner, image: evil}]}}}
`

func backup(name, content string) *object {
	return thing("v1", "Secret", name, labels(oursName, "arc-cleanup", oursComponent, "backup"), data("autoscalingrunnersets.yaml.gz", content))
}

// tries lists all tries, in the order of the table.
var tries = []try{
	{what: "Helm records of the controller's and of the scale set's release, in every state, in Secrets and ConfigMaps of another namespace than theirs", by: admin, outcome: nothing, make: func(facts) (out []*object) {
		for i, status := range []string{"deployed", "uninstalling", "uninstalled", "failed", "pending-upgrade"} {
			arc := release(controllerNamespace, "arc", status, "gha-runner-scale-set-controller", manifestController+manifestNeighbour, "version", i+7, "hooks", hookJob(controllerHook))
			set := release(runnerNamespace, "runners", status, "gha-runner-scale-set", manifestSet+manifestNeighbour, "version", i+7, "hooks", hookJob(setHook))
			out = append(append(out, both(arc)...), both(set)...)
		}
		return out
	}},
	{what: "records whose body names a release of another team, under any name and labels", by: admin, outcome: nothing, make: func(facts) (out []*object) {
		for i, kind := range []string{"Secret", "ConfigMap"} {
			body := release(neighbour, neighbour, "deployed", "gha-runner-scale-set", manifestSet+manifestNeighbour)
			out = append(out,
				storedAs(kind, "anything", body.text(), "name", "x", "version", "1"),
				storedAs(kind, fmt.Sprintf("sh.helm.release.v1.forged%d.v1", i), body.text(), "name", fmt.Sprintf("forged%d", i), "version", "1", "status", "deployed"))
		}
		return out
	}},
	{what: "records in Helm's form of releases in its own namespace, whose manifests install what is in other namespaces, and claim hooks of our names", by: admin, outcome: nothing, make: func(facts) (out []*object) {
		for i, status := range []string{"deployed", "uninstalling", "uninstalled", "superseded", "failed", "pending-install"} {
			out = append(out,
				stored("Secret", release(tenantNamespace, fmt.Sprintf("own%d", i), status, "gha-runner-scale-set", manifestSet+manifestNeighbour, "hooks", hookJob(setHook))),
				stored("ConfigMap", release(tenantNamespace, fmt.Sprintf("arc%d", i), status, "gha-runner-scale-set-controller", manifestController+manifestNeighbour, "hooks", hookJob(controllerHook))))
		}
		return out
	}},
	{what: "what only looks like a record: `owner=helm` without a version or with an absurd one, without a name, without data, cut short, of wrong types, with a manifest that no parser takes", by: admin, outcome: nothing, make: func(facts) (out []*object) {
		whole := release(tenantNamespace, "broken", "deployed", "gha-runner-scale-set", manifestSet).text()
		aliases := "a: &a [x,x,x,x,x,x,x,x,x]\n"
		for c := 'b'; c < 'k'; c++ {
			aliases += fmt.Sprintf("%c: &%c [%s]\n", c, c, strings.TrimSuffix(strings.Repeat("*"+string(c-1)+",", 9), ","))
		}
		for i, kind := range []string{"Secret", "ConfigMap"} {
			for j, x := range []struct{ version, text string }{
				{"", whole},
				{"one", whole},
				{"0", whole},
				{"99999999999999999999", whole},
				{"1", ""},
				{"1", "not base64!"},
				{"1", "bm90IGEgcmVjb3Jk"},
				{"1", whole[:len(whole)/2]},
				{"1", packed([]byte(`{"name":7,"namespace":[],"version":"x","info":1,"hooks":"y","manifest":{}}`))},
				{"1", packed([]byte(strings.Repeat("[", 100000)))},
				{"1", packed([]byte("null"))},
				{"1", release(tenantNamespace, "aliases", "deployed", "gha-runner-scale-set", manifestSet+aliases).text()},
				{"1", release(tenantNamespace, "tabs", "deployed", "gha-runner-scale-set", manifestSet+"\t- {a: [\n%zz\x00").text()},
			} {
				name := fmt.Sprintf("broken%d-%d", i, j)
				pairs := []string{"name", name, "status", "deployed"}
				if x.version != "" {
					pairs = append(pairs, "version", x.version)
				}
				out = append(out, storedAs(kind, "sh.helm.release.v1."+name+".v1", x.text, pairs...))
			}
			out = append(out, storedAs(kind, fmt.Sprintf("nameless%d", i), whole, "version", "1"), thing("v1", kind, fmt.Sprintf("empty%d", i), labels("owner", "helm")))
		}
		return out
	}},
	{what: "a bomb: records and our own Secrets of 700 kB that inflate to 500 MB", by: admin, outcome: nothing, make: func(facts) (out []*object) {
		text := base64.StdEncoding.EncodeToString([]byte(bomb()))
		for _, kind := range []string{"Secret", "ConfigMap"} {
			out = append(out, storedAs(kind, "sh.helm.release.v1.bomb.v1", text, "name", "bomb", "version", "1", "status", "deployed"))
		}
		return append(out, backup("arc-cleanup-backup-bomb", bomb()), state("upgrade-bomb", forgedState, "values.arc-systems.arc.gz", bomb()))
	}},
	{what: "Jobs and Pods with the names and labels of the hooks'", by: admin, outcome: nothing, make: func(facts) (out []*object) {
		for _, name := range []string{controllerHook, setHook} {
			out = append(out,
				thing("batch/v1", "Job", name, labels(oursName, "arc-cleanup"), annotations("helm.sh/hook", "pre-delete"), field("spec.suspend", true), func(o *object) {
					spec := podSpec()
					spec["restartPolicy"] = "Never"
					o.Object["spec"].(map[string]any)["template"] = map[string]any{"spec": spec}
				}),
				pod(name+"-x7x7x", false, labels(oursName, "arc-cleanup", "job-name", name)))
		}
		return out
	}},
	{what: "states of an upgrade that is not over, under our name and others, with charts and releases of the actor's, and broken ones", by: admin, outcome: nothing, make: func(facts) []*object {
		values := []string{"values.arc-systems.arc.gz", zipped("{}"), "values.payments.bait.gz", zipped(`{"template":{"spec":{"hostPID":true}}}`)}
		return []*object{
			state("arc-cleanup-upgrade", forgedState, values...),
			state("whatever", forgedState, values...),
			state("marked", strings.ReplaceAll(forgedState, "bait", "bait-"+jsonOf(mark("state"))), values...),
			state("broken", "{"), state("hollow", `{"version":"arc-cleanup/upgrade/v1"}`),
		}
	}},
	{what: "the off switch", by: admin, outcome: nothing, make: func(facts) []*object {
		return []*object{thing("v1", "ConfigMap", "arc-cleanup-off"), thing("v1", "Secret", "arc-cleanup-off")}
	}},
	{what: "backups which hold other kinds and other namespaces, and broken ones", by: admin, outcome: nothing, make: func(facts) []*object {
		return []*object{
			backup("arc-cleanup-backup-20260102-030405", zipped(forgedBackup)),
			backup("arc-cleanup-backup-broken", "no gzip"),
			backup("arc-cleanup-backup-marked", zipped(strings.ReplaceAll(forgedBackup, "bait", jsonOf(mark("backup"))))),
		}
	}},
	{what: "enrollers of other releases: Deployments and ConfigMaps with our labels, and a hook of the actor's", by: admin, outcome: nothing, make: func(facts) (out []*object) {
		enroller := labels(oursName, "arc-cleanup", oursComponent, "enroller", "app.kubernetes.io/instance", "arc")
		hooks, _ := json.Marshal(hookJob(controllerHook))
		for _, r := range [][2]string{{controllerNamespace, "arc"}, {runnerNamespace, "runners"}} {
			name := r[1] + "-arc-cleanup-enrol"
			out = append(out,
				deployment(name, false, []any{"enrol", "--namespace=" + r[0], "--enroller=" + name}, enroller, ofRelease(r[0], r[1])),
				thing("v1", "ConfigMap", name, enroller, ofRelease(r[0], r[1]), data("hooks.json", string(hooks))))
		}
		return out
	}},
	{what: "Deployments that look like controllers of ARC and run, with their labels, arguments, ServiceAccount's name and release, watching the runners' namespace or all", by: admin, outcome: nothing, make: func(facts) []*object {
		single := append([]any{"--watch-single-namespace=" + runnerNamespace}, controllerArgs...)
		return []*object{
			thing("v1", "ServiceAccount", "arc-gha-rs-controller", controllerLabels, ofRelease(controllerNamespace, "arc")),
			deployment("arc-gha-rs-controller", true, controllerArgs, controllerLabels, ofRelease(controllerNamespace, "arc"), field("spec.template.spec.serviceAccountName", "arc-gha-rs-controller")),
			deployment("single", true, single, controllerLabels, labels("actions.github.com/controller-watch-single-namespace", runnerNamespace), ofRelease(controllerNamespace, "arc")),
			deployment("bare", true, controllerArgs),
			deployment("marked", false, append([]any{mark("argument"), "--watch-single-namespace=" + mark("watched")}, controllerArgs...), controllerLabels, ofRelease(mark("relns"), mark("release"))),
			deployment("legacy", true, []any{"--metrics-addr=0"}, labels("app.kubernetes.io/name", "actions-runner-controller"), func(o *object) {
				containers := o.Object["spec"].(map[string]any)["template"].(map[string]any)["spec"].(map[string]any)["containers"].([]any)
				c := containers[0].(map[string]any)
				c["name"], c["image"] = "manager", "summerwind/actions-runner-controller:v0.27.6"
			}),
		}
	}},
	{what: "300 such Deployments of 12 kB", by: admin, outcome: nothing, make: func(facts) []*object {
		return many(300, func(i int) *object {
			return deployment(fmt.Sprintf("many-%d", i), false, append([]any{"--log-level=" + strings.Repeat("x", 12<<10)}, controllerArgs...), controllerLabels)
		})
	}},
	{what: "Roles, RoleBindings, ServiceAccounts and Secrets with the names, labels and finalizers of the set's manager and listener", by: admin, outcome: nothing, make: func(facts) (out []*object) {
		listener := labels("auto-scaling-listener-name", "runners-listener", "auto-scaling-listener-namespace", controllerNamespace)
		for _, name := range []string{"runners-gha-rs-manager", "runners-gha-rs-kube-mode"} {
			out = append(out, role(name, ofSet, protected, ofRelease(runnerNamespace, "runners")), roleBinding(name, name, ofSet, protected, ofRelease(runnerNamespace, "runners")))
		}
		return append(out,
			role("runners-754b578d-listener", ofSet, listener), roleBinding("runners-754b578d-listener", "runners-754b578d-listener", ofSet, listener),
			thing("v1", "ServiceAccount", "runners-gha-rs-no-permission", ofSet, protected, ofRelease(runnerNamespace, "runners")),
			thing("v1", "ServiceAccount", "runners-754b578d-listener", ofSet, listener),
			thing("v1", "Secret", "runners-gha-rs-github-secret", ofSet, protected, ofRelease(runnerNamespace, "runners"), data("github_token", "x")),
			thing("v1", "Secret", "both", ofSet, finalizers("actions.github.com/cleanup-protection", "example.com/keep"), annotations("meta.helm.sh/release-name", mark("name"), "meta.helm.sh/release-namespace", mark("namespace"))),
			role("named", protected, annotations("meta.helm.sh/release-name", mark("rolename"), "meta.helm.sh/release-namespace", "kube-system")))
	}},
	{what: "Pods, Secrets, ConfigMaps and ServiceAccounts owned by objects of ARC: real ones of other namespaces, the CRD, the controller's ClusterRole (deletion blocked, held by a finalizer), and some that never were", by: admin, outcome: nothing, make: func(of facts) (out []*object) {
		gone := owner{arcGroup, "EphemeralRunner", "gone", "00000000-0000-0000-0000-000000000000"}
		for i, x := range []owner{of.set, of.runnerSet, of.runner, of.crd, of.role, gone} {
			held := finalizers("example.com/keep")
			out = append(out,
				pod(fmt.Sprintf("owned-%d", i), false, ofSet, ownedBy(x), held, labels(oursComponent, "runner")),
				thing("v1", "Secret", fmt.Sprintf("owned-%d", i), ofSet, ownedBy(x), held),
				thing("v1", "ConfigMap", fmt.Sprintf("owned-%d", i), ofSet, ownedBy(x), held),
				thing("v1", "ServiceAccount", fmt.Sprintf("owned-%d", i), ofSet, ownedBy(x), held))
		}
		return out
	}},
	{what: "Pods that look like the controller's, a listener's, a runner's and a job's, and never go", by: admin, outcome: nothing, make: func(of facts) []*object {
		held := finalizers("example.com/keep")
		return []*object{
			pod("arc-gha-rs-controller-0", true, controllerLabels, held),
			pod("runners-754b578d-listener", true, ofSet, labels(oursComponent, "runner-scale-set-listener"), held),
			pod(of.runner.name, true, ofSet, labels(oursComponent, "runner"), held),
			pod(of.runner.name+"-workflow", true, labels("runner-pod", of.runner.name), held),
		}
	}},
	{what: "Secrets, ConfigMaps, ServiceAccounts, Roles and Pods with 250 kB of annotations, 20 of each, protected as ARC's", by: admin, outcome: nothing, make: func(facts) (out []*object) {
		return many(100, func(i int) *object {
			name := fmt.Sprintf("large-%d", i)
			switch i % 5 {
			case 0:
				return thing("v1", "Secret", name, protected, large(), labels("owner", "helm"))
			case 1:
				return thing("v1", "ConfigMap", name, large(), labels("owner", "helm"))
			case 2:
				return thing("v1", "ServiceAccount", name, protected, large())
			case 3:
				return role(name, protected, large())
			}
			return pod(name, false, ofSet, large())
		})
	}},
	{what: "a RoleBinding that gives it the controller's ClusterRole, or `cluster-admin`, and a Role with rights on ARC's kinds", by: admin, outcome: forbidden, make: func(of facts) []*object {
		binding := func(to string) *object {
			return roleBinding("escalation-"+to, to, func(o *object) { o.Object["roleRef"].(map[string]any)["kind"] = "ClusterRole" })
		}
		out := []*object{binding("cluster-admin"), role("escalation", func(o *object) {
			o.Object["rules"] = []any{map[string]any{"apiGroups": []any{"actions.github.com"}, "resources": []any{"*"}, "verbs": []any{"*"}}}
		})}
		if of.role.kind == "ClusterRole" { // it goes with the controller's release
			out = append(out, binding(of.role.name))
		}
		return out
	}},
	{what: "ARC's own kinds, which the ClusterRole `admin` does not hold", by: admin, outcome: forbidden, make: func(facts) []*object {
		return []*object{
			thing(arcGroup, "AutoscalingRunnerSet", "forged"), thing(arcGroup, "EphemeralRunnerSet", "forged"),
			thing(arcGroup, "EphemeralRunner", "forged"), thing(arcGroup, "AutoscalingListener", "forged"),
		}
	}},
	{what: "a state, a backup, the off switch and a record in the controller's namespace", by: admin, outcome: forbidden, make: func(facts) []*object {
		out := []*object{
			state("arc-cleanup-upgrade", forgedState), backup("arc-cleanup-backup-forged", zipped(forgedBackup)), thing("v1", "ConfigMap", "arc-cleanup-off"),
			stored("Secret", release(controllerNamespace, "arc", "uninstalled", "gha-runner-scale-set-controller", manifestController, "version", 9)),
		}
		for _, o := range out {
			o.SetNamespace(controllerNamespace)
		}
		return out
	}},
	{what: "a webhook, a CRD, an APIService, a ClusterRole, a namespace", by: admin, outcome: forbidden, clusterScoped: true, make: func(facts) []*object {
		return []*object{
			thing("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration", "forged"), thing("admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration", "forged"),
			thing("apiextensions.k8s.io/v1", "CustomResourceDefinition", "autoscalingrunnersets.actions.github.com"),
			thing("apiregistration.k8s.io/v1", "APIService", "v1alpha1.actions.github.com"),
			thing("rbac.authorization.k8s.io/v1", "ClusterRole", "arc-gha-rs-controller"), thing("v1", "Namespace", "forged"),
		}
	}},

	{what: "Pods that look like runners, listeners, controllers, enrollers and hooks", by: podCreator, outcome: nothing, make: func(facts) []*object {
		return []*object{
			pod("forged-runner", true, ofSet, labels(oursComponent, "runner")),
			pod("forged-listener", true, ofSet, labels(oursComponent, "runner-scale-set-listener")),
			pod("forged-controller", true, controllerLabels),
			pod("forged-enroller", true, labels(oursName, "arc-cleanup", oursComponent, "enroller", "app.kubernetes.io/instance", "runners")),
			pod("forged-hook", false, labels(oursName, "arc-cleanup", "job-name", setHook, "batch.kubernetes.io/job-name", setHook), annotations("helm.sh/hook", mark("hook"))),
			pod("forged-image", true, labels(oursName, "arc-cleanup", oursComponent, "enroller", "app.kubernetes.io/instance", "runners"), func(o *object) {
				o.Object["spec"].(map[string]any)["containers"].([]any)[0].(map[string]any)["image"] = "zqimagex;$(id)\x1b[31m"
			}),
		}
	}},
	{what: "Pods owned by the real set, runner set and runner, and by a runner that never was; Pods of jobs of the real runner", by: podCreator, outcome: nothing, make: func(of facts) (out []*object) {
		gone := owner{arcGroup, "EphemeralRunner", "gone", "00000000-0000-0000-0000-000000000000"}
		for i, x := range []owner{of.set, of.runnerSet, of.runner, of.crd, gone} {
			out = append(out, pod(fmt.Sprintf("owned-%d", i), false, ofSet, ownedBy(x), annotations("actions.github.com/x", mark("owned"))))
		}
		return append(out, pod("forged-workflow", true, labels("runner-pod", of.runner.name)))
	}},
	{what: "40 Pods with 250 kB of annotations, with the set's labels", by: podCreator, outcome: nothing, make: func(facts) []*object {
		return many(40, func(i int) *object { return pod(fmt.Sprintf("large-%d", i), false, ofSet, large()) })
	}},
	{what: "a Pod with the hook's ServiceAccount, which there is during an uninstall only", by: podCreator, outcome: forbidden, make: func(facts) []*object {
		return []*object{pod("hook", false, field("spec.serviceAccountName", setHook))}
	}},
	{what: "a Secret, a ConfigMap, a Pod beside the controller", by: podCreator, outcome: forbidden, make: func(facts) []*object {
		return []*object{
			thing("v1", "Secret", "sh.helm.release.v1.runners.v9"), thing("v1", "ConfigMap", "arc-cleanup-off"), pod("beside", false, in(controllerNamespace)),
		}
	}},

	{what: "AutoscalingRunnerSets annotated with releases of other teams, labelled and owned as the real set, registered under any id and name", by: runnerAdmin, outcome: blocks, make: func(of facts) []*object {
		set := func(name string, changes ...with) *object {
			return thing(arcGroup, "AutoscalingRunnerSet", name, append([]with{func(o *object) {
				o.Object["spec"] = map[string]any{
					"githubConfigUrl": "https://github.com/" + mark("url"), "runnerScaleSetName": mark("setname"),
					"template": map[string]any{"spec": map[string]any{"containers": []any{map[string]any{"name": "runner", "image": "evil"}}}},
				}
			}, labels("app.kubernetes.io/version", "0.6.1")}, changes...)...)
		}
		return []*object{
			set("of-neighbour", ofRelease(neighbour, neighbour)),
			set("of-system", ofRelease("kube-system", "cilium"), annotations("runner-scale-set-id", mark("id"), "actions.github.com/runner-scale-set-name", mark("ghname"))),
			set("of-shell", ofRelease(mark("relns"), mark("relname"))),
			set("runners", ofSet, ofRelease(runnerNamespace, "runners"), ownedBy(of.set), finalizers("autoscalingrunnerset.actions.github.com/finalizer")),
		}
	}},
	{what: "EphemeralRunnerSets, EphemeralRunners with jobs, and AutoscalingListeners of the real set", by: runnerAdmin, outcome: blocks, make: func(of facts) []*object {
		spec := func(o *object) {
			o.Object["spec"] = map[string]any{
				"githubConfigUrl": of.url, "githubConfigSecret": "x", "runnerScaleSetId": int64(1), "ephemeralRunnerSpec": map[string]any{},
				"template": map[string]any{"spec": map[string]any{"containers": []any{map[string]any{"name": "runner", "image": "evil"}}}},
				"spec":     map[string]any{"containers": []any{map[string]any{"name": "runner", "image": "evil"}}},
			}
		}
		return []*object{
			thing(arcGroup, "EphemeralRunnerSet", "forged", spec, ofSet, ownedBy(of.set), finalizers("ephemeralrunner.actions.github.com/finalizer")),
			thing(arcGroup, "EphemeralRunner", "forged", spec, ofSet, ownedBy(of.runnerSet), finalizers("ephemeralrunner.actions.github.com/finalizer"), func(o *object) {
				o.Object["status"] = map[string]any{"jobRequestId": int64(7), "jobDisplayName": mark("job"), "jobRepositoryName": mark("repository"), "jobWorkflowRef": mark("workflow"), "workflowRunId": int64(9)}
			}),
			thing(arcGroup, "AutoscalingListener", "forged", ofSet, ownedBy(of.set), func(o *object) {
				o.Object["spec"] = map[string]any{"githubConfigUrl": of.url, "githubConfigSecret": "x", "autoscalingRunnerSetName": "runners", "autoscalingRunnerSetNamespace": runnerNamespace, "ephemeralRunnerSetName": of.runnerSet.name}
			}),
		}
	}},
}

func jsonOf(text string) string {
	b, _ := json.Marshal(text) // a string
	return string(b[1 : len(b)-1])
}

// selected returns the tries of some actors that the flags ask for.
func selected(by ...*actor) (out []try) {
	for _, x := range tries {
		for _, a := range by {
			if x.by == a && strings.Contains(x.what, *only) {
				out = append(out, x)
			}
		}
	}
	return out
}
