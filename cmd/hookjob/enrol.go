package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/arc-cleanup/arc-cleanup/internal/chart"
	"github.com/arc-cleanup/arc-cleanup/internal/cleanup"
	"github.com/arc-cleanup/arc-cleanup/internal/enrol"
	"github.com/arc-cleanup/arc-cleanup/internal/kube"
	"github.com/arc-cleanup/arc-cleanup/internal/release"
	"github.com/arc-cleanup/arc-cleanup/internal/shell"
)

const (
	// enrolTime bounds an enrolment by hand: a read and a write.
	enrolTime = 30 * time.Second
	// enrollerTime bounds how long the enroller waits for Helm, whose --timeout may be long.
	enrollerTime = time.Hour
	// endTime is how long the enroller's Pod waits at the end to be told to terminate. A Pod that ends by
	// itself would be restarted.
	endTime = 30 * time.Second
)

type enrolFlags struct {
	cluster
	namespace             string
	files, set, setString []string
	dryRun                bool
	enroller              string
	hooks                 string
}

func newEnrol() *cobra.Command {
	var f enrolFlags
	cmd := &cobra.Command{
		Use:   "enrol RELEASE",
		Short: "Add the hook to an installed release, without an upgrade",
		Long: `Enrol adds the hook to Helm's record of a release that installs ARC's controller or
a scale set. From then on "helm get hooks" shows the hook, and "helm uninstall" runs it.
Enrol changes nothing else in the record, and nothing that runs. If the release has a
different arc-cleanup hook, enrol replaces it.

It works with Helm 3 and Helm 4, with records in Secrets and in ConfigMaps, for releases
that are deployed or failed. An upgrade without the post-renderer makes a revision
without the hook: enrol the release again. With Flux, do not use enrol, because Flux
rejects an edited record: make the chart arc-cleanup a dependency of your chart instead.

` + exitHelp,
		Example: `  arc-cleanup enrol arc -n arc-systems
  arc-cleanup enrol arc -n arc-systems --set policy.grace=2m --dry-run`,
		Args: cobra.MaximumNArgs(1),
		RunE: f.enrol,
	}
	fs := cmd.Flags()
	f.register(fs)
	fs.StringVarP(&f.namespace, "namespace", "n", "", "namespace of the release")
	fs.StringArrayVarP(&f.files, "values", "f", nil, "file with values of the chart arc-cleanup (repeatable)")
	fs.StringArrayVar(&f.set, "set", nil, "value of the chart arc-cleanup, as key=value (repeatable)")
	fs.StringArrayVar(&f.setString, "set-string", nil, "the same, always a string (repeatable)")
	fs.BoolVar(&f.dryRun, "dry-run", false, "print what would be done, and write nothing")
	fs.StringVar(&f.hooks, "hooks", "", "file with the hook of another release, as Helm records it, "+
		"to add instead of a new hook; - is standard input; a release that has a hook keeps its own")
	fs.StringVar(&f.enroller, "enroller", "", "only in the cluster: name of the Deployment that arc-postrender adds under Helm 3; "+
		"it waits for Helm, enrols the release, and scales itself to zero")
	return cmd
}

func newUnenrol() *cobra.Command {
	var f enrolFlags
	cmd := &cobra.Command{
		Use:   "unenrol RELEASE",
		Short: "Remove the hook from a release",
		Long: `Unenrol removes the hook from Helm's record of a release. "helm uninstall" then
leaves behind everything of ARC that Helm alone does not delete.

` + exitHelp,
		Example: `  arc-cleanup unenrol arc -n arc-systems`,
		Args:    cobra.ExactArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return f.unenrol(cmd, args[0]) },
	}
	fs := cmd.Flags()
	f.register(fs)
	fs.StringVarP(&f.namespace, "namespace", "n", "", "namespace of the release")
	fs.BoolVar(&f.dryRun, "dry-run", false, "print what would be done, and write nothing")
	return cmd
}

func (f *enrolFlags) enrol(cmd *cobra.Command, args []string) error {
	f.namespace = cmp.Or(f.namespace, helmNamespace())
	switch {
	case len(args) == 0 && f.enroller == "":
		return fmt.Errorf("RELEASE is missing: type %s RELEASE", cmd.CommandPath())
	case f.namespace == "":
		return errors.New("give --namespace, the namespace of the release")
	case len(args) == 1 && f.enroller != "":
		return errors.New("--enroller does not go with a RELEASE: the enroller's Deployment names it")
	case f.enroller != "":
		return f.fromCluster(cmd)
	}
	target := chart.Release{Name: args[0], Namespace: f.namespace}
	if f.hooks != "" {
		return f.put(cmd, target)
	}
	values, err := chart.Values(f.files, f.set, f.setString)
	if err != nil {
		return err
	}
	// Check the values before connecting: the chart refuses wrong ones for every release.
	if _, err := chart.Render(target, values); err != nil {
		return err
	}
	return f.edit(cmd, target, func(ctx context.Context, c *kube.Client) (*enrol.Outcome, error) {
		return enrol.Enrol(ctx, c, target, values, f.dryRun)
	})
}

// put adds a hook that another release had.
func (f *enrolFlags) put(cmd *cobra.Command, target chart.Release) error {
	if len(f.files)+len(f.set)+len(f.setString) > 0 {
		return errors.New("--hooks is a hook with its values; --values, --set and --set-string do not go with it")
	}
	var data []byte
	var err error
	if f.hooks == "-" {
		data, err = io.ReadAll(cmd.InOrStdin())
	} else {
		data, err = os.ReadFile(f.hooks)
	}
	if err != nil {
		return fmt.Errorf("--hooks: %w", err)
	}
	hooks, err := enrol.Parse(data)
	if err != nil {
		return fmt.Errorf("--hooks %s: %w", f.hooks, err)
	}
	return f.edit(cmd, target, func(ctx context.Context, c *kube.Client) (*enrol.Outcome, error) {
		return enrol.Put(ctx, c, target, hooks, f.dryRun)
	})
}

func (f *enrolFlags) unenrol(cmd *cobra.Command, name string) error {
	if f.namespace = cmp.Or(f.namespace, helmNamespace()); f.namespace == "" {
		return errors.New("give --namespace, the namespace of the release")
	}
	target := chart.Release{Name: name, Namespace: f.namespace}
	return f.edit(cmd, target, func(ctx context.Context, c *kube.Client) (*enrol.Outcome, error) {
		return enrol.Unenrol(ctx, c, target, f.dryRun)
	})
}

// edit connects to the cluster, edits the record, and prints the outcome.
func (f *enrolFlags) edit(
	cmd *cobra.Command, target chart.Release, do func(context.Context, *kube.Client) (*enrol.Outcome, error),
) error {
	client, err := f.reach(cmd)
	if err != nil {
		return failed(cmd, err)
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), enrolTime)
	defer cancel()
	out, err := do(ctx, client)
	if err != nil {
		return failed(cmd, err)
	}
	printOutcome(cmd.OutOrStdout(), target, out, f.dryRun)
	if f.dryRun && out.Changed {
		return exitError(exitWork)
	}
	return nil
}

func printOutcome(w io.Writer, target chart.Release, out *enrol.Outcome, dryRun bool) {
	fmt.Fprintf(w, "release %s in namespace %s, revision %d: %s\n", target.Name, target.Namespace, out.Revision, verb(out, dryRun))
	if !out.Changed {
		return
	}
	for _, h := range out.Before {
		fmt.Fprintf(w, "  - %s %s\n", h.Kind, h.Name)
	}
	for _, h := range out.After {
		fmt.Fprintf(w, "  + %s %s\n", h.Kind, h.Name)
	}
	if len(out.After) > 0 && !dryRun {
		fmt.Fprintf(w, "See it: %s\n", shell.Command("helm", "get", "hooks", target.Name, "--namespace", target.Namespace))
	}
}

func verb(out *enrol.Outcome, dryRun bool) string {
	var done string
	switch {
	case !out.Changed && len(out.After) == 0:
		return "not enrolled, unchanged"
	case !out.Changed:
		return "already enrolled, unchanged"
	case len(out.After) == 0:
		done = "unenrolled"
	case len(out.Before) > 0:
		done = "enrolled again, the hook was another one"
	default:
		done = "enrolled"
	}
	if dryRun {
		return done + " (dry run: nothing was written)"
	}
	return done
}

// fromCluster runs in the enroller's Pod.
func (f *enrolFlags) fromCluster(cmd *cobra.Command) error {
	client, err := f.connect()
	if err != nil {
		return failed(cmd, err)
	}
	// This leaves time for a write after the longest wait.
	ctx, cancel := context.WithTimeout(cmd.Context(), enrollerTime+enrolTime)
	defer cancel()
	say := func(text string) { fmt.Fprintln(cmd.ErrOrStderr(), text) }
	if err := enrol.FromCluster(ctx, client, f.namespace, f.enroller, enrollerTime, say); err != nil {
		return failed(cmd, err)
	}
	select {
	case <-cmd.Context().Done():
	case <-time.After(endTime):
	}
	return nil
}

// failed prints an error that the cluster returned, and returns its exit code.
func failed(cmd *cobra.Command, err error) error {
	complain(cmd.ErrOrStderr(), err)
	var unfit release.Unfit
	switch {
	case errors.As(err, &unfit), errors.Is(err, release.ErrNotFound):
		return exitError(exitRefused)
	case apierrors.IsForbidden(err):
		return exitError(exitNotPermitted)
	case errors.Is(context.Cause(cmd.Context()), cleanup.ErrInterrupted):
		return exitError(exitInterrupted)
	}
	return exitError(exitFailed)
}
