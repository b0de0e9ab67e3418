// Command arc-postrender is a Helm post-renderer: it adds the hook that cleans
// up after Actions Runner Controller to a release that installs it.
package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"github.com/arc-cleanup/arc-cleanup/internal/cli"
	"github.com/arc-cleanup/arc-cleanup/internal/hook"
	"github.com/arc-cleanup/arc-cleanup/internal/postrender"
	"github.com/arc-cleanup/arc-cleanup/internal/version"
)

// Exit codes. With any but 0 no hook was written to stdout.
const (
	exitError  = 1
	exitUsage  = 2
	exitInput  = 3
	exitHelm   = 4
	exitTarget = 5
	exitValues = 6
)

const exitHelp = `Exit codes:
  0  done: the hook was added, or there was nothing to add it to
  1  failed: stdin could not be read, or stdout not written
  2  wrong usage: a flag, an argument, a file that a flag names
  3  the input is not valid YAML, is larger than 32 MiB, or has an object of ARC
     of an unknown form
  4  which Helm reads the output cannot be told, or is not what --helm says
  5  the name or the namespace of the release is not known
  6  the chart arc-cleanup refuses a value, or the name of the release
With an error nothing is written to stdout.

Helm 3 prints what this command says in an error. Helm 4 drops it, and shows the
exit code alone, with --debug: --log-file, or ARC_CLEANUP_LOG_FILE in Helm's own
environment, keeps it.`

func main() {
	// The default lets as much garbage pile up as the heap is large, and the buffer for the input is large.
	debug.SetGCPercent(5)
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run executes the command line and returns the exit code.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	log, err := openLog(args)
	if err != nil {
		return report(stderr, err)
	}
	// What was said is on stderr, too.
	defer log.Close() //nolint:errcheck // see above

	var explanation string
	cmd := newCommand(&explanation)
	cmd.SetArgs(args)
	cmd.SetIn(stdin)
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	if err := cmd.Execute(); err != nil {
		var said strings.Builder
		code := report(&said, err)
		fmt.Fprint(stderr, said.String())
		entry(log, code, said.String())
		return code
	}
	if explanation != "" {
		entry(log, 0, explanation)
	}
	return 0
}

// report says what went wrong, and returns the exit code for it.
func report(w io.Writer, err error) int {
	fmt.Fprintf(w, "arc-postrender: %v\n", err)
	var (
		usage usageError
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
	return exitError
}

// logFile is the flag, and logFileVariable its default.
const (
	logFile         = "log-file"
	logFileVariable = "ARC_CLEANUP_LOG_FILE"
)

// openLog opens the log which the command line or else the environment names.
// The rest of the command line may be wrong: that has to be found in the log.
func openLog(args []string) (io.WriteCloser, error) {
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	flags.ParseErrorsAllowlist.UnknownFlags = true
	flags.Usage = func() {}
	path := flags.String(logFile, os.Getenv(logFileVariable), "")
	_ = flags.Parse(args) // the command itself says what is wrong with them
	// A parser's message may quote a manifest, which may hold secrets.
	log, err := os.OpenFile(cmp.Or(*path, os.DevNull), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, usageError{fmt.Errorf("--%s (or %s): %w", logFile, logFileVariable, err)}
	}
	return log, nil
}

// entry adds one run to the log: in one write, since several Helms may share it.
func entry(log io.Writer, code int, text string) {
	fmt.Fprintf(log, "%s arc-postrender %s: exit code %d\n%s", time.Now().UTC().Format(time.RFC3339), version.String(), code, text)
}

// usageError is a mistake on the command line.
type usageError struct{ error }

const long = `arc-postrender reads rendered manifests on stdin and writes them, byte for byte,
to stdout. If they install Actions Runner Controller (its controller or a scale
set), the hook that cleans up at "helm uninstall" follows them. It takes the
release, the namespaces, the scheduling and the pull secrets from ARC's own
objects; --set and --values change the values of the chart arc-cleanup.

Neither Helm tells a post-renderer the release's namespace. Where ARC's objects
are in another one (namespaceOverride of ARC's charts), give it with --namespace:
a hook in the wrong namespace finds no release, and refuses every uninstall.

Helm 4 runs it as a plugin, Helm 3 as an executable. Helm 3 takes no hook from a
post-renderer: there, what follows are ordinary objects that put the hook into
the release's record, from inside the cluster, as soon as Helm has written it.

` + exitHelp

const examples = `  # The hook's image, in a registry of yours; a release of arc-cleanup needs none of this
  export ARC_CLEANUP_SET=image.repository=registry.example/arc-hookjob

  ARC=oci://ghcr.io/actions/actions-runner-controller-charts/gha-runner-scale-set-controller
  helm install arc $ARC --namespace arc-systems --create-namespace --post-renderer arc-postrender

  # Another value of the chart arc-cleanup; each word is an argument of its own
  helm upgrade arc $ARC --namespace arc-systems --post-renderer arc-postrender \
    --post-renderer-args=--set --post-renderer-args=policy.grace=2m

  # ARC's objects are elsewhere than the release
  helm install arc $ARC --namespace platform --create-namespace --set namespaceOverride=arc-systems \
    --post-renderer arc-postrender --post-renderer-args=--namespace --post-renderer-args=platform

  # Helm 4 says no more than "exited with error": why?
  export ARC_CLEANUP_LOG_FILE=/tmp/arc-postrender.log
  helm install arc $ARC --namespace arc-systems --post-renderer arc-postrender || cat $ARC_CLEANUP_LOG_FILE

  # What would it do?
  helm template arc $ARC --namespace arc-systems | arc-postrender --check --namespace arc-systems`

// newCommand makes the command, which explains what it did.
func newCommand(explanation *string) *cobra.Command {
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
			o.HelmNamespace = os.Getenv("HELM_NAMESPACE")

			*explanation, err = postrender.Copy(cmd.OutOrStdout(), cmd.InOrStdin(), o)
			if err != nil || !o.Check {
				return err
			}
			if _, err := io.WriteString(cmd.OutOrStdout(), *explanation); err != nil {
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
	flags.StringArrayVar(&set, "set", nil, "value of the chart arc-cleanup, as key=value (repeatable), over those of $"+hook.SetVariable)
	flags.StringArrayVar(&setString, "set-string", nil, "the same, always a string (repeatable)")
	flags.StringVar(&o.Release, "release", "", "name of the release (default: what ARC's objects say)")
	flags.StringVarP(&o.Namespace, "namespace", "n", "", "namespace of the release, as Helm's own (default: that of ARC's objects and $HELM_NAMESPACE, where they agree)")
	cli.OneOf(flags, &o.Helm, "helm", "", postrender.HelmUnknown, "which Helm reads the output (default: what the input says)", postrender.Helm3, postrender.Helm4)
	flags.BoolVar(&o.Check, "check", false, "say what would be added, instead of writing manifests")
	// For the help and the parser; openLog has read it by then.
	flags.String(logFile, "", "file to append what was added, or the error, to (default: $"+logFileVariable+")")
	cli.Finish(cmd, "values", logFile)
	return cmd
}
