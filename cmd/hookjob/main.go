// Command arc-cleanup makes an uninstall of GitHub's Actions Runner Controller
// complete. The pre-delete hook Job of charts/arc-cleanup runs it, as arc-hookjob; you
// run it by hand on a cluster that is already stuck.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"k8s.io/klog/v2"

	"github.com/arc-cleanup/arc-cleanup/internal/cleanup"
	"github.com/arc-cleanup/arc-cleanup/internal/cli"
	"github.com/arc-cleanup/arc-cleanup/internal/version"
)

// memory is from when on the garbage collector works harder, by hand as in the hook's
// Pod: what is read may be large because somebody wants it to be.
const memory = 64 << 20

func main() {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memory)
	}
	// client-go's own log lines (a watch that has to be renewed) would bury ours.
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

// execute runs one command line and returns its exit code.
func execute(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	cmd, err := root.ExecuteContextC(ctx)
	var code exitError
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &code):
		return int(code)
	default:
		complain(stderr, err)
		fmt.Fprintf(stderr, "Run \"%s --help\" for usage.\n", cmd.CommandPath())
		return exitUsage
	}
}

// complain prints an error as the program which the user typed.
func complain(stderr io.Writer, err error) {
	fmt.Fprintf(stderr, "%s: %s\n", called(), asCalled(err.Error()))
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   program,
		Short: "Make an uninstall of GitHub's Actions Runner Controller complete",
		Long: `arc-cleanup removes what an uninstall of GitHub's Actions Runner Controller (ARC)
leaves behind: custom resources, their finalizers, and the CRDs.

The chart arc-cleanup runs it as a pre-delete hook. By hand, look first, then act:

  arc-cleanup plan
  arc-cleanup run

Every flag can be set by an environment variable: --grace is ARC_CLEANUP_GRACE.
"arc-cleanup completion --help" tells how a shell completes all of this.

` + exitHelp,
		Version:           version.String(),
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error { return fromEnvironment(cmd) },
		SilenceUsage:      true,
		SilenceErrors:     true,
	}
	root.AddCommand(newRun(), newPlan(), newStatus(), newEnrol(), newUnenrol(), newUpgrade(), newRestore(), newSweep(), newVersion())
	cli.Finish(root, "kubeconfig", "values", "termination-log", "hooks", "helm", "chart", "scale-set-chart")
	nameAsCalled(root)
	return root
}

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		Run: func(cmd *cobra.Command, _ []string) {
			fmt.Fprintln(cmd.OutOrStdout(), version.String())
		},
	}
}
