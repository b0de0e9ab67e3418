// Package bom writes what a Go program is made of, as CycloneDX.
package bom

import (
	"bytes"
	"debug/buildinfo"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"runtime/debug"
	"strings"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

// Suffix is added to the name of a binary for that of its bill of materials.
const Suffix = ".cdx.json"

// Of says what a binary is made of: the modules that the Go linker noted in it, and
// Go. Nothing in it depends on when or where it is made.
func Of(binary []byte, version string, created time.Time) ([]byte, error) {
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
	return encode(bom)
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

func encode(bom *cdx.BOM) ([]byte, error) {
	var b bytes.Buffer
	e := cdx.NewBOMEncoder(&b, cdx.BOMFileFormatJSON).SetPretty(true).SetEscapeHTML(false)
	err := e.Encode(bom)
	return b.Bytes(), err
}
