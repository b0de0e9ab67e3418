package containers

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

const (
	registryAddress = NodeAddress + ":5000"
	registryURL     = "http://" + registryAddress
	// PauseImage is what holds a Pod's namespaces.
	PauseImage = "ghcr.io/arc-cleanup/pause:test"
)

// Registry stands for every registry in the world, for the node.
type Registry struct{ server *http.Server }

// StartRegistry starts an empty one.
func StartRegistry() (*Registry, error) {
	listener, err := net.Listen("tcp", registryAddress)
	if err != nil {
		return nil, fmt.Errorf("starting the registry: %w", err)
	}
	quiet := registry.Logger(log.New(io.Discard, "", 0))
	r := &Registry{&http.Server{Handler: registry.New(quiet), ReadHeaderTimeout: 10 * time.Second}}
	go r.server.Serve(listener) //nolint:errcheck // ends with Close
	return r, nil
}

// Close ends the server.
func (r *Registry) Close() error { return r.server.Close() }

// reference is an image's name with the registry in place of its own.
func reference(image string) (name.Reference, error) {
	ref, err := name.ParseReference(image)
	if err != nil {
		return nil, err
	}
	return name.ParseReference(registryAddress+strings.TrimPrefix(ref.Name(), ref.Context().RegistryStr()), name.Insecure)
}

// PushLayout pushes what is in a tar of an OCI image layout, under the name that
// stands in there for containerd. It returns the name and what a node would pull.
func (*Registry) PushLayout(file string) (string, v1.ImageIndex, error) {
	dir, err := os.MkdirTemp("", "arc-cleanup-layout-")
	if err != nil {
		return "", nil, err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary folder
	if err := untar(file, dir); err != nil {
		return "", nil, fmt.Errorf("%s: %w", file, err)
	}
	image, index, err := onlyImage(dir)
	if err != nil {
		return "", nil, fmt.Errorf("%s: %w", file, err)
	}
	ref, err := reference(image)
	if err != nil {
		return "", nil, fmt.Errorf("%s: %w", file, err)
	}
	if err := remote.WriteIndex(ref, index); err != nil {
		return "", nil, err
	}
	pushed, err := remote.Index(ref)
	return image, pushed, err
}

func onlyImage(dir string) (string, v1.ImageIndex, error) {
	outer, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		return "", nil, err
	}
	manifest, err := outer.IndexManifest()
	if err != nil {
		return "", nil, err
	}
	if len(manifest.Manifests) != 1 {
		return "", nil, fmt.Errorf("%d images, not 1", len(manifest.Manifests))
	}
	only := manifest.Manifests[0]
	index, err := outer.ImageIndex(only.Digest)
	return only.Annotations["io.containerd.image.name"], index, err
}

// Tag gives an image that was pushed another name.
func (*Registry) Tag(image, as string) error {
	from, err := reference(image)
	if err != nil {
		return err
	}
	to, err := reference(as)
	if err != nil {
		return err
	}
	index, err := remote.Index(from)
	if err != nil {
		return err
	}
	return remote.WriteIndex(to, index)
}

func untar(file, dir string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // it is only read
	for r := tar.NewReader(f); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if header.Typeflag != tar.TypeReg {
			continue
		}
		if !filepath.IsLocal(header.Name) {
			return fmt.Errorf("%q leads out of the folder", header.Name)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			return err
		}
		target := filepath.Join(dir, header.Name)
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(target, content, 0o600); err != nil {
			return err
		}
	}
}

// Push makes an image of static programs, by their paths in it, and pushes it.
func (*Registry) Push(image string, programs map[string]string) error {
	ref, err := reference(image)
	if err != nil {
		return err
	}
	var files bytes.Buffer
	w := tar.NewWriter(&files)
	entrypoint := ""
	for inside, program := range programs {
		content, err := os.ReadFile(program)
		if err != nil {
			return err
		}
		entrypoint = inside
		header := &tar.Header{Name: strings.TrimPrefix(path.Clean(inside), "/"), Mode: 0o755, Size: int64(len(content))}
		if err := w.WriteHeader(header); err != nil {
			return err
		}
		if _, err := w.Write(content); err != nil {
			return err
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(files.Bytes())), nil
	}, tarball.WithCompressedCaching, tarball.WithCompressionLevel(1))
	if err != nil {
		return err
	}
	img, err := mutate.ConfigFile(empty.Image, &v1.ConfigFile{
		OS: "linux", Architecture: runtime.GOARCH, RootFS: v1.RootFS{Type: "layers"},
		Config: v1.Config{User: "65532:65532", Entrypoint: []string{entrypoint}},
	})
	if err != nil {
		return err
	}
	if img, err = mutate.AppendLayers(img, layer); err != nil {
		return err
	}
	return remote.Write(ref, img)
}
