// Command image packs statically linked binaries into a multi-platform OCI
// image layout, as one tar file, without a container engine:
//
//	go -C tools/pack run ./image --output ../../dist/arc-hookjob.oci.tar --version V --revision R --file ../../LICENSE \
//	    linux/amd64=../../dist/arc-hookjob-linux-amd64 linux/arm64=../../dist/arc-hookjob-linux-arm64
//
// The image is the Dockerfile's, down to its labels (a test compares the two).
// A bill of materials (CycloneDX) is attested in the index, and written beside the binaries.
// The same binaries give the same bytes: timestamps come from SOURCE_DATE_EPOCH, else they are 0.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/arc-cleanup/arc-cleanup/tools/pack"
	"github.com/arc-cleanup/arc-cleanup/tools/pack/bom"
	"github.com/arc-cleanup/arc-cleanup/tools/pack/pushed"
)

// maxCompressed is what a node may have to pull, per platform: the hook runs
// while somebody waits for `helm uninstall`, and seconds of pulling are theirs.
// It is 9.9 MB now, 16 kB of them licences; with Helm's engine, which one import would bring back, it is 13.
const maxCompressed = 10_000_000

// Options is one invocation, parsed.
type Options struct {
	Output   string
	Name     name.Tag
	Version  string
	Revision string
	Created  time.Time
	Binaries []Binary
	Files    []string // which every platform gets, at the top
	Digest   string
	Push     bool
}

// Binary is an executable on disk and the platform it is for.
type Binary struct {
	Platform v1.Platform
	Path     string
}

func main() { pack.Main("image", parseArgs, run) }

func parseArgs(args []string, sourceDateEpoch string) (Options, error) {
	var (
		opts       Options
		repository string
	)
	flags := flag.NewFlagSet("image", flag.ContinueOnError)
	flags.StringVar(&opts.Output, "output", "", "tar `file` to write")
	flags.StringVar(&repository, "name", "ghcr.io/arc-cleanup/arc-hookjob", "image `name`, without a tag")
	flags.StringVar(&opts.Version, "version", "", "version: the label, and the image's tag")
	flags.StringVar(&opts.Revision, "revision", "", "commit: the label")
	flags.StringVar(&opts.Digest, "digest", "", "`file` to write the digest of the image into")
	flags.BoolVar(&opts.Push, "push", false, "push it to its registry, too")
	flags.Func("file", "`file` to add at the top, readable by all (repeat it)", func(path string) error {
		opts.Files = append(opts.Files, path)
		return nil
	})
	flags.Usage = func() {
		fmt.Fprintln(flags.Output(), "usage: image --output FILE --version V --revision R OS/ARCH=BINARY...")
		flags.PrintDefaults()
	}
	if err := flags.Parse(args); err != nil {
		return Options{}, err
	}
	if opts.Output == "" || opts.Version == "" || opts.Revision == "" || flags.NArg() == 0 {
		return Options{}, errors.New("--output, --version, --revision and at least one OS/ARCH=BINARY are needed")
	}

	var err error
	if opts.Name, err = name.NewTag(repository+":"+pack.Tag(opts.Version), name.StrictValidation); err != nil {
		return Options{}, fmt.Errorf("image name: %w", err)
	}

	if opts.Created, err = pack.Created(sourceDateEpoch); err != nil {
		return Options{}, err
	}

	seen := map[string]bool{}
	for _, arg := range flags.Args() {
		platform, path, ok := strings.Cut(arg, "=")
		if !ok || path == "" {
			return Options{}, fmt.Errorf("%q: want OS/ARCH=BINARY", arg)
		}
		p, err := v1.ParsePlatform(platform)
		if err != nil {
			return Options{}, fmt.Errorf("%q: %w", arg, err)
		}
		if seen[p.String()] {
			return Options{}, fmt.Errorf("%s is given twice", p)
		}
		seen[p.String()] = true
		opts.Binaries = append(opts.Binaries, Binary{Platform: *p, Path: path})
	}
	return opts, nil
}

// run builds the image, checks its size, and only then writes the file.
func run(out io.Writer, opts Options) error {
	built, err := build(opts)
	if err != nil {
		return err
	}
	digest, err := built.Index.Digest()
	if err != nil {
		return fmt.Errorf("digest of the index: %w", err)
	}

	fmt.Fprintf(out, "%s\n  %-12s  %s\n", opts.Name, "digest", digest)
	var tooBig []error
	for i, image := range built.Images {
		size, err := compressedSize(image)
		if err != nil {
			return fmt.Errorf("size of %s: %w", opts.Binaries[i].Platform, err)
		}
		fmt.Fprintf(out, "  %-12s  %s compressed (limit %s)\n", opts.Binaries[i].Platform, megabytes(size), megabytes(maxCompressed))
		if size > maxCompressed {
			tooBig = append(tooBig, fmt.Errorf("%s is %s compressed (%d bytes), over the limit of %s",
				opts.Binaries[i].Platform, megabytes(size), size, megabytes(maxCompressed)))
		}
	}
	if err := errors.Join(tooBig...); err != nil {
		return err
	}

	if err := writeLayout(opts.Output, built.Index, opts); err != nil {
		return fmt.Errorf("write %s: %w", opts.Output, err)
	}
	for i, sbom := range built.SBOMs {
		path := opts.Binaries[i].Path + bom.Suffix
		if err := pack.WriteFile(path, sbom); err != nil {
			return fmt.Errorf("write %s: %w", path, err)
		}
	}
	fmt.Fprintf(out, "  %-12s  %s, what it is made of beside the binaries (*%s)\n", "written to", opts.Output, bom.Suffix)
	if opts.Digest != "" {
		if err := pack.WriteFile(opts.Digest, []byte(digest.String()+"\n")); err != nil {
			return fmt.Errorf("write %s: %w", opts.Digest, err)
		}
	}
	if !opts.Push {
		return nil
	}
	there, err := pushed.Under(opts.Name, digest)
	if err != nil {
		return err
	}
	if there == nil {
		if err := remote.WriteIndex(opts.Name, built.Index, remote.WithAuthFromKeychain(authn.DefaultKeychain)); err != nil {
			return fmt.Errorf("push %s: %w", opts.Name, err)
		}
	}
	fmt.Fprintf(out, "  %-12s  %s\n", "pushed to", opts.Name)
	return nil
}

// compressedSize is everything a node pulls: the layers, the config, the manifest.
func compressedSize(image v1.Image) (int64, error) {
	manifest, err := image.Manifest()
	if err != nil {
		return 0, err
	}
	size, err := image.Size()
	if err != nil {
		return 0, err
	}
	size += manifest.Config.Size
	for _, layer := range manifest.Layers {
		size += layer.Size
	}
	return size, nil
}

func megabytes(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }
