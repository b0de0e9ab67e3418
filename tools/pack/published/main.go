// Command published prints the digest of the chart or the plugin that is published under a tag, and nothing if there is
// none. It fails if it was not made of this archive:
//
//	go -C tools/pack run ./published ghcr.io/arc-cleanup/charts/arc-cleanup:0.1.0 ../../dist/chart/arc-cleanup-0.1.0.tgz
package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/arc-cleanup/arc-cleanup/tools/pack"
	"github.com/arc-cleanup/arc-cleanup/tools/pack/pushed"
)

// Options is one invocation, parsed.
type Options struct {
	Tag  name.Tag
	File string
}

func main() { pack.Main("published", parseArgs, run) }

func parseArgs(args []string, _ string) (Options, error) {
	if len(args) != 2 {
		return Options{}, errors.New("usage: published REPOSITORY:VERSION ARCHIVE")
	}
	t, err := name.NewTag(pack.Tag(args[0]), name.StrictValidation)
	return Options{Tag: t, File: args[1]}, err
}

func run(out io.Writer, opts Options) error {
	content, err := os.ReadFile(opts.File)
	if err != nil {
		return err
	}
	layer, _, err := v1.SHA256(bytes.NewReader(content))
	if err != nil {
		return err
	}
	digest, err := pushed.Under(opts.Tag, layer)
	if err == nil && digest != nil {
		_, err = fmt.Fprintln(out, digest)
	}
	return err
}
