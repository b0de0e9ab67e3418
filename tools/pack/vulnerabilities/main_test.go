package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	found, err := parse(strings.NewReader(`{"config": {"protocol_version": "v1.0.0"}}
{"osv": {"id": "GO-2026-0001", "summary": "Called", "affected": []}}
{"osv": {"id": "GO-2026-0002", "summary": "Only imported"}}
{"finding": {"osv": "GO-2026-0001", "trace": [{"module": "example.com/m", "version": "v1.0.0"}]}}
{"finding": {"osv": "GO-2026-0001", "trace": [{"module": "example.com/m", "package": "example.com/m", "function": "F"}, {"module": "top"}]}}
{"finding": {"osv": "GO-2026-0002", "fixed_version": "v2", "trace": [{"module": "example.com/n", "package": "example.com/n"}]}}
`))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]*vulnerability{"GO-2026-0001": {summary: "Called", in: "example.com/m", fixed: "no version"}}
	if diff := cmp.Diff(want, found, cmp.AllowUnexported(vulnerability{})); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if _, err := parse(strings.NewReader(`{"osv": `)); err == nil {
		t.Error("no error of half a message")
	}
}

func TestJudge(t *testing.T) {
	known := map[string]*vulnerability{
		"GO-2026-0001": {summary: "Bad", in: "example.com/m", fixed: "v2", modules: []string{"test"}},
		"GO-2026-0002": {summary: "Worse", in: "example.com/n", fixed: "v3", modules: []string{".", "test"}},
	}
	var out bytes.Buffer
	err := judge(&out, known, map[string]string{"GO-2026-0001": "a test's server sees no stranger", "GO-2026-0003": "old"}, true)
	want := "GO-2026-0002 in example.com/n: Worse (fixed in v3), called by ., test\n" +
		"GO-2026-0003 is accepted, and nothing calls it any more: remove the line"
	if err == nil || err.Error() != want {
		t.Errorf("got error\n%v\nwant\n%s", err, want)
	}
	if got := out.String(); !strings.Contains(got, "accepted: GO-2026-0001") || !strings.Contains(got, "because: a test's server") {
		t.Errorf("it prints:\n%s", got)
	}
	delete(known, "GO-2026-0002")
	if err := judge(&out, known, map[string]string{"GO-2026-0001": "x"}, true); err != nil {
		t.Error(err)
	}
}

// TestUnreachable: what was found before the database went away counts, and what is accepted is not called superfluous. A
// module without code needs no database.
func TestUnreachable(t *testing.T) {
	dir := t.TempDir()
	for file, text := range map[string]string{
		"accepted": "GO-2026-0003 only a test calls it\n", "first/go.mod": "module first\n", "second/go.mod": "module second\n",
		"first/a.go": "package a\n", "second/a.go": "package a\n", "empty/go.mod": "module empty\n",
		"govulncheck": `#!/bin/sh
case "$*" in *first*) echo '{"osv": {"id": "GO-2026-0001"}} {"finding": {"osv": "GO-2026-0001", "trace": [{"module": "m", "function": "F"}]}}' ;;
*) echo "fetching vulnerabilities: no route" >&2; exit 1 ;; esac
`,
	} {
		path := filepath.Join(dir, file)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	opts := Options{Govulncheck: filepath.Join(dir, "govulncheck"), Accepted: filepath.Join(dir, "accepted"), Root: dir, Modules: []string{"first", "second"}}
	var out bytes.Buffer
	err := run(&out, opts)
	if err == nil || !strings.Contains(err.Error(), "GO-2026-0001") || strings.Contains(err.Error(), "GO-2026-0003") || !strings.Contains(out.String(), "!!! NOT CHECKED: vulnerabilities of second") {
		t.Errorf("%v\n%s", err, out.String())
	}
	opts.Modules = opts.Modules[1:]
	if err := run(&out, opts); err != nil {
		t.Error(err)
	}
	opts.Required = true
	if err := run(&out, opts); !errors.Is(err, errUnreachable) {
		t.Errorf("required: %v", err)
	}
	for module, want := range map[string]int{"empty": 0, "first": 1} {
		if patterns, err := packages(filepath.Join(dir, module)); err != nil || len(patterns) != want {
			t.Errorf("%s: %q, %v", module, patterns, err)
		}
	}
}

func TestParseAccepted(t *testing.T) {
	got, err := parseAccepted("# Why.\n\nGO-2026-0001  only a test calls it\n")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"GO-2026-0001": "only a test calls it"}, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	for _, text := range []string{"GO-2026-0001", "GO-2026-0001  \n", "CVE-2026-1 a reason"} {
		if _, err := parseAccepted(text); err == nil {
			t.Errorf("%q: no error", text)
		}
	}
}

func TestParseArgs(t *testing.T) {
	for _, args := range [][]string{nil, {"--govulncheck", "g", "--accepted", "a"}, {"--govulncheck", "g", "m"}} {
		if _, err := parseArgs(args, ""); err == nil {
			t.Errorf("%q: no error", args)
		}
	}
}
