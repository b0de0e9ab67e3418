package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// api is an API server of objects by path, without finalizers: what is deleted
// is gone.
type api struct {
	mu      sync.Mutex
	objects map[string]map[string]any
	deleted []string
	made    []string // paths under which something was created
	events  []map[string]any
	fail    map[string]int // status codes by path
}

const (
	crds    = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
	runners = "/apis/actions.github.com/v1alpha1/namespaces/runners/"
	jobs    = "/apis/batch/v1/namespaces/systems/jobs/"
)

// with adds objects by path; a CRD's objects need no CRD here.
func (a *api) with(path string, extra map[string]any, annotations ...string) *api {
	parts := strings.Split(path, "/")
	m := map[string]any{"name": parts[len(parts)-1], "uid": "uid-" + parts[len(parts)-1], "resourceVersion": "1"}
	if i := slices.Index(parts, "namespaces"); i > 0 {
		m["namespace"] = parts[i+1]
	}
	if len(annotations) > 0 {
		m["annotations"] = map[string]string{"meta.helm.sh/release-name": annotations[0], "meta.helm.sh/release-namespace": annotations[1]}
	}
	o := map[string]any{"apiVersion": "x/v1", "kind": "X", "metadata": m}
	for k, v := range extra {
		o[k] = v
	}
	if a.objects == nil {
		a.objects = map[string]map[string]any{}
	}
	a.objects[path] = o
	return a
}

// withCRDs is a cluster with ARC's CRDs and nothing else of ARC.
func withCRDs() *api {
	a := &api{}
	for _, r := range []string{"autoscalinglisteners", "autoscalingrunnersets", "ephemeralrunners", "ephemeralrunnersets"} {
		a.with(crds+"/"+r+".actions.github.com", nil)
	}
	return a
}

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	answer := func(code int, body any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		_ = json.NewEncoder(w).Encode(body)
	}
	refuse := func(code int, reason metav1.StatusReason) {
		answer(code, metav1.Status{
			TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}, Status: metav1.StatusFailure,
			Code: int32(code), Reason: reason, Message: "told to refuse " + r.URL.Path,
		})
	}
	if code := a.fail[r.URL.Path]; code != 0 {
		refuse(code, map[int]metav1.StatusReason{http.StatusForbidden: metav1.StatusReasonForbidden}[code])
		return
	}
	if r.URL.Query().Get("watch") != "" {
		refuse(http.StatusUnprocessableEntity, metav1.StatusReasonInvalid)
		return
	}
	if r.Method == http.MethodPost && strings.HasSuffix(r.URL.Path, "/events") {
		var event map[string]any
		_ = json.NewDecoder(r.Body).Decode(&event)
		a.events = append(a.events, event)
		answer(http.StatusCreated, event)
		return
	}
	if dry(r) {
		answer(http.StatusOK, map[string]any{"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": map[string]any{}})
		return
	}
	if o, ok := a.objects[r.URL.Path]; ok {
		if r.Method == http.MethodDelete {
			delete(a.objects, r.URL.Path)
			a.deleted = append(a.deleted, filepath.Base(r.URL.Path))
		}
		answer(http.StatusOK, o)
		return
	}
	if strings.HasSuffix(r.URL.Path, "/selfsubjectaccessreviews") {
		answer(http.StatusOK, map[string]any{"apiVersion": "authorization.k8s.io/v1", "kind": "X", "status": map[string]any{"allowed": true}})
		return
	}
	if r.Method == http.MethodPost {
		var made map[string]any
		_ = json.NewDecoder(r.Body).Decode(&made)
		a.made = append(a.made, r.URL.Path)
		answer(http.StatusCreated, made)
		return
	}
	if strings.HasSuffix(r.URL.Path, "/arc-cleanup-off") {
		refuse(http.StatusNotFound, metav1.StatusReasonNotFound)
		return
	}
	// A list, of one namespace or of all of them.
	items := []any{}
	for path, o := range a.objects {
		dir := filepath.Dir(path)
		if i := strings.Index(dir, "/namespaces/"); i > 0 && !strings.Contains(r.URL.Path, "/namespaces/") {
			dir = dir[:i] + "/" + filepath.Base(dir)
		}
		if field, named := strings.CutPrefix(r.URL.Query().Get("fieldSelector"), "metadata.name="); named && field != filepath.Base(path) {
			continue
		}
		if dir == r.URL.Path {
			items = append(items, o)
		}
	}
	if strings.HasPrefix(r.URL.Path, crds+"/") || strings.HasPrefix(r.URL.Path, jobs) {
		refuse(http.StatusNotFound, metav1.StatusReasonNotFound)
		return
	}
	kind, version := "XList", "x/v1"
	if strings.Contains(r.Header.Get("Accept"), "as=PartialObjectMetadata") {
		kind, version = "PartialObjectMetadataList", "meta.k8s.io/v1"
	}
	answer(http.StatusOK, map[string]any{"kind": kind, "apiVersion": version, "metadata": map[string]any{"resourceVersion": "1"}, "items": items})
}

// dry reports whether a request is a dry run. A deletion says so in its body.
func dry(r *http.Request) bool {
	if r.Method != http.MethodDelete {
		return r.URL.Query().Get("dryRun") != ""
	}
	var options metav1.DeleteOptions
	_ = json.NewDecoder(r.Body).Decode(&options)
	return len(options.DryRun) > 0
}

// kubeconfig writes one for the server.
func (a *api) kubeconfig(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(a)
	t.Cleanup(server.Close)
	return kubeconfigOf(t, server.URL)
}

func kubeconfigOf(t *testing.T, url string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "kubeconfig")
	text := fmt.Sprintf(`{"apiVersion": "v1", "kind": "Config", "current-context": "test",
"clusters": [{"name": "c", "cluster": {"server": %q}}], "contexts": [{"name": "test", "context": {"cluster": "c"}}]}`, url)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

type result struct {
	code           int
	stdout, stderr string
}

func command(ctx context.Context, stdin io.Reader, args ...string) result {
	var stdout, stderr bytes.Buffer
	code := execute(ctx, args, stdin, &stdout, &stderr)
	return result{code, stdout.String(), stderr.String()}
}
