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
	"unicode"

	"sigs.k8s.io/yaml"

	"github.com/arc-cleanup/arc-cleanup/internal/arc"
	"github.com/arc-cleanup/arc-cleanup/internal/detect"
	"github.com/arc-cleanup/arc-cleanup/internal/english"
	"github.com/arc-cleanup/arc-cleanup/internal/manifest"
)

// oci is the scheme of a chart in a registry. registry is where ARC publishes its own charts.
const (
	oci      = "oci://"
	registry = oci + "ghcr.io/actions/actions-runner-controller-charts/"
)

// ControllerChart and ScaleSetChart are ARC's own charts.
const (
	ControllerChart = registry + "gha-runner-scale-set-controller"
	ScaleSetChart   = registry + "gha-runner-scale-set"
)

const (
	// helmTime bounds a command of Helm that waits for nothing in the cluster. It may fetch a chart.
	helmTime = 2 * time.Minute
	// endTime is how long Helm may take to end after it is told to.
	endTime = 10 * time.Second
)

// Helm is the user's Helm, 3 or 4. Its SDK would make the image half as large again.
type Helm struct {
	// Binary is a path, or a name on PATH.
	Binary string
	// Kubeconfig and Context select the cluster; "" is kubectl's default.
	Kubeconfig, Context string
	// Timeout bounds each wait of Helm for the cluster.
	Timeout time.Duration
	// PostRenderer and PostRendererArgs are passed to Helm for everything that it installs.
	PostRenderer     string
	PostRendererArgs []string

	major int
}

// identify finds out which version of Helm it is.
func (h *Helm) identify(ctx context.Context) error {
	out, err := h.run(ctx, helmTime, nil, "", "version", "--template", "{{.Version}}")
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("there is no helm: install Helm 3 or 4 on PATH, or give its path with --helm (%w)", err)
	}
	if err != nil {
		return err
	}
	major, _, _ := strings.Cut(strings.TrimPrefix(string(out), "v"), ".")
	if h.major, err = strconv.Atoi(major); err != nil || h.major != 3 && h.major != 4 {
		return fmt.Errorf("%s has the version %q; Helm 3 or 4 is needed", h.Binary, out)
	}
	return nil
}

// sees makes sure that Helm, whatever its own settings are, means the same release in the same cluster.
func (h *Helm) sees(ctx context.Context, r Release, revision int) error {
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

// fetchChart fetches a chart into a folder below dir, unless it is a folder or an archive, and reads its
// metadata. A chart that was fetched before the upgrade cannot be missing in the middle of it.
func (h *Helm) fetchChart(ctx context.Context, c Chart, dir string) (Chart, error) {
	var err error
	if strings.HasPrefix(c.Ref, oci) {
		c.path, c.Digest, err = h.pull(ctx, c, dir)
	} else {
		c.path = c.Ref
		c.Digest, err = digest(c.path)
	}
	if err != nil {
		return c, err
	}
	out, err := h.run(ctx, helmTime, nil, "", "show", "chart", c.path)
	if err != nil {
		return c, err
	}
	if err := yaml.Unmarshal(out, &c.Metadata); err != nil {
		return c, fmt.Errorf("reading the metadata of the chart %s: %w", c.Ref, err)
	}
	if c.path != c.Ref {
		c.Version = c.Metadata.Version // a newer one may be published at any time
	}
	return c, nil
}

// pull pulls a chart from a registry.
func (h *Helm) pull(ctx context.Context, c Chart, dir string) (path, digest string, err error) {
	into, err := os.MkdirTemp(dir, "chart-")
	if err != nil {
		return "", "", fmt.Errorf("making a folder for the chart %s: %w", c.Ref, err)
	}
	args := []string{"pull", c.Ref, "--destination", into}
	if c.Version != "" {
		args = append(args, "--version", c.Version)
	}
	out, said, err := h.runBoth(ctx, helmTime, nil, "", args...)
	if err != nil {
		return "", "", fmt.Errorf("fetching the chart %s: %w", strings.Join(c.reference(), " "), err)
	}
	// Some versions of Helm print the digest to stdout, and some to stderr.
	if found := pulled.FindSubmatch(append(out, said...)); found != nil {
		digest = string(found[1])
	}
	archives, err := filepath.Glob(filepath.Join(into, "*.tgz"))
	if err != nil || len(archives) != 1 {
		return "", "", fmt.Errorf("helm pull %s: wrote %s, want 1", c.Ref, english.Count(len(archives), "archive"))
	}
	return archives[0], digest, nil
}

// rendered is what is read of a rendered release.
type rendered struct {
	scope string // of its anchor
	// version is ARC's, by the label that ARC's controller compares.
	version string
	// controller is the version of the controller by its image.
	controller string
	// strays says how the release would reach namespaces that it does not reach now; "" if it would not.
	strays string
	installs
}

// render renders a release as it will be installed. Templates can look objects up in the cluster, as
// ARC's scale-set chart does for its controller. The manifests are not validated: the API server knows
// the old CRDs only.
func (h *Helm) render(ctx context.Context, r Release, c Chart) (rendered, error) {
	out, err := h.run(ctx, helmTime, r.values(), r.Driver, slices.Concat([]string{
		"template", r.Name, c.path, "--namespace", r.Namespace, "--values", "-", "--dry-run=server", "--disable-openapi-validation",
	}, h.postRenderer())...)
	if err != nil {
		return rendered{}, err
	}
	a, _, err := detect.Find(out)
	if err != nil {
		return rendered{}, fmt.Errorf("the rendered chart %s: %w", c.Ref, err)
	}
	if a == nil {
		return rendered{}, nil
	}
	strays, err := strays(r, out)
	if err != nil {
		return rendered{}, err
	}
	installs, err := installsOf(r, out)
	return rendered{a.Scope, a.Root.Labels()[arc.LabelVersion], controllerVersion(out), strays, installs}, err
}

// strays says whether a release would put an object into a namespace that has none of its scale sets and
// controllers, or whether its controllers would watch other namespaces than now. Values decide that
// (namespaceOverride, flags.watchSingleNamespace). They come from a Secret that a tenant may write, and
// the tenant may have no rights in the other namespaces.
func strays(r Release, stream []byte) (string, error) {
	now, then := r.watches(), (Release{Controllers: controllersOf(stream, r.Namespace)}).watches()
	if r.Controller && !slices.Equal(now, then) {
		return printable(fmt.Sprintf("would watch the namespaces %q, and watches %q ([] is all)", then, now)), nil
	}
	own := slices.Concat(r.namespaces(), r.watches(), []string{r.Namespace})
	for d := range manifest.Documents(stream) {
		root, err := d.Parse()
		if err != nil {
			return "", fmt.Errorf("the rendered release %s: %w", r, err)
		}
		for _, o := range root.Items() {
			if namespace := o.Namespace(); namespace != "" && !slices.Contains(own, namespace) {
				return printable(fmt.Sprintf("would install the %s %s in namespace %s, which has none of its scale sets and controllers",
					o.Kind(), o.Name(), namespace)), nil
			}
		}
	}
	return "", nil
}

// postRendererCommand is the user's post-renderer with its arguments; nil if there is none.
func (h *Helm) postRendererCommand() []string {
	if h.PostRenderer == "" {
		return nil
	}
	return append([]string{h.PostRenderer}, h.PostRendererArgs...)
}

// postRenderer returns Helm's arguments for the user's post-renderer.
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

// installArgs returns Helm's arguments to install a release with the values on stdin.
func (h *Helm) installArgs(r Release, chart []string) []string {
	args := slices.Concat([]string{"install", r.Name}, chart, []string{"--namespace", r.Namespace, "--values", "-"})
	if h.major == 4 && !r.ServerSide {
		// As it was applied before: ARC's charts render empty lists as null, which a server-side apply
		// refuses.
		args = append(args, "--server-side=false")
	}
	if r.Controller {
		args = append(args, "--wait")
	}
	return slices.Concat(args, h.postRenderer(), []string{"--timeout", h.Timeout.String()})
}

// uninstallArgs returns Helm's arguments to uninstall a release. The controller's Pods have to be gone,
// too: a controller of another version deletes every scale set. A caller that waits for the Pods itself
// takes the cascade "background". With "foreground", any held object that claims the controller's
// ClusterRole as its owner keeps that ClusterRole for ever.
func (h *Helm) uninstallArgs(r Release, cascade string) []string {
	args := []string{"uninstall", r.Name, "--namespace", r.Namespace, "--ignore-not-found"}
	if !r.Controller || len(r.OtherHooks) == 0 { // whoever may write Secrets beside a scale set can write its hooks
		args = append(args, "--no-hooks")
	}
	if r.Controller {
		wait := "--wait"
		if h.major == 4 {
			// Helm 4's default wait stops at the first object that is gone. Objects that it has not seen yet
			// count as gone, and those that are still being deleted make it fail
			// (helm.sh/helm/v4 pkg/kube/statuswait.go, statusObserver).
			wait = "--wait=legacy"
		}
		args = append(args, "--cascade", cascade, wait)
	}
	return append(args, "--timeout", h.Timeout.String())
}

// unchanged fails if a folder or an archive is not what the plan has shown.
func (c Chart) unchanged() error {
	if c.path != c.Ref || c.Digest == "" {
		return nil // it was pulled into a folder of this run
	}
	is, err := digest(c.path)
	if err == nil && is != c.Digest {
		err = fmt.Errorf("the chart %s has changed since the plan was made: it was %s, and is %s", c.Ref, c.Digest, is)
	}
	return err
}

func (h *Helm) install(ctx context.Context, r Release, c Chart) error {
	_, err := h.run(ctx, h.patience(), r.values(), r.Driver, h.installArgs(r, []string{c.path})...)
	return err
}

func (h *Helm) uninstall(ctx context.Context, r Release) error {
	_, err := h.run(ctx, h.patience(), nil, r.Driver, h.uninstallArgs(r, "background")...)
	return err
}

// patience bounds a command of Helm that waits. It is longer than Helm's timeout, which is for each wait.
func (h *Helm) patience() time.Duration { return 2*h.Timeout + helmTime }

// run runs Helm and returns its output, which may hold secrets. The values go through a pipe: so they are
// in no file and in no list of processes.
func (h *Helm) run(ctx context.Context, limit time.Duration, values []byte, driver string, args ...string) ([]byte, error) {
	out, _, err := h.runBoth(ctx, limit, values, driver, args...)
	return out, err
}

// runBoth does what run does, and also returns what Helm wrote to stderr.
func (h *Helm) runBoth(
	ctx context.Context, limit time.Duration, values []byte, driver string, args ...string,
) (out, said []byte, err error) {
	// The kernel ends Helm together with the thread that started it.
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
			err = fmt.Errorf("not finished after %s", limit)
		default:
			err = cmp.Or(stdout.over, stderr.over, err)
		}
		err = fmt.Errorf("helm %s: %w", what, err)
		if said := sayable(stderr.taken.Bytes()); said != "" {
			err = fmt.Errorf("%w\n%s", err, said)
		}
		return nil, nil, err
	}
	return stdout.taken.Bytes(), stderr.taken.Bytes(), nil
}

// saidBytes bounds what is repeated of Helm's complaint. The end of it says why.
const saidBytes = 16 << 10

// sayable makes Helm's complaint fit for a terminal: it may repeat values and templates that a tenant has written.
func sayable(said []byte) string {
	said = bytes.TrimSpace(said)
	cut := ""
	if more := len(said) - saidBytes; more > 0 {
		said, cut = said[more:], "...\n"
	}
	return cut + strings.Map(func(r rune) rune {
		if r != '\n' && !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, string(said))
}

// outputBytes bounds Helm's output: a tenant's values decide how large it is.
const outputBytes = 64 << 20

// limited takes at most outputBytes.
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

// cluster returns Helm's arguments that select the cluster.
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

// environment returns the user's environment without the variables that would select another cluster or
// namespace (helm.sh/helm pkg/cli/environment.go), and without arc-cleanup's credentials for GitHub, which Helm's plugins
// could read. Helm keeps all revisions: with a small HELM_MAX_HISTORY, a rollback that is stopped has deleted the revision
// that it goes back to.
func environment(of []string, driver string) []string {
	env := slices.DeleteFunc(slices.Clone(of), func(v string) bool {
		return strings.HasPrefix(v, "HELM_KUBE") || strings.HasPrefix(v, "HELM_NAMESPACE=") || strings.HasPrefix(v, "ARC_CLEANUP_GITHUB_")
	})
	env = append(env, "HELM_MAX_HISTORY=0")
	if driver != "" {
		env = append(env, "HELM_DRIVER="+driver)
	}
	return env
}
