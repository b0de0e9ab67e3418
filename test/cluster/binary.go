package cluster

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/semver"

	"github.com/arc-cleanup/arc-cleanup/test/cluster/process"
)

// testModule is the module this package belongs to. The modules folder, which
// pins the programs, lies in it but cannot be embedded: its parts are modules
// of their own.
const testModule = "github.com/arc-cleanup/arc-cleanup/test"

// A program is built from a package of a module which modules/<folder>/go.mod
// pins.
type program struct {
	folder  string
	module  string
	pkg     string
	minutes int                         // a first build on two cores, roughly; 0 is "seconds"
	ldflags func(version string) string // what the program is told about itself
	patch   func(binary []byte) []byte  // applied to the linked program
}

// arcVersion is the version of ARC's charts and controller. The module that
// contains them has a version of its own, and a controller which does not
// carry the version of its charts deletes every scale set.
const arcVersion = "0.6.1"

// kubernetesFolder pins the newest Kubernetes; folders beside it, whose names begin
// with its, pin older ones.
const (
	kubernetesFolder = "kubernetes"
	kubernetesModule = "k8s.io/kubernetes"
)

const tofuModule = "github.com/opentofu/opentofu"

var programs = map[string]program{
	"etcd": {
		folder: "etcd", module: "go.etcd.io/etcd/server/v3", pkg: "go.etcd.io/etcd/server/v3", minutes: 1,
	},
	"kube-apiserver": {
		folder: kubernetesFolder, module: kubernetesModule, pkg: kubernetesModule + "/cmd/kube-apiserver", minutes: 5,
		ldflags: kubernetesVersion,
	},
	"kube-controller-manager": {
		folder: kubernetesFolder, module: kubernetesModule, pkg: kubernetesModule + "/cmd/kube-controller-manager", minutes: 2,
		ldflags: kubernetesVersion,
	},
	"kube-scheduler": {
		folder: kubernetesFolder, module: kubernetesModule, pkg: kubernetesModule + "/cmd/kube-scheduler", minutes: 1,
		ldflags: kubernetesVersion,
	},
	"kubelet": {
		folder: kubernetesFolder, module: kubernetesModule, pkg: kubernetesModule + "/cmd/kubelet", minutes: 2,
		ldflags: kubernetesVersion,
	},
	"kubectl": {
		folder: "kubectl", module: kubernetesModule, pkg: kubernetesModule + "/cmd/kubectl", minutes: 1,
		ldflags: kubernetesVersion,
	},
	"helm3": {
		folder: "helm3", module: "helm.sh/helm/v3", pkg: "helm.sh/helm/v3/cmd/helm", minutes: 3,
		ldflags: func(version string) string { return "-X helm.sh/helm/v3/internal/version.version=" + version },
	},
	"helm4": {
		folder: "helm4", module: "helm.sh/helm/v4", pkg: "helm.sh/helm/v4/cmd/helm", minutes: 3,
		ldflags: func(version string) string { return "-X helm.sh/helm/v4/internal/version.version=" + version },
	},
	"kustomize": {
		folder: "kustomize", module: "sigs.k8s.io/kustomize/kustomize/v5", pkg: "sigs.k8s.io/kustomize/kustomize/v5",
	},
	"yq": {
		folder: "yq", module: "github.com/mikefarah/yq/v4", pkg: "github.com/mikefarah/yq/v4",
	},
	"actionlint": {
		folder: "actionlint", module: "github.com/rhysd/actionlint", pkg: "github.com/rhysd/actionlint/cmd/actionlint",
	},
	"cosign": {
		folder: "cosign", module: "github.com/sigstore/cosign/v3", pkg: "github.com/sigstore/cosign/v3/cmd/cosign", minutes: 3,
	},
	"helmfile": {
		folder: "helmfile", module: "github.com/helmfile/helmfile", pkg: "github.com/helmfile/helmfile", minutes: 4,
	},
	"helm-diff": {
		folder: "helm-diff", module: "github.com/databus23/helm-diff/v3", pkg: "github.com/databus23/helm-diff/v3", minutes: 1,
	},
	"tofu": {
		folder: "tofu", module: tofuModule, pkg: tofuModule + "/cmd/tofu", minutes: 3,
		ldflags: func(string) string { return "-X " + tofuModule + "/version.dev=no" },
	},
	"controller-gen": {
		folder: "flux", module: "sigs.k8s.io/controller-tools", pkg: "sigs.k8s.io/controller-tools/cmd/controller-gen",
	},
	// With Helm and Kubernetes of the versions that Flux releases it with: what differs
	// from it would not be Flux.
	"helm-controller": {
		folder: "helm-controller", module: fluxModule, pkg: fluxModule, minutes: 2,
	},
	// A main package of the folder itself, which has no commands but Argo CD's.
	"argocd": {
		folder: "argocd", module: argoModule, pkg: ".", minutes: 2,
	},
	"arc-controller": {
		folder: "arc", module: arcModule, pkg: arcModule, minutes: 2,
		ldflags: func(string) string { return "-X " + arcModule + "/build.Version=" + arcVersion },
	},
	"arc-listener": {
		folder: "arc", module: arcModule, pkg: arcModule + "/cmd/githubrunnerscalesetlistener",
		ldflags: func(string) string { return "-X " + arcModule + "/build.Version=" + arcVersion },
		patch:   relativeServiceAccount,
	},
}

// kubernetesDir is the folder that pins a minor version of Kubernetes ("1.34"), or
// the newest where none is asked for.
func kubernetesDir(modules, minor string) (string, error) {
	newest := filepath.Join(modules, kubernetesFolder)
	if minor == "" {
		return newest, nil
	}
	dirs, err := filepath.Glob(newest + "*")
	if err != nil {
		return "", fmt.Errorf("looking for the versions of Kubernetes: %w", err)
	}
	var pinned []string
	for _, dir := range dirs {
		version, err := requiredVersion(dir, kubernetesModule)
		if err != nil {
			return "", err
		}
		if semver.MajorMinor(version) == "v"+minor {
			return dir, nil
		}
		pinned = append(pinned, version)
	}
	return "", fmt.Errorf("KUBERNETES=%s: no module pins this version, only %s", minor, strings.Join(pinned, ", "))
}

func kubernetesVersion(version string) string {
	major, minor, _ := strings.Cut(strings.TrimPrefix(version, "v"), ".")
	minor, _, _ = strings.Cut(minor, ".")
	const pkg = "k8s.io/component-base/version."
	return fmt.Sprintf("-X %sgitVersion=%s -X %sgitMajor=%s -X %sgitMinor=%s", pkg, version, pkg, major, pkg, minor)
}

// relativeServiceAccount makes the paths of the service account's files, which
// client-go has as constants, relative to the working directory: a Pod's
// process has no /var/run of its own here. The length stays the same.
func relativeServiceAccount(binary []byte) []byte {
	return bytes.ReplaceAll(binary,
		[]byte("/var/run/secrets/kubernetes.io/serviceaccount/"),
		[]byte("var//run/secrets/kubernetes.io/serviceaccount/"))
}

// target is a program and where it is built.
type target struct {
	program
	dir     string // of the go.mod that pins it
	version string
	flags   string // of the linker
	path    string // in the cache
}

// locate finds out where a program is built. The names are those of programs.
func locate(ctx context.Context, name string) (target, error) {
	p, ok := programs[name]
	if !ok {
		return target{}, fmt.Errorf("no program is called %q", name)
	}
	t := target{program: p, flags: "-s -w"}
	modules, err := modulesDir(ctx)
	if err != nil {
		return t, err
	}
	t.dir = filepath.Join(modules, p.folder)
	if p.folder == kubernetesFolder {
		if t.dir, err = kubernetesDir(modules, os.Getenv("KUBERNETES")); err != nil {
			return t, err
		}
	}
	if t.version, err = requiredVersion(t.dir, p.module); err != nil {
		return t, err
	}
	if p.ldflags != nil {
		t.flags += " " + p.ldflags(t.version)
	}
	key, err := buildKey(ctx, t.dir, p.pkg, t.flags)
	if err != nil {
		return t, err
	}
	cache, err := CacheDir()
	if err != nil {
		return t, err
	}
	t.path = filepath.Join(cache, "bin", fmt.Sprintf("%s-%s-%s", name, t.version, key))
	return t, nil
}

// built reports whether it is in the cache.
func (t target) built() bool {
	_, err := os.Stat(t.path)
	return err == nil
}

// Binary builds one of the pinned programs into the cache on first use, and
// returns its path. The names are those of programs.
func Binary(ctx context.Context, name string, progress io.Writer) (string, error) {
	t, err := locate(ctx, name)
	if err != nil || t.built() {
		return t.path, err
	}
	about := "seconds"
	if t.minutes > 0 {
		about = fmt.Sprintf("about %d min on 2 cores", t.minutes)
	}
	if progress == nil {
		progress = io.Discard
	}
	fmt.Fprintf(progress, "building %s %s (first use, %s) ... ", name, t.version, about)
	started := time.Now()
	if err := t.build(ctx, nil); err != nil {
		fmt.Fprintln(progress, "failed")
		return "", fmt.Errorf("building %s %s: %w", name, t.version, err)
	}
	fmt.Fprintf(progress, "done in %s\n", time.Since(started).Round(time.Second))
	return t.path, nil
}

// build puts the program into the cache, unless another process does it meanwhile. If compiled is given, it is called with
// the path of each package that is compiled.
func (t target) build(ctx context.Context, compiled func(pkg string)) error {
	if err := os.MkdirAll(filepath.Dir(t.path), 0o755); err != nil {
		return fmt.Errorf("making the cache: %w", err)
	}
	unlock, err := process.Lock(ctx, t.path+".lock")
	if err != nil {
		return fmt.Errorf("waiting for another build: %w", err)
	}
	defer unlock()
	if t.built() {
		return nil // by whoever held the lock
	}
	unfinished := t.path + ".building"
	defer os.Remove(unfinished) //nolint:errcheck // it is no longer there, or another build overwrites it
	args := []string{"build", "-trimpath", "-ldflags", t.flags, "-o", unfinished, t.pkg}
	if compiled != nil {
		args = slices.Insert(args, 1, "-v")
	}
	if _, err := watched(ctx, t.dir, compiled, "go", args...); err != nil {
		return err
	}
	if t.patch != nil {
		binary, err := os.ReadFile(unfinished)
		if err != nil {
			return err
		}
		if err := os.WriteFile(unfinished, t.patch(binary), 0o755); err != nil {
			return err
		}
	}
	return os.Rename(unfinished, t.path)
}

// buildKey changes with everything that a build depends on.
func buildKey(ctx context.Context, dir, pkg, ldflags string) (string, error) {
	hash := sha256.New()
	toolchain, err := ask(ctx, dir, "env", "GOVERSION")
	if err != nil {
		return "", err
	}
	fmt.Fprintln(hash, toolchain, runtime.GOOS, runtime.GOARCH, pkg, ldflags)
	own, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return "", fmt.Errorf("looking for the sources of %s: %w", pkg, err)
	}
	for _, name := range append([]string{filepath.Join(dir, "go.mod"), filepath.Join(dir, "go.sum")}, own...) {
		content, err := os.ReadFile(name)
		if err != nil {
			return "", fmt.Errorf("reading what pins %s: %w", pkg, err)
		}
		hash.Write(content)
	}
	return fmt.Sprintf("%.5x", hash.Sum(nil)), nil
}

// requiredVersion reads which version of a module the go.mod in dir asks for.
func requiredVersion(dir, module string) (string, error) {
	path := filepath.Join(dir, "go.mod")
	content, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("reading the version of %s: %w", module, err)
	}
	mod, err := modfile.Parse(path, content, nil)
	if err != nil {
		return "", fmt.Errorf("reading the version of %s: %w", module, err)
	}
	for _, r := range mod.Require {
		if r.Mod.Path == module {
			return r.Mod.Version, nil
		}
	}
	return "", fmt.Errorf("%s does not require %s", path, module)
}

// modulesDir is found from the working directory, which has to be inside the
// module of the tests: a path noted at build time would be lost to -trimpath.
func modulesDir(ctx context.Context) (string, error) {
	dir, err := ask(ctx, "", "list", "-m", "-f", "{{.Dir}}", testModule)
	if err != nil {
		return "", fmt.Errorf("looking for the module %s from the working directory: %w", testModule, err)
	}
	return filepath.Join(dir, "cluster", "modules"), nil
}

// CacheDir is where programs and the clusters started by hand are kept.
func CacheDir() (string, error) {
	if dir := os.Getenv("ARC_CLEANUP_CACHE"); dir != "" {
		return filepath.Abs(dir)
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("looking for the cache folder: %w", err)
	}
	return filepath.Join(dir, "arc-cleanup"), nil
}

// source fetches a module that modules/<folder>/go.mod pins, and returns where it
// lies.
func source(ctx context.Context, folder, module string) (string, error) {
	modules, err := modulesDir(ctx)
	if err != nil {
		return "", err
	}
	dir := filepath.Join(modules, folder)
	// It may have to be fetched first: `go list` alone would not.
	if _, err := ask(ctx, dir, "mod", "download", module); err != nil {
		return "", fmt.Errorf("fetching %s: %w", module, err)
	}
	path, err := ask(ctx, dir, "list", "-m", "-f", "{{.Dir}}", module)
	if err != nil {
		return "", fmt.Errorf("looking for %s: %w", module, err)
	}
	return path, nil
}

// asked is what the go command has answered, by folder and question. While a process runs, that does not change, and the
// tests would spend a tenth of their time on it.
var asked sync.Map

// ask asks the go command something, once.
func ask(ctx context.Context, dir string, args ...string) (string, error) {
	question := strings.Join(append([]string{dir}, args...), "\x00")
	if answer, ok := asked.Load(question); ok {
		return answer.(string), nil
	}
	answer, err := goCommand(ctx, dir, args...)
	if err == nil {
		asked.Store(question, answer)
	}
	return answer, err
}

// goCommand runs the go command and returns what it printed.
func goCommand(ctx context.Context, dir string, args ...string) (string, error) {
	return command(ctx, dir, "go", args...)
}

// command runs a program that calls the go command, or it itself.
func command(ctx context.Context, dir, program string, args ...string) (string, error) {
	return watched(ctx, dir, nil, program, args...)
}

// watched does that and, if see is given, calls it with each line of standard error that is the path of a package: those
// are no part of an error.
func watched(ctx context.Context, dir string, see func(pkg string), program string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = dir
	// The user's flags, workspace, target and C compiler are for other builds.
	// GOFLAGS needs a value: an empty one would fall back to `go env -w`.
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=readonly", "GOWORK=off", "CGO_ENABLED=0",
		"GOOS="+runtime.GOOS, "GOARCH="+runtime.GOARCH)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if see != nil {
		cmd.Stderr = &packages{see: see, rest: &stderr}
	}
	// An interrupted build must not leave its compilers behind.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return "", fmt.Errorf("%s %s: %w\n%s", filepath.Base(program), args[0], err, bytes.TrimSpace(stderr.Bytes()))
	}
	return strings.TrimSpace(stdout.String()), nil
}
