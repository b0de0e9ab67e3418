package release

import (
	"encoding/base64"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/arc-cleanup/arc-cleanup/test/harness"
)

const root = "../.."

// version is what is released: the chart's.
func version(t *testing.T) string {
	t.Helper()
	chart, err := os.ReadFile(filepath.Join(root, "charts", "arc-cleanup", "Chart.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^version: (\S+)$`).FindSubmatch(chart)
	if m == nil {
		t.Fatal("the chart has no version")
	}
	return string(m[1])
}

// A checkout is a repository with what the scripts read, of a version that is tagged and of which main and the tag are at
// its origin.
type checkout struct {
	*testing.T
	dir, origin string
}

func newCheckout(t *testing.T, of string) *checkout {
	t.Helper()
	c := &checkout{t, filepath.Join(t.TempDir(), "a checkout"), filepath.Join(t.TempDir(), "origin")}
	for _, pattern := range []string{"Makefile", "tools/pack/*.sh", "charts/arc-cleanup/Chart.yaml", "plugin/*/plugin.yaml"} {
		files, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %v, %v", pattern, files, err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			c.write(strings.TrimPrefix(file, root+"/"), regexp.MustCompile(`(?m)^(version|appVersion): "?`+regexp.QuoteMeta(version(t))).ReplaceAllString(string(text), "$1: "+of))
		}
	}
	c.write("CHANGELOG.md", "# Changes\n\n## [1.0.0]\n\n### Empty\n\n## "+of+" - 2026-11-28\n\n- A [page](docs/x.md), ![one](docs/x.svg), [that](#it), [a site](https://x.org/#y)\n")
	c.git("init", "--quiet", "--initial-branch", "main")
	c.git("init", "--quiet", "--bare", c.origin)
	c.git("remote", "add", "origin", c.origin)
	c.git("add", ".")
	c.commit()
	c.git("push", "--quiet", "origin", "main")
	c.tag("v" + of)
	return c
}

func (c *checkout) write(file, text string) {
	c.Helper()
	path := filepath.Join(c.dir, file)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		c.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
		c.Fatal(err)
	}
}

func (c *checkout) git(args ...string) {
	c.Helper()
	cmd := exec.CommandContext(c.Context(), "git", args...)
	cmd.Dir = c.dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_AUTHOR_NAME=x", "GIT_AUTHOR_EMAIL=x@x", "GIT_COMMITTER_NAME=x", "GIT_COMMITTER_EMAIL=x@x")
	if out, err := harness.Run(c.T, "git", cmd); err != nil {
		c.Fatalf("%s: %v\n%s", cmd, err, out)
	}
}

func (c *checkout) commit() { c.git("commit", "--quiet", "--allow-empty", "--message", "x") }

// tag has a message: such a tag is an object, with the commit in it.
func (c *checkout) tag(name string) {
	c.Helper()
	c.git("tag", "--force", "--annotate", "--message", "x", name)
	c.git("push", "--quiet", "--force", "origin", "refs/tags/"+name)
}

// make runs a target with stand-ins for programs, by their names, and returns how they are called.
func (c *checkout) make(programs map[string]string, env []string, args ...string) (out, calls string, err error) {
	c.Helper()
	bin := c.TempDir()
	log := filepath.Join(bin, "calls")
	for program, script := range programs {
		script = "#!/bin/sh\necho \"" + program + " $*\" >> " + log + "\n" + script
		if err := os.WriteFile(filepath.Join(bin, program), []byte(script), 0o700); err != nil {
			c.Fatal(err)
		}
	}
	cmd := exec.CommandContext(c.Context(), "make", append([]string{"-C", c.dir, "--no-print-directory"}, args...)...)
	cmd.Env = append(os.Environ(), append(env, "MAKEFLAGS=", "PATH="+bin+":"+os.Getenv("PATH"))...)
	out, err = harness.Run(c.T, "make", cmd)
	text, _ := os.ReadFile(log) // none if nothing was called
	return out, string(text), err
}

// TestPublish: the draft becomes public, and then the tap gets the cask, in the place of the one before. An older version
// takes neither the place of a newer one at GitHub nor in the tap.
func TestPublish(t *testing.T) {
	cask := filepath.Join(t.TempDir(), "cask.rb")
	if err := os.WriteFile(cask, []byte("cask"), 0o600); err != nil {
		t.Fatal(err)
	}
	const (
		none   = "echo 'gh: Not Found (HTTP 404)' >&2; exit 1"
		down   = "echo 'gh: Server Error (HTTP 500)' >&2; exit 1"
		public = "--draft=false\n"
	)
	for name, tc := range map[string]struct {
		version, latest, tap, edit, token string
		// What GitHub is told, then what is the last thing that it is asked or told.
		edits, last, says string
		fails, moved      bool
	}{
		"first":          {latest: none, tap: `echo '{"message":"Not Found"}'; ` + none, edits: public, last: "--raw-field content=Y2Fzaw==\n"},
		"next":           {latest: "echo v1.10.0", tap: "echo abc", edits: public, last: "--raw-field content=Y2Fzaw== --raw-field sha=abc\n"},
		"again":          {latest: "echo v2.0.0", tap: "echo abc", edits: public, last: "--raw-field content=Y2Fzaw== --raw-field sha=abc\n"},
		"a newer one":    {latest: "echo v10.0.0", edits: "--draft=false --latest=false\n", says: "v10.0.0 is newer than v2.0.0"},
		"latest unknown": {latest: down, last: "--jq .tag_name\n", fails: true, says: "HTTP 500"},
		"cask unknown":   {latest: none, tap: down, edits: public, last: "--jq .sha\n", fails: true, says: "HTTP 500"},
		"no tap":         {latest: none, token: "none", edits: public, says: "NOT DONE: the Homebrew cask"},
		"refused":        {latest: none, edit: "exit 1", edits: public, fails: true},
		"pre-release":    {version: "2.0.0-rc.1", edits: public, says: "is a pre-release"},
		"moved tag":      {moved: true, fails: true, says: "tag: the tag v2.0.0 is of"},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.version == "" {
				tc.version = "2.0.0"
			}
			c := newCheckout(t, tc.version)
			if tc.moved {
				c.commit()
				c.git("push", "--quiet", "origin", "main")
				c.tag("v" + tc.version)
				c.git("checkout", "--quiet", "HEAD~1")
			}
			gh := `case "$*" in *releases/latest*) ` + tc.latest + `;; *--jq*) ` + tc.tap + `;; *edit*) ` + tc.edit + `;; esac`
			out, calls, err := c.make(map[string]string{"gh": gh}, []string{"HOMEBREW_TAP_TOKEN=" + strings.TrimPrefix(tc.token+"x", "nonex")}, "release-publish", "CASK="+cask)
			if (err != nil) != tc.fails || !strings.Contains(out, tc.says) {
				t.Errorf("%v, want %q\n%s", err, tc.says, out)
			}
			if tc.edits != "" {
				tc.edits = "gh release edit v" + tc.version + " --repo arc-cleanup/arc-cleanup " + tc.edits
			}
			if tc.last == "" {
				tc.last = tc.edits
			}
			if !strings.Contains(calls, tc.edits) || !strings.HasSuffix(calls, tc.last) || strings.Contains(calls, " edit ") != (tc.edits != "") {
				t.Errorf("gh is called as\n%s", calls)
			}
		})
	}
}

// TestDraft: a release that is public is not drafted again, nor one of which GitHub does not say whether it is, nor one of
// which the image was not pushed.
func TestDraft(t *testing.T) {
	for name, tc := range map[string]struct {
		gh, flags, calls, says string
		fails                  bool
	}{
		"new":       {gh: "echo release not found >&2; exit 1", calls: "goreleaser release --clean --release-notes dist/notes.md\n"},
		"again":     {gh: "echo true", calls: "goreleaser release --clean --release-notes dist/notes.md\n"},
		"public":    {gh: "echo false", calls: "goreleaser release --clean --release-notes dist/notes.md --skip=publish\n", says: "is public already"},
		"unknown":   {gh: "echo HTTP 500 >&2; exit 1", calls: "--jq .isDraft\n", fails: true, says: "HTTP 500"},
		"not asked": {gh: "exit 1", flags: "--skip=validate,publish", calls: "goreleaser release --clean --release-notes dist/notes.md --skip=validate,publish\n"},
		"no image":  {fails: true, says: "make release-oci comes before"},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCheckout(t, "2.0.0")
			c.write("dist/provenance.json", "{}")
			if name != "no image" {
				c.write("dist/arc-hookjob.digest", "sha256:x\n")
			}
			out, calls, err := c.make(map[string]string{"gh": tc.gh, "goreleaser": `[ "$DIGEST" = sha256:x ]`}, nil,
				"release-draft", "COSIGN=cosign", "GORELEASER=goreleaser", "GORELEASER_FLAGS="+tc.flags)
			if (err != nil) != tc.fails || !strings.Contains(out, tc.says) || !strings.HasSuffix(calls, tc.calls) {
				t.Errorf("%v, want %q\n%s\ncalls:\n%s", err, tc.says, out, calls)
			}
		})
	}
}

// TestKeys: the key is where release-oci looks for it, for its owner alone.
func TestKeys(t *testing.T) {
	c, dir := newCheckout(t, "2.0.0"), filepath.Join(t.TempDir(), "runner's folder")
	cosign := map[string]string{"cosign": "cat > " + filepath.Join(t.TempDir(), "password")}
	env := []string{"RUNNER_TEMP=" + dir, "HELM_SIGNING_KEY=" + base64.StdEncoding.EncodeToString([]byte("secret")), "REGISTRY_USER=me", "REGISTRY_PASSWORD=pass"}
	out, calls, err := c.make(cosign, env, "release-keys", "REGISTRY=registry.example/folder", "COSIGN=cosign")
	if err != nil || strings.Contains(out, "pass") {
		t.Fatalf("%v\n%s", err, out)
	}
	if calls != "cosign login registry.example --username me --password-stdin\n" {
		t.Errorf("cosign is called as %q", calls)
	}
	ring := filepath.Join(dir, "release-keys", "secring.gpg")
	info, err := os.Stat(ring)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v", info, err)
	}
	if content, err := os.ReadFile(ring); err != nil || string(content) != "secret" {
		t.Errorf("%q, %v", content, err)
	}
	if out, _, err := c.make(cosign, env[:1], "release-keys", "COSIGN=cosign"); err == nil || !strings.Contains(out, "HELM_SIGNING_KEY is not set") {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestTag: a tag that must not be released releases nothing, and runs nothing.
func TestTag(t *testing.T) {
	const good = "v2.0.0"
	for name, tc := range map[string]struct {
		tag, want string
		before    func(c *checkout)
	}{
		"good":             {tag: good},
		"another version":  {tag: "v99.0.0", want: "the tag is v99.0.0, and the chart says v2.0.0"},
		"no version":       {tag: "v2", want: "v2 is not v and a version"},
		"leading zero":     {tag: "v02.0.0", want: "is not v and a version"},
		"a zero in front":  {tag: "v2.0.0-rc.01", want: "is not v and a version"},
		"an empty part":    {tag: "v2.0.0-rc.", want: "is not v and a version"},
		"pre-release":      {tag: "v2.0.0-rc-1.10.0a", want: "the tag is v2.0.0-rc-1.10.0a, and the chart says v2.0.0"},
		"metadata":         {tag: "v2.0.0+x", want: "is not v and a version"},
		"none":             {tag: "", want: "is not v and a version"},
		"a command":        {tag: "v2.0.0';touch${IFS}ran;'", want: "is not v and a version"},
		"a make function":  {tag: "v$(shell\ttouch\tran)", want: "is not v and a version"},
		"another line":     {tag: "v2.0.0\nx", want: "is not v and a version"},
		"chart's version":  {tag: good, want: "Chart.yaml has no version: 2.0.0", before: func(c *checkout) { c.write("charts/arc-cleanup/Chart.yaml", "appVersion: 2.0.0\nversion: 1.9.0\n") }},
		"plugin's version": {tag: good, want: "plugin.yaml has no version: 2.0.0", before: func(c *checkout) { c.write("plugin/arc-cleanup/plugin.yaml", "version: 2.0.0-x\n") }},
		"no notes":         {tag: good, want: "has no section 2.0.0, or nothing in it", before: func(c *checkout) { c.write("CHANGELOG.md", "## 2.0.01\n\n- x\n") }},
		"empty notes":      {tag: good, want: "has no section 2.0.0, or nothing in it", before: func(c *checkout) { c.write("CHANGELOG.md", "## [2.0.0]\n\n### Added\n \n## 1\n\n- x\n") }},
		"README":           {tag: good, want: "README.md says that nothing is published yet", before: func(c *checkout) { c.write("README.md", "Nothing is published yet. Build it.\n") }},
		"verify.md":        {tag: good, want: "docs/verify.md says that nothing is published yet", before: func(c *checkout) { c.write("docs/verify.md", "Nothing is published yet.\n") }},
		"moved since":      {tag: good, want: "the tag v2.0.0 is of ", before: func(c *checkout) { c.commit() }},
		"deleted since":    {tag: good, want: "the tag v2.0.0 is of no commit", before: func(c *checkout) { c.git("push", "--quiet", "origin", ":refs/tags/"+good) }},
		"not in main":      {tag: good, want: " is not in main", before: func(c *checkout) { c.commit(); c.tag(good) }},
		"a tag named main": {tag: good, want: " is not in main", before: func(c *checkout) { c.commit(); c.tag(good); c.tag("main") }},
		"no origin":        {tag: good, want: "fatal: ", before: func(c *checkout) { c.git("remote", "set-url", "origin", "nowhere") }},
		"main has gone on": {tag: good, before: func(c *checkout) {
			c.commit()
			c.git("push", "--quiet", "origin", "main")
			c.git("checkout", "--quiet", good)
		}},
		"branch of its name": {tag: good, before: func(c *checkout) { c.git("push", "--quiet", "origin", "main:refs/heads/refs/tags/"+good) }},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCheckout(t, "2.0.0")
			if tc.before != nil {
				tc.before(c)
			}
			out, _, err := c.make(nil, []string{"TAG=" + tc.tag}, "release-tag")
			if (err != nil) != (tc.want != "") || !strings.Contains(out, tc.want) {
				t.Errorf("%v, want %q\n%s", err, tc.want, out)
			}
			if _, err := os.Stat(filepath.Join(c.dir, "ran")); err == nil {
				t.Error("the tag was executed")
			}
		})
	}
}

// TestNotes: links lead to the files of the tag.
func TestNotes(t *testing.T) {
	c := newCheckout(t, "2.0.0")
	const base = "https://github.com/arc-cleanup/arc-cleanup/"
	want := "\n- A [page](" + base + "blob/v2.0.0/docs/x.md), ![one](" + base + "raw/v2.0.0/docs/x.svg), [that](" + base + "blob/v2.0.0/CHANGELOG.md#it), [a site](https://x.org/#y)\n"
	out, err := harness.Run(t, "notes", exec.CommandContext(t.Context(), filepath.Join(c.dir, "tools", "pack", "notes.sh"), "2.0.0", "v2.0.0"))
	if err != nil || out != want {
		t.Errorf("%v, got\n%s\nwant\n%s", err, out, want)
	}
}
