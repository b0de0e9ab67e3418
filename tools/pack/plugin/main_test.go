package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// folder makes the folder of a plugin with a program for each platform, which are
// real ones: they are read to see what they were built for.
func folder(t *testing.T, manifest string, platforms ...string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "a plugin")
	source := filepath.Join(t.TempDir(), "main.go")
	files := map[string]string{source: "package main\n\nfunc main() {}\n", filepath.Join(dir, "plugin.yaml"): manifest}
	for path, text := range files {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, platform := range platforms {
		goos, goarch, _ := strings.Cut(platform, "/")
		build := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(dir, "bin", "p-"+goos+"-"+goarch), source)
		build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+goos, "GOARCH="+goarch)
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	return dir
}

const manifest = `name: p
version: 1.2.3
platformCommand:
  - {os: linux, arch: amd64, command: "${HELM_PLUGIN_DIR}/bin/p-linux-amd64"}
  - {os: windows, arch: amd64, command: '${HELM_PLUGIN_DIR}\bin\p-linux-amd64'}
  - {os: linux, arch: arm64, command: "${HELM_PLUGIN_DIR}/bin/p-missing"}
  - {os: darwin, arch: arm64, command: "p"}
`

func pluginOf(t *testing.T, args ...string) (string, error) {
	t.Helper()
	opts, err := parseArgs(args, "1700000000")
	if err != nil {
		return "", err
	}
	var out bytes.Buffer
	err = run(&out, opts)
	return out.String(), err
}

func TestThePluginIsPacked(t *testing.T) {
	dir := folder(t, manifest, "linux/amd64")
	var packed [][]byte
	for range 2 {
		output := filepath.Join(t.TempDir(), "new", "dist")
		out, err := pluginOf(t, "--output", output, "--version", "1.2.3", "--platforms", "linux/amd64", dir)
		if err != nil || !strings.Contains(out, "not signed") {
			t.Fatalf("%v\n%s", err, out)
		}
		content, err := os.ReadFile(filepath.Join(output, "p-1.2.3.tgz"))
		if err != nil {
			t.Fatal(err)
		}
		packed = append(packed, content)
		// Another time of the files must not matter.
		if err := os.Chtimes(filepath.Join(dir, "plugin.yaml"), time.Unix(1, 0), time.Unix(1, 0)); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(packed[0], packed[1]) {
		t.Error("the same files give other bytes")
	}

	zr, err := gzip.NewReader(bytes.NewReader(packed[0]))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for r := tar.NewReader(zr); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if header.ModTime.Unix() != 1700000000 || header.Uid != 0 || header.Uname != "" {
			t.Errorf("unexpected: %+v", header)
		}
		got = append(got, header.FileInfo().Mode().String()+" "+header.Name)
	}
	want := []string{"drwxr-xr-x p/", "drwxr-xr-x p/bin/", "-rwxr-xr-x p/bin/p-linux-amd64", "-rw-r--r-- p/plugin.yaml"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestWhatWouldFailOnTheUsersMachineIsRefused(t *testing.T) {
	dir := folder(t, manifest, "linux/amd64")
	keyring := filepath.Join(dir, "plugin.yaml")
	for want, args := range map[string][]string{
		"version 1.2.3, not 2.0.0":                     {"--version", "2.0.0", "--platforms", "linux/amd64"},
		"no command for darwin/amd64":                  {"--version", "1.2.3", "--platforms", "linux/amd64 darwin/amd64"},
		`bin/p-linux-amd64 is built for "linux/amd64"`: {"--version", "1.2.3", "--platforms", "windows/amd64"},
		"p-missing":                   {"--version", "1.2.3", "--platforms", "linux/arm64"},
		"is not a file of the plugin": {"--version", "1.2.3", "--platforms", "darwin/arm64"},
		"go together":                 {"--version", "1.2.3", "--platforms", "linux/amd64", "--keyring", keyring},
		"signing p-1.2.3.tgz":         {"--version", "1.2.3", "--platforms", "linux/amd64", "--keyring", keyring, "--key", "x"},
		"want oci://":                 {"--version", "1.2.3", "--platforms", "linux/amd64", "--push", "registry.example/x"},
		"are needed":                  {"--version", "1.2.3"},
	} {
		output := t.TempDir()
		if out, err := pluginOf(t, append(append([]string{"--output", output}, args...), dir)...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q\n%s", args, err, want, out)
		}
	}
}

// TestASignatureOfAnEarlierRunGoes: it would not be the new file's.
func TestASignatureOfAnEarlierRunGoes(t *testing.T) {
	dir, output := folder(t, manifest, "linux/amd64"), t.TempDir()
	old := filepath.Join(output, "p-1.2.3.tgz.prov")
	if err := os.WriteFile(old, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := pluginOf(t, "--output", output, "--version", "1.2.3", "--platforms", "linux/amd64", dir); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(old); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the old signature is still there: %v", err)
	}
}
