package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/arc-cleanup/arc-cleanup/internal/shell"
	"github.com/arc-cleanup/arc-cleanup/test/harness"
)

// onYours plays the act with the hook alone: the others leave a mess. Without a stand-in for GitHub there are no
// runners.
func (d *demo) onYours(ctx context.Context, kubeContext, image string) error {
	if image == "" {
		return errors.New("KUBE_CONTEXT needs IMAGE, too: the hook's image (make image), in a registry that your cluster can pull from")
	}
	d.kubeContext, d.image = kubeContext, image
	d.controllers, d.runners = "arc-cleanup-demo-systems", "arc-cleanup-demo-runners"
	loader := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(
		clientcmd.NewDefaultClientConfigLoadingRules(), &clientcmd.ConfigOverrides{CurrentContext: kubeContext})
	var err error
	if d.config, err = loader.ClientConfig(); err != nil {
		return fmt.Errorf("context %q: %w", kubeContext, err)
	}
	d.config.QPS, d.config.Burst = 100, 200 // every kind is listed several times
	if d.client, err = kubernetes.NewForConfig(d.config); err != nil {
		return err
	}
	if err := d.begin(ctx); err != nil {
		return err
	}
	if err := d.withoutARC(); err != nil {
		return err
	}
	if d.product, err = harness.Build(ctx, d.dir, d.out, helm); err != nil {
		return err
	}
	if err := d.hookAlone(ctx); err != nil {
		return fmt.Errorf("%w\nWhat the demo installed may still be there. To remove it:\n%s", err, d.removal())
	}
	return nil
}

// removal are the commands that remove what a demo left that was interrupted.
func (d *demo) removal() string {
	return "  " + shell.Command("helm", "uninstall", "arc", "--namespace", d.controllers, "--kube-context", d.kubeContext) + "\n  " +
		shell.Command("kubectl", "delete", "namespace", d.controllers, d.runners, "--ignore-not-found", "--context", d.kubeContext)
}

// withoutARC refuses a cluster with ARC: its CRDs, and with them the runners, would go.
func (d *demo) withoutARC() error {
	for o := range d.before {
		if strings.HasSuffix(o.Name, ".actions.github.com") || o.Name == d.controllers || o.Name == d.runners {
			return fmt.Errorf("%s is there already: the demo only runs on a cluster without ARC, since it deletes ARC's CRDs in the end. "+
				"If an earlier demo left it:\n%s", o, d.removal())
		}
	}
	return nil
}

func (d *demo) hookAlone(ctx context.Context) error {
	d.say("1. Install ARC with Helm 4, through the post-renderer. Nothing of the hook exists in the cluster yet.")
	if err := d.installController(ctx, withHook); err != nil {
		return err
	}
	installed, err := d.count(ctx)
	if err != nil {
		return err
	}
	d.say("2. Uninstall. Before Helm deletes anything, the hook removes finalizers and deletes the CRDs.")
	if err := d.uninstall(ctx, "arc", d.controllers); err != nil {
		return err
	}
	if err := d.controllerEnded(ctx); err != nil {
		return err
	}
	uninstalled, err := d.count(ctx)
	if err != nil {
		return err
	}
	d.say("3. What existed:")
	d.table(column{"INSTALLED", installed}, column{"UNINSTALLED", uninstalled})
	begun := time.Now()
	if err := d.deleteNamespaces(ctx); err != nil {
		return err
	}
	d.printf("\nThe namespace %s was deleted in %.1f s: nothing held it.\n", d.controllers, time.Since(begun).Seconds())
	return d.nothingLeft(ctx)
}
