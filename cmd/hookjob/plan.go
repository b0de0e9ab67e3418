package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/arc-cleanup/arc-cleanup/internal/cleanup"
	"github.com/arc-cleanup/arc-cleanup/internal/cli"
	"github.com/arc-cleanup/arc-cleanup/internal/helm"
	"github.com/arc-cleanup/arc-cleanup/internal/kube"
	"github.com/arc-cleanup/arc-cleanup/internal/object"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
	"github.com/arc-cleanup/arc-cleanup/internal/release"
	"github.com/arc-cleanup/arc-cleanup/internal/shell"
	"github.com/arc-cleanup/arc-cleanup/internal/status"
	"github.com/arc-cleanup/arc-cleanup/internal/survey"
)

type planFlags struct {
	target
	seen   contexts
	output string
}

func newPlan() *cobra.Command {
	var f planFlags
	cmd := &cobra.Command{
		Use:   "plan",
		Short: "Print what run would do, and write nothing",
		Long: `Plan makes the same survey and the same plan as run, prints it, and writes nothing.

It prints a digest of the actions and the objects. With the same flags and --confirm
DIGEST, run carries out exactly this plan, or refuses.

` + exitHelp,
		Example: `  arc-cleanup plan --all-namespaces

  # What would the uninstall of the controller do that takes the scale sets along?
  arc-cleanup plan --release arc --release-namespace arc-systems --scale-sets uninstall

  # What holds one namespace that hangs in Terminating?
  arc-cleanup plan --namespace arc-runners

  arc-cleanup plan --all-namespaces --output json | jq '.phases[].name'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	f.register(cmd.Flags())
	f.seen.registerAll(cmd.Flags())
	cli.OneOf(cmd.Flags(), &f.output, "output", "o", "table", "form of the plan", "table", "json")
	return cmd
}

func (f *planFlags) run(cmd *cobra.Command) error {
	f.takeHelmNamespace(cmd.Flags())
	if err := f.complete(cmd.Flags()); err != nil {
		return err
	}
	f.seen.cluster = f.cluster
	names, err := f.seen.several(cmd)
	if err != nil {
		return err
	}
	if len(names) > 0 {
		views := lookAt(cmd, f.cluster, names, f.plan)
		if f.output == "json" {
			err = printJSON(cmd.OutOrStdout(), views)
		} else {
			printPlans(cmd.OutOrStdout(), views)
		}
		return cmp.Or(err, views.worst())
	}
	client, err := f.reach(cmd)
	if err != nil {
		complain(cmd.ErrOrStderr(), err)
		return exitError(exitFailed)
	}
	planned, code := f.plan(cmd.Context(), client)
	if f.output == "json" {
		if err := printJSON(cmd.OutOrStdout(), planned); err != nil {
			return fmt.Errorf("writing the plan: %w", err)
		}
	} else {
		printPlan(cmd.OutOrStdout(), planned)
		if code == exitWork {
			fmt.Fprintf(cmd.OutOrStdout(), "To do this, give %s run the same flags: it asks first, or with --confirm DIGEST does exactly this.\n", called())
		}
	}
	if code != exitDone {
		return exitError(code)
	}
	return nil
}

// plan makes the plan for one cluster, and returns the exit code. It works on a copy of the flags: several
// clusters are looked at at the same time.
func (t target) plan(ctx context.Context, client *kube.Client) (*plan.Plan, int) {
	t.backUp(client, time.Now())
	planned := preview(ctx, client, &t)
	if t.options.Release != "" {
		foretell(ctx, client, t.options, planned)
	}
	switch {
	case len(planned.Refusals) > 0:
		return planned, exitCode(planned.Verdict())
	case len(planned.Phases) > 0:
		return planned, exitWork
	}
	return planned, exitDone
}

// previewTime limits a survey by hand.
const previewTime = 30 * time.Second

func preview(ctx context.Context, client *kube.Client, t *target) *plan.Plan {
	ctx, cancel := context.WithTimeout(ctx, previewTime)
	defer cancel()
	return cleanup.Preview(ctx, client, t.options, t.credentials)
}

// foretell notes what Helm itself will decide of the release that was named: no
// reason not to run by hand, which needs neither Helm nor the hook.
func foretell(ctx context.Context, client *kube.Client, o plan.Options, planned *plan.Plan) {
	ctx, cancel := context.WithTimeout(ctx, previewTime)
	defer cancel()
	err := release.Each(ctx, client, cmp.Or(o.StorageNamespace, o.ReleaseNamespace), o.Release, func(r *helm.Record, err error) {
		if err != nil || r.Namespace != o.ReleaseNamespace || !r.Status.Installed() {
			return // the plan says so itself
		}
		f := status.NewForecast(ctx, client, r, planned)
		for _, left := range f.Leaves {
			planned.Notes = append(planned.Notes, "Helm 4.3 and later leave "+leaves(left))
		}
		for _, refusal := range f.Refused {
			planned.Notes = append(planned.Notes, refusal.Message)
		}
		planned.Notes = append(planned.Notes, f.Unknown...)
	})
	if err != nil {
		planned.Notes = append(planned.Notes, fmt.Sprintf("what Helm will leave of release %s could not be told: %v", o.Release, err))
	}
}

// printPlan prints the plan for a person, with the digest that confirms it.
func printPlan(w io.Writer, p *plan.Plan) {
	printCleanup(w, p)
	if digest := p.Digest(); digest != "" {
		fmt.Fprintf(w, "\nDigest: %s\n", digest)
	}
}

// printCleanup prints what a cleanup does. Why it is refused comes last: the table may be longer than the screen.
func printCleanup(w io.Writer, p *plan.Plan) {
	for _, note := range p.Notes {
		fmt.Fprintf(w, "Note: %s.\n", shell.Visible(note))
	}
	if len(p.Notes) > 0 {
		fmt.Fprintln(w)
	}
	rows := rowsOf(p)
	if len(rows) > 0 {
		table(w, []string{"PHASE", "ACTION", "NAMESPACE", "OBJECT", "WHY"}, rows, func(row []any) []any { return row })
	}
	if p.ObstaclesErr != nil {
		fmt.Fprintf(w, "Could not search for webhooks and APIServices that do not answer: %s\n", shell.Visible(p.ObstaclesErr.Error()))
	}
	printRemains(w, p.Remains)
	switch {
	case p.Off:
		fmt.Fprintf(w, "Switched off by the ConfigMap %s.\n", survey.OffSwitch)
	case len(p.Phases)+len(p.Refusals) > 0:
	case len(p.Remains)+len(p.Kept) > 0: // a controller that works keeps the CRDs
		fmt.Fprintln(w, "Nothing to do with these options; ARC is not gone.")
	default:
		fmt.Fprintln(w, "Nothing to do.")
	}
	if len(p.Refusals) > 0 && (len(rows)+len(p.Remains) > 0 || p.ObstaclesErr != nil) {
		fmt.Fprintln(w)
	}
	printRefusals(w, p.Refusals)
}

// rowsOf returns the rows of a plan's table: what is done to which object, what is kept, and what may be in the way.
func rowsOf(p *plan.Plan) (rows [][]any) {
	for _, phase := range p.Phases {
		for _, s := range phase.Steps() {
			rows = append(rows, []any{phase.Name, s.Action, s.Object.Namespace, name(s.Object), asCalled(s.Why)})
		}
	}
	for _, k := range p.Kept {
		rows = append(rows, []any{"-", "keep", k.Object.Namespace, name(k.Object), k.Why})
	}
	for _, x := range p.Obstacles {
		rows = append(rows, []any{"-", "beware", "", name(x.Object), x.Why})
	}
	return rows
}

// printRefusals prints why nothing begins.
func printRefusals(w io.Writer, refusals []plan.Refusal) {
	for _, r := range refusals {
		label := strings.ToUpper(strings.ReplaceAll(string(r.Verdict), "-", " ")) // what could not be read is no refusal
		fmt.Fprintf(w, "%s: %s\n", label, shell.Visible(r.Message))
		printCommands(w, r.Do)
	}
}

// printRemains prints the parts of ARC that this uninstall does not cover.
func printRemains(w io.Writer, remains []plan.Remain) {
	for _, r := range remains {
		fmt.Fprintf(w, "Also there: %s.\n", shell.Visible(r.What))
		printCommands(w, r.Do)
	}
}

func name(o *object.Object) string { return o.Resource.Resource + "/" + o.Name }
