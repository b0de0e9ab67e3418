package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/types"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/kube/kubetest"
)

// api is a cluster, which kubeconfig starts.
type api struct {
	items  []kubetest.Item
	fail   map[string]int // status codes by request, such as "LIST pod"
	server *kubetest.Server
}

// with adds an object without finalizers.
func (a *api) with(ref string, extra map[string]any, annotations ...string) *api {
	o := kubetest.Object(ref, kubetest.Finalizers())
	o.UID = types.UID("uid-" + o.Name)
	it := kubetest.Whole(o)[0]
	it.Rest = map[string]any{}
	for k, v := range extra {
		it.Rest[k] = v
	}
	if m, is := extra["metadata"].(map[string]any); is {
		it.Labels, _ = m["labels"].(map[string]string)
		it.Annotations, _ = m["annotations"].(map[string]string)
		delete(it.Rest, "metadata")
	}
	if len(annotations) > 0 {
		it.Annotations = map[string]string{"meta.helm.sh/release-name": annotations[0], "meta.helm.sh/release-namespace": annotations[1]}
	}
	a.items = append(a.items, it)
	return a
}

// withCRDs is a cluster with ARC's CRDs and nothing else of ARC.
func withCRDs() *api {
	a := &api{}
	for _, name := range arc.CRDs() {
		a.with("crd "+name, nil)
	}
	return a
}

// kubeconfig starts the cluster and writes a kubeconfig for it.
func (a *api) kubeconfig(t *testing.T) string {
	t.Helper()
	a.server, _ = kubetest.New(t, a.items...)
	a.server.Fault = func(request string) int { return a.fail[request] }
	return kubeconfigOf(t, a.server.URL)
}

// deleted are the objects that were deleted.
func (a *api) deleted() []string { return a.wrote("DELETE ") }

// made are the kinds and namespaces in which something was created, except Events.
func (a *api) made() []string { return a.wrote("POST ") }

func (a *api) wrote(verb string) (out []string) {
	for _, w := range a.server.InOrder() {
		if what, is := strings.CutPrefix(w, verb); is && !strings.HasPrefix(what, "event") {
			out = append(out, what)
		}
	}
	return out
}

func (a *api) events() (out []map[string]any) {
	for _, ref := range a.server.Left() {
		if strings.HasPrefix(ref, "event ") {
			out = append(out, a.server.Get(ref))
		}
	}
	return out
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
