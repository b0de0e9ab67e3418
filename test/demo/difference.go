package main

import (
	"context"
	"fmt"
	"time"
)

// difference tells the story in three acts, and puts what existed side by side.
func (d *demo) difference(ctx context.Context) error {
	if err := d.begin(ctx); err != nil {
		return err
	}
	installed, alone, err := d.helmAlone(ctx)
	if err != nil {
		return err
	}
	rescued, err := d.rescue(ctx)
	if err != nil {
		return err
	}
	hooked, uninstalled, err := d.hook(ctx)
	if err != nil {
		return err
	}
	d.say("What existed:")
	d.table(
		column{"INSTALLED", installed}, column{"HELM ALONE", alone}, column{"RESCUED", rescued},
		column{"WITH THE HOOK", hooked}, column{"UNINSTALLED", uninstalled})
	return nil
}

// helmAlone installs and uninstalls ARC without arc-cleanup, and deletes the namespace, as people then do.
func (d *demo) helmAlone(ctx context.Context) (installed, left counts, err error) {
	d.say("1. Helm alone: install ARC with two runners, and uninstall it.")
	if err := d.installController(ctx, without); err != nil {
		return nil, nil, err
	}
	if err := d.installRunners(ctx, without); err != nil {
		return nil, nil, err
	}
	if installed, err = d.count(ctx); err != nil {
		return nil, nil, err
	}
	if err := d.uninstall(ctx, "arc", d.controllers); err != nil {
		return nil, nil, err
	}
	// Until then it could begin with its scale set.
	if err := d.controllerEnded(ctx); err != nil {
		return nil, nil, err
	}
	if err := d.uninstall(ctx, "runners", d.runners); err != nil {
		return nil, nil, err
	}
	if left, err = d.count(ctx); err != nil {
		return nil, nil, err
	}
	d.printf("   %s\n", d.styled(bold, "Helm reports success, and leaves "+left.summary()+"."))
	held, err := d.hang(ctx)
	if err != nil {
		return nil, nil, err
	}
	left[hanging] = 1
	d.printf("   The demo deletes the namespace %s, and it %s.\n     %s\n", d.runners, d.styled(red, "hangs in Terminating"), held)
	return installed, left, nil
}

// rescue clears that away, as on a cluster that somebody else has left like this.
func (d *demo) rescue(ctx context.Context) (counts, error) {
	d.say("2. The rescue. First what it would do, and then it.")
	if err := d.cleanup(ctx, "plan", "--all-namespaces"); err != nil {
		return nil, err
	}
	if err := d.cleanup(ctx, "run", "--all-namespaces", "--yes", "--github", "deregister"); err != nil {
		return nil, err
	}
	if err := d.namespacesGone(ctx, d.runners); err != nil {
		return nil, err
	}
	d.printf("   The namespace %s is gone. The backup of its scale set stays, in a Secret.\n", d.runners)
	return d.count(ctx)
}

// hook installs ARC through the post-renderer, and uninstalls it. What the rescue keeps is not of this act.
func (d *demo) hook(ctx context.Context) (installed, left counts, err error) {
	if err := d.begin(ctx); err != nil {
		return nil, nil, err
	}
	d.say("3. The same with the hook. Before Helm deletes anything, it drains, removes finalizers, deletes the CRDs.")
	if err := d.installController(ctx, withHook); err != nil {
		return nil, nil, err
	}
	if err := d.installRunners(ctx, withHook); err != nil {
		return nil, nil, err
	}
	if installed, err = d.count(ctx); err != nil {
		return nil, nil, err
	}
	if err := d.uninstall(ctx, "runners", d.runners); err != nil {
		return nil, nil, err
	}
	if err := d.uninstall(ctx, "arc", d.controllers); err != nil {
		return nil, nil, err
	}
	if err := d.controllerEnded(ctx); err != nil {
		return nil, nil, err
	}
	if left, err = d.count(ctx); err != nil {
		return nil, nil, err
	}
	begun := time.Now()
	if err := d.deleteNamespaces(ctx); err != nil {
		return nil, nil, err
	}
	d.printf("   Both namespaces were deleted in %.1f s: nothing held them.\n", time.Since(begun).Seconds())
	if len(left) > 0 {
		return nil, nil, fmt.Errorf("something is left: %v", left)
	}
	return installed, left, nil
}
