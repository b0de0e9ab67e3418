package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// hostile is an environment that is for something else: another cluster, another Helm, another etcd, a checkout of
// another user. A demo that followed it would fail.
func hostile(dir string) []string {
	return []string{
		"KUBE_CONTEXT=production", "IMAGE=registry.example/another", "KUBECONFIG=" + filepath.Join(dir, "production"),
		"HELM_KUBECONTEXT=production", "HELM_KUBEAPISERVER=https://127.0.0.1:1", "HELM_NAMESPACE=production",
		"HELM_PLUGINS=" + filepath.Join(dir, "plugins"), "HELM_DRIVER=memory", "ARC_CLEANUP_SET=image.tag=x",
		"ETCD_NAME=production", "ETCD_DATA_DIR=/production", "HTTP_PROXY=http://127.0.0.1:1", "NO_PROXY=",
		"GIT_TEST_ASSUME_DIFFERENT_OWNER=1", "GOFLAGS=-mod=readonly",
	}
}

// TestDemo draws a picture of the demo, as make picture does. The one in docs is
// of another run: only the times in it may differ, and nobody compares them.
func TestDemo(t *testing.T) {
	temporary := t.TempDir()
	for _, variable := range append(hostile(t.TempDir()), "CLICOLOR_FORCE=1", "TMPDIR="+temporary) {
		name, value, _ := strings.Cut(variable, "=")
		t.Setenv(name, value)
	}
	var out bytes.Buffer
	if err := record([]string{"make", "-C", "../..", "--no-print-directory", "demo"}, &out, 132, "make demo", ""); err != nil {
		t.Fatalf("the demo: %v\n%s", err, out.String())
	}
	if left, err := os.ReadDir(temporary); err != nil || len(left) > 0 {
		t.Errorf("the demo leaves %v (%v)", left, err)
	}
	wellFormed(t, out.Bytes())
	drawn, err := os.ReadFile(filepath.Join("..", "..", "docs", "demo.svg"))
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{
		"leaves 4 CRDs, 5 custom resources", "3 scale sets and runners at GitHub", "hangs in Terminating", "arc-cleanup plan --all-namespaces",
		"removed 3 registrations at GitHub", "--post-renderer arc-postrender", "helm uninstall arc", "done: nothing of ARC is left", "nothing held them",
		"HELM ALONE", "namespaces that hang",
	} {
		if !strings.Contains(out.String(), part) {
			t.Errorf("the demo does not say %q:\n%s", part, out.String())
		}
		if !bytes.Contains(drawn, []byte(part)) {
			t.Errorf("docs/demo.svg does not show %q: make picture", part)
		}
	}
}
