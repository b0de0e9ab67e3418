package kube

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
)

func TestThereIsNoClientSideRateLimit(t *testing.T) {
	t.Parallel()
	c, _ := script(t, success)
	start := time.Now()
	// client-go's own limit, 5 a second after a burst of 10, would take 18 s.
	for range 100 {
		if err := c.Delete(t.Context(), thing, metav1.DeletePropagationBackground); err != nil {
			t.Fatal(err)
		}
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("100 requests took %s", took)
	}
}

func TestConnectReadsAKubeconfig(t *testing.T) {
	const kubeconfig = `{"apiVersion": "v1", "kind": "Config", "current-context": "one",
"clusters": [{"name": "c1", "cluster": {"server": "https://one:6443"}}, {"name": "c2", "cluster": {"server": "https://two:6443"}}],
"contexts": [{"name": "one", "context": {"cluster": "c1"}}, {"name": "two", "context": {"cluster": "c2"}}]}`
	file := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(file, []byte(kubeconfig), 0o600); err != nil {
		t.Fatal(err)
	}
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	dangling := filepath.Join(t.TempDir(), "dangling")
	if err := os.WriteFile(dangling, []byte(strings.Replace(kubeconfig, `"one"`, `"gone"`, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("KUBERNETES_SERVICE_HOST", "") // this is no Pod
	tests := map[string]struct{ env, path, context, server, name, want string }{
		"the current context":     {path: file, server: "https://one:6443", name: "one"},
		"another context":         {path: file, context: "two", server: "https://two:6443", name: "two"},
		"the environment":         {env: file, server: "https://one:6443", name: "one"},
		"no such context":         {path: file, context: "three", want: "the kubeconfig " + file + ` has no context "three": give one of one, two`},
		"no current context":      {path: dangling, want: "the kubeconfig " + dangling + ` has no context "gone": give one of one, two`},
		"no such file":            {path: file + "x", want: "reading the kubeconfig " + file + "x: stat " + file + "x: no such file or directory"},
		"nothing in the file":     {path: empty, want: "no kubeconfig with a cluster at " + empty + ": give --kubeconfig FILE, or set KUBECONFIG"},
		"no file at all":          {env: file + "x", want: "no kubeconfig with a cluster at " + file + "x: give --kubeconfig FILE, or set KUBECONFIG"},
		"the flag beats the rest": {env: file + "x", path: file, server: "https://one:6443", name: "one"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Setenv("KUBECONFIG", test.env)
			c, err := Connect(test.path, &clientcmd.ConfigOverrides{CurrentContext: test.context}, "test")
			check(t, err, test.want)
			if err != nil {
				return
			}
			if c.Server != test.server || c.Context != test.name {
				t.Errorf("context %q, server %q", c.Context, c.Server)
			}
		})
	}
}
