package main

import (
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// TestAPluginIsPushedOnce: a push that is repeated finds its plugin, and another one under the same version is refused.
func TestAPluginIsPushedOnce(t *testing.T) {
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer server.Close()
	registryFolder := strings.TrimPrefix(server.URL, "http://") + "/plugins"
	dir := folder(t, `name: p
version: 1.2.3
platformCommand: [{os: linux, arch: amd64, command: "${HELM_PLUGIN_DIR}/bin/p-linux-amd64"}]
`, "linux/amd64")
	push := func() (string, error) {
		return pluginOf(t, "--output", t.TempDir(), "--version", "1.2.3", "--platforms", "linux/amd64", "--push", "oci://"+registryFolder, dir)
	}
	published := func() string {
		t.Helper()
		tag, err := name.NewTag(registryFolder + "/p:1.2.3")
		if err != nil {
			t.Fatal(err)
		}
		there, err := remote.Head(tag)
		if err != nil {
			t.Fatal(err)
		}
		return there.Digest.String()
	}
	for range 2 {
		out, err := push()
		if err != nil || !strings.Contains(out, "pushed to oci://"+registryFolder+"/p:1.2.3@"+published()+"\n") {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	before := published()
	if err := os.WriteFile(filepath.Join(dir, "README"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := push(); err == nil || !strings.Contains(err.Error(), "is published already") || published() != before {
		t.Errorf("%v, %s and before %s\n%s", err, published(), before, out)
	}
}
