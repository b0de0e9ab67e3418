package cleanup

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/identity"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
)

// uninstalls is options that uninstall scale sets, too.
func uninstalls(o Options) Options {
	o.ScaleSets = UninstallScaleSets
	return o
}

func TestPlanUninstallsScaleSets(t *testing.T) {
	live := obj("ars runners/set", by("runners/gpu"))
	gpu := Installed{
		Release: named("runners/gpu"), Sets: named1("set").Sets,
		Objects: []*object.Object{obj("secret runners/github", by("runners/gpu")), obj("role runners/set-manager", by("runners/gpu"), deleting)},
		Records: []*object.Object{obj("secret runners/sh.helm.release.v1.gpu.v1"), obj("secret runners/sh.helm.release.v1.gpu.v2")},
	}
	shop := gpu
	shop.Others = []string{"Deployment web", "Service web"}
	pending := gpu
	pending.Pending = true
	ours := gpu
	ours.Release = named("systems/arc")
	const releases = "releases: delete secret runners/github, await role runners/set-manager"
	const records = "releases: delete secret runners/sh.helm.release.v1.gpu.v1, delete secret runners/sh.helm.release.v1.gpu.v2"
	job := Job{Repository: "acme/shop", Name: "build", Pod: obj("pod runners/r")}
	tests := map[string]planTest{
		"the set, its objects, Helm's records, then the CRDs": {
			Survey{Record: uninstalling(), Custom: []*object.Object{live}, Installed: []Installed{gpu}, CRDs: crdObjects()},
			uninstalls(asHook), Fresh,
			[]string{"release: release ars runners/set", releases, records, "crds: " + allCRDs},
		},
		"by a controller that lives": {
			Survey{Record: uninstalling(), Controllers: []ARC{ctrl("systems/arc", "", by("systems/arc"))}, Custom: []*object.Object{live}, Installed: []Installed{gpu}},
			uninstalls(asHook), Fresh,
			[]string{"drain: delete ars runners/set", "release: release ars runners/set", releases, records},
		},
		"a record is left of a set that is gone": {
			Survey{Record: uninstalling(), Installed: []Installed{{Release: gpu.Release, Sets: gpu.Sets, Records: gpu.Records}}},
			uninstalls(asHook), Fresh,
			[]string{records},
		},
		"not a release that holds more": {
			Survey{Record: uninstalling(), Installed: []Installed{shop}, Custom: []*object.Object{live}},
			uninstalls(asHook), Fresh,
			[]string{
				"refused: Helm release gpu in namespace runners holds more than scale sets: Deployment web, Service web",
				"  helm uninstall gpu --namespace runners", "release: release ars runners/set", releases, records,
			},
		},
		"nor one that Helm is at work on": {
			Survey{Record: uninstalling(), Installed: []Installed{pending}, Custom: []*object.Object{live}},
			uninstalls(asHook), Fresh,
			[]string{
				"refused: Helm release gpu in namespace runners is pending: Helm is at work on it, or was stopped in the middle",
				"  wait for Helm; where it was stopped: helm uninstall gpu --namespace runners", "release: release ars runners/set", releases, records,
			},
		},
		"nor one of which another scale set stays": {
			Survey{
				Record: uninstalling(), Proven: map[types.UID]bool{live.UID: true}, Custom: []*object.Object{live},
				Installed: []Installed{{Release: gpu.Release, Sets: []identity.Set{named("runners/set"), named("team/set")}}},
			},
			uninstalls(onlyRuns), Fresh,
			[]string{
				"refused: scale set set in namespace runners is still installed (runners: 0, busy: 0), by Helm release gpu, and the release that it names cannot be uninstalled with it: other scale sets of it stay, or its record does not hold this one",
				"  helm uninstall gpu --namespace runners", "release: release ars runners/set",
			},
		},
		"a record that holds another set blocks nobody": {
			Survey{Record: uninstalling(), Installed: []Installed{shop, pending}, Custom: []*object.Object{obj("ars runners/another", by("runners/gpu"), deleting)}},
			uninstalls(asHook), Fresh,
			[]string{"release: release ars runners/another"},
		},
		"nor does one of whose set a runner is left": {
			Survey{Record: uninstalling(), Installed: []Installed{shop, pending}, Custom: []*object.Object{obj("er runners/r", by("runners/gpu"), of("runners/set"), deleting)}},
			uninstalls(asHook), Fresh,
			[]string{"release: release er runners/r"},
		},
		"a record of sets that are not there blocks nobody": {
			Survey{Record: uninstalling(), Installed: []Installed{shop, pending}, Custom: []*object.Object{obj("ars runners/set", by("runners/other"), deleting)}},
			uninstalls(asHook), Fresh,
			[]string{"release: release ars runners/set"},
		},
		"one whose namespace is being deleted needs no record": {
			Survey{Record: uninstalling(), Custom: []*object.Object{live}, Terminating: gone("runners")},
			uninstalls(asHook), Fresh,
			[]string{"release: release ars runners/set", "namespaces: await ns runners"},
		},
		"not a set of which Helm has no record": {
			Survey{Record: uninstalling(), Custom: []*object.Object{live}, Installed: []Installed{{Release: named("team/other"), Sets: []identity.Set{named("team/set")}}}},
			uninstalls(asHook), Fresh,
			[]string{
				"refused: scale set set in namespace runners is still installed (runners: 0, busy: 0), and Helm has no record of the release that it names",
				"  kubectl delete autoscalingrunnerset set --namespace runners --wait=false", "release: release ars runners/set",
			},
		},
		"Helm need not know of what is being deleted, its own release's, no set, or nobody's release": {
			Survey{Record: uninstalling(), Custom: []*object.Object{
				obj("ars runners/deleted", by("runners/gpu"), deleting), obj("ars systems/own", by("systems/arc")), obj("ars runners/plain"),
				obj("er runners/r", by("runners/gpu")),
			}},
			uninstalls(asHook), Fresh,
			[]string{"release: release er runners/r", "release: release ars runners/deleted, release ars systems/own, release ars runners/plain"},
		},
		"not the release that Helm uninstalls itself": {
			Survey{Record: uninstalling(), Installed: []Installed{ours}}, uninstalls(asHook), Fresh, nil,
		},
		"not another controller's": {
			Survey{Record: uninstalling(), Installed: []Installed{gpu}, Controllers: []ARC{ctrl("team/arc", "runners")}},
			uninstalls(asHook), Fresh, nil,
		},
		"not one whose runner is busy and left": {
			Survey{
				Record: uninstalling(), Installed: []Installed{gpu}, Custom: []*object.Object{obj("er runners/r", of("runners/set"))},
				Controllers: []ARC{ctrl("systems/arc", "", by("systems/arc"))},
				Busy:        map[types.UID]Job{"er runners/r": job},
			},
			func() Options { o := uninstalls(asHook); o.BusyRunners = LeaveBusy; return o }(), Fresh,
			[]string{`keep: runner r is busy with job "build" of acme/shop (), after which the controller removes it`},
		},
	}
	testPlans(t, tests)
}

// helmRecord is the Secret of a release, as far as it is read.
func helmRecord(name, manifest string) item {
	const namespace = "runners"
	it := whole(obj("secret " + namespace + "/sh.helm.release.v1." + name + ".v1"))[0]
	it.labels["owner"], it.labels["name"], it.labels["version"], it.labels["status"] = "helm", name, "1", "deployed"
	raw, _ := json.Marshal(map[string]any{"name": name, "namespace": namespace, "version": 1, "info": map[string]any{"status": "deployed"}, "manifest": manifest})
	data := base64.StdEncoding.EncodeToString(raw)
	it.rest = map[string]any{"kind": "Secret", "type": "helm.sh/release.v1", "data": map[string]any{"release": base64.StdEncoding.EncodeToString([]byte(data))}}
	return it
}

const gpuManifest = `apiVersion: actions.github.com/v1alpha1
kind: AutoscalingRunnerSet
metadata: {name: set, namespace: runners}
---
apiVersion: v1
kind: Secret
metadata: {name: github, namespace: runners}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: taken-over}
---
apiVersion: v1
kind: Secret
metadata: {name: to-keep}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: set-manager}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: gone}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: enrols}
`

func TestRunUninstallsAScaleSetsRelease(t *testing.T) {
	t.Parallel()
	mine := by("runners/gpu")
	keep := whole(obj("secret runners/to-keep", mine))[0]
	keep.annotations["helm.sh/resource-policy"] = "keep"
	enrols := whole(obj("deploy runners/enrols", mine))[0]
	enrols.labels["app.kubernetes.io/name"], enrols.labels["app.kubernetes.io/component"] = "arc-cleanup", "enroller"
	items := append(whole(crdObjects()...), keep, enrols,
		helmRecord("gpu", gpuManifest),
		helmRecord("web", "apiVersion: v1\nkind: Secret\nmetadata: {name: github}\n"))
	items = append(items, whole(
		obj("ars runners/set", mine, finalizers(arc.AutoscalingRunnerSetFinalizer)), protected("secret runners/github", mine),
		obj("sa runners/taken-over", by("runners/other")), protected("role runners/set-manager", mine))...)
	a, c := newAPI(t, items...)
	r := Run(t.Context(), c, graced(uninstalls(ofRelease), ample), quiet, nil)
	want := []string{"sa runners/taken-over", "secret runners/sh.helm.release.v1.web.v1", "secret runners/to-keep"}
	if diff := cmp.Diff(want, a.left()); r.Verdict != Done || diff != "" {
		t.Errorf("%s\nleft (-want +got):\n%s", r.Text(10), diff)
	}
}

func TestAReleaseThatHoldsMoreIsNotUninstalled(t *testing.T) {
	t.Parallel()
	const more = gpuManifest + `---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: cache}
---
apiVersion: actions.github.com/v1alpha1
kind: EphemeralRunner
metadata: {name: by-hand}
---
apiVersion: example.com/v1
kind: AutoscalingRunnerSet
metadata: {name: theirs}
`
	mine := by("runners/gpu")
	items := append(whole(crdObjects()...), helmRecord("gpu", more))
	items = append(items, whole(obj("ars runners/set", mine), obj("deploy runners/enrols", mine))...)
	a, c := newAPI(t, items...)
	r := Run(t.Context(), c, graced(uninstalls(ofRelease), ample), quiet, nil)
	const want = "holds more than scale sets: Deployment enrols, PersistentVolumeClaim cache, EphemeralRunner by-hand, AutoscalingRunnerSet theirs"
	if r.Verdict != Refused || len(a.writes) > 0 || !strings.Contains(r.Text(10), want) {
		t.Error(r.Text(10))
	}
}

// A record, or what a release has installed, that cannot be read is not absent.
func TestReleasesThatCannotBeRead(t *testing.T) {
	t.Parallel()
	mine := by("runners/gpu")
	items := append(whole(crdObjects()...), helmRecord("gpu", gpuManifest))
	items = append(items, whole(obj("ars runners/set", mine, finalizers(arc.AutoscalingRunnerSetFinalizer)), protected("secret runners/github", mine))...)
	for _, request := range []string{"LIST secret", "GET secret runners/sh.helm.release.v1.gpu.v1", "LIST configmap", "LIST deploy", "LIST rolebinding"} {
		a, c := newAPI(t, items...)
		a.fault = on(http.StatusBadRequest, always, request)
		r := Run(t.Context(), c, graced(uninstalls(byHand), ample), quiet, nil)
		if r.Verdict != Failed || len(a.writes) > 0 || strings.Contains(r.Text(10), "Helm has no record") {
			t.Errorf("%s refused: %v\n%s", request, a.writes, r.Text(10))
		}
	}
}

func TestIsLabelled(t *testing.T) {
	t.Parallel()
	enroller := map[string]string{"app.kubernetes.io/name": "arc-cleanup", "app.kubernetes.io/component": "enroller"}
	set := map[string]string{arc.LabelScaleSetName: "set"}
	for name, test := range map[string]struct {
		gvr    schema.GroupVersionResource
		labels map[string]string
		want   bool
	}{
		"an enroller":                     {object.Deployments, enroller, true},
		"of the enroller":                 {object.ConfigMaps, enroller, true},
		"another part of arc-cleanup":     {object.Deployments, map[string]string{"app.kubernetes.io/name": "arc-cleanup", "app.kubernetes.io/component": "backup"}, false},
		"somebody's enroller":             {object.Deployments, map[string]string{"app.kubernetes.io/name": "shop", "app.kubernetes.io/component": "enroller"}, false},
		"a scale set's ConfigMap":         {object.ConfigMaps, set, true},
		"a ConfigMap":                     {object.ConfigMaps, nil, false},
		"a Deployment with a set's label": {object.Deployments, set, false},
	} {
		if got := isLabelled(test.gvr, test.labels); got != test.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

// A record says whatever its writer likes. It does not make the uninstall of everybody
// else's ARC read what the hook may not, nor one by one what there is not, nor keep it in
// memory.
func TestWhatARecordNamesCostsNothing(t *testing.T) {
	t.Parallel()
	elsewhere := strings.Replace(gpuManifest, "{name: github, namespace: runners}", "{name: any, namespace: kube-system}", 1)
	var many strings.Builder
	many.WriteString(gpuManifest)
	for i := range 5000 {
		fmt.Fprintf(&many, "---\napiVersion: v1\nkind: Secret\nmetadata: {name: n%d}\n", i)
	}
	for name, manifest := range map[string]string{"objects out of reach": elsewhere, "very many": many.String()} {
		a, c := newAPI(t, append(whole(crdObjects()...), helmRecord("bait", manifest))...)
		requests := 0
		var mu sync.Mutex
		a.fault = func(request string) int {
			mu.Lock()
			defer mu.Unlock()
			requests++
			if strings.Contains(request, " kube-system") {
				return http.StatusForbidden
			}
			return 0
		}
		o := uninstalls(ofRelease)
		o.WatchNamespaces = []string{"runners"}
		if r := Run(t.Context(), c, graced(o, ample), quiet, nil); r.Verdict != Done || requests > 200 {
			t.Errorf("%s: %d requests\n%s", name, requests, r.Text(10))
		}
	}
	// One that is proved, and holds more than the chart can have made, is refused.
	_, c := newAPI(t, append(whole(append(crdObjects(), obj("ars runners/set", by("runners/bait")))...), helmRecord("bait", many.String()))...)
	if r := Run(t.Context(), c, graced(uninstalls(ofRelease), ample), quiet, nil); r.Verdict != Refused || !strings.Contains(r.Text(10), "holds more than scale sets: 4007 more\n") {
		t.Errorf("%s", r.Text(10))
	}
}
