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

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/kube/kubetest"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
	"github.com/arc-cleanup/arc-cleanup/internal/plan/plantest"
)

// helmRecord is the Secret of a release, with the fields that are read.
func helmRecord(name, manifest string) kubetest.Item {
	const namespace = "runners"
	it := kubetest.Whole(kubetest.Object("secret " + namespace + "/sh.helm.release.v1." + name + ".v1"))[0]
	it.Labels["owner"], it.Labels["name"], it.Labels["version"], it.Labels["status"] = "helm", name, "1", "deployed"
	raw, _ := json.Marshal(map[string]any{"name": name, "namespace": namespace, "version": 1, "info": map[string]any{"status": "deployed"}, "manifest": manifest})
	data := base64.StdEncoding.EncodeToString(raw)
	it.Rest = map[string]any{"kind": "Secret", "type": "helm.sh/release.v1", "data": map[string]any{"release": base64.StdEncoding.EncodeToString([]byte(data))}}
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
	mine := kubetest.By("runners/gpu")
	keep := kubetest.Whole(kubetest.Object("secret runners/to-keep", mine))[0]
	keep.Annotations["helm.sh/resource-policy"] = "keep"
	enrols := kubetest.Whole(kubetest.Object("deploy runners/enrols", mine))[0]
	enrols.Labels["app.kubernetes.io/name"], enrols.Labels["app.kubernetes.io/component"] = "arc-cleanup", "enroller"
	items := append(kubetest.Whole(kubetest.CRDs()...), keep, enrols,
		helmRecord("gpu", gpuManifest),
		helmRecord("web", "apiVersion: v1\nkind: Secret\nmetadata: {name: github}\n"))
	items = append(items, kubetest.Whole(
		kubetest.Object("ars runners/set", mine, kubetest.Finalizers(arc.AutoscalingRunnerSetFinalizer)), kubetest.Protected("secret runners/github", mine),
		kubetest.Object("sa runners/taken-over", kubetest.By("runners/other")), kubetest.Protected("role runners/set-manager", mine))...)
	a, c := kubetest.New(t, items...)
	r := Run(t.Context(), c, graced(plantest.Uninstalls(plantest.OfRelease), ample), quiet, Person{})
	want := []string{"sa runners/taken-over", "secret runners/sh.helm.release.v1.web.v1", "secret runners/to-keep"}
	if diff := cmp.Diff(want, a.Left()); r.Verdict != plan.Done || diff != "" {
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
	mine := kubetest.By("runners/gpu")
	items := append(kubetest.Whole(kubetest.CRDs()...), helmRecord("gpu", more))
	items = append(items, kubetest.Whole(kubetest.Object("ars runners/set", mine), kubetest.Object("deploy runners/enrols", mine))...)
	a, c := kubetest.New(t, items...)
	r := Run(t.Context(), c, graced(plantest.Uninstalls(plantest.OfRelease), ample), quiet, Person{})
	const want = "holds more than scale sets: Deployment enrols, PersistentVolumeClaim cache, EphemeralRunner by-hand, AutoscalingRunnerSet theirs"
	if r.Verdict != plan.Refused || len(a.Writes) > 0 || !strings.Contains(r.Text(10), want) {
		t.Error(r.Text(10))
	}
}

// A record, or an installed object, that cannot be read is not absent.
func TestReleasesThatCannotBeRead(t *testing.T) {
	t.Parallel()
	mine := kubetest.By("runners/gpu")
	items := append(kubetest.Whole(kubetest.CRDs()...), helmRecord("gpu", gpuManifest))
	items = append(items, kubetest.Whole(kubetest.Object("ars runners/set", mine, kubetest.Finalizers(arc.AutoscalingRunnerSetFinalizer)), kubetest.Protected("secret runners/github", mine))...)
	for _, request := range []string{"LIST secret", "GET secret runners/sh.helm.release.v1.gpu.v1", "LIST configmap", "LIST deploy", "LIST rolebinding"} {
		a, c := kubetest.New(t, items...)
		a.Fault = kubetest.On(http.StatusBadRequest, kubetest.Always, request)
		r := Run(t.Context(), c, graced(plantest.Uninstalls(plantest.ByHand), ample), quiet, Person{})
		if r.Verdict != plan.Failed || len(a.Writes) > 0 || strings.Contains(r.Text(10), "Helm has no record") {
			t.Errorf("%s refused: %v\n%s", request, a.Writes, r.Text(10))
		}
	}
}

// A record may name anything. It must not make the hook read what it may not read, look for
// thousands of missing objects one by one, or keep them all in memory.
func TestWhatARecordNamesCostsNothing(t *testing.T) {
	t.Parallel()
	elsewhere := strings.Replace(gpuManifest, "{name: github, namespace: runners}", "{name: any, namespace: kube-system}", 1)
	var many strings.Builder
	many.WriteString(gpuManifest)
	for i := range 5000 {
		fmt.Fprintf(&many, "---\napiVersion: v1\nkind: Secret\nmetadata: {name: n%d}\n", i)
	}
	for name, manifest := range map[string]string{"objects out of reach": elsewhere, "very many": many.String()} {
		a, c := kubetest.New(t, append(kubetest.Whole(kubetest.CRDs()...), helmRecord("bait", manifest))...)
		requests := 0
		var mu sync.Mutex
		a.Fault = func(request string) int {
			mu.Lock()
			defer mu.Unlock()
			requests++
			if strings.Contains(request, " kube-system") {
				return http.StatusForbidden
			}
			return 0
		}
		o := plantest.Uninstalls(plantest.OfRelease)
		o.WatchNamespaces = []string{"runners"}
		if r := Run(t.Context(), c, graced(o, ample), quiet, Person{}); r.Verdict != plan.Done || requests > 200 {
			t.Errorf("%s: %d requests\n%s", name, requests, r.Text(10))
		}
	}
	// A proved release with more objects than the chart can install is refused.
	_, c := kubetest.New(t, append(kubetest.Whole(append(kubetest.CRDs(), kubetest.Object("ars runners/set", kubetest.By("runners/bait")))...), helmRecord("bait", many.String()))...)
	if r := Run(t.Context(), c, graced(plantest.Uninstalls(plantest.OfRelease), ample), quiet, Person{}); r.Verdict != plan.Refused || !strings.Contains(r.Text(10), "holds more than scale sets: 4007 more\n") {
		t.Errorf("%s", r.Text(10))
	}
}
