// Command artifacthub pushes artifacthub-repo.yml beside a chart, where Artifact Hub looks for it
// (https://artifacthub.io/docs/topics/repositories/helm-charts/#oci-support):
//
//	go -C tools/pack run ./artifacthub ghcr.io/arc-cleanup/charts/arc-cleanup ../../artifacthub-repo.yml
package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/arc-cleanup/arc-cleanup/tools/pack"
)

// Artifact Hub's own.
const (
	tag       = "artifacthub.io"
	config    = "application/vnd.cncf.artifacthub.config.v1+yaml"
	mediaType = "application/vnd.cncf.artifacthub.repository-metadata.layer.v1.yaml"
)

// Options is one invocation, parsed.
type Options struct {
	Tag  name.Tag
	File string
}

func main() { pack.Main("artifacthub", parseArgs, run) }

func parseArgs(args []string, _ string) (Options, error) {
	if len(args) != 2 {
		return Options{}, errors.New("usage: artifacthub REGISTRY/CHART FILE")
	}
	t, err := name.NewTag(args[0]+":"+tag, name.StrictValidation)
	return Options{Tag: t, File: args[1]}, err
}

func run(out io.Writer, opts Options) error {
	content, err := os.ReadFile(opts.File)
	if err != nil {
		return err
	}
	image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), config)
	image, err = mutate.Append(image, mutate.Addendum{
		Layer: static.NewLayer(content, mediaType), MediaType: mediaType,
		Annotations: map[string]string{"org.opencontainers.image.title": "artifacthub-repo.yml"},
	})
	if err != nil {
		return err
	}
	if err := remote.Write(opts.Tag, image, remote.WithAuthFromKeychain(authn.DefaultKeychain)); err != nil {
		return fmt.Errorf("pushing %s: %w", opts.Tag, err)
	}
	fmt.Fprintln(out, "pushed to", opts.Tag)
	return nil
}
