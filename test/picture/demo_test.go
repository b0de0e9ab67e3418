package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestDemo draws a picture of the demo, as make picture does. The one in docs is
// of another run: only the times in it may differ, and nobody compares them.
func TestDemo(t *testing.T) {
	for name, value := range map[string]string{"CGO_ENABLED": "0", "CLICOLOR_FORCE": "1", "KUBE_CONTEXT": ""} {
		t.Setenv(name, value)
	}
	var out bytes.Buffer
	if err := record([]string{"go", "run", "-trimpath", "../demo"}, &out, 132, "make demo", ""); err != nil {
		t.Fatalf("the demo: %v\n%s", err, out.String())
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
