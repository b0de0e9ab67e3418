//go:build release

package release

import (
	"context"
	"encoding/base64"
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/arc-cleanup/arc-cleanup/test/cluster"
	"github.com/arc-cleanup/arc-cleanup/test/harness"
	"github.com/arc-cleanup/arc-cleanup/test/harness/pgp"
)

const (
	publisher = "publisher"
	password  = "a password"
	platform  = "linux/amd64" // of the plugins: more take minutes, and differ in nothing that is tried here
	// A configuration of cosign's that names no service: with a key it needs none.
	noLog = `{"mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json"}`
)

// A site is where a release goes, and who signs it.
type site struct {
	*testing.T
	version  string
	registry string
	page     string // the URL of the release page's files
	files    map[string][]byte
	// This process's way to the registry.
	remote []remote.Option
	bin    string // cosign, and Helm by its major version
	key    string
	env    []string
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{T: t, version: version(t), files: map[string][]byte{}, bin: t.TempDir(), key: filepath.Join(t.TempDir(), "cosign")}
	mux := http.NewServeMux()
	mux.Handle("/v2/", writersOnly(registry.New(registry.Logger(log.New(io.Discard, "", 0)), registry.WithReferrersSupport(true))))
	mux.HandleFunc("/page/{file}", func(w http.ResponseWriter, r *http.Request) {
		content, ok := s.files[r.PathValue("file")]
		if !ok {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write(content)
	})
	server := httptest.NewTLSServer(mux)
	t.Cleanup(server.Close)
	host := strings.TrimPrefix(server.URL, "https://")
	s.registry, s.page = host+"/arc-cleanup", server.URL+"/page"
	s.remote = []remote.Option{
		remote.WithTransport(server.Client().Transport), remote.WithAuth(&authn.Basic{Username: publisher, Password: password}),
	}

	// Beside those of this machine, which Go's modules may be fetched with.
	authorities, _ := os.ReadFile("/etc/ssl/certs/ca-certificates.crt")
	authorities = append(authorities, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})...)
	file := filepath.Join(t.TempDir(), "authorities.pem")
	s.write(file, authorities)
	// GoReleaser asks Git for a remote, which a copy of the repository need not have.
	s.env = append(os.Environ(), "GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=remote.origin.url", "GIT_CONFIG_VALUE_0=https://github.com/arc-cleanup/arc-cleanup",
		"SSL_CERT_FILE="+file, "CURL_CA_BUNDLE="+file, "DOCKER_CONFIG="+t.TempDir(), "COSIGN_PASSWORD=")

	for name, as := range map[string]string{"cosign": "cosign", "helm3": "3/helm", "helm4": "4/helm"} {
		path, err := cluster.Binary(t.Context(), name, os.Stderr)
		if err != nil {
			t.Fatal(err)
		}
		link := filepath.Join(s.bin, as)
		if err := os.MkdirAll(filepath.Dir(link), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(path, link); err != nil {
			t.Fatal(err)
		}
	}
	s.newKey(s.key)
	return s
}

// writersOnly asks for a password where something is written, and lets everybody read.
func writersOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, pass, _ := r.BasicAuth()
		reads := (r.Method == http.MethodGet || r.Method == http.MethodHead) && r.URL.Path != "/v2/"
		if !reads && (user != publisher || pass != password) {
			w.Header().Set("WWW-Authenticate", `Basic realm="release"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (s *site) write(file string, content []byte) {
	s.Helper()
	if err := os.WriteFile(file, content, 0o600); err != nil {
		s.Fatal(err)
	}
}

// newKey makes a key pair of cosign's, as NAME.key and NAME.pub, and a configuration to sign with it
// that asks no service.
func (s *site) newKey(name string) {
	s.Helper()
	s.must(s.command(s.Context(), "cosign", "generate-key-pair", "--output-key-prefix", name))
	s.write(name+".json", []byte(noLog))
}

// command is one of the programs, or of the machine's, in the environment of the site.
func (s *site) command(ctx context.Context, program string, args ...string) *exec.Cmd {
	if path := filepath.Join(s.bin, program); fileExists(path) {
		program = path
	}
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = s.env
	return cmd
}

func fileExists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func (s *site) must(cmd *exec.Cmd) string {
	s.Helper()
	out, err := harness.Run(s, filepath.Base(cmd.Path), cmd)
	if err != nil {
		s.Fatalf("%s: %v\n%s", cmd, err, out)
	}
	return out
}

// release makes the release, with the commands of the workflow.
func (s *site) release() {
	s.Helper()
	ring, _ := pgp.Keys(s, "Maintainer")
	pgp.Lock(s, ring, password)
	secret, err := os.ReadFile(ring)
	if err != nil {
		s.Fatal(err)
	}
	keys := s.TempDir()
	login := s.command(s.Context(), "make", "-C", root, "release-keys", "REGISTRY="+s.registry, "COSIGN="+filepath.Join(s.bin, "cosign"))
	login.Env = append(slices.Clone(s.env), "RUNNER_TEMP="+keys, "HELM_SIGNING_KEY="+base64.StdEncoding.EncodeToString(secret),
		"HELM_SIGNING_PASSPHRASE="+password, "REGISTRY_USER="+publisher, "REGISTRY_PASSWORD="+password)
	s.must(login)
	s.env = append(s.env, "KEYRING="+filepath.Join(keys, "release-keys", "secring.gpg"), "KEY=Maintainer",
		"PASSPHRASE_FILE="+filepath.Join(keys, "release-keys", "passphrase"))
	notes := "Unreleased"
	if strings.Contains(s.read("CHANGELOG.md"), "\n## "+s.version) {
		notes = s.version
	}
	s.push()
	// Not of a tag, and maybe with changes: it is not published.
	s.make("release-draft", "NOTES="+notes, "GORELEASER_FLAGS=--skip=publish,validate")
	// What GoReleaser uploads: what it made, and what its extra_files name.
	for _, pattern := range []string{"release/*.tar.gz", "release/*.zip", "release/*.txt", "release/*.sigstore.json", "*.tgz", "*.tgz.prov", "sbom/*.cdx.json", "*.gpg"} {
		paths, err := filepath.Glob(filepath.Join(root, "dist", pattern))
		if err != nil || len(paths) == 0 {
			s.Fatalf("%s: %v, %v", pattern, paths, err)
		}
		for _, path := range paths {
			content, err := os.ReadFile(path)
			if err != nil {
				s.Fatal(err)
			}
			s.files[filepath.Base(path)] = content
		}
	}
}

// push makes the part that goes to the registry.
func (s *site) push() {
	s.Helper()
	s.make("release-oci", "REGISTRY="+s.registry, "HELM="+filepath.Join(s.bin, "4", "helm"), "PLATFORMS="+platform)
}

func (s *site) make(args ...string) {
	s.Helper()
	sign := "COSIGN_FLAGS=--key=" + s.key + ".key --signing-config=" + s.key + ".json"
	s.must(s.command(s.Context(), "make", append(args, "-C", root, "COSIGN="+filepath.Join(s.bin, "cosign"), sign)...))
}

// pushed are the digests of what the tags of the version refer to.
func (s *site) pushed() map[string]string {
	s.Helper()
	digests := map[string]string{}
	for _, repository := range []string{"arc-hookjob", "charts/arc-cleanup", "plugins/arc-cleanup", "plugins/arc-postrender"} {
		descriptor, err := remote.Head(reference(s, s.registry+"/"+repository+":"+s.version), s.remote...)
		if err != nil {
			s.Fatal(err)
		}
		digests[repository] = descriptor.Digest.String()
	}
	return digests
}

// A user has a folder, an empty home, one of the Helms, and a public key to believe.
type user struct {
	*site
	dir  string
	helm string
	key  string
}

func (s *site) newUser(helm string) *user {
	return &user{site: s, dir: s.TempDir(), helm: helm, key: s.key + ".pub"}
}

// does types the commands of a section, and returns what they print.
func (u *user) does(heading string) (string, error) {
	u.Helper()
	_, commands := sections(u.T)
	text, ok := commands[heading]
	if !ok {
		u.Fatalf("docs/verify.md has no section %q with commands", heading)
	}
	// In the place of the first section's: what is where, and a key for the workflow's identity.
	script := "VERSION=" + u.version + "\nREGISTRY=" + u.registry + "\nRELEASE=" + u.page + "\n" +
		"signed() { cosign \"$@\" --key " + u.key + " --insecure-ignore-tlog=true; }\n" + text
	// Without -e: a terminal goes on after a command that fails.
	cmd := u.command(u.Context(), "bash", "-uxc", script)
	cmd.Dir = u.dir
	cmd.Env = append(slices.DeleteFunc(slices.Clone(u.env), func(v string) bool { return strings.HasPrefix(v, "HELM_") || strings.HasPrefix(v, "XDG_") }),
		"HOME="+filepath.Join(u.dir, "home"), "DOCKER_CONFIG="+filepath.Join(u.dir, "home"), "PATH="+u.bin+":"+filepath.Join(u.bin, u.helm)+":"+os.Getenv("PATH"))
	return harness.Run(u.T, heading+", Helm "+u.helm+":", cmd)
}

func (u *user) mustDo(heading string) {
	u.Helper()
	if out, err := u.does(heading); err != nil {
		u.Errorf("docs/verify.md, %q: %v\n%s", heading, err, out)
	}
}

// refuses sees that a section's commands fail, for this reason, and that Helm then has no plugin.
func (u *user) refuses(heading, reason string) {
	u.Helper()
	out, err := u.does(heading)
	if err == nil || !strings.Contains(out, reason) {
		u.Errorf("docs/verify.md, %q: error %v, want one with %q\n%s", heading, err, reason, out)
	}
	if strings.Contains(out, "Installed plugin") {
		u.Errorf("docs/verify.md, %q: a plugin is installed in spite of that\n%s", heading, out)
	}
}

func TestRelease(t *testing.T) {
	s := newSite(t)
	s.release()
	s.checkFiles()
	s.checkChart()
	// As after a run that failed half way, in another second.
	first := s.pushed()
	s.push()
	if diff := cmp.Diff(first, s.pushed()); diff != "" {
		t.Errorf("a run that is repeated replaces what is published:\n%s", diff)
	}

	headings, _ := sections(t)
	t.Run("verified", func(t *testing.T) {
		for helm, not := range map[string]string{"3": "with Helm 4", "4": "with Helm 3"} {
			u := s.of(t).newUser(helm)
			for _, heading := range headings {
				if heading != setup && !strings.Contains(heading, not) {
					u.mustDo(heading)
				}
			}
			if out := u.must(u.command(t.Context(), helm+"/helm", "version")); !strings.Contains(out, "v"+helm) {
				t.Errorf("not Helm %s: %s", helm, out)
			}
		}
	})
	t.Run("a stranger's", func(t *testing.T) {
		u := s.of(t).newUser("4")
		u.newKey(filepath.Join(u.dir, "stranger"))
		u.key = filepath.Join(u.dir, "stranger.pub")
		for _, heading := range headings {
			if heading != setup {
				u.refuses(heading, "error during command execution")
			}
		}
	})
	t.Run("tampered", func(t *testing.T) { s.of(t).tampered() })
}

// TestKeyless: the commands of docs/verify.md as they stand there are ones that cosign understands. It then asks for the
// keys of Sigstore, which it does not get.
func TestKeyless(t *testing.T) {
	s := newSite(t)
	_, commands := sections(t)
	s.write(filepath.Join(s.bin, "blob"), nil)
	s.write(filepath.Join(s.bin, "bundle"), []byte(`{"mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json"}`))
	for _, words := range []string{
		"verify-blob blob --bundle bundle", "verify-blob-attestation blob --type slsaprovenance1 --bundle bundle",
		"verify " + s.registry + "/image", "verify-attestation " + s.registry + "/image --type slsaprovenance1",
	} {
		cmd := s.command(t.Context(), "bash", "-euc", commands[setup]+"\nsigned "+words)
		cmd.Dir = s.bin
		cmd.Env = append(slices.Clone(s.env), "HTTPS_PROXY=http://127.0.0.1:1", "PATH="+s.bin+":"+os.Getenv("PATH"), "HOME="+t.TempDir())
		if out, err := harness.Run(t, "signed "+words+":", cmd); err == nil || !strings.Contains(out, "TUF") {
			t.Errorf("signed %s: error %v, want one about TUF\n%s", words, err, out)
		}
	}
}

// of is the same site for a part of the test.
func (s *site) of(t *testing.T) *site {
	clone := *s
	clone.T = t
	return &clone
}

// tampered changes one byte of each thing that is published.
func (s *site) tampered() {
	s.Helper()
	archive := "arc-cleanup-" + s.version + "-linux-amd64.tar.gz"
	for file, want := range map[string]struct{ heading, reason string }{
		archive:                               {"An archive", archive + ": FAILED"},
		"checksums.txt":                       {"An archive", "error during command execution"},
		archive + ".provenance.sigstore.json": {"An archive", "error during command execution"},
		"pubring.gpg":                         {"The key for Helm", "pubring.gpg: FAILED"},
		"arc-cleanup-" + s.version + ".tgz":   {"A plugin, with Helm 3", ".tgz: FAILED"},
	} {
		original := s.files[file]
		s.files[file] = flipped(original)
		s.newUser("4").refuses(want.heading, want.reason)
		s.files[file] = original
	}

	u := s.newUser("4")
	u.mustDo("The key for Helm")
	for repository, heading := range map[string]string{
		"arc-hookjob": "The image", "charts/arc-cleanup": "The chart", "plugins/arc-cleanup": "The plugins, with Helm 4",
	} {
		restore := s.breakLayer(s.registry + "/" + repository + ":" + s.version)
		u.refuses(heading, "no signatures found")
		restore()
	}
	// Helm itself, to whoever does not ask cosign.
	restore := s.breakLayer(s.registry + "/charts/arc-cleanup:" + s.version)
	for _, helm := range []string{"3", "4"} {
		s.helmRefuses(helm, u.dir, "pull", "oci://"+s.registry+"/charts/arc-cleanup", "--version", s.version, "--verify", "--keyring", "pubring.gpg")
	}
	restore()
	restore = s.breakLayer(s.registry + "/plugins/arc-cleanup:" + s.version)
	s.helmRefuses("4", u.dir, "plugin", "install", "oci://"+s.registry+"/plugins/arc-cleanup:"+s.version, "--keyring", "pubring.gpg")
	restore()
	for _, heading := range []string{"The image", "The chart", "The plugins, with Helm 4"} {
		u.mustDo(heading) // It was the byte.
	}
}

// helmRefuses sees that Helm fails for the sum that its provenance file gives.
func (s *site) helmRefuses(helm, dir string, args ...string) {
	s.Helper()
	cmd := s.command(s.Context(), helm+"/helm", args...)
	cmd.Dir = dir
	cmd.Env = append(slices.Clone(cmd.Env), "HOME="+dir)
	const reason = "sha256 sum does not match"
	if out, err := harness.Run(s, "helm"+helm, cmd); err == nil || !strings.Contains(out, reason) {
		s.Errorf("helm %s %s: error %v, want one with %q\n%s", helm, strings.Join(args, " "), err, reason, out)
	}
}
