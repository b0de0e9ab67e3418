package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"github.com/arc-cleanup/arc-cleanup/internal/chart"
	"github.com/arc-cleanup/arc-cleanup/internal/cli"
	"github.com/arc-cleanup/arc-cleanup/internal/postrender"
	"github.com/arc-cleanup/arc-cleanup/internal/version"
)

const long = `arc-postrender reads rendered manifests from stdin and writes them, byte for
byte, to stdout. If they install Actions Runner Controller (its controller or a
scale set), it adds the hook that cleans up at "helm uninstall". It takes the
release, the namespaces, the scheduling and the pull secrets from ARC's own
objects; --set and --values change the values of the chart arc-cleanup.

Helm does not tell a post-renderer the namespace of the release. If ARC's objects
are in another namespace (namespaceOverride of ARC's charts), give --namespace: in
the wrong namespace the hook finds no release, and refuses every uninstall.

Helm 4 runs it as a plugin, Helm 3 as an executable. Helm 3 takes no hook from a
post-renderer. For Helm 3 it adds ordinary objects instead, which put the hook
into the release's record, from inside the cluster, as soon as Helm has written it.

` + exitHelp

const examples = `  # The hook's image in your registry; a published arc-cleanup does not need this
  export ARC_CLEANUP_SET=image.repository=registry.example/arc-hookjob

  ARC=oci://ghcr.io/actions/actions-runner-controller-charts/gha-runner-scale-set-controller
  helm install arc $ARC --namespace arc-systems --create-namespace --post-renderer arc-postrender

  # Another value of the chart arc-cleanup: give each word as its own argument
  helm upgrade arc $ARC --namespace arc-systems --post-renderer arc-postrender \
    --post-renderer-args=--set --post-renderer-args=policy.grace=2m

  # ARC's objects are in a different namespace from the release
  helm install arc $ARC --namespace platform --create-namespace --set namespaceOverride=arc-systems \
    --post-renderer arc-postrender --post-renderer-args=--namespace --post-renderer-args=platform

  # Helm 4 prints only "exited with error". To see the reason:
  export ARC_CLEANUP_LOG_FILE=/tmp/arc-postrender.log
  helm install arc $ARC --namespace arc-systems --post-renderer arc-postrender || cat $ARC_CLEANUP_LOG_FILE

  # Print what it would do under Helm 4. The output of helm template looks as under Helm 3, whatever Helm you have
  helm template arc $ARC --namespace arc-systems | arc-postrender --check --helm 4 --namespace arc-systems`

// flags are the values of the command line.
type flags struct {
	options                      postrender.Options
	valueFiles, sets, setStrings []string
}

// newCommand returns the command. It stores in explanation what it did and why.
func newCommand(explanation *string) *cobra.Command {
	var f flags
	cmd := &cobra.Command{
		Use:           "arc-postrender [flags] < manifests > manifests",
		Short:         "Add the cleanup hook to a release of Actions Runner Controller",
		Long:          long,
		Example:       examples,
		Version:       version.String(),
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			*explanation, err = f.run(cmd.InOrStdin(), cmd.OutOrStdout())
			return err
		},
	}
	cmd.SetVersionTemplate("{{.Version}}\n")
	f.define(cmd.Flags())
	cli.Finish(cmd, "values", logFile)
	return cmd
}

func (f *flags) define(set *pflag.FlagSet) {
	o := &f.options
	set.SortFlags = false
	set.StringArrayVarP(&f.valueFiles, "values", "f", nil, "file with values of the chart arc-cleanup (repeatable)")
	set.StringArrayVar(&f.sets, "set", nil, "value of the chart arc-cleanup, as key=value (repeatable); overrides $"+chart.SetVariable)
	set.StringArrayVar(&f.setStrings, "set-string", nil, "the same, always a string (repeatable)")
	set.StringVar(&o.Release, "release", "", "name of the release (default: the name in ARC's objects)")
	set.StringVarP(&o.Namespace, "namespace", "n", "",
		"namespace of the release, as Helm's own flag (default: that of ARC's objects and $HELM_NAMESPACE, if they agree)")
	cli.OneOf(set, &o.Helm, "helm", "", postrender.HelmUnknown,
		"which Helm reads the output (default: what the input says)", postrender.Helm3, postrender.Helm4)
	set.BoolVar(&o.Check, "check", false, "print what would be added, and no manifests")
	// This is for the help and the parser. openLog reads the flag.
	set.String(logFile, "", "file to append the explanation or the error to (default: $"+logFileVariable+")")
}

// run reads the manifests from in and writes them to out; with --check it writes the explanation instead.
func (f *flags) run(in io.Reader, out io.Writer) (explanation string, err error) {
	if file, ok := in.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		return "", cli.Wrong(errors.New("stdin is a terminal; pipe rendered manifests into it"))
	}
	o := f.options
	if o.Values, err = chart.Values(f.valueFiles, f.sets, f.setStrings); err != nil {
		return "", cli.Wrong(err)
	}
	o.HelmNamespace = os.Getenv("HELM_NAMESPACE")
	explanation, err = postrender.Copy(out, in, o)
	if err != nil || !o.Check {
		return explanation, err
	}
	if _, err := io.WriteString(out, explanation); err != nil {
		return "", fmt.Errorf("writing stdout: %w", err)
	}
	return explanation, nil
}
