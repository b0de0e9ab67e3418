package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// controllerEnded returns when nothing of the controller runs any more: Helm does not wait for that.
func (d *demo) controllerEnded(ctx context.Context) error {
	const controller = "app.kubernetes.io/component=controller-manager"
	return poll(ctx, "the controller's Pod to end", func() (bool, error) {
		sets, err := d.client.AppsV1().ReplicaSets(d.controllers).List(ctx, metav1.ListOptions{})
		if err != nil || len(sets.Items) > 0 {
			return false, err
		}
		pods, err := d.client.CoreV1().Pods(d.controllers).List(ctx, metav1.ListOptions{LabelSelector: controller})
		return err == nil && len(pods.Items) == 0, err
	})
}

// hang deletes the runners' namespace, and returns why Kubernetes cannot end that, in its own words. It looks five
// seconds later for the first time.
func (d *demo) hang(ctx context.Context) (why string, err error) {
	if err := d.client.CoreV1().Namespaces().Delete(ctx, d.runners, metav1.DeleteOptions{}); err != nil {
		return "", fmt.Errorf("deleting namespace %s: %w", d.runners, err)
	}
	err = poll(ctx, "Kubernetes to say what holds the namespace", func() (bool, error) {
		namespace, err := d.client.CoreV1().Namespaces().Get(ctx, d.runners, metav1.GetOptions{})
		if err != nil {
			return false, err
		}
		for _, c := range namespace.Status.Conditions {
			if c.Type == corev1.NamespaceFinalizersRemaining && c.Status == corev1.ConditionTrue {
				why = c.Message
			}
		}
		return why != "", nil
	})
	return why, err
}

// deleteNamespaces deletes the demo's namespaces and waits until they are gone.
func (d *demo) deleteNamespaces(ctx context.Context) error {
	for _, ns := range []string{d.controllers, d.runners} {
		if err := d.client.CoreV1().Namespaces().Delete(ctx, ns, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("deleting namespace %s: %w", ns, err)
		}
	}
	return d.namespacesGone(ctx, d.controllers, d.runners)
}

func (d *demo) namespacesGone(ctx context.Context, namespaces ...string) error {
	return poll(ctx, "the namespaces to go", func() (bool, error) {
		for _, ns := range namespaces {
			_, err := d.client.CoreV1().Namespaces().Get(ctx, ns, metav1.GetOptions{})
			if !apierrors.IsNotFound(err) {
				return false, err
			}
		}
		return true, nil
	})
}

// poll waits for at most two minutes.
func poll(ctx context.Context, what string, done func() (bool, error)) error {
	deadline := time.Now().Add(2 * time.Minute)
	for {
		ok, err := done()
		if ok {
			return nil
		}
		if time.Now().After(deadline) {
			return errors.Join(fmt.Errorf("waited two minutes for %s", what), err)
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(100 * time.Millisecond):
		}
	}
}
