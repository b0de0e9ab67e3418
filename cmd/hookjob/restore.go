package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/arc-cleanup/arc-cleanup/internal/cleanup"
)

// restoreTime limits the writes of all AutoscalingRunnerSets of a backup. A Secret holds a limited number.
const restoreTime = 2 * time.Minute

type restoreFlags struct {
	cluster
	namespace, from string
	everywhere      bool
}

func newRestore() *cobra.Command {
	var f restoreFlags
	cmd := &cobra.Command{
		Use:   "restore --from SECRET",
		Short: "Create the AutoscalingRunnerSets of a backup again",
		Long: `Restore creates the AutoscalingRunnerSets again that run has saved in a Secret. A run
by hand for legacy ARC saves its RunnerDeployments, RunnerSets and other objects without
an owner; restore creates these too. It does not change objects that exist. Install ARC's
controller with its CRDs first. A backup does not contain the Roles and Secrets of the
scale sets' Helm releases.

Everyone who may write Secrets in a namespace can make a backup there. So restore
creates scale sets in other namespaces than the backup's only with --all-namespaces.

The same with kubectl:

  kubectl get secret SECRET -o jsonpath='{.data.autoscalingrunnersets\.yaml\.gz}' |
    base64 -d | gunzip | kubectl apply -f -

` + exitHelp,
		Example: `  kubectl get secrets -A -l app.kubernetes.io/name=arc-cleanup,app.kubernetes.io/component=backup
  arc-cleanup restore --from arc-cleanup-backup-20260102-030405 --namespace arc-systems --all-namespaces`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	fs := cmd.Flags()
	f.register(fs)
	fs.StringVar(&f.from, "from", "", "name of the Secret")
	fs.BoolVarP(&f.everywhere, "all-namespaces", "A", false, "restore scale sets of other namespaces than the Secret's, too")
	fs.StringVarP(&f.namespace, "namespace", "n", "", "namespace of the Secret; default that of the kubeconfig's context")
	return cmd
}

func (f *restoreFlags) run(cmd *cobra.Command) error {
	if f.from == "" {
		return errors.New("give --from, the name of a backup's Secret; to list them: kubectl get secrets -A -l app.kubernetes.io/name=arc-cleanup,app.kubernetes.io/component=backup")
	}
	client, err := f.reach(cmd)
	if err != nil {
		return failed(cmd, err)
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), restoreTime)
	defer cancel()
	restored, err := cleanup.Restore(ctx, client, cmp.Or(f.namespace, client.Namespace), f.from, f.everywhere)
	for _, r := range restored {
		became := "restored"
		if r.Existed {
			became = "exists already, left as it is"
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%s/%s in namespace %s: %s\n", r.Resource, r.Name, r.Namespace, became)
	}
	if errors.Is(err, cleanup.ErrElsewhere) {
		fmt.Fprintf(cmd.ErrOrStderr(), "%v\nIf you trust it, add --all-namespaces. Nothing was written.\n", err)
		return exitError(exitRefused)
	}
	if err != nil {
		return failed(cmd, err)
	}
	return nil
}
