// Command arc-postrender is a Helm post-renderer: it adds the hook that cleans
// up after Actions Runner Controller to a release that installs it.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/arc-cleanup/arc-cleanup/internal/cli"
	"github.com/arc-cleanup/arc-cleanup/internal/hook"
	"github.com/arc-cleanup/arc-cleanup/internal/postrender"
	"github.com/arc-cleanup/arc-cleanup/internal/version"
)

// Exit codes.
const (
	exitError = 1 // no hook was written to stdout
	exitUsage = 2 // a wrong flag or argument
)

func main() {
	widenPipes()
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run executes the command line and returns the exit code.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	cmd := newCommand()
	cmd.SetArgs(args)
	cmd.SetIn(stdin)
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	err := cmd.Execute()
	if err == nil {
		return 0
	}
	fmt.Fprintf(stderr, "arc-postrender: %v\n", err)
	if usage := (usageError{}); errors.As(err, &usage) {
		fmt.Fprintln(stderr, `Run "arc-postrender --help" for usage.`)
		return exitUsage
	}
	return exitError
}

// usageError is a mistake on the command line.
type usageError struct{ error }

const long = `arc-postrender reads rendered manifests on stdin and writes them, byte for byte,
to stdout. If they install Actions Runner Controller (its controller or a scale
set), the hook that cleans up at "helm uninstall" follows them. It takes the
release, the namespace, the scheduling and the pull secrets from ARC's own
objects; --set and --values change the values of the chart arc-cleanup.

Helm 4 runs it as a plugin, Helm 3 as an executable. Helm 3 takes no hook from a
post-renderer: there, what follows are ordinary objects that put the hook into
the release's record, from inside the cluster, as soon as Helm has written it.

Exit codes: 0 done; 1 failed; 2 wrong usage. With an error nothing is written to
stdout; input above 1 MiB, which is not held back, is written without the hook.`

const examples = `  ARC=oci://ghcr.io/actions/actions-runner-controller-charts/gha-runner-scale-set-controller
  helm install arc $ARC --namespace arc-systems --create-namespace --post-renderer arc-postrender

  # The hook's image from a registry of your own; each word is an argument of its own
  helm upgrade arc $ARC --namespace arc-systems --post-renderer arc-postrender \
    --post-renderer-args=--set --post-renderer-args=image.repository=registry.example/arc-hookjob

  # What would it do?
  helm template arc $ARC --namespace arc-systems | arc-postrender --check --namespace arc-systems`

func newCommand() *cobra.Command {
	var o postrender.Options
	var valueFiles, set, setString []string

	cmd := &cobra.Command{
		Use:           "arc-postrender [flags] < manifests > manifests",
		Short:         "Add the cleanup hook to a release of Actions Runner Controller",
		Long:          long,
		Example:       examples,
		Version:       version.String(),
		SilenceErrors: true,
		SilenceUsage:  true,
		Args: func(cmd *cobra.Command, args []string) error {
			if err := cobra.NoArgs(cmd, args); err != nil {
				return usageError{err}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if file, ok := cmd.InOrStdin().(*os.File); ok && term.IsTerminal(int(file.Fd())) {
				return usageError{errors.New("stdin is a terminal; rendered manifests are read from it")}
			}
			if o.Values, err = hook.Values(valueFiles, set, setString); err != nil {
				return usageError{err}
			}
			o.DefaultNamespace = os.Getenv("HELM_NAMESPACE")

			explanation, err := postrender.Copy(cmd.OutOrStdout(), cmd.InOrStdin(), o)
			if err != nil || !o.Check {
				return err
			}
			if _, err := io.WriteString(cmd.OutOrStdout(), explanation); err != nil {
				return fmt.Errorf("writing stdout: %w", err)
			}
			return nil
		},
	}
	cmd.SetVersionTemplate("{{.Version}}\n")
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })

	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringArrayVarP(&valueFiles, "values", "f", nil, "file with values of the chart arc-cleanup (repeatable)")
	flags.StringArrayVar(&set, "set", nil, "value of the chart arc-cleanup, as key=value (repeatable)")
	flags.StringArrayVar(&setString, "set-string", nil, "the same, always a string (repeatable)")
	flags.StringVar(&o.Release, "release", "", "name of the release (default: what ARC's objects say)")
	flags.StringVarP(&o.Namespace, "namespace", "n", "", "namespace of the release (default: that of ARC's objects, then $HELM_NAMESPACE)")
	cli.OneOf(flags, &o.Helm, "helm", "", postrender.HelmUnknown, "which Helm reads the output (default: what the input says)", postrender.Helm3, postrender.Helm4)
	flags.BoolVar(&o.Check, "check", false, "say what would be added, instead of writing manifests")
	cli.Finish(cmd, "values")
	return cmd
}
