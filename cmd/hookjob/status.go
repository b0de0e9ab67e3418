package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/cli"
	"github.com/arc-cleanup/arc-cleanup/internal/helm"
	"github.com/arc-cleanup/arc-cleanup/internal/kube"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
	"github.com/arc-cleanup/arc-cleanup/internal/shell"
	"github.com/arc-cleanup/arc-cleanup/internal/status"
	"github.com/arc-cleanup/arc-cleanup/internal/upgrade"
)

// statusTime bounds the time for a cluster with many releases.
const statusTime = 2 * time.Minute

type statusFlags struct {
	contexts
	namespace  string
	everywhere bool
	upgradeTo  string
	output     string
}

func newStatus() *cobra.Command {
	var f statusFlags
	cmd := &cobra.Command{
		Use:   "status [RELEASE]",
		Short: "Print ARC's releases, their hooks, and what is stuck",
		Long: `Status prints the Helm releases that install ARC's controller or a scale set. For
each it says whether the release has the hook, and what "helm uninstall" would do now.
It also prints whether ARC's controllers run, its scale sets, and the objects that are
stuck. It writes nothing.

` + exitHelp,
		Example: `  arc-cleanup status
  arc-cleanup status arc -n arc-systems
  arc-cleanup status --upgrade-to 0.14.2

  # All clusters of the kubeconfig, in one table
  arc-cleanup status --all-contexts

  arc-cleanup status --output json | jq '.releases[] | select(.hook.state != "present")'`,
		Args: cobra.MaximumNArgs(1),
		RunE: f.run,
	}
	fs := cmd.Flags()
	f.register(fs)
	fs.StringVarP(&f.namespace, "namespace", "n", "", "namespace in which Helm stores the releases; default all, under Helm the current one")
	fs.BoolVarP(&f.everywhere, "all-namespaces", "A", false, "releases in all namespaces")
	fs.StringVar(&f.upgradeTo, "upgrade-to", "", "version of ARC; says how upgrade would get there, and what that would cost")
	cli.OneOf(fs, &f.output, "output", "o", "table", "form of the status", "table", "json")
	return cmd
}

// isVersion matches versions as charts have them, pre-releases too.
var isVersion = regexp.MustCompile(`^[0-9]+\.[0-9]+\.[0-9]+([-+][0-9A-Za-z.+-]+)?$`)

func (f *statusFlags) run(cmd *cobra.Command, args []string) error {
	if f.everywhere && f.namespace != "" {
		return errors.New("--namespace and --all-namespaces (-A) both say where the releases are; give one")
	}
	if f.upgradeTo != "" && !isVersion.MatchString(f.upgradeTo) {
		return fmt.Errorf("--upgrade-to %q is not a version: want e.g. 0.14.2", f.upgradeTo)
	}
	q := status.Query{Options: optionsOf}
	if !f.everywhere {
		q.Namespace = cmp.Or(f.namespace, helmNamespace())
	}
	if len(args) == 1 {
		q.Release = args[0]
	}
	names, err := f.several(cmd)
	if err != nil {
		return err
	}
	if len(names) > 0 {
		all := lookAt(cmd, f.cluster, names, func(ctx context.Context, client *kube.Client) (*statusDocument, int) { return f.read(ctx, client, q) })
		if f.output == "json" {
			err = printJSON(cmd.OutOrStdout(), all)
		} else {
			printStatuses(cmd.OutOrStdout(), all)
		}
		return cmp.Or(err, all.worst())
	}
	client, err := f.reach(cmd)
	if err != nil {
		return failed(cmd, err)
	}
	d, code := f.read(cmd.Context(), client, q)
	if f.output == "json" {
		if err := printJSON(cmd.OutOrStdout(), d); err != nil {
			return fmt.Errorf("writing the status: %w", err)
		}
	} else {
		printStatus(cmd.OutOrStdout(), d.Document, q)
		printForecast(cmd.OutOrStdout(), d.Upgrade)
	}
	if code != exitDone {
		return exitError(code)
	}
	return nil
}

// read reads the status of one cluster.
func (f *statusFlags) read(ctx context.Context, client *kube.Client, q status.Query) (*statusDocument, int) {
	ctx, cancel := context.WithTimeout(ctx, statusTime)
	defer cancel()
	d, unread := status.Read(ctx, client, q)
	code := exitDone
	switch {
	case apierrors.IsForbidden(unread), errors.Is(unread, status.ErrNotPermitted):
		code = exitNotPermitted
	case unread != nil:
		code = exitFailed
	}
	return &statusDocument{d, f.forecast(d, q)}, code
}

// forecast tells how an upgrade of the releases would go; nil if you did not ask, or there are none.
func (f *statusFlags) forecast(d *status.Document, q status.Query) *upgrade.Forecast {
	var from []string
	current, lacking := true, false
	for _, r := range d.Releases {
		if r.Installs == string(plan.ScopeLegacy) || !helm.Status(r.State).Installed() {
			continue
		}
		from = append(from, r.Chart.AppVersion)
		current = current && helm.Status(r.State) == helm.Deployed && r.Chart.Version == f.upgradeTo
		lacking = lacking || len(r.CRDs) > 0
	}
	if f.upgradeTo == "" || len(from) == 0 {
		return nil
	}
	forecast := upgrade.NewForecast(from, f.upgradeTo)
	if !current || lacking && forecast.Way == upgrade.ByHelm { // which then changes the CRDs
		return forecast
	}
	which := "every release"
	if q.Namespace != "" || q.Release != "" || len(d.Unknown) > 0 {
		which = "every release above"
	}
	return &upgrade.Forecast{Version: f.upgradeTo, Way: upgrade.NoWay, Why: fmt.Sprintf("%s has version %s", which, f.upgradeTo), Costs: []upgrade.Cost{}}
}

func printForecast(w io.Writer, f *upgrade.Forecast) {
	switch {
	case f == nil:
		return
	case f.Way == upgrade.NoWay:
		fmt.Fprintf(w, "\nNothing to do: %s.\n", f.Why)
		return
	}
	command := asCalled(shell.Command("arc-cleanup", "upgrade", "--version", f.Version))
	fmt.Fprintf(w, "\n%s\n    Way: %s, because %s.\n    To see what stands in the way: %s --dry-run\n\n", command, f.Way, shell.Visible(f.Why), command)
	printCosts(w, f.Costs)
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

// printReleases prints the Helm releases of ARC that were asked for.
func printReleases(w io.Writer, d *status.Document, q status.Query) {
	none := "No Helm release of ARC"
	if q.Release != "" {
		none += fmt.Sprintf(" has the name %q", q.Release)
	}
	switch {
	case len(d.Releases) == 0 && len(d.Unknown) > 0:
		fmt.Fprintln(w, "No Helm release of ARC is known: not everything could be read, see below.")
	case len(d.Releases) == 0 && q.Namespace != "":
		fmt.Fprintf(w, "%s in namespace %s. For all namespaces: %s status --all-namespaces\n", none, q.Namespace, called())
	case len(d.Releases) == 0:
		fmt.Fprintln(w, none+".")
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

// printControllers prints the controllers, or that what is left of ARC has none.
func printControllers(w io.Writer, d *status.Document) {
	switch {
	case len(d.Controllers) > 0:
		fmt.Fprintln(w)
		table(w, []string{"CONTROLLER", "NAMESPACE", "OF", "WATCHES", "STATE"}, d.Controllers, func(c status.Controller) []any {
			state := cmp.Or(c.Down, "ready")
			if c.Deleting {
				state = "being deleted"
			}
			return []any{c.Name, c.Namespace, c.Group, cmp.Or(strings.Join(c.Watches, ","), "all namespaces"), state}
		})
	case len(d.Unknown) > 0: // there may be one
	case len(d.ScaleSets) > 0, len(d.Stuck) > 0:
		fmt.Fprintln(w, "\nNo controller of ARC was found: nothing removes ARC's finalizers.")
	}
}

// printStatus prints the status for a person.
func printStatus(w io.Writer, d *status.Document, q status.Query) {
	printReleases(w, d, q)
	printControllers(w, d)
	if len(d.ScaleSets) > 0 {
		fmt.Fprintln(w)
		table(w, []string{"SCALE SET", "NAMESPACE", "RELEASE", "RUNNERS", "BUSY", "STATE"}, d.ScaleSets, func(s status.ScaleSet) []any {
			release, state := "-", "installed"
			switch {
			case s.Release != "":
				release = s.ReleaseNamespace + "/" + s.Release
			case q.Namespace != "" || q.Release != "":
				release = "not read" // it may be one of the releases that were not asked for
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
		printRollbacks(w, r)
		printLackingCRDs(w, r)
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
		fmt.Fprintf(w, "See what would be done: %s plan --all-namespaces\n", called())
		if slices.ContainsFunc(d.Stuck, func(o status.Object) bool { return strings.HasSuffix(o.Resource, "."+arc.LegacyGroup) }) {
			fmt.Fprintf(w, "Of %s: %s plan --scope legacy --all-namespaces\n", arc.LegacyGroup, called())
		}
	}
	printRemains(w, d.Remains)
	for _, u := range d.Unknown {
		fmt.Fprintf(w, "\nUNKNOWN: %s\n", shell.Visible(u))
	}
}

// printRollbacks warns of the revisions with another version of ARC.
func printRollbacks(w io.Writer, r status.Release) {
	for _, to := range r.Rollbacks {
		command := shell.Command("helm", "rollback", r.Name, strconv.Itoa(to.Revision), "--namespace", r.Namespace)
		fmt.Fprintf(w, "    Do not run %s: it has ARC %s, and the controller would delete scale sets\n", shell.Visible(command), shell.Visible(to.Version))
	}
}

// printLackingCRDs says which CRDs are not those of the controller's chart, and how to change that.
func printLackingCRDs(w io.Writer, r status.Release) {
	if len(r.CRDs) == 0 {
		return
	}
	fmt.Fprintln(w, "    The CRDs are not those of this chart, since Helm never upgrades CRDs. What the controller writes may be lost.")
	for _, crd := range r.CRDs {
		fmt.Fprintf(w, "    The CRD %s\n", shell.Visible(crd.String()))
	}
	if of := r.Chart; upgrade.NewForecast([]string{of.AppVersion}, of.AppVersion).Way == upgrade.ByHelm {
		fmt.Fprintf(w, "        %s\n", shell.Visible(asCalled(shell.Command("arc-cleanup", "upgrade", "--version", of.Version))))
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
