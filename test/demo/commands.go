package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/arc-cleanup/arc-cleanup/test/cluster/github"
	"github.com/arc-cleanup/arc-cleanup/test/harness"
)

// helm is the major version of the one Helm that the demo runs.
const helm = 4

// wouldDo is the exit code of a plan that has something to do.
const wouldDo = 7

// demo is one telling of the story.
type demo struct {
	terminal
	dir         string // of its files
	product     *harness.Product
	kubeContext string // of your own cluster; "" is an embedded one
	image       string // of the hook; "" is the embedded cluster's
	kubeconfig  string
	config      *rest.Config
	client      kubernetes.Interface
	dynamic     dynamic.Interface
	github      *github.StandIn // nil where there is none
	before      map[harness.Object]bool

	controllers, runners string // the namespaces
}

// hookOrNot says whether a release gets the hook.
type hookOrNot bool

const (
	without  hookOrNot = false
	withHook hookOrNot = true
)

func (d *demo) installController(ctx context.Context, hook hookOrNot) error {
	return d.helm(ctx, d.hooked(hook,
		"install", "arc", d.product.ARCChart(harness.ControllerChart), "--namespace", d.controllers, "--create-namespace", "--wait"))
}

// installRunners installs a scale set, and returns when its listener and two runners run.
func (d *demo) installRunners(ctx context.Context, hook hookOrNot) error {
	values := filepath.Join(d.dir, "runners.yaml")
	text := fmt.Sprintf(`githubConfigUrl: %s
githubConfigSecret: {github_token: not-a-token}
minRunners: 2
controllerServiceAccount: {name: arc-gha-rs-controller, namespace: %s}
`, d.github.ConfigURL(), d.controllers)
	if err := os.WriteFile(values, []byte(text), 0o600); err != nil {
		return err
	}
	// Helm 4's server-side apply refuses what chart 0.6.1 renders for empty lists.
	err := d.helm(ctx, d.hooked(hook, "install", "runners", d.product.ARCChart(harness.ScaleSetChart),
		"--namespace", d.runners, "--create-namespace", "--server-side=false", "--values", values))
	if err != nil {
		return err
	}
	running := metav1.ListOptions{FieldSelector: "status.phase=" + string(corev1.PodRunning)}
	return poll(ctx, "the listener and two runners to run", func() (bool, error) {
		pods, err := d.client.CoreV1().Pods(d.runners).List(ctx, running)
		if err != nil || len(pods.Items) < 2 {
			return false, err
		}
		if atGitHub := d.github.Runners(); len(atGitHub) < 2 {
			_, err := harness.Registered(ctx, d.dynamic, atGitHub, d.runners)
			return false, err
		}
		beside, err := d.client.CoreV1().Pods(d.controllers).List(ctx, running)
		return err == nil && len(beside.Items) >= 2, err // the controller's and the listener's
	})
}

func (d *demo) hooked(hook hookOrNot, args ...string) []string {
	if !hook {
		return args
	}
	args = append(args, "--post-renderer", "arc-postrender")
	if d.image != "" {
		args = append(args, "--post-renderer-args", "--set", "--post-renderer-args", "image.repository="+d.image)
	}
	return args
}

func (d *demo) uninstall(ctx context.Context, release, namespace string) error {
	return d.helm(ctx, []string{"uninstall", release, "--namespace", namespace})
}

// helm runs Helm, and prints what a user types and sees; of an installation only how long it took, since the
// rest is the chart's own advertisement.
func (d *demo) helm(ctx context.Context, args []string) error {
	if d.kubeContext != "" {
		args = append(args, "--kube-context", d.kubeContext)
	}
	return d.show("helm", d.product.Helm(ctx, helm, d.kubeconfig, args...), args, args[0] != "install")
}

// cleanup runs arc-cleanup, and prints what a user types and sees on a terminal.
func (d *demo) cleanup(ctx context.Context, args ...string) error {
	cmd := d.product.ByHand(ctx, d.kubeconfig, args...)
	if args[0] == "run" {
		cmd.Args = append(cmd.Args, "--log-format", "console") // its log knows by itself when it is on a terminal
	}
	return d.show("arc-cleanup", cmd, args, true)
}

func (d *demo) show(program string, cmd *exec.Cmd, args []string, output bool) error {
	typed := program + " " + strings.Join(args, " ")
	for _, dir := range []string{d.product.ARCChart(""), d.dir} {
		typed = strings.ReplaceAll(typed, dir+string(filepath.Separator), "")
	}
	d.printf("   %s %s\n", d.styled(green, "$"), d.styled(bold, typed))
	begun := time.Now()
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == wouldDo && args[0] == "plan" {
		err = nil
	}
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", typed, err, out)
	}
	if output {
		// As it is: Helm 4 prints a hook's log as one quoted line.
		for line := range strings.Lines(string(bytes.TrimSpace(out))) {
			line = strings.TrimRight(line, "\n")
			if begin, rest, ok := strings.Cut(line, "done: "); ok {
				line = begin + d.styled(green, "done: "+rest)
			}
			d.printf("%s\n", strings.TrimRight("     "+line, " "))
		}
	}
	d.printf("     %s\n", d.styled(faint, fmt.Sprintf("(%.1f s)", time.Since(begun).Seconds())))
	return nil
}
