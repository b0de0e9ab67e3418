// Package plugin installs the Helm plugins as users do, with the real Helm 4 and
// Helm 3. It needs no cluster.
package plugin

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"

	"github.com/arc-cleanup/arc-cleanup/test/cluster"
	"github.com/arc-cleanup/arc-cleanup/test/harness/pgp"
)

const (
	postrender = "arc-postrender"
	byHand     = "arc-cleanup"
)

// What all tests use, built once.
var (
	root    string // the top of the repository
	helm    = map[int]string{}
	folders string // of the plugins, with the binary of this platform
	chart   string // ARC's controller's
)

func TestMain(m *testing.M) {
	flag.Parse()
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "plugin:", err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (int, error) {
	ctx := context.Background()
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return 0, err
	}
	root = filepath.Dir(strings.TrimSpace(string(out)))
	for major, name := range map[int]string{3: "helm3", 4: "helm4"} {
		if helm[major], err = cluster.Binary(ctx, name, os.Stderr); err != nil {
			return 0, err
		}
	}
	charts, err := cluster.ARCCharts(ctx)
	if err != nil {
		return 0, err
	}
	chart = filepath.Join(charts, "gha-runner-scale-set-controller")

	// The space is there because users' paths have some.
	if folders, err = os.MkdirTemp("", "arc cleanup plugin "); err != nil {
		return 0, err
	}
	defer os.RemoveAll(folders) //nolint:errcheck // a temporary folder
	for name, pkg := range map[string]string{postrender: "./cmd/postrender", byHand: "./cmd/hookjob"} {
		dir := filepath.Join(folders, name)
		if err := os.CopyFS(dir, os.DirFS(filepath.Join(root, "plugin", name))); err != nil {
			return 0, err
		}
		build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", filepath.Join(dir, "bin", name+"-"+runtime.GOOS+"-"+runtime.GOARCH), pkg)
		build.Dir = root
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			return 0, fmt.Errorf("building %s: %w\n%s", name, err, out)
		}
	}
	return m.Run(), nil
}

// A user is somebody with an empty home, in a path with a space.
type user struct {
	*testing.T
	home string
	env  []string
}

func newUser(t *testing.T) *user {
	t.Helper()
	u := &user{T: t, home: filepath.Join(t.TempDir(), "my home")}
	u.env = append(slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "HELM_") || strings.HasPrefix(v, "KUBE") || strings.HasPrefix(v, "XDG_") || strings.HasPrefix(v, "HOME=")
	}), "HOME="+u.home, "ARC_CLEANUP_SET=image.repository=registry.example/arc-hookjob")
	return u
}

func (u *user) plugins() string { return filepath.Join(u.home, ".local", "share", "helm", "plugins") }

// helm runs Helm and returns all it printed.
func (u *user) helm(major int, args ...string) (string, error) {
	u.Helper()
	cmd := exec.CommandContext(u.Context(), helm[major], args...)
	cmd.Env = u.env
	out, err := cmd.CombinedOutput()
	u.Logf("helm%d %s: %v\n%.2000s", major, strings.Join(args, " "), err, out)
	return string(out), err
}

func (u *user) mustHelm(major int, args ...string) string {
	u.Helper()
	out, err := u.helm(major, args...)
	if err != nil {
		u.Fatalf("helm%d %s: %v\n%s", major, strings.Join(args, " "), err, out)
	}
	return out
}

// refused runs Helm, which has to fail, say why, and install nothing.
func (u *user) refused(why string, args ...string) {
	u.Helper()
	out, err := u.helm(4, args...)
	if err == nil || !strings.Contains(out, why) {
		u.Errorf("helm %s: error %v, want one with %q:\n%s", strings.Join(args, " "), err, why, out)
	}
	if got := u.installed(); len(got) > 0 {
		u.Errorf("helm %s: installed %q", strings.Join(args, " "), got)
	}
}

// installed are the folders in Helm's folder of plugins.
func (u *user) installed() []string {
	u.Helper()
	entries, err := os.ReadDir(u.plugins())
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		u.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() || e.Type()&os.ModeSymlink != 0 {
			names = append(names, e.Name())
		}
	}
	return names
}

// rendersTheHook renders ARC's chart through the post-renderer.
func (u *user) rendersTheHook(major int) {
	u.Helper()
	cmd := exec.CommandContext(u.Context(), helm[major], "template", "arc", chart, "--namespace", "arc-systems", "--post-renderer", postrender)
	cmd.Env = u.env
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	want := map[int]string{3: "app.kubernetes.io/component: enroller", 4: "helm.sh/hook: pre-delete"}[major]
	if err != nil || !strings.Contains(string(out), want) {
		u.Errorf("helm%d template through the post-renderer: %v, no %q in %d bytes\n%s", major, err, want, len(out), stderr.String())
	}
}

// pack packs a plugin with the project's own packer, in a version.
func pack(t *testing.T, name, version string, flags ...string) (tarball, out string) {
	t.Helper()
	dir := filepath.Join(folders, name)
	if version != "0.1.0" {
		dir = filepath.Join(t.TempDir(), name)
		if err := os.CopyFS(dir, os.DirFS(filepath.Join(folders, name))); err != nil {
			t.Fatal(err)
		}
		manifest := filepath.Join(dir, "plugin.yaml")
		text, err := os.ReadFile(manifest)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(manifest, []byte(strings.Replace(string(text), "version: 0.1.0", "version: "+version, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	output := filepath.Join(t.TempDir(), "the dist")
	args := append([]string{
		"-C", filepath.Join(root, "tools", "pack"), "run", "./plugin",
		"--output", output, "--version", version, "--platforms", runtime.GOOS + "/" + runtime.GOARCH,
	}, flags...)
	cmd := exec.CommandContext(t.Context(), "go", append(args, dir)...)
	printed, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("packing %s: %v\n%s", name, err, printed)
	}
	return filepath.Join(output, name+"-"+version+".tgz"), string(printed)
}

// TestUnsigned: Helm 4 takes an unsigned tarball only from somebody who says so.
func TestUnsigned(t *testing.T) {
	u := newUser(t)
	tarball, _ := pack(t, postrender, "0.1.0")
	u.refused("provenance", "plugin", "install", tarball)
	u.mustHelm(4, "plugin", "install", "--verify=false", tarball)
	u.rendersTheHook(4)

	u.mustHelm(4, "plugin", "uninstall", postrender)
	left, err := os.ReadDir(u.plugins())
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// TestSigned: what the given key signed is verified and installed; what was changed
// since, or signed by somebody else, is not.
func TestSigned(t *testing.T) {
	secret, public := pgp.Keys(t, "Maintainer")
	_, stranger := pgp.Keys(t, "Stranger")
	for _, name := range []string{postrender, byHand} {
		t.Run(name, func(t *testing.T) {
			u := newUser(t)
			tarball, _ := pack(t, name, "0.1.0", "--keyring", secret, "--key", "Maintainer")
			if out := u.mustHelm(4, "plugin", "verify", tarball, "--keyring", public); !strings.Contains(out, "Maintainer") {
				t.Errorf("verify does not name who signed:\n%s", out)
			}
			u.refused("unknown", "plugin", "verify", tarball, "--keyring", stranger)
			u.refused("unknown", "plugin", "install", tarball, "--keyring", stranger)

			// The same file names, since the signature holds them.
			tampered := filepath.Join(t.TempDir(), filepath.Base(tarball))
			for _, suffix := range []string{"", ".prov"} {
				content, err := os.ReadFile(tarball + suffix)
				if err != nil {
					t.Fatal(err)
				}
				if suffix == "" {
					content[len(content)/2] ^= 1
				}
				if err := os.WriteFile(tampered+suffix, content, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			u.refused("sha256 sum does not match", "plugin", "verify", tampered, "--keyring", public)
			u.refused("sha256 sum does not match", "plugin", "install", tampered, "--keyring", public)

			u.mustHelm(4, "plugin", "install", tarball, "--keyring", public)
			if got := u.installed(); !slices.Equal(got, []string{name}) {
				t.Errorf("installed %q", got)
			}
		})
	}
}

// TestNewVersion: how a user gets another version. `helm plugin update` of Helm 4
// does it for what was cloned by Git alone.
func TestNewVersion(t *testing.T) {
	u := newUser(t)
	first, _ := pack(t, byHand, "0.1.0")
	second, _ := pack(t, byHand, "0.2.0")
	u.mustHelm(4, "plugin", "install", "--verify=false", first)
	if out, err := u.helm(4, "plugin", "update", byHand); err == nil || !strings.Contains(out, "cannot get information about plugin source") {
		t.Errorf("helm plugin update: Helm has learned to update what was installed from a file; say so in docs/plugins.md: %v\n%s", err, out)
	}
	u.mustHelm(4, byHand, "--version") // and what is installed still works
	u.mustHelm(4, "plugin", "uninstall", byHand)
	u.mustHelm(4, "plugin", "install", "--verify=false", second)
	if out := u.mustHelm(4, "plugin", "list"); !strings.Contains(out, "0.2.0") {
		t.Errorf("not the second version:\n%s", out)
	}
}

// TestRegistry: the project's packer pushes both plugins, and Helm 4 installs them
// from there, with their signatures.
func TestRegistry(t *testing.T) {
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer server.Close()
	folder := "oci://" + strings.TrimPrefix(server.URL, "http://") + "/helm"
	secret, public := pgp.Keys(t, "Maintainer")
	_, stranger := pgp.Keys(t, "Stranger")
	u := newUser(t)

	_, out := pack(t, postrender, "0.1.0", "--keyring", secret, "--key", "Maintainer", "--push", folder, "--plain-http")
	if !strings.Contains(out, folder+"/"+postrender+":0.1.0") {
		t.Errorf("the output does not say where it is:\n%s", out)
	}
	signed := folder + "/" + postrender + ":0.1.0"
	u.refused("unknown", "plugin", "install", signed, "--plain-http", "--keyring", stranger)
	if out := u.mustHelm(4, "plugin", "install", signed, "--plain-http", "--keyring", public); !strings.Contains(out, "Maintainer") {
		t.Errorf("not verified:\n%s", out)
	}
	u.rendersTheHook(4)
	u.mustHelm(4, "plugin", "uninstall", postrender)

	pack(t, byHand, "0.1.0", "--push", folder, "--plain-http")
	unsigned := folder + "/" + byHand + ":0.1.0"
	u.refused("provenance", "plugin", "install", unsigned, "--plain-http", "--keyring", public)
	u.mustHelm(4, "plugin", "install", unsigned, "--plain-http", "--verify=false")
	u.mustHelm(4, byHand, "--version")
}

// TestByHand: the same folder is a plugin of both Helms, under its own name in
// their help and in its own.
func TestByHand(t *testing.T) {
	for major := range helm {
		t.Run(fmt.Sprintf("helm%d", major), func(t *testing.T) {
			u := newUser(t)
			u.mustHelm(major, "plugin", "install", filepath.Join(folders, byHand))
			if out := u.mustHelm(major, "help"); !strings.Contains(out, "make an uninstall of GitHub's Actions Runner Controller complete") {
				t.Errorf("helm help does not list it:\n%s", out)
			}
			u.mustHelm(major, byHand, "--version")
			for words, want := range map[string]string{"": "status", "run --": "--busy-runners"} {
				complete := append([]string{"__complete", byHand}, strings.Split(words, " ")...)
				if out := u.mustHelm(major, complete...); !strings.Contains(out, want) {
					t.Errorf("helm %s %s completes to\n%s\nwant %s in it", byHand, words, out, want)
				}
			}
			if out := u.mustHelm(major, byHand, "run", "--help"); !strings.Contains(out, " arc-cleanup run [flags]") || strings.Contains(out, "  arc-cleanup run") {
				t.Errorf("the help does not speak of helm arc-cleanup:\n%s", out)
			}
			// Helm's own flags, which it keeps for itself, and an exit code that it hands on.
			config := filepath.Join(u.home, "config")
			text := `{"apiVersion": "v1", "kind": "Config", "clusters": [{"name": "x", "cluster": {"server": "http://127.0.0.1:1"}}], "contexts": [{"name": "y", "context": {"cluster": "x"}}]}`
			if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			out, err := u.helm(major, byHand, "enrol", "arc", "-n", "arc-systems", "--kubeconfig", config, "--kube-context", "y")
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != 1 || !strings.Contains(out, "could not reach the API server http://127.0.0.1:1 (context \"y\" of "+config+")") {
				t.Errorf("error %v, want exit code 1 and an error about 127.0.0.1:1:\n%s", err, out)
			}
			u.mustHelm(major, "plugin", "uninstall", byHand)
		})
	}
}

// TestStuck: helm uninstall has left ARC's CRDs, and helm arc-cleanup removes them.
func TestStuck(t *testing.T) {
	c, err := cluster.Start(t.Context(), cluster.Options{Progress: os.Stderr})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Stop(); err != nil {
			t.Error(err)
		}
	})
	for major := range helm {
		t.Run(fmt.Sprintf("helm%d", major), func(t *testing.T) {
			u := newUser(t)
			u.env = append(u.env, "KUBECONFIG="+c.Kubeconfig())
			u.mustHelm(major, "plugin", "install", filepath.Join(folders, byHand))
			u.mustHelm(major, "install", "arc", chart, "--namespace", "arc-systems", "--create-namespace")
			if out := u.mustHelm(major, byHand, "status", "arc", "--namespace", "arc-systems"); !strings.Contains(out, "arc-systems") {
				t.Errorf("status does not name the release:\n%s", out)
			}
			u.mustHelm(major, "uninstall", "arc", "--namespace", "arc-systems")

			// Helm keeps --namespace, and leaves the rest to the plugin.
			for command, want := range map[string]string{
				"plan":                         "namespace default is not being deleted",
				"plan -n arc-systems":          "namespace arc-systems is not being deleted",
				"--namespace=arc-systems plan": "namespace arc-systems is not being deleted",
				"plan -narc-systems":           "namespace arc-systems is not being deleted",
				"run --yes -n arc-systems":     "namespace arc-systems is not being deleted",
				"run --yes --scope legacy":     "say what to clean",
				"status":                       "No Helm release of ARC in namespace default",
				"status -A":                    "No Helm release of ARC.",
				"plan -A":                      "ephemeralrunners.actions.github.com",
				"plan -A -n arc-systems":       "ephemeralrunners.actions.github.com",
				"plan -A --scope legacy":       "Nothing to do.",
			} {
				if out, _ := u.helm(major, append([]string{byHand}, strings.Fields(command)...)...); !strings.Contains(out, want) {
					t.Errorf("%s %s: want %q:\n%s", byHand, command, want, out)
				}
			}

			var exit *exec.ExitError
			if out, err := u.helm(major, byHand, "plan", "--all-namespaces"); !errors.As(err, &exit) || exit.ExitCode() != 7 || !strings.Contains(out, "ephemeralrunners.actions.github.com") {
				t.Errorf("error %v, want exit code 7 and the CRDs:\n%s", err, out)
			}
			if out := u.mustHelm(major, byHand, "run", "--all-namespaces", "--yes"); !strings.Contains(out, "done: nothing of ARC is left") {
				t.Errorf("it does not say that it is done:\n%s", out)
			}
			u.mustHelm(major, byHand, "plan", "--all-namespaces")
		})
	}
}

// TestSideBySide: one home, both Helms. Helm 4 has the post-renderer as a plugin,
// Helm 3 has it on PATH, from `make install`; both have helm arc-cleanup, Helm 3 in
// a folder of its own.
func TestSideBySide(t *testing.T) {
	u := newUser(t)
	destination := filepath.Join(u.home, "dest dir")
	install := exec.CommandContext(t.Context(), "make", "-C", root, "install", "PREFIX=/opt", "DESTDIR="+destination)
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("make install: %v\n%s", err, out)
	}
	u.env = append(u.env, "PATH="+filepath.Join(destination, "opt", "bin")+string(os.PathListSeparator)+os.Getenv("PATH"))
	u.mustHelm(4, "plugin", "install", filepath.Join(folders, postrender))
	u.mustHelm(4, "plugin", "install", filepath.Join(folders, byHand))
	u.rendersTheHook(4)
	u.rendersTheHook(3)
	u.mustHelm(4, byHand, "--version")

	if out, err := u.helm(3, byHand, "--version"); err == nil || !strings.Contains(out, "failed to load plugins") {
		t.Errorf("Helm 3 has learned to pass over plugins of Helm 4; say so in docs/plugins.md: %v\n%s", err, out)
	}
	u.env = append(u.env, "HELM_DATA_HOME="+filepath.Join(u.home, "helm 3"))
	u.mustHelm(3, "plugin", "install", filepath.Join(folders, byHand))
	u.mustHelm(3, byHand, "--version")
	u.rendersTheHook(3)
}
