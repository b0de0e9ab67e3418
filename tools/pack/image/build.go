package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/arc-cleanup/arc-cleanup/tools/pack"
	"github.com/arc-cleanup/arc-cleanup/tools/pack/bom"
)

const (
	binaryPath = "/arc-hookjob"
	user       = "65532:65532"
)

func labels(version, revision string) map[string]string {
	return map[string]string{
		"org.opencontainers.image.title":       "arc-hookjob",
		"org.opencontainers.image.description": "Lets helm uninstall of Actions Runner Controller finish: scale sets, controller, CRDs",
		"org.opencontainers.image.source":      "https://github.com/arc-cleanup/arc-cleanup",
		"org.opencontainers.image.licenses":    "Apache-2.0",
		"org.opencontainers.image.version":     version,
		"org.opencontainers.image.revision":    revision,
	}
}

// Built is the index, and by binary, in their order, an image and what it is made of.
type Built struct {
	Index  v1.ImageIndex
	Images []v1.Image
	SBOMs  [][]byte
}

// build makes the index of one image per binary, and of their attestations.
func build(opts Options) (*Built, error) {
	built := &Built{Index: mutate.IndexMediaType(empty.Index, types.OCIImageIndex)}
	var attestations []mutate.IndexAddendum
	for _, binary := range opts.Binaries {
		content, err := os.ReadFile(binary.Path)
		if err != nil {
			return nil, err
		}
		image, err := buildImage(binary, content, opts)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", binary.Platform, err)
		}
		sbom, err := bom.Of(content, opts.Version, opts.Created)
		if err != nil {
			return nil, fmt.Errorf("bill of materials of %s: %w", binary.Path, err)
		}
		attested, err := attestation(image, sbom)
		if err != nil {
			return nil, fmt.Errorf("attestation of %s: %w", binary.Platform, err)
		}
		built.Images = append(built.Images, image)
		built.SBOMs = append(built.SBOMs, sbom)
		attestations = append(attestations, attested)
		built.Index = mutate.AppendManifests(built.Index, mutate.IndexAddendum{
			Add:        image,
			Descriptor: v1.Descriptor{Platform: &binary.Platform},
		})
	}
	built.Index = mutate.AppendManifests(built.Index, attestations...)
	// Registries show what the index says, not what the images in it say.
	built.Index = mutate.Annotations(built.Index, labels(opts.Version, opts.Revision)).(v1.ImageIndex)
	return built, nil
}

func buildImage(binary Binary, content []byte, opts Options) (v1.Image, error) {
	if err := checkBinary(content, binary.Platform); err != nil {
		return nil, fmt.Errorf("%s: %w", binary.Path, err)
	}

	var files bytes.Buffer
	w := tar.NewWriter(&files)
	err := pack.AddFile(w, &tar.Header{Name: binaryPath[1:], Mode: 0o755, ModTime: opts.Created}, content)
	if err != nil {
		return nil, err
	}
	for _, path := range opts.Files {
		content, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		if err := pack.AddFile(w, &tar.Header{Name: filepath.Base(path), Mode: 0o644, ModTime: opts.Created}, content); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromOpener(
		func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(files.Bytes())), nil },
		tarball.WithMediaType(types.OCILayer),
		tarball.WithCompressionLevel(gzip.BestCompression),
		tarball.WithCompressedCaching,
	)
	if err != nil {
		return nil, fmt.Errorf("layer: %w", err)
	}

	image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	image, err = mutate.ConfigFile(image, &v1.ConfigFile{
		OS:           binary.Platform.OS,
		Architecture: binary.Platform.Architecture,
		Variant:      binary.Platform.Variant,
		Created:      v1.Time{Time: opts.Created},
		RootFS:       v1.RootFS{Type: "layers"},
		Config: v1.Config{
			User:       user,
			Entrypoint: []string{binaryPath},
			Labels:     labels(opts.Version, opts.Revision),
		},
	})
	if err != nil {
		return nil, fmt.Errorf("config: %w", err)
	}
	image, err = mutate.Append(image, mutate.Addendum{
		Layer:   layer,
		History: v1.History{Created: v1.Time{Time: opts.Created}, CreatedBy: "COPY arc-hookjob " + binaryPath},
	})
	if err != nil {
		return nil, fmt.Errorf("append the layer: %w", err)
	}
	return image, nil
}

// checkBinary refuses what would only fail on the node, as "exec format error"
// (another platform) or "no such file or directory" (no dynamic linker in an empty image).
func checkBinary(content []byte, platform v1.Platform) error {
	machines := map[string]elf.Machine{"linux/amd64": elf.EM_X86_64, "linux/arm64": elf.EM_AARCH64}
	want, ok := machines[platform.OS+"/"+platform.Architecture]
	if !ok {
		return fmt.Errorf("platform %s is not one the image is made for", platform)
	}
	file, err := elf.NewFile(bytes.NewReader(content))
	if err != nil {
		return fmt.Errorf("not a Linux executable: %w", err)
	}
	if file.Machine != want {
		return fmt.Errorf("built for %s, not for %s", file.Machine, want)
	}
	for _, segment := range file.Progs {
		if segment.Type == elf.PT_INTERP {
			return fmt.Errorf("dynamically linked; build with CGO_ENABLED=0")
		}
	}
	return nil
}

// writeLayout writes the index and all it refers to into a file: a tar of an OCI image layout.
func writeLayout(file string, index v1.ImageIndex, opts Options) error {
	dir, err := os.MkdirTemp("", "arc-image-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // Best effort, in the temporary folder.

	path, err := layout.Write(dir, mutate.IndexMediaType(empty.Index, types.OCIImageIndex))
	if err != nil {
		return err
	}
	err = path.AppendIndex(index, layout.WithAnnotations(map[string]string{
		// The specification's name for the tag, and containerd's for the whole reference:
		// without the second, what `ctr images import` makes has no name to run it by.
		"org.opencontainers.image.ref.name": opts.Name.TagStr(),
		"io.containerd.image.name":          opts.Name.Name(),
	}))
	if err != nil {
		return err
	}

	// WalkDir goes by name, so the order is fixed; owner, mode and time are ours.
	var files bytes.Buffer
	tw := tar.NewWriter(&files)
	err = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return pack.AddFile(tw, &tar.Header{Name: filepath.ToSlash(name), Mode: 0o644, ModTime: opts.Created}, content)
	})
	if err := errors.Join(err, tw.Close()); err != nil {
		return err
	}
	return pack.WriteFile(file, files.Bytes())
}
