package upgrade

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/arc-cleanup/arc-cleanup/internal/anchor"
	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/manifest"
)

// oci is how a chart in a registry begins, and registry where ARC publishes its own.
const (
	oci      = "oci://"
	registry = oci + "ghcr.io/actions/actions-runner-controller-charts/"
)

// ControllerChart and ScaleSetChart are where ARC's own charts are.
const (
	ControllerChart = registry + "gha-runner-scale-set-controller"
	ScaleSetChart   = registry + "gha-runner-scale-set"
)

const (
	// helmTime bounds what Helm does without waiting for anything in the cluster: it
	// may fetch a chart.
	helmTime = 2 * time.Minute
	// endTime is how long Helm may take to end when it is told to.
	endTime = 10 * time.Second
)

// Helm is the helm of the user, 3 or 4. Its SDK would make the image half as large
// again.
type Helm struct {
	// Binary is a path, or a name on PATH.
	Binary string
	// Kubeconfig and Context say which cluster; empty is kubectl's own.
	Kubeconfig, Context string
	// Timeout bounds each wait of Helm's for the cluster.
	Timeout time.Duration
	// PostRenderer and PostRendererArgs are Helm's own, for everything it installs.
	PostRenderer     string
	PostRendererArgs []string

	major int
}

// Check finds out which Helm it is.
func (h *Helm) Check(ctx context.Context) error {
	out, err := h.run(ctx, helmTime, nil, "", "version", "--template", "{{.Version}}")
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: Helm 3 or 4 has to be on PATH, or named by --helm", err)
	}
	if err != nil {
		return err
	}
	major, _, _ := strings.Cut(strings.TrimPrefix(string(out), "v"), ".")
	if h.major, err = strconv.Atoi(major); err != nil || h.major != 3 && h.major != 4 {
		return fmt.Errorf("%s says that it is %q; Helm 3 or 4 is needed", h.Binary, out)
	}
	return nil
}

// Sees makes sure that Helm means the same release of the same cluster as we do,
// whatever its own settings are.
func (h *Helm) Sees(ctx context.Context, r Release, revision int) error {
	out, err := h.run(ctx, helmTime, nil, r.Driver, "history", r.Name, "--namespace", r.Namespace, "--max", "1", "--output", "json")
	if err != nil {
		return err
	}
	var history []struct{ Revision int }
	if err := json.Unmarshal(out, &history); err != nil {
		return fmt.Errorf("helm history of release %s: %w", r, err)
	}
	if len(history) != 1 || history[0].Revision != revision {
		return fmt.Errorf("the newest revision of release %s is %d, and Helm sees %v", r, revision, history)
	}
	return nil
}

var pulled = regexp.MustCompile(`(?m)^Digest:\s*(sha256:[0-9a-f]{64})`)

// fetch has a chart at hand, below dir, and reads what it is. What is fetched once
// cannot be missing in the middle of an upgrade.
func (h *Helm) fetch(ctx context.Context, c Chart, dir string) (Chart, error) {
	c.path = c.Ref
	if strings.HasPrefix(c.Ref, oci) {
		into, err := os.MkdirTemp(dir, "chart-")
		if err != nil {
			return c, fmt.Errorf("making a folder for the chart %s: %w", c.Ref, err)
		}
		pull := []string{"pull", c.Ref, "--destination", into}
		if c.Version != "" {
			pull = append(pull, "--version", c.Version)
		}
		out, said, err := h.runBoth(ctx, helmTime, nil, "", pull...)
		if err != nil {
			return c, err
		}
		// Helm has printed it here and there.
		if found := pulled.FindSubmatch(append(out, said...)); found != nil {
			c.Digest = string(found[1])
		}
		archives, err := filepath.Glob(filepath.Join(into, "*.tgz"))
		if err != nil || len(archives) != 1 {
			return c, fmt.Errorf("helm pull %s: wrote %d archives, want 1", c.Ref, len(archives))
		}
		c.path = archives[0]
	} else {
		var err error
		if c.Digest, err = digest(c.path); err != nil {
			return c, err
		}
	}
	out, err := h.run(ctx, helmTime, nil, "", "show", "chart", c.path)
	if err != nil {
		return c, err
	}
	if err := yaml.Unmarshal(out, &c.Is); err != nil {
		return c, fmt.Errorf("reading what the chart %s is: %w", c.Ref, err)
	}
	if c.path != c.Ref {
		c.Version = c.Is.Version // whatever is published meanwhile
	}
	return c, nil
}

// rendered is what is read of a release that was rendered.
type rendered struct {
	scope string // of its anchor
	// version is that of ARC, by the label which ARC's controller compares.
	version string
	// strays says how the release would reach where it does not now; "" if not.
	strays string
}

// render renders a release as it will be installed. The API server is asked for
// what a template looks up, as ARC's scale-set chart does for its controller; but
// not whether it takes the manifests, since it knows the old CRDs.
func (h *Helm) render(ctx context.Context, r Release, c Chart) (rendered, error) {
	out, err := h.run(ctx, helmTime, r.values(), r.Driver, slices.Concat([]string{
		"template", r.Name, c.path, "--namespace", r.Namespace, "--values", "-", "--dry-run=server", "--disable-openapi-validation",
	}, h.postRenderer())...)
	if err != nil {
		return rendered{}, err
	}
	a, _, err := anchor.Find(out)
	if err != nil {
		return rendered{}, fmt.Errorf("what the chart %s renders: %w", c.Ref, err)
	}
	if a == nil {
		return rendered{}, nil
	}
	strays, err := strays(r, out)
	return rendered{a.Scope, a.Root.Labels()[arc.LabelVersion], strays}, err
}

// strays says whether a release would have an object in a namespace where none of its
// scale sets and controllers is, or a controller would watch others than now. Values
// decide that (namespaceOverride, flags.watchSingleNamespace), and they come from where
// a tenant may write, to whom the other namespaces need not belong.
func strays(r Release, stream []byte) (string, error) {
	if now, then := r.watches(), (Release{Controllers: controllersOf(stream, r.Namespace)}).watches(); r.Controller && !slices.Equal(now, then) {
		return printable(fmt.Sprintf("would watch the namespaces %q, and watches %q ([] is all)", then, now)), nil
	}
	own := slices.Concat(r.namespaces(), r.watches(), []string{r.Namespace})
	for d := range manifest.Documents(stream) {
		root, err := d.Parse()
		if err != nil {
			return "", fmt.Errorf("what release %s renders: %w", r, err)
		}
		for _, o := range root.Items() {
			if namespace := o.Namespace(); namespace != "" && !slices.Contains(own, namespace) {
				return printable(fmt.Sprintf("would install the %s %s in namespace %s, where none of its scale sets and controllers is", o.Kind(), o.Name(), namespace)), nil
			}
		}
	}
	return "", nil
}

// postRenderer are the arguments that name the user's post-renderer.
func (h *Helm) postRenderer() []string {
	if h.PostRenderer == "" {
		return nil
	}
	args := []string{"--post-renderer", h.PostRenderer}
	for _, arg := range h.PostRendererArgs {
		args = append(args, "--post-renderer-args="+arg)
	}
	return args
}

// installArgs are the arguments that install a release; its values are on stdin.
func (h *Helm) installArgs(r Release, chart []string) []string {
	args := slices.Concat([]string{"install", r.Name}, chart, []string{"--namespace", r.Namespace, "--values", "-"})
	if h.major == 4 && !r.ServerSide {
		// As before: charts of ARC render empty lists as null, which an apply on the
		// server's side refuses.
		args = append(args, "--server-side=false")
	}
	if r.Controller {
		args = append(args, "--wait")
	}
	return slices.Concat(args, h.postRenderer(), []string{"--timeout", h.Timeout.String()})
}

// uninstallArgs are the arguments that uninstall a release. A controller has to
// be gone with its Pods: one of another version deletes every scale set. Who waits for
// the Pods himself takes cascade background: in the foreground anybody's object that
// says to be owned by the controller's ClusterRole, and is held, keeps that for ever.
func (h *Helm) uninstallArgs(r Release, cascade string) []string {
	args := []string{"uninstall", r.Name, "--namespace", r.Namespace, "--ignore-not-found"}
	if len(r.OtherHooks) == 0 {
		args = append(args, "--no-hooks")
	}
	if r.Controller {
		wait := "--wait"
		if h.major == 4 {
			// Helm 4's own way to wait stops at the first object that is gone: it then takes
			// for gone what it does not know yet, and fails over what is still going
			// (helm.sh/helm/v4 pkg/kube/statuswait.go, statusObserver).
			wait = "--wait=legacy"
		}
		args = append(args, "--cascade", cascade, wait)
	}
	return append(args, "--timeout", h.Timeout.String())
}

func (h *Helm) install(ctx context.Context, r Release, c Chart) error {
	_, err := h.run(ctx, h.patience(), r.values(), r.Driver, h.installArgs(r, []string{c.path})...)
	return err
}

func (h *Helm) uninstall(ctx context.Context, r Release) error {
	_, err := h.run(ctx, h.patience(), nil, r.Driver, h.uninstallArgs(r, "background")...)
	return err
}

// patience is longer than Helm's own, which is for each of its waits.
func (h *Helm) patience() time.Duration { return 2*h.Timeout + helmTime }

// run runs Helm and returns its output, which may hold secrets. Its values go
// through a pipe, and so into no file and no list of processes.
func (h *Helm) run(ctx context.Context, limit time.Duration, values []byte, driver string, args ...string) ([]byte, error) {
	out, _, err := h.runBoth(ctx, limit, values, driver, args...)
	return out, err
}

// runBoth is run, and returns what Helm wrote to stderr, too.
func (h *Helm) runBoth(ctx context.Context, limit time.Duration, values []byte, driver string, args ...string) (out, said []byte, err error) {
	// The kernel ends Helm with the thread that started it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	within, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	cmd := exec.CommandContext(within, h.Binary, slices.Concat(args, h.cluster())...)
	cmd.Env = environment(os.Environ(), driver)
	cmd.Stdin = bytes.NewReader(values)
	var stdout, stderr limited
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = endTime
	cmd.SysProcAttr = attributes()
	if err := cmd.Run(); err != nil {
		what := strings.Join(args[:min(2, len(args))], " ")
		switch {
		case ctx.Err() != nil:
			err = context.Cause(ctx)
		case within.Err() != nil:
			err = fmt.Errorf("not over after %s", limit)
		default:
			err = cmp.Or(stdout.over, stderr.over, err)
		}
		return nil, nil, fmt.Errorf("helm %s: %w\n%s", what, err, bytes.TrimSpace(stderr.taken.Bytes()))
	}
	return stdout.taken.Bytes(), stderr.taken.Bytes(), nil
}

// outputBytes bounds what Helm may say: a tenant's values decide how much that is.
const outputBytes = 64 << 20

// limited takes no more than outputBytes.
type limited struct {
	taken bytes.Buffer
	over  error
}

func (l *limited) Write(text []byte) (int, error) {
	if l.taken.Len()+len(text) > outputBytes {
		l.over = fmt.Errorf("it writes more than %d bytes", outputBytes)
		return 0, l.over
	}
	return l.taken.Write(text)
}

// cluster are the arguments which say which cluster is meant.
func (h *Helm) cluster() []string {
	var args []string
	if h.Kubeconfig != "" {
		args = append(args, "--kubeconfig", h.Kubeconfig)
	}
	if h.Context != "" {
		args = append(args, "--kube-context", h.Context)
	}
	return args
}

// environment is the user's, without what would make Helm mean another cluster or
// namespace than we do (helm.sh/helm pkg/cli/environment.go).
func environment(of []string, driver string) []string {
	env := slices.DeleteFunc(slices.Clone(of), func(v string) bool {
		return strings.HasPrefix(v, "HELM_KUBE") || strings.HasPrefix(v, "HELM_NAMESPACE=")
	})
	if driver != "" {
		env = append(env, "HELM_DRIVER="+driver)
	}
	return env
}
