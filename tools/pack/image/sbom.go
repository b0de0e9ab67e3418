package main

import (
	"bytes"
	"debug/buildinfo"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"runtime/debug"
	"strings"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// sbomSuffix is added to the name of a binary for that of its bill of materials.
const sbomSuffix = ".cdx.json"

// billOfMaterials says what a binary is made of, as CycloneDX: the modules that the
// Go linker noted in it, and Go. Nothing in it depends on when or where it is made.
func billOfMaterials(binary []byte, version string, created time.Time) (*cdx.BOM, error) {
	info, err := buildinfo.Read(bytes.NewReader(binary))
	if err != nil {
		return nil, fmt.Errorf("reading what it was built from: %w", err)
	}
	components := []cdx.Component{component(&debug.Module{Path: "std", Version: strings.TrimPrefix(info.GoVersion, "go")})}
	for _, m := range info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		components = append(components, component(m))
	}
	bom := cdx.NewBOM()
	main := component(&debug.Module{Path: info.Main.Path, Version: version})
	main.Type = cdx.ComponentTypeApplication
	bom.Metadata = &cdx.Metadata{Timestamp: created.Format(time.RFC3339), Component: &main}
	bom.Components = &components
	return bom, nil
}

func component(m *debug.Module) cdx.Component {
	purl := "pkg:golang/" + m.Path + "@" + strings.ReplaceAll(m.Version, "+", "%2B")
	c := cdx.Component{
		BOMRef: purl, Type: cdx.ComponentTypeLibrary, Name: m.Path, Version: m.Version, PackageURL: purl,
		Scope: cdx.ScopeRequired,
	}
	// go.sum's hash of a module is SHA-256, in its own way of writing.
	if sum, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(m.Sum, "h1:")); err == nil && len(sum) > 0 {
		c.Hashes = &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: hex.EncodeToString(sum)}}
	}
	return c
}

func encodeBOM(bom *cdx.BOM) ([]byte, error) {
	var b bytes.Buffer
	e := cdx.NewBOMEncoder(&b, cdx.BOMFileFormatJSON).SetPretty(true).SetEscapeHTML(false)
	err := e.Encode(bom)
	return b.Bytes(), err
}

// attestation is the bill of materials as a further manifest of the index, in
// BuildKit's form: its platform is one that nobody pulls.
func attestation(image v1.Image, name string, bom []byte) (mutate.IndexAddendum, error) {
	digest, err := image.Digest()
	if err != nil {
		return mutate.IndexAddendum{}, err
	}
	statement, err := json.Marshal(map[string]any{
		"_type":         "https://in-toto.io/Statement/v1",
		"subject":       []any{map[string]any{"name": name, "digest": map[string]string{digest.Algorithm: digest.Hex}}},
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
