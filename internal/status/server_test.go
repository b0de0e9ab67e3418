package status

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/helm"
	"github.com/arc-cleanup/arc-cleanup/internal/kube"
	"github.com/arc-cleanup/arc-cleanup/internal/kube/kubetest"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
)

// record is a release as its record holds it.
type record struct {
	name, namespace string
	storage         string // where the record is, if elsewhere
	revision        int    // 1 if it is 0
	status          helm.Status
	manifest        string
	hooks           []map[string]string
	chart           map[string]any
	broken          bool // what is stored is no record
}

func (r record) object() map[string]any {
	revision := strconv.Itoa(max(1, r.revision))
	body, err := json.Marshal(map[string]any{
		"name": r.name, "namespace": r.namespace, "version": max(1, r.revision), "info": map[string]any{"status": r.status}, "manifest": r.manifest, "hooks": r.hooks, "chart": r.chart,
	})
	if err != nil {
		panic(err)
	}
	data := base64.StdEncoding.EncodeToString(body)
	if r.broken {
		data = "!"
	}
	storage := r.namespace
	if r.storage != "" {
		storage = r.storage
	}
	return map[string]any{
		"apiVersion": "v1", "kind": "Secret", "type": "helm.sh/release.v1",
		"metadata": map[string]any{
			"name": "sh.helm.release.v1." + r.name + ".v" + revision, "namespace": storage,
			"labels": map[string]string{"owner": "helm", "name": r.name, "version": revision, "status": string(r.status)},
		},
		"data": map[string]any{"release": base64.StdEncoding.EncodeToString([]byte(data))},
	}
}

// serve starts an API server with these records and without ARC's CRDs. Requests ("LIST secret") fail
// with the given codes.
func serve(t *testing.T, fail map[string]int, records ...record) *kube.Client {
	t.Helper()
	return serveMore(t, fail, nil, records...)
}

// serveMore has further objects, and ARC's CRDs if there is one of ARC's.
func serveMore(t *testing.T, fail map[string]int, more []map[string]any, records ...record) *kube.Client {
	t.Helper()
	items := kubetest.Stored(more...)
	for _, it := range items {
		if group := it.Resource.Group; group == arc.Group || group == arc.LegacyGroup {
			items = append(items, kubetest.Whole(kubetest.Object("crd "+it.Resource.GroupResource().String()))...)
		}
	}
	for _, r := range records {
		items = append(items, kubetest.Stored(r.object())...)
	}
	a, c := kubetest.New(t, items...)
	a.Fault = func(request string) int { return fail[request] }
	t.Cleanup(func() {
		if written := a.Written(); len(written) > 0 {
			t.Errorf("it wrote %q", written)
		}
	})
	return c
}

const set = `apiVersion: actions.github.com/v1alpha1
kind: AutoscalingRunnerSet
metadata: {name: set}
`

// hooked returns the hooks of a release with arc-cleanup's Job, which has these arguments.
func hooked(args ...string) []map[string]string {
	quoted, _ := json.Marshal(append([]string{"run"}, args...))
	return []map[string]string{{"name": "hook", "kind": "Job", "manifest": fmt.Sprintf(
		"metadata: {labels: {app.kubernetes.io/name: arc-cleanup, helm.sh/chart: arc-cleanup-1}, annotations: {helm.sh/hook: pre-delete}}\nspec: {template: {spec: {containers: [{args: %s}]}}}\n", quoted)}}
}

// options understands "--NAME=VALUE" of what matters here.
func options(args []string) (plan.Options, error) {
	o := plan.Options{Scope: plan.ScopeScaleSet, RequireUninstalling: true, ScaleSets: plan.RefuseScaleSets}
	for _, arg := range args[1:] {
		name, value, _ := strings.Cut(arg, "=")
		switch name {
		case "--job":
			o.Job = value
		case "--release-namespace":
			o.ReleaseNamespace = value
		case "--storage-namespace":
			o.StorageNamespace = value
		case "--no-proof":
			o.RequireUninstalling = false
		default:
			return o, errors.New("unknown: " + arg)
		}
	}
	return o, nil
}
