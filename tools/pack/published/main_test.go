package main

import (
	"bytes"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// TestPublished: the same archive is found, another one is refused, and a registry that does not answer has not said that
// there is nothing.
func TestPublished(t *testing.T) {
	fails := false
	next := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if fails && strings.Contains(r.URL.Path, "manifests") {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	}))
	defer server.Close()
	folder := strings.TrimPrefix(server.URL, "http://") + "/charts/c:"
	chart := static.NewLayer([]byte("chart"), types.OCILayer)
	signature := static.NewLayer([]byte("a signature"), "application/vnd.cncf.helm.chart.provenance.v1.prov")
	signed, alone := pushTo(t, folder+"1.0.0_x", signature, chart), pushTo(t, folder+"1.1.0", chart)
	pushTo(t, folder+"1.2.0", chart, static.NewLayer([]byte("another chart"), types.OCILayer))
	pushTo(t, folder+"1.3.0", chart, signature, static.NewLayer([]byte("another chart"), types.OCILayer))
	for _, tc := range []struct {
		version, content, want, fails string
		down                          bool
	}{
		{version: "1.0.0+x", content: "chart", want: signed + "\n"},
		{version: "1.1.0", content: "chart", want: alone + "\n"},
		{version: "1.2.0", content: "chart", fails: "is published already"}, // and another one beside it
		{version: "1.3.0", content: "chart", fails: "is published already"},
		{version: "1.0.0+x", content: "another chart", fails: "is published already"},
		{version: "2.0.0", content: "chart"},
		{version: "2.0.0", content: "chart", down: true, fails: "looking for what is published"},
	} {
		file := filepath.Join(t.TempDir(), "archive")
		if err := os.WriteFile(file, []byte(tc.content), 0o600); err != nil {
			t.Fatal(err)
		}
		opts, err := parseArgs([]string{folder + tc.version, file}, "")
		if err != nil {
			t.Fatal(err)
		}
		fails = tc.down
		var out bytes.Buffer
		err = run(&out, opts)
		if (err != nil) != (tc.fails != "") || err != nil && !strings.Contains(err.Error(), tc.fails) || out.String() != tc.want {
			t.Errorf("%+v: %v, %q", tc, err, out.String())
		}
	}
}

// pushTo returns the digest of something with these layers.
func pushTo(t *testing.T, ref string, layers ...v1.Layer) string {
	t.Helper()
	image, err := mutate.AppendLayers(mutate.MediaType(empty.Image, types.OCIManifestSchema1), layers...)
	if err != nil {
		t.Fatal(err)
	}
	tag, err := name.NewTag(ref)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(tag, image); err != nil {
		t.Fatal(err)
	}
	digest, err := image.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return digest.String()
}
