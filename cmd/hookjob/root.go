package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/arc-cleanup/arc-cleanup/internal/cli"
	"github.com/arc-cleanup/arc-cleanup/internal/version"
)

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
		Version: version.String(),
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			if err := fromEnvironment(cmd); err != nil {
				return err
			}
			return emptied(cmd.Flags())
		},
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(newRun(), newPlan(), newStatus(), newEnrol(), newUnenrol(), newUpgrade(), newRestore(), newSweep(), newDeregister(), newVersion())
	cli.Finish(root, "kubeconfig", "values", "termination-log", "hooks", "helm", "chart", "scale-set-chart", "github-token-file", "github-app-private-key-file")
	root.SetVersionTemplate("{{.Version}}\n") // as the command version
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

// complain prints an error under the name that the user typed.
func complain(stderr io.Writer, err error) {
	fmt.Fprintf(stderr, "%s: %s\n", called(), asCalled(err.Error()))
}
