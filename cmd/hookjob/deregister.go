package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/arc-cleanup/arc-cleanup/internal/cleanup"
	"github.com/arc-cleanup/arc-cleanup/internal/cli"
	"github.com/arc-cleanup/arc-cleanup/internal/github"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
)

type deregisterFlags struct {
	githubFlags
	from, group string
	scaleSets   []string
	runners     []string
	yes         bool
	output      string
}

func newDeregister() *cobra.Command {
	var f deregisterFlags
	cmd := &cobra.Command{
		Use:   "deregister",
		Short: "Remove scale sets and runners at GitHub that a cluster left there",
		Long: `Deregister removes scale sets and their runners at GitHub, without a cluster: what a
report of run names as still registered, or one scale set by its name. Use it when no
controller of ARC works for them any more.

It removes a scale set only if GitHub still has it under the same id, name and group, and
if it has no other runners, no jobs, and no listener connected: another cluster may use
it. GitHub itself removes a scale set to which nothing has connected for seven days.

Your credentials come from a file or from the environment variable
` + tokenVariable + `. They go only to the place that --url names, and without --url
only to github.com and *.ghe.com.

Without --yes it prints what it would do, and removes nothing.

` + exitHelp,
		Example: `  # What run, or plan before the cluster was deleted, has written with --output json
  arc-cleanup deregister --from plan.json --github-token-file token

  # One scale set
  arc-cleanup deregister --url https://github.com/acme --scale-set arc-runner-set \
    --github-token-file token --yes`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	fs := cmd.Flags()
	fs.StringVar(&f.from, "from", "", "file with the report of run, or with a plan, in JSON; - is standard input")
	fs.StringVar(&f.url, "url", "", "organisation, repository or enterprise of the scale set, as in githubConfigUrl")
	fs.StringSliceVar(&f.scaleSets, "scale-set", nil, "name of a scale set at GitHub; repeatable")
	fs.StringVar(&f.group, "runner-group", "", "runner group of --scale-set; default the default group")
	fs.StringSliceVar(&f.runners, "runner", nil, "name of a runner of --scale-set that is to go with it; repeatable")
	f.register(fs)
	fs.BoolVarP(&f.yes, "yes", "y", false, "do it; without this, deregister only prints what it would do")
	cli.OneOf(fs, &f.output, "output", "o", "table", "form of the report", "table", "json")
	return cmd
}

// mistakes are what the flags may not say together. The first one is told.
func (f *deregisterFlags) mistakes() []mistake {
	named := len(f.scaleSets) > 0
	return []mistake{
		{f.from != "" && named, "--from and --scale-set both say what to remove; give one"},
		{f.from == "" && f.url != "" && !named, "--url needs --scale-set NAME, or --from FILE"},
		{f.url == "" && named, "--scale-set needs --url URL"},
		{f.from == "" && !named, "say what to remove: --from REPORT.json, or --url URL with --scale-set NAME"},
		{len(f.runners) > 0 && len(f.scaleSets) != 1, "--runner goes with one --scale-set"},
		{f.group != "" && !named, "--runner-group goes with --scale-set"},
	}
}

func (f *deregisterFlags) check() (*github.Own, error) {
	for _, wrong := range f.mistakes() {
		if wrong.is {
			return nil, errors.New(wrong.say)
		}
	}
	own, err := f.own("--url")
	if err == nil && own == nil {
		return nil, errors.New("give credentials for GitHub: --github-token-file, --github-app-id, or " + tokenVariable)
	}
	return own, err
}

func (f *deregisterFlags) run(cmd *cobra.Command) error {
	own, err := f.check()
	if err != nil {
		return err
	}
	registered, whole, err := f.registered(cmd, own)
	if err != nil {
		return err
	}
	cleanup.DeregisterAll(cmd.Context(), own, registered, !f.yes)
	if f.output == "json" {
		err = printJSON(cmd.OutOrStdout(), deregisterDocument{"arc-cleanup/deregister/v1", registered})
	} else {
		err = f.print(cmd.OutOrStdout(), registered)
	}
	if err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	if !whole {
		fmt.Fprintln(cmd.ErrOrStderr(), "The plan could not read everything in the cluster, so more may be registered than it names.")
	}
	has := func(outcomes ...github.Outcome) bool {
		return slices.ContainsFunc(registered, func(d cleanup.Deregistered) bool { return slices.Contains(outcomes, d.Outcome) })
	}
	switch {
	case cmd.Context().Err() != nil:
		return exitError(exitInterrupted)
	case has(github.Kept, github.Refused), !whole:
		return exitError(exitResidue)
	case has(github.WouldRemove):
		return exitError(exitWork)
	}
	return nil
}

// registered is what to remove. It is not whole if there may be more. A file that does not say it is wrong usage.
func (f *deregisterFlags) registered(cmd *cobra.Command, own *github.Own) (registered []cleanup.Deregistered, whole bool, err error) {
	if len(f.scaleSets) > 0 {
		if registered, err = cleanup.Find(cmd.Context(), own, f.scaleSets, f.group, f.runners); err != nil {
			return nil, false, failed(cmd, err)
		}
		return registered, true, nil
	}
	from := cmd.InOrStdin()
	if f.from != "-" {
		file, err := os.Open(f.from)
		if err != nil {
			return nil, false, fmt.Errorf("--from: %w", err)
		}
		defer file.Close() //nolint:errcheck // it was only read
		from = file
	}
	registered, whole, err = cleanup.ReadRegistered(from)
	if errors.Is(err, io.EOF) {
		err = errors.New("the file is empty")
	}
	if err != nil {
		return nil, false, fmt.Errorf("--from %s: %w", f.from, err)
	}
	return registered, whole, nil
}

// deregisterDocument is what `deregister --output json` prints; see plan.DocumentVersion.
type deregisterDocument struct {
	Version    string                          `json:"version"`
	Registered plan.List[cleanup.Deregistered] `json:"registered"`
}

func (f *deregisterFlags) print(w io.Writer, registered []cleanup.Deregistered) error {
	if len(registered) == 0 {
		_, err := fmt.Fprintln(w, "The document names nothing that is still registered.")
		return err
	}
	table(w, []string{"OUTCOME", "KIND", "NAME", "ID", "URL", "WHY"}, registered, func(d cleanup.Deregistered) []any {
		return []any{d.Outcome, d.Kind, d.Name, d.ID, d.URL, d.Why}
	})
	if slices.ContainsFunc(registered, func(d cleanup.Deregistered) bool { return d.Outcome == github.WouldRemove }) {
		_, err := fmt.Fprintln(w, "\nNothing was removed. To do this, add --yes.")
		return err
	}
	return nil
}
