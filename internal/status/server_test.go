package status

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/rest"

	"github.com/arc-cleanup/arc-cleanup/internal/helm"
	"github.com/arc-cleanup/arc-cleanup/internal/kube"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
)

// record is a release as its record holds it.
type record struct {
	name, namespace string
	storage         string // where the record is, if elsewhere
	status          helm.Status
	manifest        string
	hooks           []map[string]string
	broken          bool // what is stored is no record
}

func (r record) object() map[string]any {
	body, err := json.Marshal(map[string]any{
		"name": r.name, "namespace": r.namespace, "version": 1, "info": map[string]any{"status": r.status}, "manifest": r.manifest, "hooks": r.hooks,
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
			"name": "sh.helm.release.v1." + r.name + ".v1", "namespace": storage,
			"labels": map[string]string{"owner": "helm", "name": r.name, "version": "1", "status": string(r.status)},
		},
		"data": map[string]any{"release": base64.StdEncoding.EncodeToString([]byte(data))},
	}
}

// serve is an API server with these records, and nothing else.
func serve(t *testing.T, fail map[string]int, records ...record) *kube.Client {
	t.Helper()
	return serveMore(t, fail, nil, records...)
}

// serveMore has further objects, by the path of their list.
func serveMore(t *testing.T, fail map[string]int, more map[string][]map[string]any, records ...record) *kube.Client {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		answer := func(code int, body any) {
			w.WriteHeader(code)
			_ = json.NewEncoder(w).Encode(body)
		}
		parts := strings.Split(strings.TrimPrefix(r.URL.Path, "/api/v1/"), "/")
		namespace := ""
		if parts[0] == "namespaces" && len(parts) > 1 {
			namespace, parts = parts[1], parts[2:]
		}
		if code := max(fail[strings.Join(parts, "/")], fail[r.URL.Path]); code != 0 {
			answer(code, metav1.Status{Status: metav1.StatusFailure, Code: int32(code), Reason: metav1.StatusReasonForbidden})
			return
		}
		for list, objects := range more {
			if r.URL.Path == list {
				answer(http.StatusOK, map[string]any{"kind": "List", "apiVersion": "v1", "items": objects})
				return
			}
			for _, o := range objects {
				if m := o["metadata"].(map[string]any); r.URL.Path == list+"/"+m["name"].(string) {
					answer(http.StatusOK, o)
					return
				}
			}
			if strings.HasPrefix(r.URL.Path, list+"/") {
				answer(http.StatusNotFound, metav1.Status{Status: metav1.StatusFailure, Code: http.StatusNotFound, Reason: metav1.StatusReasonNotFound})
				return
			}
		}
		if r.URL.Query().Get("dryRun") != "" {
			answer(http.StatusOK, map[string]any{"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": map[string]any{}})
			return
		}
		byLabels, _ := labels.Parse(r.URL.Query().Get("labelSelector"))
		byFields, _ := fields.ParseSelector(r.URL.Query().Get("fieldSelector"))
		items := []any{}
		for _, record := range records {
			o := record.object()
			m := o["metadata"].(map[string]any)
			if parts[0] != "secrets" || namespace != "" && m["namespace"] != namespace {
				continue
			}
			if len(parts) == 2 && parts[1] == m["name"] {
				answer(http.StatusOK, o)
				return
			}
			if byLabels.Matches(labels.Set(m["labels"].(map[string]string))) && byFields.Matches(fields.Set{"type": "helm.sh/release.v1"}) {
				items = append(items, map[string]any{"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": m})
			}
		}
		switch {
		case r.Method == http.MethodPost:
			answer(http.StatusOK, map[string]any{"kind": "SelfSubjectAccessReview", "apiVersion": "authorization.k8s.io/v1", "status": map[string]any{"allowed": true}})
		case len(parts) == 2, strings.HasPrefix(r.URL.Path, "/apis/actions.github.com"), strings.HasPrefix(r.URL.Path, "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/"):
			answer(http.StatusNotFound, metav1.Status{Status: metav1.StatusFailure, Code: http.StatusNotFound, Reason: metav1.StatusReasonNotFound})
		default:
			answer(http.StatusOK, map[string]any{"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "items": items})
		}
	}))
	t.Cleanup(server.Close)
	c, err := kube.New(&rest.Config{Host: server.URL})
	if err != nil {
		t.Fatal(err)
	}
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
