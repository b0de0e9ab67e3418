package main

import (
	"encoding/json"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// attestation is the bill of materials as a further manifest of the index, in
// BuildKit's form: its platform is one that nobody pulls. It does not name the registry:
// whoever builds the commit again for another one gets the same digest.
func attestation(image v1.Image, bom []byte) (mutate.IndexAddendum, error) {
	digest, err := image.Digest()
	if err != nil {
		return mutate.IndexAddendum{}, err
	}
	statement, err := json.Marshal(map[string]any{
		"_type":         "https://in-toto.io/Statement/v1",
		"subject":       []any{map[string]any{"name": binaryPath[1:], "digest": map[string]string{digest.Algorithm: digest.Hex}}},
		"predicateType": "https://cyclonedx.org/bom",
		"predicate":     json.RawMessage(bom),
	})
	if err != nil {
		return mutate.IndexAddendum{}, err
	}
	unknown := &v1.Platform{OS: "unknown", Architecture: "unknown"}
	const mediaType = "application/vnd.in-toto+json"
	add := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	add, err = mutate.ConfigFile(add, &v1.ConfigFile{
		OS: unknown.OS, Architecture: unknown.Architecture, RootFS: v1.RootFS{Type: "layers"},
	})
	if err != nil {
		return mutate.IndexAddendum{}, err
	}
	add, err = mutate.Append(add, mutate.Addendum{
		Layer:       static.NewLayer(statement, mediaType),
		MediaType:   mediaType,
		Annotations: map[string]string{"in-toto.io/predicate-type": "https://cyclonedx.org/bom"},
	})
	if err != nil {
		return mutate.IndexAddendum{}, err
	}
	return mutate.IndexAddendum{Add: add, Descriptor: v1.Descriptor{
		Platform: unknown,
		Annotations: map[string]string{
			"vnd.docker.reference.digest": digest.String(),
			"vnd.docker.reference.type":   "attestation-manifest",
		},
	}}, nil
}
