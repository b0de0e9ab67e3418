package main

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const mit = `MIT License

Copyright (c) 2026 A

Permission is hereby granted, free of charge, to any person obtaining a copy
of this software and associated documentation files (the "Software"), to deal
in the Software without restriction, including without limitation the rights
to use, copy, modify, merge, publish, distribute, sublicense, and/or sell
copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all
copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,
FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE
SOFTWARE.
`

// TestNoneIsMissing: the file that image, plugins and archives hold has the licences of what is linked today.
func TestNoneIsMissing(t *testing.T) {
	want, err := generate("../../..")
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("../../../THIRD_PARTY_LICENSES.txt")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("THIRD_PARTY_LICENSES.txt is stale: make docs")
	}
	// Some that only one platform links, that lie deeper than the top of a module, and that need their notice.
	for _, part := range []string{
		"\n" + standard + "\n", "\ngithub.com/inconshreveable/mousetrap\n", "\nhelm.sh/helm/v3\n", "\nMPL-2.0\n", "\ngo.yaml.in/yaml/v3\nNotice\n",
	} {
		if !bytes.Contains(want, []byte(part)) {
			t.Errorf("no %q in it", part)
		}
	}
}

// write makes the folder of a module with these files.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestCollect(t *testing.T) {
	one := write(t, map[string]string{"LICENSE": mit, "NOTICE.txt": "Look at me.", "license.go": "package one", "README": "no"})
	two := write(t, map[string]string{"COPYING.md": strings.ReplaceAll(mit, "\n", "\r\n")})
	texts, err := collect(map[string][]string{"example.com/two": {two}, "example.com/one": {one}})
	if err != nil {
		t.Fatal(err)
	}
	want := "\nexample.com/one\nNotice\n\nLook at me.\n\n" + strings.Repeat("=", 80) + "\nexample.com/one\nexample.com/two\nMIT\n\nMIT License\n"
	if got := string(render(texts)); !strings.Contains(got, want) || strings.Contains(got, "package one") {
		t.Errorf("got\n%s\nwant in it\n%s", got, want)
	}
}

func TestRefused(t *testing.T) {
	gpl := "This program is free software: you can redistribute it and/or modify it under the terms of the GNU General Public License " +
		"as published by the Free Software Foundation, either version 3 of the License, or (at your option) any later version."
	for want, files := range map[string]map[string]string{
		"example.com/m: no licence in it":                  {"NOTICE": "All yours.", "main.go": "package m"},
		"example.com/m: LICENSE: a licence that is not k":  {"LICENSE": "Ask my lawyer."},
		"example.com/m: COPYING: licence GPL-3.0-or-later": {"COPYING": gpl, "LICENSE": mit},
	} {
		if _, err := collect(map[string][]string{"example.com/m": {write(t, files)}}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: got error %v, want %q", slices.Sorted(maps.Keys(files)), err, want)
		}
	}
}

func TestParseArgs(t *testing.T) {
	for _, args := range [][]string{nil, {"--output", "x", "y"}} {
		if _, err := parseArgs(args, ""); err == nil {
			t.Errorf("%q: no error", args)
		}
	}
}
