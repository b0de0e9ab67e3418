package kube

import (
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
)

// TestIPv6 reads from an API server that has no other address.
func TestIPv6(t *testing.T) {
	listener, err := net.Listen("tcp6", "[::1]:0")
	if err != nil {
		t.Skipf("this machine has no IPv6: %v", err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"apiVersion":"meta.k8s.io/v1","kind":"PartialObjectMetadataList","items":[{"metadata":{"name":"a"}}]}`))
	}))
	server.Listener.Close() //nolint:errcheck // another one takes its place
	server.Listener = listener
	server.Start()
	defer server.Close()
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	text := "apiVersion: v1\nkind: Config\nclusters: [{name: c, cluster: {server: \"" + server.URL + "\"}}]\n" +
		"contexts: [{name: c, context: {cluster: c}}]\ncurrent-context: c\n"
	if err := os.WriteFile(kubeconfig, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Connect(kubeconfig, &clientcmd.ConfigOverrides{}, "")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	err = c.Each(t.Context(), things, "ns", metav1.ListOptions{}, func(m *metav1.PartialObjectMetadata) error {
		names = append(names, m.Name)
		return nil
	})
	if err != nil || len(names) != 1 {
		t.Errorf("%s: %v, %v", server.URL, names, err)
	}
}
