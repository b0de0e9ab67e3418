// Package harness builds the programs under test and runs them as a user does: Helm with the
// post-renderer as an installed plugin, the hook as an image.
package harness

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/arc-cleanup/arc-cleanup/test/cluster"
)

const (
	// ControllerChart and ScaleSetChart are ARC's charts.
	ControllerChart = "gha-runner-scale-set-controller"
	ScaleSetChart   = "gha-runner-scale-set"
	// HookImage is the repository of the hook's image. It was not released, so that
	// everybody names it.
	HookImage = "registry.example/arc-hookjob"
	// NameImage names it to the post-renderer and to arc-cleanup.
	NameImage = "ARC_CLEANUP_SET=image.repository=" + HookImage
)

// Product is everything built: ours, Helm, and ARC's charts.
type Product struct {
	// Root is the top folder of the repository.
	Root                string
	Hookjob, Postrender string
	// HookChart is a copy of the chart arc-cleanup that names the image.
	HookChart string
	arcCharts string
	helm      map[int]string // by major version
	home      string         // Helm's own folders
}

// Build builds what is missing and keeps what is ours below dir. It builds only the major versions of Helm that are
// given, or both.
func Build(ctx context.Context, dir string, progress io.Writer, helms ...int) (*Product, error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return nil, fmt.Errorf("looking for the repository: %w", err)
	}
	// The space is there because users' paths have some.
	plugin := filepath.Join(dir, "the plugin")
	p := &Product{
		Root:       filepath.Dir(strings.TrimSpace(string(out))),
		Hookjob:    filepath.Join(dir, "arc-hookjob"),
		Postrender: filepath.Join(plugin, "bin", "arc-postrender-"+runtime.GOOS+"-"+runtime.GOARCH),
		helm:       map[int]string{},
		home:       filepath.Join(dir, "helm"),
	}
	for path, pkg := range map[string]string{p.Hookjob: "./cmd/hookjob", p.Postrender: "./cmd/postrender"} {
		// The flags of everything else that is built: what they share is compiled once. Nothing is asked of Git, which refuses
		// a checkout of another user.
		build := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-trimpath", "-o", path, pkg)
		build.Dir = p.Root
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("building %s: %w\n%s", path, err, out)
		}
	}
	if len(helms) == 0 {
		helms = []int{3, 4}
	}
	for _, major := range helms {
		if p.helm[major], err = cluster.Binary(ctx, fmt.Sprintf("helm%d", major), progress); err != nil {
			return nil, err
		}
	}
	if p.arcCharts, err = cluster.ARCCharts(ctx); err != nil {
		return nil, err
	}
	if err := p.installPlugin(ctx, plugin); err != nil {
		return nil, err
	}
	p.HookChart = filepath.Join(dir, "charts", "arc-cleanup")
	if err := p.nameImage(); err != nil {
		return nil, fmt.Errorf("copying the chart arc-cleanup: %w", err)
	}
	return p, nil
}

// nameImage makes the copy of the chart that names the image.
func (p *Product) nameImage() error {
	source := filepath.Join(p.Root, "charts", "arc-cleanup")
	if err := os.CopyFS(p.HookChart, os.DirFS(source)); err != nil {
		return err
	}
	text, err := os.ReadFile(filepath.Join(source, "values.yaml"))
	if err != nil {
		return err
	}
	named := strings.Replace(string(text), "\n  repository: ghcr.io/arc-cleanup/arc-hookjob\n", "\n  repository: "+HookImage+"\n", 1)
	if named == string(text) {
		return errors.New("its values have no image to name")
	}
	return os.WriteFile(filepath.Join(p.HookChart, "values.yaml"), []byte(named), 0o600)
}

func (p *Product) installPlugin(ctx context.Context, dir string) error {
	manifest, err := os.ReadFile(filepath.Join(p.Root, "plugin", "arc-postrender", "plugin.yaml"))
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "plugin.yaml"), manifest, 0o600); err != nil {
		return err
	}
	if out, err := p.Helm(ctx, 4, "", "plugin", "install", dir).CombinedOutput(); err != nil {
		return fmt.Errorf("helm plugin install: %w\n%s", err, out)
	}
	return nil
}

// Helm is a command line of Helm, of a major version, with folders of its own.
func (p *Product) Helm(ctx context.Context, major int, kubeconfig string, args ...string) *exec.Cmd {
	cmd := p.isolate(exec.CommandContext(ctx, p.helm[major], args...), kubeconfig)
	cmd.Env = append(cmd.Env, cluster.CollectLess...)
	return cmd
}

// ByHand is a command line of arc-cleanup.
func (p *Product) ByHand(ctx context.Context, kubeconfig string, args ...string) *exec.Cmd {
	return p.isolate(exec.CommandContext(ctx, p.Hookjob, args...), kubeconfig)
}

// isolate keeps the developer's own settings out; an empty kubeconfig is kubectl's
// own.
func (p *Product) isolate(cmd *exec.Cmd, kubeconfig string) *exec.Cmd {
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "HELM_") || strings.HasPrefix(v, "ARC_CLEANUP_") ||
			kubeconfig != "" && strings.HasPrefix(v, "KUBE")
	})
	cmd.Env = append(cmd.Env, NameImage,
		"TMPDIR="+filepath.Dir(p.home), // what a killed program leaves goes with the rest
		"HELM_CACHE_HOME="+filepath.Join(p.home, "cache"),
		"HELM_CONFIG_HOME="+filepath.Join(p.home, "config"),
		"HELM_DATA_HOME="+filepath.Join(p.home, "data"))
	if kubeconfig != "" {
		cmd.Env = append(cmd.Env, "KUBECONFIG="+kubeconfig)
	}
	return cmd
}

// ARCChart is the folder of one of ARC's charts, after LeaveOutPods that of the copy.
func (p *Product) ARCChart(name string) string { return filepath.Join(p.arcCharts, name) }

// Images are what a node needs for ARC and the hook.
func (p *Product) Images(ctx context.Context, progress io.Writer) (map[string]cluster.Image, error) {
	images, err := cluster.ARCImages(ctx, progress)
	if err != nil {
		return nil, err
	}
	images[HookImage] = p.HookImage()
	return images, nil
}

// HookImage is the image of the hook.
func (p *Product) HookImage() cluster.Image {
	return cluster.Image{Commands: map[string]cluster.Program{"": {Path: p.Hookjob}}}
}
