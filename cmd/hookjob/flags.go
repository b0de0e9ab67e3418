package main

import (
	"cmp"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/arc-cleanup/arc-cleanup/internal/cleanup"
	"github.com/arc-cleanup/arc-cleanup/internal/kube"
	"github.com/arc-cleanup/arc-cleanup/internal/version"
)

// cluster is which cluster: the flags that all commands share.
type cluster struct{ kubeconfig, context string }

func (c *cluster) register(f *pflag.FlagSet) {
	f.StringVar(&c.kubeconfig, "kubeconfig", "", "path of the kubeconfig; default as kubectl's, else the Pod's service account")
	f.StringVar(&c.context, "context", "", "context of the kubeconfig to use")
}

func (c *cluster) connect() (*kube.Client, error) {
	return kube.Connect(c.kubeconfig, c.overrides(), program+"/"+version.Version)
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
	scope   string
	backup  bool
	options cleanup.Options
}

func (t *target) register(f *pflag.FlagSet) {
	o := &t.options
	t.cluster.register(f)
	f.StringVar(&t.scope, "scope", string(cleanup.Controller), "whose uninstall this is: controller, scale-set, or legacy (the controller of actions.summerwind.dev)")
	f.StringVar(&o.Release, "release", "", "Helm release being uninstalled; by hand none is needed")
	f.StringVarP(&o.ReleaseNamespace, "release-namespace", "n", "", "namespace of the release")
	f.StringVar(&o.Job, "job", "", "name of the hook's own Job; finds the release whose hook it is, and when the budget began")
	f.StringVar(&o.Namespace, "namespace", "", "rescue this one namespace, which hangs in Terminating; the CRDs stay")
	f.StringVar(&o.WatchNamespace, "watch-namespace", "", "the one namespace that a single-namespace controller watches")
	f.StringVar(&o.ControllerNamespace, "controller-namespace", "", "with --scope scale-set: where the controller is; default the release's namespace")
	f.StringSliceVar(&o.ScaleSetNames, "scale-set", nil, "with --scope scale-set: name of a scale set, where Helm did not install it; repeatable")
	f.BoolVar(&o.RequireUninstalling, "require-uninstalling", false, "write nothing unless Helm's record says that the release is being uninstalled (default true with --job)")
	f.StringVar((*string)(&o.ScaleSets), "scale-sets", string(cleanup.RefuseScaleSets), "with --scope controller, what happens to scale sets that are still installed: refuse, uninstall (their Helm releases too) or delete (the AutoscalingRunnerSets)")
	f.StringVar((*string)(&o.BusyRunners), "busy-runners", "", "what happens to runners that have a job: wait (within the budget, then refuse), leave (to the controller), refuse or force; default wait, with --scope scale-set leave")
	f.BoolVar(&t.backup, "backup", true, "write the AutoscalingRunnerSets that will be gone into a Secret in the release's namespace, or by hand in the current one")
	f.DurationVar(&o.Grace, "grace", time.Minute, "how long a live controller may show no progress before its finalizers are removed for it")
}

// complete checks what the flags say together. Its errors are wrong usage.
func (t *target) complete(f *pflag.FlagSet) error {
	o := &t.options
	o.Scope = cleanup.Scope(t.scope)
	switch o.Scope {
	case cleanup.Controller, cleanup.ScaleSet, cleanup.Legacy:
	default:
		return fmt.Errorf("--scope %q: must be controller, scale-set or legacy", t.scope)
	}
	if o.Namespace != "" {
		for _, other := range []string{"scope", "job", "release", "release-namespace", "watch-namespace", "controller-namespace", "scale-set", "require-uninstalling"} {
			if f.Changed(other) {
				return fmt.Errorf("--namespace rescues a namespace, whatever was installed in it; --%s does not go with it", other)
			}
		}
		o.Scope = cleanup.Namespace
	}
	if o.ReleaseNamespace == "" && (o.Job != "" || o.Release != "" || o.Scope == cleanup.ScaleSet) {
		return fmt.Errorf("--job, --release and --scope scale-set need --release-namespace")
	}
	if o.Job != "" && o.Release != "" {
		return fmt.Errorf("--job and --release both name the release; give one")
	}
	if !f.Changed("require-uninstalling") {
		o.RequireUninstalling = o.Job != ""
	}
	if o.RequireUninstalling && o.Job == "" && o.Release == "" {
		return fmt.Errorf("--require-uninstalling needs --job or --release, to know of which release")
	}
	if o.Scope == cleanup.ScaleSet {
		if o.Job == "" && o.Release == "" && len(o.ScaleSetNames) == 0 {
			return fmt.Errorf("--scope scale-set needs --job, --release or --scale-set, to know which")
		}
		if o.ControllerNamespace == "" {
			o.ControllerNamespace = o.ReleaseNamespace
		}
	}
	switch o.ScaleSets {
	case cleanup.RefuseScaleSets, cleanup.UninstallScaleSets, cleanup.DeleteScaleSets:
	default:
		return fmt.Errorf("--scale-sets %q: must be refuse, uninstall or delete", o.ScaleSets)
	}
	if o.Scope == cleanup.Legacy && o.ScaleSets == cleanup.UninstallScaleSets {
		return fmt.Errorf("--scale-sets uninstall does not go with --scope legacy, whose runners have no releases of their own; give refuse or delete")
	}
	switch o.BusyRunners {
	case "", cleanup.WaitForBusy, cleanup.LeaveBusy, cleanup.RefuseBusy, cleanup.ForceBusy:
	default:
		return fmt.Errorf("--busy-runners %q: must be wait, leave, refuse or force", o.BusyRunners)
	}
	if o.Grace <= 0 {
		return fmt.Errorf("--grace %s: must be more than 0", o.Grace)
	}
	return nil
}

// backUp names the Secret of the backup, if there is to be one: by the start of
// the uninstall, so that every Pod of a Job means the same.
func (t *target) backUp(c *kube.Client, start time.Time) {
	if t.backup {
		t.options.Backup = types.NamespacedName{
			Namespace: cmp.Or(t.options.ReleaseNamespace, c.Namespace),
			Name:      "arc-cleanup-backup-" + start.UTC().Format("20060102-150405"),
		}
	}
}

// fromEnvironment sets every flag not given on the command line from the
// environment: --on-residue from ARC_CLEANUP_ON_RESIDUE.
func fromEnvironment(cmd *cobra.Command) error {
	var bad error
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		name := "ARC_CLEANUP_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		value, set := os.LookupEnv(name)
		if !set || f.Changed || bad != nil {
			return
		}
		if err := cmd.Flags().Set(f.Name, value); err != nil {
			bad = fmt.Errorf("environment variable %s=%q: %w", name, value, err)
		}
	})
	return bad
}
