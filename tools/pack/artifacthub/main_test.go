package main

import (
	"bytes"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

func TestPush(t *testing.T) {
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer server.Close()
	file := filepath.Join(t.TempDir(), "artifacthub-repo.yml")
	if err := os.WriteFile(file, []byte("ignore: []\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	opts, err := parseArgs([]string{strings.TrimPrefix(server.URL, "http://") + "/charts/c", file}, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := run(io.Discard, opts); err != nil {
		t.Fatal(err)
	}
	image, err := remote.Image(opts.Tag)
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := image.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	if opts.Tag.TagStr() != "artifacthub.io" || manifest.Config.MediaType != config || len(manifest.Layers) != 1 || manifest.Layers[0].MediaType != mediaType {
		t.Errorf("%s: %+v", opts.Tag, manifest)
	}
	layer, err := image.LayerByDigest(manifest.Layers[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	r, err := layer.Compressed()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if content, err := io.ReadAll(r); err != nil || !bytes.Equal(content, []byte("ignore: []\n")) {
		t.Errorf("%q, %v", content, err)
	}
	if _, err := parseArgs([]string{"one"}, ""); err == nil {
		t.Error("no error without a file")
	}
}
