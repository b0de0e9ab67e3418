// Command demo shows what arc-cleanup does: it installs ARC with the hook,
// uninstalls it, and counts what exists before and after.
//
// It starts its own cluster. With KUBE_CONTEXT it uses yours: ARC must not be installed there, and
// the cluster must be able to pull the hook's image (IMAGE, default the published one).
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/arc-cleanup/arc-cleanup/test/cluster"
	"github.com/arc-cleanup/arc-cleanup/test/harness"
)

const (
	controllers = "arc-cleanup-demo-systems"
	runners     = "arc-cleanup-demo-runners"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "\ndemo:", err)
		os.Exit(1)
	}
}

// demo is one telling of the story.
type demo struct {
	product     *harness.Product
	kubeContext string // of the user's own cluster; "" is an embedded one
	kubeconfig  string
	config      *rest.Config
	client      kubernetes.Interface
	github      string // the stand-in's address; "" where there is none
	gone        func() bool
	before      map[harness.Object]bool
}

func run(ctx context.Context) error {
	if err := needed(); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "arc-cleanup-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary folder
	started := time.Now()
	d := &demo{kubeContext: os.Getenv("KUBE_CONTEXT")}
	if d.product, err = harness.Build(ctx, dir, os.Stdout); err != nil {
		return err
	}
	if d.kubeContext != "" {
		err = d.theirs()
	} else {
		var c *cluster.Cluster
		if c, err = d.embedded(ctx); c != nil {
			defer c.Stop() //nolint:errcheck // nothing of it stays, whatever it says
		}
	}
	if err != nil {
		return err
	}
	if d.client, err = kubernetes.NewForConfig(d.config); err != nil {
		return err
	}
	if err := d.story(ctx); err != nil {
		return err
	}
	fmt.Printf("\n%.0f seconds in all. The same on a cluster of your own: make demo KUBE_CONTEXT=...\n", time.Since(started).Seconds())
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

func (d *demo) embedded(ctx context.Context) (*cluster.Cluster, error) {
	images, err := d.product.Images(ctx, os.Stdout)
	if err != nil {
		return nil, err
	}
	say("Starting etcd, the Kubernetes API server, its controllers and a node on this machine.")
	c, err := cluster.Start(ctx, cluster.Options{Images: images, Progress: os.Stdout})
	if err != nil {
		return nil, err
	}
	d.kubeconfig, d.config, d.github, d.gone = c.Kubeconfig(), c.Config(), c.GitHub().ConfigURL(), c.GitHub().Deregistered
	return c, nil
}

// theirs takes the user's cluster, unless ARC is there already: its CRDs, and
// with them the runners, would go.
func (d *demo) theirs() error {
	loader := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(
		clientcmd.NewDefaultClientConfigLoadingRules(), &clientcmd.ConfigOverrides{CurrentContext: d.kubeContext})
	var err error
	if d.config, err = loader.ClientConfig(); err != nil {
		return fmt.Errorf("context %q: %w", d.kubeContext, err)
	}
	return nil
}

func (d *demo) story(ctx context.Context) error {
	var err error
	if d.before, err = harness.Inventory(ctx, d.config); err != nil {
		return err
	}
	for o := range d.before {
		if strings.HasSuffix(o.Name, ".actions.github.com") || o.Name == controllers || o.Name == runners {
			return fmt.Errorf("%s is there already: the demo only runs on a cluster without ARC, since it deletes ARC's CRDs in the end", o)
		}
	}

	say("1. Install ARC with Helm 4, through the post-renderer. Nothing of the hook exists in the cluster yet.")
	if err := d.install(ctx); err != nil {
		return errors.Join(err, d.tidy(ctx))
	}
	installed, err := d.counts(ctx)
	if err != nil {
		return err
	}

	say("2. Uninstall. Before Helm deletes anything, the hook drains, removes finalizers, deletes the CRDs.")
	afterSet := installed
	if d.github != "" {
		if err := d.helm(ctx, true, "uninstall", "runners", "--namespace", runners); err != nil {
			return err
		}
		if afterSet, err = d.counts(ctx); err != nil {
			return err
		}
	}
	if err := d.helm(ctx, true, "uninstall", "arc", "--namespace", controllers); err != nil {
		return err
	}
	after, err := d.settled(ctx)
	if err != nil {
		return err
	}

	say("3. What existed:")
	d.table(installed, afterSet, after)
	if d.gone != nil {
		fmt.Printf("\nDe-registered at GitHub (a stand-in on this machine): %v\n", d.gone())
	}
	begun := time.Now()
	if err := d.tidy(ctx); err != nil {
		return err
	}
	fmt.Printf("Both namespaces deleted in %.1f s: nothing held them.\n", time.Since(begun).Seconds())
	left, err := d.counts(ctx)
	if err != nil {
		return err
	}
	if len(left) > 0 {
		return fmt.Errorf("something is left: %v", left)
	}
	return nil
}

func (d *demo) install(ctx context.Context) error {
	hook := []string{"--post-renderer", "arc-postrender"}
	if image := os.Getenv("IMAGE"); image != "" {
		hook = append(hook, "--post-renderer-args", "--set", "--post-renderer-args", "image.repository="+image)
	}
	err := d.helm(ctx, false, append([]string{
		"install", "arc", d.product.ARCChart(harness.ControllerChart),
		"--namespace", controllers, "--create-namespace", "--wait",
	}, hook...)...)
	if err != nil || d.github == "" {
		return err
	}
	// Helm 4's server-side apply refuses what chart 0.6.1 renders for empty lists.
	err = d.helm(ctx, false, append([]string{
		"install", "runners", d.product.ARCChart(harness.ScaleSetChart),
		"--namespace", runners, "--create-namespace", "--server-side=false",
		"--set", "githubConfigUrl=" + d.github, "--set", "githubConfigSecret.github_token=none", "--set", "minRunners=2",
		"--set", "controllerServiceAccount.name=arc-gha-rs-controller", "--set", "controllerServiceAccount.namespace=" + controllers,
	}, hook...)...)
	if err != nil {
		return err
	}
	return poll(ctx, "two runners to run", func() (bool, error) {
		pods, err := d.client.CoreV1().Pods(runners).List(ctx, metav1.ListOptions{FieldSelector: "status.phase=" + string(corev1.PodRunning)})
		return err == nil && len(pods.Items) >= 2, err
	})
}

// helm runs Helm and prints the command as a user would type it; the output
// only of an uninstall, where it is the hook's log.
func (d *demo) helm(ctx context.Context, show bool, args ...string) error {
	if d.kubeContext != "" {
		args = append(args, "--kube-context", d.kubeContext)
	}
	fmt.Println("   " + styled(green, "$") + " " + styled(bold, "helm "+strings.ReplaceAll(strings.Join(args, " "), d.product.ARCChart("")+string(filepath.Separator), "")))
	begun := time.Now()
	out, err := d.product.Helm(ctx, 4, d.kubeconfig, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("helm %s: %w\n%s", args[0], err, out)
	}
	if show {
		// As it is: Helm 4 prints a hook's log as one quoted line.
		for line := range strings.Lines(string(bytes.TrimSpace(out))) {
			line = strings.TrimSuffix(line, "\n")
			if begin, rest, ok := strings.Cut(line, "done: "); ok {
				line = begin + styled(green, "done: "+rest)
			}
			fmt.Println("     " + line)
		}
	}
	fmt.Println(styled(faint, fmt.Sprintf("     (%.1f s)", time.Since(begun).Seconds())))
	return nil
}

// counts tells how many objects of each kind there are that were not there at
// the beginning; namespaces apart.
func (d *demo) counts(ctx context.Context) (map[string]int, error) {
	now, err := harness.Inventory(ctx, d.config)
	if err != nil {
		return nil, err
	}
	counts := map[string]int{}
	for o := range now {
		mine := d.kubeContext == "" || o.Namespace == controllers || o.Namespace == runners || o.Namespace == ""
		if !d.before[o] && mine && o.Resource != "namespaces" {
			counts[o.Resource]++
		}
	}
	return counts, nil
}

// settled counts once the Pods of the Deployment that Helm deleted are gone.
func (d *demo) settled(ctx context.Context) (map[string]int, error) {
	var counts map[string]int
	err := poll(ctx, "the controller's Pod to end", func() (done bool, err error) {
		counts, err = d.counts(ctx)
		return counts["pods"] == 0 && counts["replicasets"] == 0, err
	})
	return counts, err
}

func (d *demo) table(installed, afterSet, after map[string]int) {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 3, ' ', tabwriter.AlignRight)
	row := func(cells ...any) { fmt.Fprintf(w, "%v\t%v\t%v\t  %v\n", cells...) }
	row("INSTALLED", "SET UNINSTALLED", "CONTROLLER UNINSTALLED", "")
	for _, kind := range slices.Sorted(maps.Keys(installed)) {
		row(installed[kind], afterSet[kind], after[kind], kind)
	}
	_ = w.Flush() // to a terminal
}

// tidy deletes the demo's namespaces and waits until they are gone.
func (d *demo) tidy(ctx context.Context) error {
	for _, ns := range []string{controllers, runners} {
		if err := d.client.CoreV1().Namespaces().Delete(ctx, ns, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("deleting namespace %s: %w", ns, err)
		}
	}
	return poll(ctx, "the namespaces to go", func() (bool, error) {
		for _, ns := range []string{controllers, runners} {
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

func say(text string) { _, _ = io.WriteString(os.Stdout, "\n"+styled(bold, text)+"\n") }

// Escape sequences (ECMA-48, SGR) of how text looks.
const (
	bold  = "1"
	faint = "2"
	green = "32"
)

// styled is a text in colour, for a terminal or when asked for.
func styled(code, text string) string {
	if !coloured {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

var coloured = func() bool {
	if os.Getenv("CLICOLOR_FORCE") != "" {
		return true
	}
	info, err := os.Stdout.Stat()
	return os.Getenv("NO_COLOR") == "" && err == nil && info.Mode()&os.ModeCharDevice != 0
}()
