// Command demo shows the difference: what Helm alone leaves of ARC, how arc-cleanup clears that away,
// and an installation with the hook, of which nothing is left.
//
// It starts its own cluster. With --kube-context it uses yours, and shows only the installation with the
// hook: ARC must not be installed there, and the cluster must be able to pull the hook's image (--image).
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"

	"github.com/arc-cleanup/arc-cleanup/test/cluster"
	"github.com/arc-cleanup/arc-cleanup/test/cluster/process"
	"github.com/arc-cleanup/arc-cleanup/test/harness"
)

func main() {
	// Not from the environment: KUBE_CONTEXT may be there for something else, and name a cluster of importance.
	kubeContext := flag.String("kube-context", "", "`context` of a cluster of yours")
	image := flag.String("image", "", "the hook's image there")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Stdout, *kubeContext, *image)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "\ndemo:", err)
		os.Exit(1)
	}
}

// run tells the story on a cluster of its own or, if a context is given, on yours.
func run(ctx context.Context, out io.Writer, kubeContext, image string) error {
	if err := needed(); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "arc-cleanup-demo-")
	if err != nil {
		return err
	}
	keeper, err := process.NewKeeper(dir) // removes it, however the demo ends
	if err != nil {
		return errors.Join(err, os.RemoveAll(dir))
	}
	defer keeper.Close() //nolint:errcheck // a temporary folder
	started := time.Now()
	d := &demo{terminal: terminal{out, coloured(out)}, dir: dir}
	if kubeContext != "" {
		err = d.onYours(ctx, kubeContext, image)
	} else {
		err = d.onItsOwn(ctx)
	}
	if err != nil {
		return err
	}
	d.printf("\n%.0f seconds in all.", time.Since(started).Seconds())
	if kubeContext == "" {
		d.printf(" With the hook, on a cluster of your own: make demo KUBE_CONTEXT=... IMAGE=...")
	}
	d.printf("\n")
	return nil
}

// needed says what is missing on this machine before anything is begun.
func needed() error {
	for _, program := range []string{"go", "git"} {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Errorf("%s is needed and not on PATH", program)
		}
	}
	return nil
}

// onItsOwn plays all three acts.
func (d *demo) onItsOwn(ctx context.Context) (err error) {
	c, err := d.prepare(ctx)
	if c != nil {
		defer func() { err = errors.Join(err, c.Stop()) }()
	}
	if err != nil {
		return err
	}
	d.controllers, d.runners = "arc-systems", "arc-runners"
	d.kubeconfig, d.config, d.github = c.Kubeconfig(), c.Config(), c.GitHub()
	d.github.ExclusiveSessions(true) // as GitHub's are
	if d.client, err = kubernetes.NewForConfig(d.config); err != nil {
		return err
	}
	if d.dynamic, err = dynamic.NewForConfig(d.config); err != nil {
		return err
	}
	return d.difference(ctx)
}

// prepare builds what the story is about, and starts the cluster meanwhile. Helm and arc-cleanup share most packages with
// Kubernetes: they come after it, so that nothing is compiled twice at the same time.
func (d *demo) prepare(ctx context.Context) (*cluster.Cluster, error) {
	arc, helmProgram := []string{"arc-controller", "arc-listener"}, fmt.Sprintf("helm%d", helm)
	builds, err := cluster.NewBuilds(ctx, d.out, slices.Concat(cluster.ControlPlane, arc, []string{helmProgram})...)
	if err != nil {
		return nil, err
	}
	endReport := builds.Report()
	defer endReport()
	var (
		c            *cluster.Cluster
		images       map[string]cluster.Image
		controlPlane = make(chan struct{})
	)
	both, ctx := errgroup.WithContext(ctx)
	both.Go(func() (err error) {
		if err := builds.Run(ctx, cluster.ControlPlane...); err != nil {
			return err
		}
		close(controlPlane)
		d.say("Starting etcd, the Kubernetes API server, its controllers and a node on this machine.")
		c, err = cluster.Start(ctx, cluster.Options{Progress: d.out})
		return err
	})
	both.Go(func() (err error) {
		if err := builds.Run(ctx, arc...); err != nil {
			return err
		}
		select {
		case <-controlPlane:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if err := builds.Run(ctx, helmProgram); err != nil {
			return err
		}
		if d.product, err = harness.Build(ctx, d.dir, d.out, helm); err != nil {
			return err
		}
		images, err = d.product.Images(ctx, d.out)
		return err
	})
	if err := both.Wait(); err != nil {
		return c, err
	}
	for repository, image := range images {
		c.SetImage(repository, image)
	}
	return c, nil
}
