package main

import (
	"path"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/arc-cleanup/arc-cleanup/tools/pack"
	"github.com/arc-cleanup/arc-cleanup/tools/pack/pushed"
)

// These are the media types of a plugin for Helm 4 (its pkg/registry/plugin.go): an artifact of this
// type, with the tarball and its signature as layers whose titles are the names of
// the files.
const (
	ociScheme    = "oci://"
	artifactType = "application/vnd.helm.plugin.v1+json"
	title        = "org.opencontainers.image.title"
)

// push puts the files into a repository named for the plugin, which is where Helm
// takes its name from, and returns the reference to install it by, and its digest.
// It replaces nothing.
func push(folder string, plainHTTP bool, plugin *Plugin, file string, archive, signature []byte) (string, error) {
	folder = strings.TrimPrefix(folder, ociScheme)
	options := []name.Option{name.StrictValidation}
	if plainHTTP {
		options = append(options, name.Insecure)
	}
	tag, err := name.NewTag(path.Join(folder, plugin.Name)+":"+pack.Tag(plugin.Version), options...)
	if err != nil {
		return "", err
	}

	tarball := layer(archive, file, types.OCILayer)
	content, err := tarball.Layer.Digest()
	if err != nil {
		return "", err
	}
	// A signature has a time in it: a push that is repeated keeps the first one.
	there, err := pushed.Under(tag, content)
	if err != nil {
		return "", err
	}
	if there != nil {
		return ociScheme + tag.Name() + "@" + there.String(), nil
	}

	layers := []mutate.Addendum{tarball}
	if signature != nil {
		layers = append(layers, layer(signature, file+provenanceSuffix, types.OCIUncompressedLayer))
	}
	image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), artifactType)
	if image, err = mutate.Append(image, layers...); err != nil {
		return "", err
	}
	if err := remote.Write(tag, image, remote.WithAuthFromKeychain(authn.DefaultKeychain)); err != nil {
		return "", err
	}
	digest, err := image.Digest()
	if err != nil {
		return "", err
	}
	return ociScheme + tag.Name() + "@" + digest.String(), nil
}

func layer(content []byte, file string, mediaType types.MediaType) mutate.Addendum {
	return mutate.Addendum{Layer: static.NewLayer(content, mediaType), Annotations: map[string]string{title: file}, MediaType: mediaType}
}
