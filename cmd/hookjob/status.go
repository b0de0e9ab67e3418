package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/cli"
	"github.com/arc-cleanup/arc-cleanup/internal/helm"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
	"github.com/arc-cleanup/arc-cleanup/internal/shell"
	"github.com/arc-cleanup/arc-cleanup/internal/status"
)

// statusTime bounds the time for a cluster with many releases.
const statusTime = 2 * time.Minute

type statusFlags struct {
	cluster
	namespace string
	output    string
}

func newStatus() *cobra.Command {
	var f statusFlags
	cmd := &cobra.Command{
		Use:   "status [RELEASE]",
		Short: "Print ARC's releases, whether they have the hook, and what is stuck",
		Long: `Status prints the Helm releases which install ARC's controller or a scale set,
whether they have the hook, what "helm uninstall" would do now, and what of ARC
is stuck. It writes nothing.

` + exitHelp,
		Example: `  arc-cleanup status
  arc-cleanup status arc -n arc-systems
  arc-cleanup status --output json | jq '.releases[] | select(.hook.state != "present")'`,
		Args: cobra.MaximumNArgs(1),
		RunE: f.run,
	}
	fs := cmd.Flags()
	f.register(fs)
	fs.StringVarP(&f.namespace, "namespace", "n", "", "namespace where Helm keeps the releases; default all")
	cli.OneOf(fs, &f.output, "output", "o", "table", "form of the status", "table", "json")
	return cmd
}

func (f *statusFlags) run(cmd *cobra.Command, args []string) error {
	q := status.Query{Namespace: f.namespace, Options: optionsOf}
	if len(args) == 1 {
		q.Release = args[0]
	}
	if f.namespace == "" {
		given, choice, err := f.chosenNamespace()
		if err != nil {
			return failed(cmd, err)
		}
		if choice == givenNamespace {
			q.Namespace = given
		}
	}
	client, err := f.connect()
	if err != nil {
		return failed(cmd, err)
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), statusTime)
	defer cancel()
	d, unread := status.Read(ctx, client, q)
	if f.output == "json" {
		if err := printJSON(cmd.OutOrStdout(), d); err != nil {
			return fmt.Errorf("writing the status: %w", err)
		}
	} else {
		printStatus(cmd.OutOrStdout(), d)
	}
	switch {
	case apierrors.IsForbidden(unread):
		return exitError(exitNotPermitted)
	case unread != nil:
		return exitError(exitFailed)
	}
	return nil
}

// optionsOf parses the arguments of a hook's Job as run does. It ignores flags of later versions: what
// they change cannot be reported here.
func optionsOf(args []string) (plan.Options, error) {
	if len(args) == 0 || args[0] != "run" {
		return plan.Options{}, errors.New("its Job does not run arc-cleanup run")
	}
	var f runFlags
	fs := pflag.NewFlagSet("run", pflag.ContinueOnError)
	fs.ParseErrorsAllowlist.UnknownFlags = true
	f.register(fs)
	if err := fs.Parse(args[1:]); err != nil {
		return plan.Options{}, err
	}
	if err := f.complete(fs); err != nil {
		return plan.Options{}, err
	}
	return f.options, nil
}

// printReleases prints the Helm releases of ARC.
func printReleases(w io.Writer, d *status.Document) {
	switch {
	case len(d.Releases) == 0 && len(d.Unknown) > 0:
		fmt.Fprintln(w, "No Helm release of ARC is known: not everything could be read, see below.")
	case len(d.Releases) == 0:
		fmt.Fprintln(w, "No Helm release of ARC.")
	default:
		heading := []string{"RELEASE", "NAMESPACE", "INSTALLS", "CHART", "APP", "REVISION", "STATE", "HOOK"}
		table(w, heading, d.Releases, func(r status.Release) []any {
			hook := r.Hook.Chart
			if r.Hook.State != status.Present {
				hook = string(r.Hook.State)
			}
			return []any{r.Name, r.Namespace, r.Installs, r.Chart.Name + "-" + r.Chart.Version, r.Chart.AppVersion, r.Revision, r.State, hook}
		})
	}
}

// printStatus prints the status for a person.
func printStatus(w io.Writer, d *status.Document) {
	printReleases(w, d)
	if len(d.ScaleSets) > 0 {
		fmt.Fprintln(w)
		table(w, []string{"SCALE SET", "NAMESPACE", "RELEASE", "RUNNERS", "BUSY", "STATE"}, d.ScaleSets, func(s status.ScaleSet) []any {
			release, state := "-", "live"
			if s.Release != "" {
				release = s.ReleaseNamespace + "/" + s.Release
			}
			if s.Deleting {
				state = "being deleted"
			}
			return []any{s.Name, s.Namespace, release, s.Runners, s.Busy, state}
		})
	}
	for _, r := range d.Releases {
		switch {
		case !helm.Status(r.State).Installed():
			continue // there is nothing to uninstall
		case r.Storage != "":
			fmt.Fprintf(w, "\nrelease %s in namespace %s, recorded in namespace %s\n", r.Name, r.Namespace, r.Storage)
		default:
			fmt.Fprintf(w, "\n%s\n", shell.Command("helm", "uninstall", r.Name, "--namespace", r.Namespace))
		}
		if r.Hook.State != status.Present {
			fmt.Fprintf(w, "    no hook: %s\n", shell.Visible(asCalled(r.Hook.Why)))
		}
		printUninstall(w, r.Uninstall)
	}
	if len(d.Stuck) > 0 {
		fmt.Fprintln(w)
		table(w, []string{"STUCK", "NAMESPACE", "SINCE", "WHY"}, d.Stuck, func(o status.Object) []any {
			since := "-"
			if o.Since != nil {
				since = time.Since(*o.Since).Round(time.Second).String()
			}
			return []any{o.Resource + "/" + o.Name, o.Namespace, since, o.Why}
		})
		fmt.Fprintf(w, "See what would be done: %s plan\n", called())
		if slices.ContainsFunc(d.Stuck, func(o status.Object) bool { return strings.HasSuffix(o.Resource, "."+arc.LegacyGroup) }) {
			fmt.Fprintf(w, "Of %s: %s plan --scope legacy\n", arc.LegacyGroup, called())
		}
	}
	printRemains(w, d.Remains)
	for _, u := range d.Unknown {
		fmt.Fprintf(w, "\nUNKNOWN: %s\n", shell.Visible(u))
	}
}

// leaves names an object that Helm does not delete, and says why.
func leaves(o status.Object) string {
	where := ""
	if o.Namespace != "" {
		where = " in namespace " + o.Namespace
	}
	return fmt.Sprintf("%s/%s%s: %s", o.Resource, o.Name, where, o.Why)
}

func printUninstall(w io.Writer, u status.Uninstall) {
	for _, why := range u.Why {
		fmt.Fprintf(w, "    %s\n", shell.Visible(asCalled(why)))
	}
	for i, do := range u.Do {
		if !slices.Contains(u.Do[:i], do) {
			fmt.Fprintf(w, "        %s\n", shell.Visible(asCalled(do)))
		}
	}
	for _, o := range u.Leaves {
		fmt.Fprintf(w, "    Helm 4.3 and later leave %s\n", shell.Visible(leaves(o)))
	}
	if !u.Ready {
		return
	}
	var parts []string
	for _, p := range u.Phases {
		parts = append(parts, fmt.Sprintf("%s %d", p.Name, p.Steps))
	}
	if u.Kept > 0 {
		parts = append(parts, fmt.Sprintf("keep %d", u.Kept))
	}
	if len(parts) == 0 {
		parts = []string{"nothing to do"}
	}
	fmt.Fprintf(w, "    ready: %s\n", strings.Join(parts, ", "))
}
