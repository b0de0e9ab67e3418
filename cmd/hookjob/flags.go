package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/chart"
	"github.com/arc-cleanup/arc-cleanup/internal/cli"
	"github.com/arc-cleanup/arc-cleanup/internal/github"
	"github.com/arc-cleanup/arc-cleanup/internal/identity"
	"github.com/arc-cleanup/arc-cleanup/internal/kube"
	"github.com/arc-cleanup/arc-cleanup/internal/plan"
	"github.com/arc-cleanup/arc-cleanup/internal/version"
)

// cluster is which cluster: the flags that all commands share.
type cluster struct{ kubeconfig, context string }

func (c *cluster) register(f *pflag.FlagSet) {
	f.StringVar(&c.kubeconfig, "kubeconfig", "", "path of the kubeconfig; default as kubectl's, else the Pod's service account")
	f.StringVar(&c.context, "context", "", "context of the kubeconfig to use")
}

func (c *cluster) connect() (*kube.Client, error) {
	client, err := kube.Connect(c.kubeconfig, c.overrides(), program+"/"+version.Version)
	if err != nil && strings.Contains(c.context, ",") {
		err = fmt.Errorf("%w; only plan and status take more than one context", err)
	}
	return client, err
}

// overrides is what goes over the kubeconfig.
func (c *cluster) overrides() *clientcmd.ConfigOverrides {
	o := &clientcmd.ConfigOverrides{CurrentContext: c.context}
	helmOverrides(o)
	return o
}

// target is which cluster, and what of it: the flags that run and plan share.
type target struct {
	cluster
	everywhere bool
	backup     bool
	sets       []string
	options    plan.Options
	github     githubFlags
	// credentials are those of the person for GitHub, if any. badCredentials says why a hook does not have those that it
	// was given.
	credentials    *github.Own
	badCredentials error
}

func (t *target) register(f *pflag.FlagSet) {
	o := &t.options
	t.cluster.register(f)
	f.BoolVarP(&t.everywhere, "all-namespaces", "A", false, "clean the whole cluster of ARC, or with --scope legacy of legacy ARC")
	f.StringVarP(&o.Namespace, "namespace", "n", "", "rescue this one namespace, which hangs in Terminating; the CRDs stay")
	cli.OneOf(f, &o.Scope, "scope", "", plan.ScopeController, "whose uninstall this is; legacy is the controller of actions.summerwind.dev", plan.ScopeController, plan.ScopeScaleSet, plan.ScopeLegacy)
	f.StringVar(&o.Release, "release", "", "Helm release being uninstalled")
	f.StringVar(&o.ReleaseNamespace, "release-namespace", "", "namespace of the release")
	f.StringVar(&o.Job, "job", "", "name of the hook's own Job; finds the release whose hook it is, and when the budget began")
	f.StringVar(&o.StorageNamespace, "storage-namespace", "", "namespace in which Helm's record of the release is stored, as with Flux; default the release's")
	f.StringSliceVar(&o.WatchNamespaces, "watch-namespace", nil, "namespace that a single-namespace controller of the release watches; repeatable")
	f.StringSliceVar(&o.ControllerNamespaces, "controller-namespace", nil, "namespace of a controller, and so of its listeners; repeatable; default the release's")
	f.StringSliceVar(&o.RunnerNamespaces, "runner-namespace", nil, "namespace of scale sets and their runners; repeatable; default with --scope scale-set the release's, else those watched")
	f.StringSliceVar(&t.sets, "scale-set", nil, "with --scope scale-set: name of a scale set, or its namespace/name, where Helm did not install it; repeatable")
	cli.OneOf(f, &o.CRDs, "crds", "", plan.DeleteCRDs, "what happens to the CRDs: keep leaves them to who manages them apart from the release", plan.DeleteCRDs, plan.KeepCRDs)
	f.BoolVar(&o.RequireUninstalling, "require-uninstalling", false, "write nothing unless Helm's record says that the release is being uninstalled (default true with --job)")
	cli.OneOf(f, &o.ScaleSets, "scale-sets", "", plan.RefuseScaleSets, "with --scope controller, what happens to scale sets that are still installed: uninstall takes their Helm releases too, delete only the AutoscalingRunnerSets",
		plan.RefuseScaleSets, plan.UninstallScaleSets, plan.DeleteScaleSets)
	cli.OneOf(f, &o.BusyRunners, "busy-runners", "", "", "what happens to runners that have a job: wait (within the budget, then refuse), leave (to the controller), refuse or force; default wait, with --scope scale-set leave",
		plan.WaitForBusy, plan.LeaveBusy, plan.RefuseBusy, plan.ForceBusy)
	f.BoolVar(&t.backup, "backup", true, "write the AutoscalingRunnerSets (of legacy ARC, by hand only, what nothing owns) that will be gone into a Secret in the release's namespace, or by hand in the current one")
	cli.OneOf(f, &o.GitHub, "github", "", plan.KeepRegistered, "what happens to scale sets and runners that no controller removes at GitHub; by hand, on a terminal, run asks", plan.KeepRegistered, plan.Deregister)
	f.StringVar(&t.github.url, "github-url", "", "organisation, repository or enterprise that your credentials for GitHub are for; default all on github.com and *.ghe.com. Without credentials of yours, those of the scale sets are used")
	t.github.register(f)
	f.DurationVar(&o.Grace, "grace", time.Minute, "how long a running controller may make no progress before arc-cleanup removes the finalizers itself")
}

// complete checks what the flags say together. Its errors are wrong usage.
func (t *target) complete(f *pflag.FlagSet) error {
	o := &t.options
	if o.Namespace != "" {
		if other := besideNamespace(f); other != "" {
			return fmt.Errorf("--namespace rescues a namespace, whatever was installed in it; --%s does not go with it (a release's namespace is --release-namespace)", other)
		}
		o.Scope = plan.ScopeNamespace
	}
	if !f.Changed("require-uninstalling") {
		o.RequireUninstalling = o.Job != ""
	}
	for _, wrong := range slices.Concat(t.mistakes(), t.selectionMistakes(besideNamespace(f))) {
		if wrong.is {
			return errors.New(wrong.say)
		}
	}
	var err error
	switch t.credentials, err = t.github.own("--github-url"); {
	case err != nil && o.Job == "":
		return err
	case err != nil: // a Secret that is not there must not keep Helm from the uninstall
		t.badCredentials = err
	}
	return t.parseSets()
}

// mistake is something that flags may not say together.
type mistake struct {
	is  bool
	say string
}

func (t *target) mistakes() []mistake {
	o := &t.options
	named, scaleSet := o.Job != "" || o.Release != "", o.Scope == plan.ScopeScaleSet
	return []mistake{
		{o.ReleaseNamespace == "" && (named || scaleSet), "--job, --release and --scope scale-set need --release-namespace"},
		{o.Job != "" && o.Release != "", "--job and --release both name the release; give one"},
		{o.RequireUninstalling && !named, "--require-uninstalling needs --job or --release, to know of which release"},
		{o.StorageNamespace != "" && !named, "--storage-namespace needs --job or --release, to know which record"},
		{scaleSet && !named && len(t.sets) == 0, "--scope scale-set needs --job, --release or --scale-set, to know which"},
		{
			o.Job != "" && !scaleSet && o.BusyRunners == plan.LeaveBusy,
			fmt.Sprintf("--busy-runners leave does not go with --scope %s in a hook: Helm deletes the controller next, to which it would leave them; give wait, refuse or force", o.Scope),
		},
		{
			o.Scope == plan.ScopeLegacy && o.ScaleSets == plan.UninstallScaleSets,
			"--scale-sets uninstall does not go with --scope legacy, whose runners have no releases of their own; give refuse or delete",
		},
		{
			o.Scope == plan.ScopeLegacy && o.GitHub == plan.Deregister,
			"--github deregister does not go with --scope legacy: legacy runners have no scale set, and leave GitHub with their job or after some days",
		},
		{o.Grace <= 0, fmt.Sprintf("--grace %s: must be more than 0", o.Grace)},
	}
}

// selectionMistakes are those about what to clean: exactly one thing. beside is a flag that was given and that
// --namespace leaves no room for.
func (t *target) selectionMistakes(beside string) []mistake {
	o := &t.options
	nothing := "say what to clean: --namespace NS rescues one namespace, --all-namespaces (-A) the whole cluster"
	if beside != "" { // under Helm a --namespace may have been typed: it is the release's then
		nothing += fmt.Sprintf("; --%s goes only with --all-namespaces", beside)
	}
	rescue, scaleSet := o.Namespace != "", o.Scope == plan.ScopeScaleSet
	release := o.Job != "" || o.Release != "" || scaleSet
	return []mistake{
		{!scaleSet && len(t.sets) > 0, "--scale-set needs --scope scale-set"},
		{t.everywhere && rescue, "--namespace rescues one namespace, --all-namespaces (-A) cleans the whole cluster; give one"},
		{t.everywhere && release, "--all-namespaces does not go with --job, --release or --scope scale-set, which say themselves what to clean"},
		{!t.everywhere && !rescue && !release, nothing},
	}
}

// besideNamespace returns a flag that was given and that --namespace leaves no room for.
func besideNamespace(f *pflag.FlagSet) string {
	for _, other := range []string{
		"scope", "job", "release", "release-namespace", "storage-namespace", "watch-namespace",
		"controller-namespace", "runner-namespace", "scale-set", "require-uninstalling", "crds",
	} {
		if f.Changed(other) {
			return other
		}
	}
	return ""
}

// parseSets reads the scale sets: a name alone is in the release's namespace.
func (t *target) parseSets() error {
	for _, text := range t.sets {
		namespace, name, both := strings.Cut(text, "/")
		if !both {
			namespace, name = t.options.ReleaseNamespace, text
		}
		if namespace == "" || name == "" || strings.Contains(name, "/") {
			return fmt.Errorf("--scale-set %q: want a name, with the namespace in --release-namespace, or NAMESPACE/NAME", text)
		}
		t.options.Sets = append(t.options.Sets, identity.Set{Namespace: namespace, Name: arc.ScaleSetName(name)})
	}
	return nil
}

// backUp names the Secret of the backup, if there is to be one, and that of the record: by the start of
// the uninstall, so that every Pod of a Job means the same.
func (t *target) backUp(c *kube.Client, start time.Time) {
	namespace, at := cmp.Or(t.options.ReleaseNamespace, c.Namespace), start.UTC().Format("20060102-150405")
	t.options.Record = types.NamespacedName{Namespace: namespace, Name: "arc-cleanup-registered-" + at}
	if t.backup {
		t.options.Backup = types.NamespacedName{Namespace: namespace, Name: "arc-cleanup-backup-" + at}
	}
}

// environment is how the variables begin that set flags.
const environment = "ARC_CLEANUP_"

// fromEnvironment sets every flag not given on the command line from the
// environment: --on-residue from ARC_CLEANUP_ON_RESIDUE. What --set says
// adds up, and chart.Values reads it. Helm keeps a --namespace that was typed, which
// goes before the environment: under Helm the variable is HELM_NAMESPACE, and none
// takes all namespaces instead.
func fromEnvironment(cmd *cobra.Command) error {
	var bad error
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		name := cli.Variable(environment, f.Name)
		value, set := os.LookupEnv(name)
		if !set || f.Changed || bad != nil || name == chart.SetVariable || saysWhere(f.Name) && underHelm() {
			return
		}
		if err := cmd.Flags().Set(f.Name, value); err != nil {
			bad = fmt.Errorf("environment variable %s: %w", name, cli.FlagError(err))
			return
		}
		bad = cmd.Flags().SetAnnotation(f.Name, environment, []string{name})
	})
	return bad
}

// setByEnvironment returns the variables that set flags of a command. Who has forgotten them does not understand a
// complaint about a flag that was not typed.
func setByEnvironment(cmd *cobra.Command) (variables []string) {
	cmd.Flags().VisitAll(func(f *pflag.Flag) { variables = append(variables, f.Annotations[environment]...) })
	return variables
}

// emptied refuses a flag that narrows what is done and was given without a value: a script has lost a variable.
// Without the flag, the whole cluster would be cleaned, or credentials would go further. A hook's flags are the chart's;
// its environment may come from a Secret, which must not keep Helm from the uninstall.
func emptied(fs *pflag.FlagSet) error {
	if fs.Changed("job") {
		return nil
	}
	var bad error
	fs.Visit(func(f *pflag.Flag) {
		empty := f.Value.String() == "" && slices.Contains([]string{"github-url", "url", "storage-namespace", "release-namespace"}, f.Name)
		if list, ok := f.Value.(pflag.SliceValue); ok && f.Value.Type() == "stringSlice" {
			names := list.GetSlice()
			empty = len(names) == 0 || slices.Contains(names, "")
		}
		if empty && bad == nil {
			bad = fmt.Errorf("--%s: a value is empty; give one, or leave the flag out", f.Name)
		}
	})
	return bad
}

func saysWhere(flag string) bool { return flag == "namespace" || flag == "all-namespaces" }
