package main

import (
	"archive/tar"
	"bytes"
	"debug/elf"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/arc-cleanup/arc-cleanup/tools/pack/bom"
)

func TestImage(t *testing.T) {
	dir := t.TempDir()
	amd64 := executable(t, dir, "amd64", elf.EM_X86_64, 1000)
	arm64 := executable(t, dir, "arm64", elf.EM_AARCH64, 2000)
	file := filepath.Join(dir, "new", "image.tar")
	args := []string{"--output", file, "--version", "1.2.3+build", "--revision", "abc"}
	for _, name := range dockerfileTexts(t) {
		args = append(args, "--file", "../../../"+name)
	}
	out := imageOf(t, "0", append(args, "linux/amd64="+amd64, "linux/arm64="+arm64)...)

	path, err := layout.FromPath(untar(t, file))
	if err != nil {
		t.Fatal(err)
	}
	top, err := path.ImageIndex()
	if err != nil {
		t.Fatal(err)
	}
	topManifest, err := top.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	if n := len(topManifest.Manifests); n != 1 {
		t.Fatalf("index.json has %d entries, want 1", n)
	}
	entry := topManifest.Manifests[0]
	wantNames := map[string]string{
		"org.opencontainers.image.ref.name": "1.2.3_build",
		"io.containerd.image.name":          "ghcr.io/arc-cleanup/arc-hookjob:1.2.3_build",
	}
	if diff := cmp.Diff(wantNames, entry.Annotations); diff != "" {
		t.Errorf("annotations (-want +got):\n%s", diff)
	}
	if !strings.Contains(out, entry.Digest.String()) {
		t.Errorf("the output does not give the digest %s:\n%s", entry.Digest, out)
	}
	if got := strings.Count(out, "MB compressed"); got != 2 {
		t.Errorf("the output gives %d sizes, want 2:\n%s", got, out)
	}

	index, err := top.ImageIndex(entry.Digest)
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	if len(manifest.Manifests) != 4 {
		t.Fatalf("%d manifests, want 2 images and 2 attestations", len(manifest.Manifests))
	}
	for i, want := range []struct{ arch, binary string }{{"amd64", amd64}, {"arm64", arm64}} {
		descriptor := manifest.Manifests[i]
		if diff := cmp.Diff(&v1.Platform{OS: "linux", Architecture: want.arch}, descriptor.Platform); diff != "" {
			t.Errorf("platform %d (-want +got):\n%s", i, diff)
		}
		image, err := index.Image(descriptor.Digest)
		if err != nil {
			t.Fatal(err)
		}
		if err := validate.Image(image); err != nil {
			t.Errorf("%s: invalid: %v", want.arch, err)
		}
		config, err := image.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		if config.OS != "linux" || config.Architecture != want.arch {
			t.Errorf("config is of %s/%s, want linux/%s", config.OS, config.Architecture, want.arch)
		}
		if diff := cmp.Diff(dockerfileConfig(t, "1.2.3+build", "abc"), config.Config); diff != "" {
			t.Errorf("%s: config differs from the Dockerfile's (-Dockerfile +image):\n%s", want.arch, diff)
		}
		checkLayer(t, image, want.binary)
		checkAttestation(t, index, manifest.Manifests[2+i], descriptor.Digest, want.binary)
	}
}

// checkAttestation sees that the index says of an image what the file beside the
// binary says, and that it is true: these programs are made of Go and one module.
func checkAttestation(t *testing.T, index v1.ImageIndex, descriptor v1.Descriptor, of v1.Hash, binary string) {
	t.Helper()
	if descriptor.Annotations["vnd.docker.reference.digest"] != of.String() || descriptor.Platform.OS != "unknown" {
		t.Errorf("not an attestation of %s: %+v", of, descriptor)
	}
	image, err := index.Image(descriptor.Digest)
	if err != nil {
		t.Fatal(err)
	}
	layers, err := image.Layers()
	if err != nil || len(layers) != 1 {
		t.Fatalf("%d layers, error %v; want 1", len(layers), err)
	}
	content, err := layers[0].Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	defer content.Close()
	var statement struct {
		PredicateType string
		Subject       []struct{ Digest map[string]string }
		Predicate     cdx.BOM
	}
	if err := json.NewDecoder(content).Decode(&statement); err != nil {
		t.Fatal(err)
	}
	if len(statement.Subject) != 1 || statement.Subject[0].Digest["sha256"] != of.Hex {
		t.Errorf("a statement about %v", statement.Subject)
	}
	file, err := os.Open(binary + bom.Suffix)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close() //nolint:errcheck // Only read.
	var beside cdx.BOM
	if err := cdx.NewBOMDecoder(file, cdx.BOMFileFormatJSON).Decode(&beside); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(beside, statement.Predicate); diff != "" {
		t.Errorf("the file beside the binary says something else (-file +attested):\n%s", diff)
	}
	var names []string
	for _, c := range *beside.Components {
		names = append(names, c.Name)
		if c.Name != "std" && (c.Hashes == nil || len((*c.Hashes)[0].Value) != 64 || c.Version == "") {
			t.Errorf("%s has no version or hash: %+v", c.Name, c)
		}
	}
	if !slices.Equal(names, []string{"std", "github.com/google/go-cmp"}) || beside.Metadata.Component.Version != "1.2.3+build" {
		t.Errorf("made of %q: %+v", names, beside.Metadata.Component)
	}
}

// checkLayer sees that the image holds the one file, executable by user 65532.
func checkLayer(t *testing.T, image v1.Image, binary string) {
	t.Helper()
	layers, err := image.Layers()
	if err != nil || len(layers) != 1 {
		t.Fatalf("%d layers, error %v; want 1", len(layers), err)
	}
	content, err := layers[0].Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	defer content.Close()
	r := tar.NewReader(content)
	type file struct {
		name, path string
		mode       int64
	}
	want := []file{{"arc-hookjob", binary, 0o755}}
	for _, name := range dockerfileTexts(t) {
		want = append(want, file{name, "../../../" + name, 0o644})
	}
	for _, want := range want {
		header, err := r.Next()
		if err != nil {
			t.Fatalf("%s: %v", want.name, err)
		}
		if header.Name != want.name || header.Mode != want.mode || header.Uid != 0 || header.ModTime.Unix() != 0 {
			t.Errorf("unexpected file: %+v", header)
		}
		got, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		content, err := os.ReadFile(want.path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, content) {
			t.Errorf("%s in the image is not %s", want.name, want.path)
		}
	}
	if _, err := r.Next(); !errors.Is(err, io.EOF) {
		t.Errorf("more in the layer than the binary and the licences (%v)", err)
	}
}

// dockerfileTexts are the files which the Dockerfile copies from the repository.
func dockerfileTexts(t *testing.T) []string {
	t.Helper()
	content, err := os.ReadFile("../../../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^COPY ([^-].*) /$`).FindSubmatch(content)
	if m == nil {
		t.Fatal("the Dockerfile copies no licences")
	}
	return strings.Fields(string(m[1]))
}

func TestReproducible(t *testing.T) {
	dir := t.TempDir()
	amd64 := executable(t, dir, "amd64", elf.EM_X86_64, 100_000)
	arm64 := executable(t, dir, "arm64", elf.EM_AARCH64, 100_000)
	build := func(name, epoch string) []byte {
		file := filepath.Join(dir, name)
		imageOf(t, epoch, "--output", file, "--version", "1.2.3", "--revision", "abc", "linux/amd64="+amd64, "linux/arm64="+arm64)
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return content
	}
	first := build("first", "1700000000")
	// A fresh copy of a binary has another timestamp, and must not matter.
	content, err := os.ReadFile(amd64)
	if err != nil {
		t.Fatal(err)
	}
	amd64 = filepath.Join(dir, "copy")
	if err := os.WriteFile(amd64, content, 0o600); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first, build("second", "1700000000")) {
		t.Error("two builds of the same binaries differ")
	}
	if bytes.Equal(first, build("third", "1700000001")) {
		t.Error("SOURCE_DATE_EPOCH makes no difference")
	}

	// docs/verify.md tells users to compare the digest of what they built, for a registry that is not the publisher's.
	digest := func(name string) string {
		file := filepath.Join(dir, "digest")
		imageOf(t, "1700000000", "--output", filepath.Join(dir, "named"), "--name", name, "--digest", file, "--version", "1.2.3", "--revision", "abc", "linux/amd64="+amd64)
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return string(content)
	}
	if published, own := digest("ghcr.io/arc-cleanup/arc-hookjob"), digest("registry.example/arc-hookjob"); published != own {
		t.Errorf("the digest depends on the registry: %s and %s", published, own)
	}
}

func TestSizeLimit(t *testing.T) {
	dir := t.TempDir()
	small := executable(t, dir, "small", elf.EM_X86_64, 1000)
	big := executable(t, dir, "big", elf.EM_AARCH64, maxCompressed) // of noise, which does not compress
	file := filepath.Join(dir, "image.tar")
	opts, err := parseArgs([]string{"--output", file, "--version", "1", "--revision", "abc", "linux/amd64=" + small, "linux/arm64=" + big}, "")
	if err != nil {
		t.Fatal(err)
	}
	err = run(io.Discard, opts)
	if err == nil || !strings.Contains(err.Error(), "linux/arm64 is ") || strings.Contains(err.Error(), "linux/amd64") {
		t.Errorf("got error %v, want one about linux/arm64 only", err)
	}
	if _, err := os.Stat(file); !os.IsNotExist(err) {
		t.Errorf("an image over the limit was written (%v)", err)
	}
}

func TestWrongBinary(t *testing.T) {
	dir := t.TempDir()
	script := filepath.Join(dir, "script")
	if err := os.WriteFile(script, []byte("#!/bin/sh\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	dynamic := filepath.Join(dir, "dynamic")
	if err := os.WriteFile(dynamic, append(elfHeader(elf.EM_X86_64, 1), interpreter()...), 0o600); err != nil {
		t.Fatal(err)
	}
	for platform, tc := range map[string]struct{ path, want string }{
		"linux/amd64":   {executable(t, dir, "arm64", elf.EM_AARCH64, 0), "built for EM_AARCH64"},
		"linux/arm64":   {script, "not a Linux executable"},
		"linux/riscv64": {script, "not one the image is made for"},
		"linux/amd64/x": {dynamic, "dynamically linked"},
		"linux/arm64/x": {filepath.Join(dir, "missing"), "no such file"},
	} {
		opts, err := parseArgs([]string{"--output", filepath.Join(dir, "out"), "--version", "1", "--revision", "abc", platform + "=" + tc.path}, "")
		if err != nil {
			t.Fatal(err)
		}
		if err := run(io.Discard, opts); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s=%s: got error %v, want %q", platform, tc.path, err, tc.want)
		}
	}
}

func TestParseArgsErrors(t *testing.T) {
	for want, args := range map[string][]string{
		"at least one": {"--output", "o", "--version", "1", "--revision", "r"},
		"are needed":   {"--output", "o", "--version", "1", "linux/amd64=a"},
		"want OS/ARCH": {"--output", "o", "--version", "1", "--revision", "r", "linux/amd64"},
		"given twice":  {"--output", "o", "--version", "1", "--revision", "r", "linux/amd64=a", "linux/amd64=b"},
		"image name":   {"--output", "o", "--version", "one two", "--revision", "r", "linux/amd64=a"},
	} {
		if _, err := parseArgs(args, ""); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got error %v, want %q", args, err, want)
		}
	}
	args := []string{"--output", "o", "--version", "1", "--revision", "r", "linux/amd64=a"}
	if _, err := parseArgs(args, "yesterday"); err == nil || !strings.Contains(err.Error(), "SOURCE_DATE_EPOCH") {
		t.Errorf("got error %v, want one about SOURCE_DATE_EPOCH", err)
	}
}

// dockerfileConfig is what the last stage of the Dockerfile at the top says.
func dockerfileConfig(t *testing.T, version, revision string) v1.Config {
	t.Helper()
	content, err := os.ReadFile("../../../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	_, stage, ok := strings.Cut(string(content), "\nFROM scratch\n")
	if !ok {
		t.Fatal("the Dockerfile has no stage FROM scratch")
	}
	config := v1.Config{Labels: map[string]string{}}
	for _, m := range regexp.MustCompile(`(org\.opencontainers\.[a-z.]+)="([^"]*)"`).FindAllStringSubmatch(stage, -1) {
		config.Labels[m[1]] = strings.NewReplacer("$VERSION", version, "$REVISION", revision).Replace(m[2])
	}
	for line := range strings.Lines(stage) {
		instruction, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch instruction {
		case "USER":
			config.User = value
		case "ENTRYPOINT":
			if err := json.Unmarshal([]byte(value), &config.Entrypoint); err != nil {
				t.Fatal(err)
			}
		case "ENV", "WORKDIR", "CMD", "EXPOSE", "VOLUME", "STOPSIGNAL":
			t.Fatalf("tools/pack/image does not know the Dockerfile's %s", instruction)
		}
	}
	return config
}

func imageOf(t *testing.T, epoch string, args ...string) string {
	t.Helper()
	opts, err := parseArgs(args, epoch)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := run(&out, opts); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func untar(t *testing.T, file string) string {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // Only read.
	dir := t.TempDir()
	for r := tar.NewReader(f); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return dir
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, header.Name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// programs is a folder of small static Go programs, by machine.
var programs string

func TestMain(m *testing.M) {
	code, err := withPrograms(m.Run)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func withPrograms(do func() int) (int, error) {
	var err error
	if programs, err = os.MkdirTemp("", "image-test-"); err != nil {
		return 0, err
	}
	defer os.RemoveAll(programs) //nolint:errcheck // a temporary folder
	for machine, arch := range map[elf.Machine]string{elf.EM_X86_64: "amd64", elf.EM_AARCH64: "arm64"} {
		build := exec.Command("go", "build", "-trimpath", "-o", filepath.Join(programs, machine.String()), "./testdata/program")
		build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch)
		if out, err := build.CombinedOutput(); err != nil {
			return 0, fmt.Errorf("%w\n%s", err, out)
		}
	}
	return do(), nil
}

// executable writes a static program with n bytes of (always the same) noise after it.
func executable(t *testing.T, dir, name string, machine elf.Machine, n int) string {
	t.Helper()
	program, err := os.ReadFile(filepath.Join(programs, machine.String()))
	if err != nil {
		t.Fatal(err)
	}
	noise := make([]byte, n)
	if _, err := rand.NewChaCha8([32]byte{}).Read(noise); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, append(program, noise...), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func elfHeader(machine elf.Machine, segments uint16) []byte {
	header := elf.Header64{
		Ident: [elf.EI_NIDENT]byte{
			0x7f, 'E', 'L', 'F',
			byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT),
		},
		Type:      uint16(elf.ET_EXEC),
		Machine:   uint16(machine),
		Version:   uint32(elf.EV_CURRENT),
		Phoff:     64,
		Phentsize: 56,
		Phnum:     segments,
	}
	return encode(header)
}

func interpreter() []byte { return encode(elf.Prog64{Type: uint32(elf.PT_INTERP)}) }

func encode(v any) []byte {
	var b bytes.Buffer
	if err := binary.Write(&b, binary.LittleEndian, v); err != nil {
		panic(err)
	}
	return b.Bytes()
}
