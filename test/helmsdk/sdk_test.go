// Package helmsdk runs the post-renderer inside Helm's own SDKs, as tools that
// embed Helm do. It is a module of its own: the two Helms have no say in what the
// other tests are built of.
package helmsdk

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

var (
	plugins  string // Helm 4's plugin directory
	renderer string // the executable for Helm 3
	charts   string // ARC's
)

func TestMain(m *testing.M) {
	if err := os.Setenv("ARC_CLEANUP_SET", "image.repository=registry.example/arc-hookjob"); err != nil {
		panic(err)
	}
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "helmsdk:", err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (int, error) {
	dir, err := os.MkdirTemp("", "arc-cleanup-sdk-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary folder
	plugins = filepath.Join(dir, "plugins")
	plugin := filepath.Join(plugins, "arc-postrender")
	renderer = filepath.Join(plugin, "bin", "arc-postrender-"+runtime.GOOS+"-"+runtime.GOARCH)
	if _, err := goCommand("../..", "build", "-o", renderer, "./cmd/postrender"); err != nil {
		return 0, err
	}
	manifest, err := os.ReadFile("../../plugin/arc-postrender/plugin.yaml")
	if err != nil {
		return 0, err
	}
	if err := os.WriteFile(filepath.Join(plugin, "plugin.yaml"), manifest, 0o600); err != nil {
		return 0, err
	}
	const arc = "github.com/actions/actions-runner-controller"
	pinned := "../cluster/modules/arc"
	if _, err := goCommand(pinned, "mod", "download", arc); err != nil {
		return 0, err
	}
	source, err := goCommand(pinned, "list", "-m", "-f", "{{.Dir}}", arc)
	if err != nil {
		return 0, err
	}
	charts = filepath.Join(source, "charts")
	return m.Run(), nil
}

func goCommand(dir string, args ...string) (string, error) {
	cmd := exec.Command("go", args...)
	cmd.Dir = dir
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("go %s: %w", strings.Join(args, " "), err)
	}
	return strings.TrimSpace(string(out)), nil
}

// created is what Helm has created, or would have: the manifests that it had
// checked for that.
type created []string

func (c *created) note(r io.Reader, checked bool) error {
	text, err := io.ReadAll(r)
	if checked {
		*c = append(*c, string(text))
	}
	return err
}

// jobs counts the Jobs among it.
func (c *created) jobs() int {
	n := 0
	for _, text := range *c {
		n += strings.Count(text, "kind: Job\n")
	}
	return n
}

// theirs is a hook of a chart itself.
const theirs = `apiVersion: v1
kind: Pod
metadata:
  name: theirs
  annotations: {helm.sh/hook: test}
`

// hook is what is looked at of a hook in a release.
type hook struct{ kind, name string }

// hookedOnce fails unless the hooks of a release are the chart's own and, once,
// ours.
func hookedOnce(t *testing.T, hooks []hook) {
	t.Helper()
	seen := map[string]int{}
	for _, h := range hooks {
		seen[h.kind+" "+h.name]++
	}
	for _, want := range []string{"Pod theirs", "Job arc-arc-cleanup", "List arc-arc-cleanup"} {
		if seen[want] == 0 {
			t.Errorf("%s is not among the hooks", want)
		}
	}
	for name, n := range seen {
		if n != 1 {
			t.Errorf("%s is among the hooks %d times", name, n)
		}
	}
}
