//go:build release

package release

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// flipped is content with another bit: in the time that gzip notes, where it is compressed, which changes nothing of
// what is in it, else in the middle.
func flipped(content []byte) []byte {
	content = bytes.Clone(content)
	at := len(content) / 2
	if bytes.HasPrefix(content, []byte{0x1f, 0x8b}) {
		at = 4
	}
	content[at] ^= 1
	return content
}

// checkFiles looks at the release page: what has to be there, that checksums.txt names all of it, and what is in an
// archive.
func (s *site) checkFiles() {
	s.Helper()
	var want []string
	for _, platform := range []string{"linux-amd64.tar.gz", "linux-arm64.tar.gz", "darwin-amd64.tar.gz", "darwin-arm64.tar.gz", "windows-amd64.zip", "windows-arm64.zip"} {
		archive := "arc-cleanup-" + s.version + "-" + platform
		want = append(want, archive)
		s.checkArchive(archive)
		for _, program := range []string{"arc-cleanup", "arc-postrender"} {
			system, _, _ := strings.Cut(platform, ".")
			sbom := program + "-" + system + ".cdx.json"
			want = append(want, sbom)
			// Windows alone links this one.
			const module = "github.com/inconshreveable/mousetrap"
			if windows := strings.HasPrefix(system, "windows"); bytes.Contains(s.files[sbom], []byte(module)) != windows {
				s.Errorf("%s: is %s in it: want %t", sbom, module, windows)
			}
		}
		if s.files[archive+".provenance.sigstore.json"] == nil {
			s.Errorf("%s has no provenance", archive)
		}
	}
	for _, plugin := range []string{"arc-cleanup", "arc-postrender"} {
		tarball := plugin + "-" + s.version + ".tgz"
		want = append(want, tarball, tarball+".prov")
		checkLicences(s, tarball, unpack(s, tarball, s.files[tarball]))
	}
	want = append(want, "pubring.gpg")

	var named []string
	for line := range strings.Lines(string(s.files["checksums.txt"])) {
		_, file, _ := strings.Cut(strings.TrimSpace(line), "  ")
		named = append(named, file)
	}
	slices.Sort(named)
	slices.Sort(want)
	if !slices.Equal(named, want) {
		s.Errorf("checksums.txt names\n%q\nwant\n%q", named, want)
	}

	cask := s.read("dist/release/homebrew/Casks/arc-cleanup.rb")
	for _, part := range []string{`version "` + s.version + `"`, `binary "arc-cleanup"`, `binary "arc-postrender"`, "https://github.com/arc-cleanup/arc-cleanup/releases/download/v"} {
		if !strings.Contains(cask, part) {
			s.Errorf("the cask has no %s:\n%s", part, cask)
		}
	}
	for line := range strings.Lines(string(s.files["checksums.txt"])) {
		sum, file, _ := strings.Cut(strings.TrimSpace(line), "  ")
		if strings.HasSuffix(file, ".tar.gz") && !strings.Contains(cask, sum) {
			s.Errorf("the cask does not know the checksum of %s:\n%s", file, cask)
		}
	}
	if notes := s.read("dist/notes.md"); len(notes) < 100 || strings.Contains(notes, "](docs/") {
		s.Errorf("the notes of the release:\n%s", notes)
	}
}

func (s *site) read(file string) string {
	s.Helper()
	content, err := os.ReadFile(filepath.Join(root, file))
	if err != nil {
		s.Fatal(err)
	}
	return string(content)
}

// digest is the image's, as it was pushed.
func (s *site) digest() string {
	s.Helper()
	descriptor, err := remote.Head(reference(s, s.registry+"/arc-hookjob:"+s.version), s.remote...)
	if err != nil {
		s.Fatal(err)
	}
	return descriptor.Digest.String()
}

// checkArchive: the program names the image by the digest of what was pushed, and comes with its licences.
func (s *site) checkArchive(archive string) {
	s.Helper()
	content := s.files[archive]
	files := map[string][]byte{}
	if strings.HasSuffix(archive, ".zip") {
		r, err := zip.NewReader(bytes.NewReader(content), int64(len(content)))
		if err != nil {
			s.Fatalf("%s: %v", archive, err)
		}
		for _, f := range r.File {
			file, err := f.Open()
			if err != nil {
				s.Fatal(err)
			}
			if files[f.Name], err = io.ReadAll(file); err != nil {
				s.Fatal(err)
			}
		}
	} else {
		files = unpack(s, archive, content)
	}
	checkLicences(s, archive, files)
	program := "arc-cleanup"
	if strings.HasSuffix(archive, ".zip") {
		program += ".exe"
	}
	if digest := s.digest(); !bytes.Contains(files[program], []byte(digest)) {
		s.Errorf("%s: %s does not name the image %s", archive, program, digest)
	}
}

// unpack returns the files of a tarball, by their names.
func unpack(s *site, name string, tarball []byte) map[string][]byte {
	s.Helper()
	zr, err := gzip.NewReader(bytes.NewReader(tarball))
	if err != nil {
		s.Fatalf("%s: %v", name, err)
	}
	files := map[string][]byte{}
	for r := tar.NewReader(zr); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			s.Fatalf("%s: %v", name, err)
		}
		if files[header.Name], err = io.ReadAll(r); err != nil {
			s.Fatalf("%s: %v", name, err)
		}
	}
}

func checkLicences(s *site, name string, files map[string][]byte) {
	s.Helper()
	for _, licence := range []string{"LICENSE", "THIRD_PARTY_LICENSES.txt"} {
		var found bool
		for file, content := range files {
			found = found || filepath.Base(file) == licence && string(content) == s.read(licence)
		}
		if !found {
			s.Errorf("%s has no %s", name, licence)
		}
	}
}

// checkChart: what a user gets from the registry asks for the image by its digest.
func (s *site) checkChart() {
	s.Helper()
	chart := s.read("dist/chart/arc-cleanup-" + s.version + ".tgz")
	values := string(unpack(s, "the chart", []byte(chart))["arc-cleanup/values.yaml"])
	for key, want := range map[string]string{"digest": s.digest(), "repository": s.registry + "/arc-hookjob"} {
		if m := regexp.MustCompile(`(?m)^  ` + key + `: (.*)$`).FindStringSubmatch(values); m == nil || m[1] != want {
			s.Errorf("the chart has %q, want %s: %s", m, key, want)
		}
	}
}

func reference(s *site, ref string) name.Reference {
	s.Helper()
	r, err := name.ParseReference(ref)
	if err != nil {
		s.Fatal(err)
	}
	return r
}

// breakLayer moves a tag to what differs from the original in one bit of its content, and returns what moves it back.
func (s *site) breakLayer(ref string) (restore func()) {
	s.Helper()
	tag := reference(s, ref)
	original, err := remote.Get(tag, s.remote...)
	if err != nil {
		s.Fatal(err)
	}
	put := func(what remote.Taggable) {
		s.Helper()
		if err := remote.Put(tag, what, s.remote...); err != nil {
			s.Fatal(err)
		}
	}
	if original.MediaType.IsIndex() {
		index, err := original.ImageIndex()
		if err != nil {
			s.Fatal(err)
		}
		manifest, err := index.IndexManifest()
		if err != nil {
			s.Fatal(err)
		}
		first := manifest.Manifests[0]
		image, err := index.Image(first.Digest)
		if err != nil {
			s.Fatal(err)
		}
		broken := mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: s.broken(image), Descriptor: v1.Descriptor{Platform: first.Platform}})
		if err := remote.WriteIndex(tag, broken, s.remote...); err != nil {
			s.Fatal(err)
		}
		return func() { put(index) }
	}
	image, err := original.Image()
	if err != nil {
		s.Fatal(err)
	}
	if err := remote.Write(tag, s.broken(image), s.remote...); err != nil {
		s.Fatal(err)
	}
	return func() { put(image) }
}

// broken is an image whose largest layer has another bit.
func (s *site) broken(image v1.Image) v1.Image {
	s.Helper()
	manifest, err := image.Manifest()
	if err != nil {
		s.Fatal(err)
	}
	layers, err := image.Layers()
	if err != nil {
		s.Fatal(err)
	}
	largest := slices.IndexFunc(manifest.Layers, func(l v1.Descriptor) bool {
		return !slices.ContainsFunc(manifest.Layers, func(other v1.Descriptor) bool { return other.Size > l.Size })
	})
	r, err := layers[largest].Compressed()
	if err != nil {
		s.Fatal(err)
	}
	defer r.Close()
	content, err := io.ReadAll(r)
	if err != nil {
		s.Fatal(err)
	}
	out := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), manifest.Config.MediaType)
	for i, layer := range layers {
		if i == largest {
			layer = static.NewLayer(flipped(content), manifest.Layers[i].MediaType)
		}
		out, err = mutate.Append(out, mutate.Addendum{Layer: layer, MediaType: manifest.Layers[i].MediaType, Annotations: manifest.Layers[i].Annotations})
		if err != nil {
			s.Fatal(err)
		}
	}
	return out
}
