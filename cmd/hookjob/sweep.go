package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/arc-cleanup/arc-cleanup/internal/cli"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
	"github.com/arc-cleanup/arc-cleanup/internal/shell"
	"github.com/arc-cleanup/arc-cleanup/internal/sweep"
)

type sweepFlags struct {
	cluster
	everywhere, yes bool
	namespace       string
	output          string
	scope           sweep.Scope
}

func newSweep() *cobra.Command {
	var f sweepFlags
	cmd := &cobra.Command{
		Use:   "sweep",
		Short: "Remove what a running ARC leaves behind: stale listeners, old runner sets, finalizers",
		Long: `Sweep removes objects that are no longer in use and that no controller will remove
while ARC runs: listeners with an old name or image, runner sets that are not the current
one of their scale set, Roles and RoleBindings of deleted listeners, and finalizers that
no controller removes. It never touches a scale set, its current runner set, or a runner
that has a job. The controller de-registers the runners of old runner sets.

Without --yes it prints what it would do, and why, and writes nothing. It keeps whatever
it cannot prove to be unused. It does nothing if a read fails or no controller works.

` + exitHelp,
		Example: `  # Look first
  arc-cleanup sweep --all-namespaces

  # The scale sets of one namespace
  arc-cleanup sweep --namespace arc-runners --yes

  # After an upgrade in place, in a script
  arc-cleanup sweep --all-namespaces --yes --output json | jq '.left'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	f.register(cmd.Flags())
	return cmd
}

func (f *sweepFlags) register(fs *pflag.FlagSet) {
	f.cluster.register(fs)
	fs.BoolVarP(&f.everywhere, "all-namespaces", "A", false, "sweep the scale sets of all namespaces")
	fs.StringVarP(&f.namespace, "namespace", "n", "", "sweep the scale sets of this namespace")
	fs.StringSliceVar(&f.scope.Namespaces, "runner-namespace", nil, "namespace of scale sets and their runners, for more than one; repeatable")
	fs.StringSliceVar(&f.scope.ControllerNamespaces, "controller-namespace", nil, "namespace of a controller, and so of its listeners; repeatable; default all")
	fs.DurationVar(&f.scope.OlderThan, "older-than", sweep.OlderThan, "keep younger objects, and do nothing for this time after a rollout of the controller; a shorter time than the default is not safe: the old controller may still work")
	fs.BoolVarP(&f.yes, "yes", "y", false, "do it; without this, sweep only prints what it would do")
	cli.OneOf(fs, &f.output, "output", "o", "table", "form of the report", "table", "json")
}

// complete checks what the flags say together. Its errors are wrong usage.
func (f *sweepFlags) complete() error {
	if !f.everywhere && len(f.scope.Namespaces) == 0 {
		f.namespace = cmp.Or(f.namespace, helmNamespace())
	}
	chosen := 0
	for _, is := range []bool{f.everywhere, f.namespace != "", len(f.scope.Namespaces) > 0} {
		if is {
			chosen++
		}
	}
	switch {
	case chosen > 1:
		return errors.New("--namespace, --runner-namespace (repeatable) and --all-namespaces (-A) all say what to sweep; give one")
	case chosen == 0:
		return errors.New("say what to sweep: --namespace NS for the scale sets of one namespace, --all-namespaces (-A) for all of them")
	case f.scope.OlderThan < time.Second:
		return fmt.Errorf("--older-than %s: must be a second or more", f.scope.OlderThan)
	}
	if f.namespace != "" {
		f.scope.Namespaces = []string{f.namespace}
	}
	return nil
}

func (f *sweepFlags) run(cmd *cobra.Command) error {
	if err := f.complete(); err != nil {
		return err
	}
	client, err := f.reach(cmd)
	if err != nil {
		complain(cmd.ErrOrStderr(), err)
		return exitError(exitFailed)
	}
	var r *sweep.Report
	if f.yes {
		r = sweep.Run(cmd.Context(), client, f.scope)
	} else {
		r = sweep.Plan(cmd.Context(), client, f.scope).Report()
	}
	if f.output == "json" {
		if err := printJSON(cmd.OutOrStdout(), r); err != nil {
			return fmt.Errorf("writing the report: %w", err)
		}
	} else {
		printSweep(cmd.OutOrStdout(), r)
	}
	switch code := exitCode(r.Verdict); {
	case code != exitDone:
		return exitError(code)
	case len(r.Steps) > 0:
		return exitError(exitWork)
	}
	return nil
}

// printSweep prints a report of a sweep for people.
func printSweep(w io.Writer, r *sweep.Report) {
	printRefusals(w, r.Refusals)
	var rows [][]any
	add := func(action any, o *object.Object, why string) {
		rows = append(rows, []any{action, o.Namespace, name(o), asCalled(why)})
	}
	for _, s := range slices.Concat(r.Done, r.Steps) {
		add(s.Action, s.Object, s.Why)
	}
	for _, k := range r.Left {
		add("left", k.Object, k.Why)
	}
	for _, k := range r.Kept {
		add("keep", k.Object, k.Why)
	}
	if len(rows) > 0 {
		table(w, []string{"ACTION", "NAMESPACE", "OBJECT", "WHY"}, rows, func(row []any) []any { return row })
	}
	for _, err := range r.Errs {
		fmt.Fprintf(w, "Error: %s\n", shell.Visible(err.Error()))
	}
	switch {
	case len(r.Steps) > 0:
		fmt.Fprintln(w, "\nNothing was written. To do this, add --yes.")
	case len(r.Done)+len(r.Left)+len(r.Refusals) > 0:
		fmt.Fprintf(w, "\n%s\n", r.Summary())
	case r.Verdict == plan.Done:
		fmt.Fprintln(w, "Nothing to do.")
	}
}
