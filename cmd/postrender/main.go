// Command arc-postrender is a Helm post-renderer: it adds the hook that cleans up after Actions Runner
// Controller to a release that installs it.
package main

import (
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"

	"github.com/arc-cleanup/arc-cleanup/internal/cli"
	"github.com/arc-cleanup/arc-cleanup/internal/postrender"
)

func main() {
	// By default the collector lets as much garbage pile up as the heap is large, and the buffer for the
	// input is large. With this limit it never runs for ARC's own charts, which makes a quarter of the time,
	// and memory stays below three times an input of 10 MB.
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(postrender.MaxInput + 12<<20)
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run executes the command line and returns the exit code.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	log, err := openLog(args)
	if err != nil {
		return report(stderr, err)
	}
	defer log.Close() //nolint:errcheck // what it says is on stderr as well

	var explanation string
	cmd := newCommand(&explanation)
	cmd.SetArgs(args)
	cmd.SetIn(stdin)
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	cli.Strict(cmd, args)
	if err := cmd.Execute(); err != nil {
		var text strings.Builder
		code := report(&text, err)
		fmt.Fprint(stderr, text.String())
		writeLog(log, code, text.String())
		return code
	}
	if explanation != "" { // there is none after --help
		writeLog(log, 0, explanation)
	}
	return 0
}
