package main

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/arc-cleanup/arc-cleanup/internal/cli"
	"github.com/arc-cleanup/arc-cleanup/internal/english"
	"github.com/arc-cleanup/arc-cleanup/internal/kube"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
	"github.com/arc-cleanup/arc-cleanup/internal/shell"
	"github.com/arc-cleanup/arc-cleanup/internal/upgrade"
)

type upgradeFlags struct {
	cluster
	request      upgrade.Request
	helm         string
	renderer     string
	rendererArgs []string
	busyRunners  plan.BusyRunnersPolicy
	grace        time.Duration
	budget       time.Duration
	timeout      time.Duration
	abort        bool
	dryRun, yes  bool
	log          logFlags
}

func newUpgrade() *cobra.Command {
	var f upgradeFlags
	cmd := &cobra.Command{
		Use:   "upgrade",
		Short: "Take ARC to another version, in the gentlest way that is proved",
		Long: `Upgrade takes ARC's controller and all its scale sets to another version of their
charts, with the same values and hooks. It chooses the gentlest way that is proved
for these versions, and the plan says which, why and what it costs:

  helm-upgrade     Helm upgrades the controller and the scale sets. Runners keep
                   running. Within a minor version, from 0.12 on.
  freeze-and-swap  The controller is stopped; CRDs and scale sets are upgraded; the
                   new controller is started. Jobs that run go on. From 0.12 to
                   0.13 and 0.14, and from 0.13 to 0.14; from 0.14 to 0.15 with
                   --allow-experimental-upgrades.
  reinstall        Everything is uninstalled and installed again, as ARC's
                   documentation asks for. All other versions, and downgrades.

GitHub supports only the last one.

Before it writes anything, it makes sure that it has the new charts and that they
render with these values. It saves what it needs to go on in a Secret
` + upgrade.SecretName + ` in the namespace of each release. You can stop it at any
point and run it again: it goes on, on a terminal also without --version. If it
cannot go on, it prints a command for every step that is left. A freeze-and-swap can
be taken back with --abort, until the new controller starts.

It uses the helm on your PATH, 3 or 4, with your rights. On a terminal it prints the
plan and asks first. Without a terminal it needs --yes, and --version or --chart: it
never installs charts that only a Secret names unless you have seen them.

` + exitHelp,
		Example: `  arc-cleanup upgrade --version 0.14.2 --dry-run
  arc-cleanup upgrade --version 0.14.2

  # Only if the scale sets stay
  arc-cleanup upgrade --version 0.14.2 --strategy in-place

  # Charts from your own registry; folders and archives work too
  arc-cleanup upgrade --version 0.14.2 \
    --chart oci://registry.example.com/charts/gha-runner-scale-set-controller \
    --scale-set-chart oci://registry.example.com/charts/gha-runner-scale-set`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	f.flags(cmd.Flags())
	return cmd
}

func (f *upgradeFlags) flags(fs *pflag.FlagSet) {
	f.register(fs)
	fs.StringVar(&f.request.Version, "version", "", "version of ARC's charts, or of those given as oci:// references")
	fs.StringVar(&f.request.Chart, "chart", "", "chart of the controller: a folder, an archive, or an oci:// reference; default ARC's own")
	fs.StringVar(&f.request.ScaleSetChart, "scale-set-chart", "", "chart of the scale sets, in the same way")
	fs.StringVarP(&f.request.Namespace, "namespace", "n", "", "namespace of the controller's release; needed if its controller is gone, "+
		"for example to go on with an upgrade")
	cli.OneOf(fs, &f.request.Strategy, "strategy", "", upgrade.Auto,
		"auto (the gentlest way that is proved), in-place (the scale sets stay, or it refuses) or reinstall",
		upgrade.Auto, upgrade.InPlace, upgrade.Reinstall)
	fs.BoolVar(&f.request.AllowExperimental, strings.TrimPrefix(upgrade.AllowExperimental, "--"), false,
		"allow a freeze-and-swap that was only tried with a preview: from 0.14 to 0.15")
	fs.BoolVar(&f.abort, "abort", false, "take back a freeze-and-swap whose new controller has not started")
	fs.StringVar(&f.renderer, "post-renderer", "", "a post-renderer for everything that is installed, as Helm's flag of this name")
	fs.StringArrayVar(&f.rendererArgs, "post-renderer-args", nil, "an argument of the post-renderer; repeatable")
	fs.StringVar(&f.helm, "helm", "", "path or name of Helm, 3 or 4; default $HELM_BIN, else helm")
	cli.OneOf(fs, &f.busyRunners, "busy-runners", "", plan.WaitForBusy,
		"for a reinstall, what happens to runners that have a job: wait (within the budget, then stop), refuse or force (their jobs may be killed)",
		plan.WaitForBusy, plan.RefuseBusy, plan.ForceBusy) // runners that are left would keep the CRDs, which have to go
	fs.DurationVar(&f.grace, "grace", time.Minute, "for a reinstall, how long a running controller may make no progress before arc-cleanup removes the finalizers itself")
	fs.DurationVar(&f.budget, "budget", 30*time.Minute, "for a reinstall, time for draining and uninstalling, jobs of runners included")
	fs.DurationVar(&f.timeout, "timeout", 5*time.Minute, "time for each wait of Helm, for example for the new controller")
	fs.BoolVar(&f.dryRun, "dry-run", false, "print the plan, and write nothing")
	fs.BoolVarP(&f.yes, "yes", "y", false, "do not ask; needed without a terminal")
	f.log.register(fs)
}

func (f *upgradeFlags) run(cmd *cobra.Command) error {
	console, err := f.complete(cmd)
	if err != nil {
		return err
	}
	if err := onlyHelmsContext(); err != nil {
		return err
	}
	client, err := f.reach(cmd)
	if err != nil {
		return failed(cmd, err)
	}
	u := &upgrade.Upgrade{
		Client: client,
		Helm: &upgrade.Helm{
			Binary:     cmp.Or(f.helm, os.Getenv("HELM_BIN"), "helm"),
			Kubeconfig: f.kubeconfig, Context: client.Context, Timeout: f.timeout,
			PostRenderer: f.renderer, PostRendererArgs: f.rendererArgs,
		},
		BusyRunners: f.busyRunners, Grace: f.grace, Budget: f.budget,
		Log: f.log.logger(cmd.ErrOrStderr(), console, isTerminal(cmd.ErrOrStderr())),
	}
	dir, err := os.MkdirTemp("", "arc-cleanup-upgrade-")
	if err != nil {
		return failed(cmd, fmt.Errorf("making a folder for charts: %w", err))
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary folder

	todo, err := f.plan(cmd, u, dir)
	if err != nil || todo == nil {
		return err
	}
	if stopped := u.Run(cmd.Context(), todo); stopped != nil {
		return f.stopped(cmd, u, todo, stopped)
	}
	if f.abort {
		u.Log.Info().Str("verdict", string(plan.Done)).Msg("done: the upgrade is taken back; see arc-cleanup status")
		return nil
	}
	is := todo.State.Target.Controller.Metadata
	u.Log.Info().Str("verdict", string(plan.Done)).
		Msgf("done: %s %s is installed, with %s of scale sets; see arc-cleanup status", is.Name, is.Version, english.Count(len(todo.State.Releases)-1, "release"))
	return nil
}

// complete checks the flags. Its errors are usage errors.
func (f *upgradeFlags) complete(cmd *cobra.Command) (console bool, err error) {
	for name, d := range map[string]time.Duration{"grace": f.grace, "budget": f.budget, "timeout": f.timeout} {
		if d <= 0 {
			return false, fmt.Errorf("--%s %s: must be more than 0", name, d)
		}
	}
	if f.renderer == "" && len(f.rendererArgs) > 0 {
		return false, errors.New("--post-renderer-args needs --post-renderer")
	}
	if err := f.completeTarget(); err != nil {
		return false, err
	}
	if !f.yes && !f.dryRun && !isTerminal(cmd.InOrStdin()) {
		needs := "--yes, and --version or --chart"
		if f.abort || f.request.Version != "" || f.request.Chart != "" {
			needs = "--yes"
		}
		return false, fmt.Errorf("upgrade asks before it writes, and there is no terminal to ask on: give %s (and look at --dry-run first)", needs)
	}
	return f.log.console(cmd.ErrOrStderr()), nil
}

// completeTarget checks the flags that say what to install.
func (f *upgradeFlags) completeTarget() error {
	q := f.request
	given := q.Version != "" || q.Chart != ""
	switch {
	case f.abort && (given || q.ScaleSetChart != "" || q.Strategy != upgrade.Auto):
		return errors.New("--abort puts back what was there: leave out --version, the charts and --strategy")
	case f.yes && !f.dryRun && !f.abort && !given:
		return errors.New("--yes needs --version or --chart: a person has to see which charts a saved state names; " +
			"run it without --yes to be asked")
	}
	return nil
}

// plan prepares the plan, prints it, and asks. It returns no plan and no error if there is nothing to do.
func (f *upgradeFlags) plan(cmd *cobra.Command, u *upgrade.Upgrade, dir string) (*upgrade.Plan, error) {
	out := cmd.ErrOrStderr()
	if f.dryRun {
		out = cmd.OutOrStdout()
	}
	prepare := func() (*upgrade.Plan, error) { return u.Prepare(cmd.Context(), f.request, dir) }
	if f.abort {
		prepare = func() (*upgrade.Plan, error) { return u.PrepareAbort(cmd.Context(), f.request.Namespace) }
	}
	todo, err := prepare()
	var usage upgrade.UsageError
	switch {
	case errors.As(err, &usage):
		f.hint(cmd.ErrOrStderr(), nil)
		return nil, usage
	case err != nil:
		return nil, failed(cmd, err)
	}
	refusals := todo.Refusals
	if f.yes && !f.dryRun {
		for _, c := range todo.Confirm {
			c.Do = append(c.Do, "or run it without --yes, on a terminal, and say yes")
			refusals = append(refusals, c)
		}
	}
	switch {
	case len(refusals) > 0:
		printRefusals(out, refusals)
		f.hint(out, todo.State.Releases)
		return nil, exitError(exitCode((&plan.Plan{Refusals: refusals}).Verdict()))
	case len(todo.Steps) == 0:
		fmt.Fprintf(out, "Nothing to do: every release has version %s.\n", todo.State.Target.Controller.Metadata.Version)
		return nil, nil
	}
	if err := f.agree(cmd, out, u, todo); err != nil {
		return nil, err
	}
	return todo, nil
}

// agree shows the plan, and asks whether to carry it out. With --yes it only logs the plan.
func (f *upgradeFlags) agree(cmd *cobra.Command, out io.Writer, u *upgrade.Upgrade, todo *upgrade.Plan) error {
	if f.yes && !f.dryRun {
		logUpgrade(u.Log, todo)
		return nil
	}
	printUpgrade(out, u.Client, todo)
	if f.dryRun {
		fmt.Fprintln(out, "\nNothing was written. To do this, leave out --dry-run.")
		return exitError(exitWork)
	}
	_, err := doThis(cmd, bufio.NewReader(cmd.InOrStdin()))
	return err
}

// hint says how to give the namespace of a controller's release that was not found, where Helm keeps --namespace. Helm always hands one on, and does not say
// whether a person has typed it: upgrade cannot take it, because a tenant of that namespace may have saved a state there.
func (f *upgradeFlags) hint(w io.Writer, found []upgrade.Release) {
	known := slices.ContainsFunc(found, func(r upgrade.Release) bool { return r.Controller })
	if underHelm() && f.request.Namespace == "" && !known {
		fmt.Fprintln(w, "Helm keeps --namespace for itself. To say where the controller's release is, type -nNAMESPACE, without a space.")
	}
}

// logUpgrade logs a plan that is not printed: the way, the charts, and what the user should know.
func logUpgrade(log zerolog.Logger, p *upgrade.Plan) {
	log.Info().Str("way", string(p.State.Way)).Msg(p.Why)
	for _, c := range p.Charts() {
		log.Info().Str("chart", c.Ref).Str("version", c.Metadata.Version).Str("digest", c.Digest).Msg("chart to install")
	}
	for _, n := range p.Notes {
		log.Warn().Msg(n)
	}
}

// printUpgrade prints the plan for a person, with what the cleanup will do.
func printUpgrade(w io.Writer, client *kube.Client, p *upgrade.Plan) {
	fmt.Fprintf(w, "Cluster %s (context %q)\n\n", client.Server, client.Context)
	fmt.Fprintf(w, "Way: %s, because %s.\n\n", p.State.Way, shell.Visible(p.Why))
	if charts := p.Charts(); len(charts) > 0 {
		printCosts(w, p.State.Way.Costs())
		fmt.Fprintln(w)
		table(w, []string{"CHART", "VERSION", "DIGEST"}, charts, func(c upgrade.Chart) []any { return []any{c.Ref, c.Metadata.Version, c.Digest} })
		fmt.Fprintln(w)
	}
	for _, c := range p.Confirm {
		fmt.Fprintf(w, "CONFIRM: %s\n", shell.Visible(c.Message))
		printCommands(w, c.Do)
	}
	for _, n := range p.Notes {
		fmt.Fprintf(w, "NOTE: %s\n", shell.Visible(n))
	}
	if len(p.Confirm)+len(p.Notes) > 0 {
		fmt.Fprintln(w)
	}
	table(w, []string{"STEP", "NAMESPACE", "RELEASE", "WHAT"}, p.Steps, func(s upgrade.Step) []any {
		return []any{s.Kind, s.Release.Namespace, s.Release.Name, s.What}
	})
	if p.Cleanup != nil {
		fmt.Fprintf(w, "\nThe step %s does:\n\n", upgrade.Clean)
		printCleanup(w, p.Cleanup)
	}
}

func printCosts(w io.Writer, costs []upgrade.Cost) {
	table(w, []string{"COST", "HOW MUCH"}, costs, func(c upgrade.Cost) []any { return []any{c.What, c.How} })
}

// stopped prints where the upgrade stopped, and how to go on.
func (f *upgradeFlags) stopped(cmd *cobra.Command, u *upgrade.Upgrade, todo *upgrade.Plan, s *upgrade.Stopped) error {
	out := cmd.ErrOrStderr()
	if s.Report != nil {
		fmt.Fprintln(out, asCalled(s.Report.Text(reportLines)))
	}
	err := failed(cmd, s)
	if s.Report != nil && s.Report.Verdict != plan.Done {
		err = exitError(exitCode(s.Report.Verdict))
	}
	if s.Taken {
		fmt.Fprintln(out, "This run stops here. Make sure that no other one runs before you start it again.")
		return err
	}
	commands := u.Commands(todo, s.Step)
	if len(commands) == 0 {
		fmt.Fprintf(out, "Nothing was changed, except that Secrets %s may have been written.\n", upgrade.SecretName)
		return err
	}
	for _, line := range u.Help(todo, s.Step) {
		fmt.Fprintln(out, asCalled(line))
	}
	flag := "--namespace "
	if underHelm() {
		flag = "-n" // Helm keeps the other one
	}
	fmt.Fprintf(out, "\nTo go on, run the same command again, with %s%s; or run what is left by hand:\n\n",
		flag, todo.State.Releases[0].Namespace)
	for _, c := range commands {
		fmt.Fprintf(out, "    %s\n", asCalled(c))
	}
	return err
}
