// Command arc-cleanup removes what an uninstall of GitHub's Actions Runner Controller leaves behind. The
// pre-delete hook Job of charts/arc-cleanup runs it as arc-hookjob. You run it by hand on a cluster that is
// stuck.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/go-logr/logr"
	"k8s.io/klog/v2"

	"github.com/arc-cleanup/arc-cleanup/internal/cleanup"
	"github.com/arc-cleanup/arc-cleanup/internal/cli"
)

// memory is the limit above which the garbage collector works harder. Tenants may make large objects, so a
// run by hand has the same limit as the hook's Pod.
const memory = 64 << 20

func main() {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memory)
	}
	// client-go logs, for example, every watch that it renews; these lines would hide the report.
	klog.SetLogger(logr.Discard())

	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		cancel(cleanup.ErrInterrupted)
		<-signals
		os.Exit(exitInterrupted)
	}()
	os.Exit(execute(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// output remembers the first error: what prints a table or a text does not look.
type output struct {
	io.Writer
	err error
}

func (o *output) Write(p []byte) (int, error) {
	n, err := o.Writer.Write(p)
	o.err = cmp.Or(o.err, err)
	return n, err
}

// execute runs a command line and returns its exit code.
func execute(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetIn(stdin)
	out := &output{Writer: stdout}
	root.SetOut(out)
	root.SetErr(stderr)
	cli.Strict(root, args)
	cmd, err := root.ExecuteContextC(ctx)
	var code exitError
	switch {
	case out.err != nil: // whatever the result: a file that was to hold it does not
		complain(stderr, fmt.Errorf("standard output could not be written, and is not complete: %w", out.err))
		return exitFailed
	case err == nil:
		return exitDone
	case errors.As(err, &code):
		return int(code)
	default:
		complain(stderr, err)
		if set := setByEnvironment(cmd); len(set) > 0 {
			fmt.Fprintf(stderr, "Flags are also set by %s.\n", strings.Join(set, ", "))
		}
		fmt.Fprintf(stderr, "Run \"%s --help\" for usage.\n", cmd.CommandPath())
		return exitUsage
	}
}
