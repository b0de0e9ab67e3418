package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/arc-cleanup/arc-cleanup/internal/cli"
	"github.com/arc-cleanup/arc-cleanup/internal/postrender"
)

// Exit codes. With any of them nothing was written to stdout.
const (
	exitFailed = 1
	exitUsage  = 2
	exitInput  = 3
	exitHelm   = 4
	exitTarget = 5
	exitValues = 6
)

const exitHelp = `Exit codes:
  0  done: the hook was added, or the input does not need it
  1  failed: stdin could not be read, or stdout not written
  2  wrong usage: a flag, an argument, or a file that a flag names
  3  the input is not valid YAML, is larger than 32 MiB, or has an object of ARC
     of an unknown form
  4  which Helm reads the output is not known, or is not the one that --helm says
  5  the name or the namespace of the release is not known
  6  the chart arc-cleanup rejects a value, or the name of the release
With an error nothing is written to stdout.

Helm 3 prints the error message of this command. Helm 4 drops it and shows only
the exit code, with --debug. To keep the message, use --log-file, or set
ARC_CLEANUP_LOG_FILE in Helm's own environment.`

// report prints an error and returns the exit code for it.
func report(w io.Writer, err error) int {
	fmt.Fprintf(w, "arc-postrender: %v\n", err)
	var (
		usage cli.UsageError
		known *postrender.Error
	)
	switch {
	case errors.As(err, &usage):
		fmt.Fprintln(w, `Run "arc-postrender --help" for usage.`)
		return exitUsage
	case errors.As(err, &known):
		return map[postrender.Class]int{
			postrender.BadInput: exitInput, postrender.BadHelm: exitHelm,
			postrender.BadTarget: exitTarget, postrender.BadValues: exitValues,
		}[known.Class]
	}
	return exitFailed
}
