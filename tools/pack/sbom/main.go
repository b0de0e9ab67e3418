// Command sbom writes what programs are made of, as CycloneDX, each into a file:
//
//	go -C tools/pack run ./sbom --version V --output ../../dist/sbom/arc-cleanup-windows-amd64.cdx.json PROGRAM
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/arc-cleanup/arc-cleanup/tools/pack"
	"github.com/arc-cleanup/arc-cleanup/tools/pack/bom"
)

// Options is one invocation, parsed.
type Options struct {
	Version, Output, Program string
	Created                  time.Time
}

func main() { pack.Main("sbom", parseArgs, run) }

func parseArgs(args []string, sourceDateEpoch string) (Options, error) {
	var opts Options
	flags := flag.NewFlagSet("sbom", flag.ContinueOnError)
	flags.StringVar(&opts.Version, "version", "", "version of the program")
	flags.StringVar(&opts.Output, "output", "", "`file` to write")
	if err := flags.Parse(args); err != nil {
		return Options{}, err
	}
	if opts.Version == "" || opts.Output == "" || flags.NArg() != 1 {
		return Options{}, errors.New("--version, --output and one PROGRAM are needed")
	}
	opts.Program = flags.Arg(0)
	var err error
	opts.Created, err = pack.Created(sourceDateEpoch)
	return opts, err
}

func run(_ io.Writer, opts Options) error {
	program, err := os.ReadFile(opts.Program)
	if err != nil {
		return err
	}
	content, err := bom.Of(program, opts.Version, opts.Created)
	if err != nil {
		return fmt.Errorf("%s: %w", opts.Program, err)
	}
	return pack.WriteFile(opts.Output, content)
}
