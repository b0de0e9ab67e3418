// Command arc-cleanup removes what an uninstall of GitHub's Actions Runner Controller leaves behind. The
// pre-delete hook Job of charts/arc-cleanup runs it as arc-hookjob. You run it by hand on a cluster that is
// stuck.
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

// execute runs a command line and returns its exit code.
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

// complain prints an error under the name that the user typed.
func complain(stderr io.Writer, err error) {
	fmt.Fprintf(stderr, "%s: %s\n", called(), asCalled(err.Error()))
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   program,
		Short: "Remove what an uninstall of GitHub's Actions Runner Controller leaves behind",
		Long: `arc-cleanup removes what an uninstall of GitHub's Actions Runner Controller (ARC)
leaves behind: custom resources, their finalizers, and the CRDs.

As a pre-delete hook it does so during "helm uninstall". By hand, look first, then act:

  arc-cleanup plan --all-namespaces
  arc-cleanup run --all-namespaces

You can set every flag with an environment variable: ARC_CLEANUP_GRACE is --grace.
"arc-cleanup completion --help" says how to set up completion in your shell.

` + exitHelp,
		Version:           version.String(),
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error { return fromEnvironment(cmd) },
		SilenceUsage:      true,
		SilenceErrors:     true,
	}
	root.AddCommand(newRun(), newPlan(), newStatus(), newEnrol(), newUnenrol(), newUpgrade(), newRestore(), newVersion())
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
