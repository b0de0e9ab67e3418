package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/arc-cleanup/arc-cleanup/internal/cleanup"
)

func newRestore() *cobra.Command {
	var (
		t               cluster
		namespace, from string
	)
	cmd := &cobra.Command{
		Use:   "restore --from SECRET",
		Short: "Bring back the AutoscalingRunnerSets of a backup",
		Long: `Restore makes the AutoscalingRunnerSets anew which run has backed up in a Secret.
What exists is left alone. ARC's controller, with its CRDs, has to be installed
before; Roles and Secrets of the scale sets' Helm releases are not in a backup.

kubectl does the same:

  kubectl get secret SECRET -o jsonpath='{.data.autoscalingrunnersets\.yaml\.gz}' |
    base64 -d | gunzip | kubectl apply -f -`,
		Example: `  kubectl get secrets -A -l app.kubernetes.io/name=arc-cleanup,app.kubernetes.io/component=backup
  arc-hookjob restore --from arc-cleanup-backup-20260102-030405 --namespace arc-systems`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := fromEnvironment(cmd); err != nil {
				return err
			}
			if from == "" {
				return errors.New("--from: the name of a backup's Secret is needed (kubectl get secrets -A -l app.kubernetes.io/name=arc-cleanup,app.kubernetes.io/component=backup)")
			}
			client, err := t.connect()
			if err != nil {
				fmt.Fprintf(cmd.ErrOrStderr(), "%s: %v\n", called(), err)
				return exitError(exitFailed)
			}
			if namespace == "" {
				namespace = client.Namespace
			}
			restored, err := cleanup.Restore(cmd.Context(), client, namespace, from)
			for _, r := range restored {
				became := "restored"
				if r.Existed {
					became = "exists already, left as it is"
				}
				fmt.Fprintf(cmd.OutOrStdout(), "autoscalingrunnerset.actions.github.com/%s in namespace %s: %s\n", r.Name, r.Namespace, became)
			}
			if err != nil {
				fmt.Fprintf(cmd.ErrOrStderr(), "%s: %v\n", called(), err)
				return exitError(exitFailed)
			}
			return nil
		},
	}
	f := cmd.Flags()
	t.register(f)
	f.StringVar(&from, "from", "", "name of the Secret")
	f.StringVarP(&namespace, "namespace", "n", "", "namespace of the Secret; default that of the kubeconfig's context")
	return cmd
}
