package upgrade

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// The digest is that of what Helm installs, also behind links, and it ends.
func TestDigestBehindLinks(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	chart, link, within := filepath.Join(dir, "chart"), filepath.Join(dir, "link"), filepath.Join(dir, "within")
	write := func(name, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	symlink := func(to, name string) {
		t.Helper()
		if err := os.Symlink(to, name); err != nil {
			t.Fatal(err)
		}
	}
	write(filepath.Join(chart, "templates", "a.yaml"), "one")
	write(filepath.Join(within, "Chart.yaml"), "x")
	symlink(chart, link)
	symlink(filepath.Join(chart, "templates"), filepath.Join(within, "templates"))
	sums := map[string]string{}
	for _, text := range []string{"one", "two"} {
		write(filepath.Join(chart, "templates", "a.yaml"), text)
		for _, path := range []string{chart, link, within} {
			sum, err := digest(path)
			if err != nil {
				t.Fatal(err)
			}
			if sum == sums[path] {
				t.Errorf("%s: the content behind the link does not count", path)
			}
			sums[path] = sum
		}
	}
	if sums[chart] != sums[link] {
		t.Errorf("a chart and a link to it: %v", sums)
	}
	symlink(chart, filepath.Join(chart, "round"))
	if sum, err := digest(chart); err == nil || !strings.Contains(err.Error(), "a folder that it is in") {
		t.Errorf("a link without an end: %s, %v", sum, err)
	}
	pipe := filepath.Join(within, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{within, pipe} {
		if sum, err := digest(path); err == nil || !strings.Contains(err.Error(), "is no file") {
			t.Errorf("a pipe: %s, %v", sum, err)
		}
	}
}

// What is installed is what the plan has shown.
func TestAChartThatHasChanged(t *testing.T) {
	dir := t.TempDir()
	u, _, fake := upgradingWith(t)
	state := theState()
	r := state.Releases[0]
	sum, err := digest(dir)
	if err != nil {
		t.Fatal(err)
	}
	c := Chart{Ref: dir, Digest: sum, path: dir}
	if err := u.install(t.Context(), r, c, u.Helm.install); err != nil {
		t.Errorf("unchanged: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "new.yaml"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	before := len(fake.said())
	for _, err := range []error{u.install(t.Context(), r, c, u.Helm.install), u.applyCRDs(t.Context(), c)} {
		if err == nil || !strings.Contains(err.Error(), "has changed since the plan was made") || len(fake.said()) > before {
			t.Errorf("%v; Helm was told %v", err, fake.said())
		}
	}
}

// Helm's complaint repeats what tenants have written, however much and whatever it is.
func TestAComplaintIsShortAndVisible(t *testing.T) {
	h := &Helm{Binary: script(t, `printf 'two\nlines \033]0;evil\a' >&2; head -c 3000000 /dev/zero | tr '\0' x >&2; echo; printf '\nthe reason \033[31m' >&2; exit 1`)}
	_, err := h.run(t.Context(), helmTime, nil, "", "template")
	if err == nil || len(err.Error()) > saidBytes+100 || strings.ContainsAny(err.Error(), "\x1b\a") || !strings.Contains(err.Error(), "\nthe reason") {
		t.Errorf("%.200q", err)
	}
}
