package main

import (
	"bytes"
	"context"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/arc-cleanup/arc-cleanup/test/cluster"
	"github.com/arc-cleanup/arc-cleanup/test/harness"
)

const yourContext = "yours"

// TestOnYourCluster plays the demo on a cluster that it has not started, and that is not the one your kubeconfig is set
// to. It leaves it as it was, and refuses it while ARC is there. The story on its own cluster has its test in picture.
func TestOnYourCluster(t *testing.T) {
	c, product := yours(t)
	inventory := func() map[harness.Object]bool {
		t.Helper()
		objects, err := harness.Inventory(t.Context(), c.Config())
		if err != nil {
			t.Fatal(err)
		}
		// Kubernetes itself goes on with these after its start.
		maps.DeleteFunc(objects, func(o harness.Object, _ bool) bool { return strings.HasPrefix(o.Namespace, "kube-") })
		return objects
	}
	play := func() (string, error) {
		var out bytes.Buffer
		err := run(t.Context(), &out, yourContext, harness.HookImage)
		t.Logf("%s\n(error: %v)", out.String(), err)
		return out.String(), err
	}
	refused := func(there string) {
		t.Helper()
		before := inventory()
		const remove = "helm uninstall arc --namespace arc-cleanup-demo-systems --kube-context " + yourContext
		if out, err := play(); err == nil || !strings.Contains(err.Error(), there+" is there already") || !strings.Contains(err.Error(), remove) || out != "" {
			t.Errorf("want a refusal because of %s: %v\n%s", there, err, out)
		}
		if diff := cmp.Diff(before, inventory()); diff != "" {
			t.Errorf("a refusal changed:\n%s", diff)
		}
	}

	before := inventory()
	out, err := play()
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{
		"helm install arc gha-runner-scale-set-controller --namespace arc-cleanup-demo-systems", "--kube-context " + yourContext,
		"done: nothing of ARC is left", "4             0  customresourcedefinitions", "nothing held it",
	} {
		if !strings.Contains(out, part) {
			t.Errorf("the demo does not say %q", part)
		}
	}
	if diff := cmp.Diff(before, inventory()); diff != "" {
		t.Errorf("the demo changed the cluster:\n%s", diff)
	}

	client := kubernetes.NewForConfigOrDie(c.Config())
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "arc-cleanup-demo-runners"}}
	if _, err := client.CoreV1().Namespaces().Create(t.Context(), namespace, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	refused("namespaces arc-cleanup-demo-runners")
	if err := client.CoreV1().Namespaces().Delete(t.Context(), namespace.Name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	d := &demo{client: client}
	if err := d.namespacesGone(t.Context(), namespace.Name); err != nil {
		t.Fatal(err)
	}
	install := product.Helm(t.Context(), helm, c.Kubeconfig(), "install", "production", product.ARCChart(harness.ControllerChart), "--namespace", "default")
	if _, err := harness.Run(t, "helm", install); err != nil {
		t.Fatal(err)
	}
	refused(".actions.github.com")
}

// TestYourClusterNeedsAnImage: an uninstall would wait for an image that no cluster can pull.
func TestYourClusterNeedsAnImage(t *testing.T) {
	t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "none"))
	if err := run(t.Context(), &bytes.Buffer{}, yourContext, ""); err == nil || !strings.Contains(err.Error(), "KUBE_CONTEXT needs IMAGE") {
		t.Error(err)
	}
	if err := run(t.Context(), &bytes.Buffer{}, yourContext, harness.HookImage); err == nil || !strings.Contains(err.Error(), `context "yours"`) {
		t.Error(err)
	}
}

// yours starts a cluster that can pull the hook's image, and has your kubeconfig name it beside one that does not answer
// and that is the current one.
func yours(t *testing.T) (*cluster.Cluster, *harness.Product) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	product, err := harness.Build(ctx, t.TempDir(), os.Stderr, helm)
	if err != nil {
		t.Fatal(err)
	}
	images, err := product.Images(ctx, os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	c, err := cluster.Start(ctx, cluster.Options{Images: images, Progress: os.Stderr})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Stop(); err != nil {
			t.Error(err)
		}
	})
	config, err := clientcmd.LoadFromFile(c.Kubeconfig())
	if err != nil {
		t.Fatal(err)
	}
	config.Contexts[yourContext] = config.Contexts[config.CurrentContext]
	config.Clusters["another"] = &clientcmdapi.Cluster{Server: "https://127.0.0.1:1"}
	config.Contexts["another"] = &clientcmdapi.Context{Cluster: "another"}
	config.CurrentContext = "another"
	path := filepath.Join(t.TempDir(), "config")
	if err := clientcmd.WriteToFile(*config, path); err != nil {
		t.Fatal(err)
	}
	t.Setenv("KUBECONFIG", path)
	return c, product
}
